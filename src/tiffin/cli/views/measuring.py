"""What `tiffin bench` measures, and how it shows it."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import polars as pl
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing
from tiffin.derived.answering import OnDemandPlan
from tiffin.files import LOCAL, contained, make_folders, remove_tree
from tiffin.serving import OnlinePlan
from tiffin.store import FeatureStore

ROUNDS = 5
READS = 200
_FLOATS = 10
_DAYS_US = 90 * 86_400_000_000


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One case: the median time of ours, and of Polars where it can do the same."""

    case: str
    seconds: float
    polars_s: float | None = None


class Measurements(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, and on what."""

    rows: int
    columns: int
    cores: int
    python: str
    polars: str
    cases: list[Measured]


def measure(store: Path, rows: int) -> Measurements:
    """Measure on the disk of a store, in a folder beside it that is removed in the end.

    Parameters
    ----------
    store : Path
        The store's folder; neither read nor changed.
    rows : int
        Rows of the table, ten of each entity.

    Raises
    ------
    StorageError
        The folder beside the store cannot be made, or its disk refused.
    """
    frame = _frame(rows)
    folder = contained(store.absolute().parent, f".tiffin-bench-{os.urandom(8).hex()}")
    make_folders(LOCAL, folder)
    try:
        # Without caches, as Polars has none.
        with FeatureStore(folder / "store", memory_cache_bytes=0, disk_cache_bytes=0) as opened:
            cases = list(_cases(opened, frame, folder / "plain.parquet"))
    finally:
        remove_tree(LOCAL, folder)
    return Measurements(
        rows=rows,
        columns=frame.width,
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        polars=pl.__version__,
        cases=cases,
    )


def _frame(rows: int) -> pl.DataFrame:
    chance = np.random.default_rng(0)
    times = pl.Series(time.time_ns() // 1000 - chance.integers(0, _DAYS_US, rows)).cast(pl.Datetime("us", "UTC"))
    floats = {f"feature_{number}": chance.random(rows) for number in range(_FLOATS)}
    return pl.DataFrame({"user_id": chance.integers(0, rows // 10, rows), "at": times, **floats})


def _cases(store: FeatureStore, frame: pl.DataFrame, plain: Path) -> Iterator[Measured]:
    def save() -> None:
        store.save("bench/events", frame, entity="user_id", timestamp="at")

    def join_by_hand() -> None:
        right = pl.read_parquet(plain).sort("at")
        spine.sort("at").join_asof(right, on="at", by="user_id", check_sortedness=False)

    spine = frame.select("user_id", "at").sample(len(frame) // 10, seed=1)
    yield _beside("save", save, lambda: frame.write_parquet(plain))
    files = store.files("bench/events")
    yield _beside("read, not cached", lambda: store.read("bench/events"), lambda: pl.read_parquet(files))
    caching = FeatureStore(store.path, disk_cache_bytes=0)
    yield _beside("read, from memory", lambda: caching.read("bench/events").to_polars())
    yield _beside(
        f"training frame of {len(spine):,} rows",
        lambda: store.get_historical_features(spine, "bench/events").to_polars(),
        join_by_hand,
    )
    yield _beside(
        f"put {frame['user_id'].n_unique():,} entities online",
        lambda: store.materialize("bench/events", from_scratch=True),
    )
    plan = store.prepare([f"bench/events:feature_{number}" for number in range(_FLOATS)])
    for count in (1, 100):
        users = np.random.default_rng(count).integers(0, len(frame) // 10, (READS, count)).tolist()
        yield _beside(f"read {count} online, {_FLOATS} features", _asking(plan, users), rounds=READS - 1)


def _asking(plan: OnlinePlan | OnDemandPlan, users: list[list[int]]) -> Callable[[], object]:
    """Read another list of entities with each call."""
    asked = iter([[{"user_id": user} for user in each] for each in users])
    return lambda: plan.read(next(asked))


def _beside(
    case: str, ours: Callable[[], object], other: Callable[[], object] | None = None, rounds: int = ROUNDS
) -> Measured:
    """Time both in turns; a first round warms up."""
    sides = [ours, *([other] if other else [])]
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, times in zip(sides, taken, strict=True):
            start = time.perf_counter()
            side()
            if number:
                times.append(time.perf_counter() - start)
    middle = [median(times) for times in taken]
    return Measured(case=case, seconds=middle[0], polars_s=middle[1] if other else None)


def views(found: Measurements) -> Iterator[RenderableType]:
    """Show what was measured."""
    yield Text(f"{found.rows:,} rows of {found.columns} columns, {found.cores} cores, Python {found.python}; medians")
    right = ("Tiffin", f"Polars {found.polars}", "ratio")
    table = listing("case", *right, right=right)
    for one in found.cases:
        beside = "" if one.polars_s is None else words.seconds(one.polars_s)
        ratio = "" if one.polars_s is None else f"{one.seconds / one.polars_s:.2f}"
        table.add_row(one.case, words.seconds(one.seconds), beside, ratio)
    yield table
