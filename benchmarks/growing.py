"""How costs grow: with rows, entities, tables, versions and the server's workers.

Each cost is the least of some rounds in which all sizes take turns; its exponent is fitted over all sizes. What has to
look at everything may grow in step (goal: ≤ 1.1); what must not depend on the size may hardly grow (≤ 0.15).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import polars as pl

import tiffin
from benchmarks import joining
from benchmarks.measure import Growth, Result, alternately, shown
from benchmarks.over_http import Ask, load
from benchmarks.saving import frame
from benchmarks.web import served

IN_STEP, NOT_AT_ALL = 1.1, 0.15
SPINE_ROWS, FLOATS = 10_000, 3
Sides = Mapping[int, Callable[[], object]]
"""By size, what is timed."""


def run(*, quick: bool) -> Iterator[Result]:
    most = 6 if quick else 7
    with tempfile.TemporaryDirectory() as folder:
        yield from _rows(Path(folder), [10**power for power in range(4, most + 1)])
    with tempfile.TemporaryDirectory() as folder:
        yield from _entities(Path(folder), [10**power for power in range(3, most)])
    with tempfile.TemporaryDirectory() as folder:
        yield from _tables(Path(folder), (1, 10, 100) if quick else (1, 10, 100, 1_000))
    with tempfile.TemporaryDirectory() as folder:
        yield from _versions(Path(folder), [10**power for power in range(most - 2)])
    if shutil.which("wrk") is None:
        yield Result("1,000 requests", "not measured: there is no wrk (Debian: wrk)", "", "", "", "", met=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield _workers(Path(folder), (1, 2) if quick else (1, 2, 4), 1 if quick else 4)


def _grown(over: str, what: str, sides: Sides, rounds: int, goal: float | None, *, settle: bool = False) -> Result:
    least = [min(times) for times in alternately(rounds, *sides.values(), settle=settle)]
    return _told(over, what, list(zip(map(float, sides), least, strict=True)), goal)


def _told(over: str, what: str, points: Sequence[tuple[float, float]], goal: float | None) -> Result:
    growth = Growth(over, points)
    ends = [f"{size:,.0f}: {shown(cost)}" for size, cost in (points[0], points[-1])]
    return Result(
        what, f"over {over}", f"{over} to the {growth.exponent:.2f}", ", ".join(ends), "",
        "" if goal is None else f"≤ {goal}", goal is None or growth.exponent <= goal, growth=growth,
    )  # fmt: skip


def _stores(folder: Path, sizes: Sequence[int]) -> dict[int, tiffin.FeatureStore]:
    return {
        size: tiffin.FeatureStore(folder / str(size), memory_cache_bytes=0, disk_cache_bytes=0, keep_versions=None)
        for size in sizes
    }


def _rows(folder: Path, sizes: Sequence[int]) -> Iterator[Result]:
    """Ten rows an entity; the spine and the entities that are asked for have the same size everywhere."""
    stores = _stores(folder, sizes)
    for rows, store in stores.items():
        joining.save(store, "t", rows, rows // 10, seed=0, floats=FLOATS)
    data = {rows: store.read("g/t").to_polars() for rows, store in stores.items()}
    spines = {rows: joining.make_spine(SPINE_ROWS, rows // 10) for rows in sizes}
    users = list(range(100))
    saves = {rows: partial(store.save, "g/again", data[rows]) for rows, store in stores.items()}
    yield _grown("rows", "save", saves, 3, IN_STEP, settle=True)
    data.clear()
    reads = {rows: partial(store.read, "g/t", use_cache=False) for rows, store in stores.items()}
    yield _grown("rows", "read", reads, 3, IN_STEP)
    reads = {rows: partial(store.read, "g/t", entities=users, use_cache=False) for rows, store in stores.items()}
    yield _grown("rows", "read 100 entities", reads, 5, IN_STEP)
    joins = {rows: partial(store.get_historical_features, spines[rows], "g/t") for rows, store in stores.items()}
    yield _grown("rows", f"training frame of {SPINE_ROWS:,}", joins, 3, IN_STEP)


def _entities(folder: Path, sizes: Sequence[int]) -> Iterator[Result]:
    """One row an entity."""
    stores = _stores(folder, sizes)
    for entities, store in stores.items():
        rows = frame(entities, 10).with_columns(user_id=pl.int_range(entities), at=joining.START)
        store.save("user/t", rows, entity="user_id", timestamp="at")
    fills = {entities: partial(_fill, store) for entities, store in stores.items()}
    yield _grown("entities", "put online", fills, 3, IN_STEP)
    for count in (1, 100):
        asked = {entities: _asked(store, entities, count) for entities, store in stores.items()}
        yield _grown("entities", f"100 online reads of {count}", asked, 5, NOT_AT_ALL)
    for store in stores.values():
        store.close()


def _fill(store: tiffin.FeatureStore) -> None:
    store.close()
    shutil.rmtree(store.path / "online", ignore_errors=True)
    store.materialize("user/t")


def _asked(store: tiffin.FeatureStore, entities: int, count: int) -> Callable[[], None]:
    """Read so many entities, a hundred times; which they are differs each time."""
    plan = store.prepare(["user/t"])
    step = 7919  # a prime: neighbours in the index are not asked one after another
    questions = [
        [{"user_id": (first + number) * step % entities} for number in range(count)] for first in range(0, 10_000, 100)
    ]

    def ask() -> None:
        for question in questions:
            plan.read(question)

    return ask


def _tables(folder: Path, counts: Sequence[int]) -> Iterator[Result]:
    stores = _stores(folder, counts)
    small = frame(10, 3)
    for count, store in stores.items():
        for number in range(count):
            store.save(f"g/t{number}", small)
    lists = {count: store.tables for count, store in stores.items()}
    yield _grown("tables", "list the store", lists, 5, IN_STEP)
    reads = {count: partial(_read_one, store) for count, store in stores.items()}
    yield _grown("tables", "open the store, read one", reads, 10, NOT_AT_ALL)
    store, joined = stores[counts[0]], (1, 2, 4, 8, 16)
    for number in range(joined[-1]):
        joining.save(store, f"joined{number}", 100_000, 10_000, seed=number, floats=FLOATS)
    spine = joining.make_spine(SPINE_ROWS, 10_000)

    def join(count: int) -> None:
        names = [f"g/joined{number}" for number in range(count)]
        store.get_historical_features(spine, names, full_feature_names=True)

    yield _grown(
        "tables", f"training frame of {SPINE_ROWS:,}", {count: partial(join, count) for count in joined}, 5, IN_STEP
    )


def _read_one(store: tiffin.FeatureStore) -> None:
    tiffin.FeatureStore(store.path, memory_cache_bytes=0, disk_cache_bytes=0).read("g/t0")


def _versions(folder: Path, counts: Sequence[int]) -> Iterator[Result]:
    stores, data = _stores(folder, counts), frame(100, 4)
    for count, store in stores.items():
        for _ in range(count):
            store.save("g/t0", data)
    saves = {count: partial(store.save, "g/t0", data) for count, store in stores.items()}
    yield _grown("versions", "save the next", saves, 20, NOT_AT_ALL)
    opens = {count: partial(_read_one, store) for count, store in stores.items()}
    yield _grown("versions", "open the store, read the newest", opens, 10, NOT_AT_ALL)
    reads = {count: partial(store.read, "g/t0@0", use_cache=False) for count, store in stores.items()}
    yield _grown("versions", "read the first", reads, 10, NOT_AT_ALL)


def _workers(folder: Path, counts: Sequence[int], seconds: int) -> Result:
    """Time a thousand online requests of 10 features, 32 connections; more workers than cores cannot help."""
    with tiffin.FeatureStore(folder) as store:
        rows = frame(10_000, 10).with_columns(user_id=pl.int_range(10_000), at=joining.START)
        store.save("user/t", rows, entity="user_id", timestamp="at", online=True)
    least = dict.fromkeys(counts, float("inf"))
    with ExitStack() as opened:
        urls = {count: opened.enter_context(served(folder, "--workers", str(count)))[0] for count in counts}
        for _ in range(3):
            for count, url in urls.items():
                ask = Ask(f"{url}/online", {"features": ["user/t"], "entity_rows": [{"user_id": 7}]})
                least[count] = min(least[count], 1_000 / load(ask, seconds, connections=32).per_s)
    return _told("workers", "1,000 requests", list(least.items()), None)
