"""Online: filling the index from scratch and after a change, and reading one and a hundred entities.

Reads are timed one by one, each of another random entity, and include giving the answer as a dict.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result, shown
from benchmarks.redis_server import redis
from tiffin.materialize import Materialized

FEATURES = [f"user/large:f{number}" for number in range(10)]
NAMES = {1_000_000: "M", 10_000_000: "L"}
NOW_US = time.time_ns() // 1000
DAY_US = 86_400_000_000
CHANGE = 1_000


def frame(rows: int, entities: int, seed: int = 0, days: tuple[int, int] = (1, 90)) -> pl.DataFrame:
    """Events of the last 90 days: 10 random floats and a text."""
    random_ = np.random.default_rng(seed)
    times = NOW_US - random_.integers(days[0] * DAY_US, days[1] * DAY_US, rows)
    floats = {f"f{number}": random_.random(rows) for number in range(10)}
    return pl.DataFrame(
        {
            "user_id": random_.integers(0, entities, rows),
            "at": pl.Series(times).cast(pl.Datetime("us", "UTC")),
            **floats,
        }
    ).with_columns(city=pl.format("city {}", pl.col("user_id") % 1000))


def run(*, quick: bool) -> Iterator[Result]:
    sizes = (1_000_000,) if quick else (1_000_000, 10_000_000)
    with tempfile.TemporaryDirectory() as folder:
        stores = {rows: _saved(Path(folder) / str(rows), rows) for rows in sizes}
        for rows, store in stores.items():
            yield from _from_scratch(store, NAMES[rows], rows // 10)
        yield from _after_a_change(stores)
        store = stores[sizes[-1]]
        yield from _reads(store, NAMES[sizes[-1]], sizes[-1] // 10, 3_000 if quick else 20_000, has_goals=True)
        yield from _redis(stores[sizes[0]].path, sizes[0] // 10)


def _saved(path: Path, rows: int) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(path, memory_cache_bytes=0, disk_cache_bytes=0)
    store.save("user/large", frame(rows, rows // 10), entity="user_id", timestamp="at")
    return store


def _from_scratch(store: tiffin.FeatureStore, name: str, entities: int) -> Iterator[Result]:
    rounds = [_fill(store) for _ in range(4)][1:]
    used = (store.path / "online" / "data.mdb").stat().st_blocks * 512
    seconds = median(done.seconds for done in rounds)
    speed = rounds[0].entities_written / seconds
    reading = [_read_all(store) for _ in range(2)][1]
    goal = "≥ 400,000/s" if name == "L" else ""
    yield Result(
        "materialize", f"{name} from scratch, {entities:,} entities", f"{speed:,.0f}/s ({shown(seconds)})",
        f"reading the files {shown(reading)}", f"{seconds / reading:.2f}", goal, not goal or speed >= 400_000,
    )  # fmt: skip
    each = used / rounds[0].entities_written
    yield Result(
        "materialize", f"{name}, size of the index", f"{each:.0f} bytes each", "10 floats are 80", "",
        "≤ 200 bytes each", each <= 200,
    )  # fmt: skip


def _fill(store: tiffin.FeatureStore) -> Materialized:
    store.close()
    shutil.rmtree(store.path / "online", ignore_errors=True)
    (done,) = store.materialize("user/large")
    return done


def _read_all(store: tiffin.FeatureStore) -> float:
    start = time.perf_counter()
    pl.read_parquet(store.files("user/large"))
    return time.perf_counter() - start


def _after_a_change(stores: dict[int, tiffin.FeatureStore]) -> Iterator[Result]:
    """Append, and upsert what was appended: what follows must not depend on the size of the table."""
    taken: dict[tuple[str, int], list[float]] = {}
    for number in range(6):
        for rows, store in stores.items():
            fresh = frame(CHANGE, rows // 10, seed=number, days=(0, 1)).unique("user_id")
            for mode in ("append", "upsert"):
                with _unfollowed(store):
                    store.save("user/large", fresh, mode=mode)
                (done,) = store.materialize("user/large")
                assert not done.from_scratch
                taken.setdefault((mode, rows), []).append(done.seconds)
    for mode in ("append", "upsert"):
        small, *large = [median(taken[mode, rows][1:]) for rows in stores]
        ratio = large[0] / small if large else 1.0
        yield Result(
            "materialize", f"{CHANGE:,} rows by {mode}", shown((large or [small])[0]), f"the same on M {shown(small)}",
            f"{ratio:.2f}", "≤ 1.5" if large else "", ratio <= 1.5,
        )  # fmt: skip


@contextlib.contextmanager
def _unfollowed(store: tiffin.FeatureStore) -> Iterator[None]:
    """Save without catching up, so that catching up can be timed by itself."""
    kept = vars(store).pop("_materializer")
    vars(store)["_materializer"] = _Idle()
    yield
    vars(store)["_materializer"] = kept


class _Idle:
    @staticmethod
    def after_commit(_table: object, commit: object, **_: object) -> object:
        return commit


def _reads(
    store: tiffin.FeatureStore, name: str, entities: int, times: int, *, has_goals: bool, where: str = ""
) -> Iterator[Result]:
    plan = store.prepare(FEATURES)
    ways: dict[str, Callable[[list[dict[str, int]]], object]] = {
        "by plan": lambda rows: plan.read(rows).to_dict(),
        "by plain call": lambda rows: store.get_online_features(FEATURES, rows).to_dict(),
    }
    goals = {("by plan", 1): (10, 40), ("by plain call", 1): (25, None), ("by plan", 100): (250, None)}
    chance = random.Random(0)
    for count in (1, 100):
        for way, read in ways.items():
            asked = [
                [{"user_id": chance.randrange(entities)} for _ in range(count)] for _ in range(times // count + 100)
            ]
            half, high = _percentiles(read, asked)
            goal, high_goal = goals.get((way, count), (None, None)) if has_goals else (None, None)
            text = (f"p50 ≤ {goal} µs" if goal else "") + (f", p99 ≤ {high_goal} µs" if high_goal else "")
            yield Result(
                "online", f"{count} of {name} × 10 features {way}{where}", f"p50 {half:.1f} µs", f"p99 {high:.1f} µs",
                "", text, (goal is None or half <= goal) and (high_goal is None or high <= high_goal),
            )  # fmt: skip


def _percentiles(
    read: Callable[[list[dict[str, int]]], object], asked: list[list[dict[str, int]]]
) -> tuple[float, float]:
    """Time each question by itself; return the 50th and the 99th percentile, microseconds."""
    for rows in asked[:100]:
        read(rows)
    taken = []
    for rows in asked:
        start = time.perf_counter_ns()
        read(rows)
        taken.append(time.perf_counter_ns() - start)
    taken.sort()
    return taken[len(taken) // 2] / 1000, taken[len(taken) * 99 // 100] / 1000


def _redis(path: Path, entities: int) -> Iterator[Result]:
    """Fill and read the same table in Redis, where there is a server."""
    with redis() as address:
        if address is None:
            yield Result("online", "Redis: not measured, it is not installed", "", "", "", "", met=True)
            return
        store = tiffin.FeatureStore(path, online_index=f"redis://{address}/0", memory_cache_bytes=0)
        (done,) = store.materialize("user/large")
        speed = f"{done.entities_written / done.seconds:,.0f}/s"
        yield Result("materialize", "M from scratch into Redis", speed, "", "", "", met=True)
        yield from _reads(store, "M", entities, 3_000, has_goals=False, where=", Redis")
