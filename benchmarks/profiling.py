"""What looking at every value costs beside reading it, in time and processor; and a second look, which reads a file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result, alternately, shown
from tiffin.quality.profiles.kept import KeptProfiles


def frame(rows: int) -> pl.DataFrame:
    """Twelve columns of the kinds that feature tables have."""
    random = np.random.default_rng(0)
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    numbers = {f"score_{n}": random.normal(n, 1 + n, rows) for n in range(4)}
    counts = {f"count_{n}": random.poisson(3 + 40 * n, rows) for n in range(2)}
    texts = pl.Series("country", random.integers(0, 40, rows)).cast(pl.String)
    names = pl.Series("name", random.integers(0, rows, rows)).cast(pl.String)
    return pl.DataFrame(
        {
            "user_id": np.arange(rows),
            "event_timestamp": pl.Series(start + random.integers(0, 10**13, rows)).cast(pl.Datetime("us", "UTC")),
            **numbers,
            **counts,
            "country": "c" + texts,
            "name": "name " + names,
            "active": random.random(rows) < 0.3,
            "rating": pl.Series(random.normal(3, 1, rows)).set(pl.Series(random.random(rows) < 0.1), None),
        }
    )


def run(*, quick: bool) -> Iterator[Result]:
    rows = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = tiffin.FeatureStore(Path(folder) / "store", memory_cache_bytes=0, disk_cache_bytes=0)
        store.save("user/activity", frame(rows), entity="user_id", timestamp="event_timestamp")
        yield from _looking(store, f"{rows:,} x 12")


def _looking(store: tiffin.FeatureStore, case: str) -> Iterator[Result]:
    used: dict[str, list[float]] = {"profile": [], "read": []}

    def counting(what: str, action: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            start = time.process_time()
            action()
            used[what].append(time.process_time() - start)

        return act

    def look() -> None:
        KeptProfiles(store._fs, store.path / "metadata" / "profiles").sweep(())  # noqa: SLF001 - as if never asked
        store.profile("user/activity")

    looks, reads = alternately(
        3,
        counting("profile", look),
        counting("read", lambda: store.read("user/activity", use_cache=False).to_polars()),
    )
    times, work = median(looks) / median(reads), median(used["profile"]) / median(used["read"])
    yield Result(
        "profiling", f"profile {case}", shown(median(looks)), f"{shown(median(reads))} (read)",
        f"{times:.2f} (processor {work:.2f})", "≤ 3", times <= 3,
    )  # fmt: skip
    (again,) = alternately(20, lambda: store.profile("user/activity"))
    yield Result(
        "profiling", f"profile {case} again", shown(median(again)), "", "", "≤ 20 ms", median(again) <= 0.02
    )  # fmt: skip
