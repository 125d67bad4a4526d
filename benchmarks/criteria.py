"""The criteria of the guides, each beside its floor, through the guides' own classes.

The guides' scripts themselves are run by `benchmarks/guides.py`.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import psutil

import tiffin
from benchmarks import features, sizes
from benchmarks.measure import Result, shown
from benchmarks.web import served
from tiffin.engineering.tmdb import AdvancedTMDBPreProcessor
from tiffin.simple import FeatureStoreConfig, SimpleFeatureStore

SHAPES = [(1_000, 10), (5_000, 20), (10_000, 30)]
THREADS, THREAD_ROUNDS = 8, 5
TABLES = 20


def run(*, quick: bool, movies: Path | None) -> Iterator[Result]:
    # First, while little has been loaded: these look at how memory grows.
    yield from _generation(movies)
    rows = features.made(100, movies).to_dicts()
    yield features.growth("10 rounds of feature generation, 100 movies", lambda: features.all_parts(rows), "criteria")
    with tempfile.TemporaryDirectory() as folder:
        yield from _speeds(Path(folder) / "speeds")
        yield _size(movies)
        yield from _repeated(Path(folder) / "repeated")
        yield from _threads(Path(folder) / "threads")
        yield from _endurance(Path(folder) / "endurance", 5 if quick else 180)
        yield from _over_http(Path(folder) / "http", 200 if quick else 2_000)
        yield _expiry(Path(folder) / "expiry")
        yield _fault(Path(folder) / "fault")


def frame(rows: int, columns: int, seed: int = 0) -> pd.DataFrame:
    """Random floats, as the guides take them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame({f"feature_{number}": random.random(rows) for number in range(columns)})


def _result(case: str, ours: str, goal: str, *, met: bool, beside: str = "") -> Result:
    return Result("criteria", case, ours, beside, "", goal, met)


def _generation(movies: Path | None) -> Iterator[Result]:
    rows = features.made(1_000, movies).to_dicts()
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    kept = AdvancedTMDBPreProcessor(rows).extract_all_features()
    taken, grown = time.perf_counter() - start, (process.memory_info().rss - before) / 2**20
    del kept
    speed = 1_000 / taken
    first = "the first of the process"
    yield _result("feature generation, 1,000 movies", f"{speed:,.0f}/s", "≥ 10/s", met=speed >= 10, beside=first)
    yield _result("memory for 1,000 movies", f"{grown:.0f} MB", "< 300 MB", met=grown < 300, beside=first)


def _speeds(folder: Path) -> Iterator[Result]:
    store = SimpleFeatureStore(folder)
    for rows, columns in SHAPES:
        data = frame(rows, columns)
        megabytes = data.memory_usage(deep=True).sum() / 2**20
        saves, loads = [], []
        for number in range(10):
            start = time.perf_counter()
            store.save_features("group", {f"t{rows}_{number}": data})
            middle = time.perf_counter()
            store.get_features([f"t{rows}_{number}"], "group", use_cache=False)
            saves.append(megabytes / (middle - start))
            loads.append(megabytes / (time.perf_counter() - middle))
        for what, speeds, floor in (("save", saves, 10), ("load", loads, 20)):
            yield _result(
                f"{what}, {rows:,} × {columns}", f"{median(speeds):,.0f} MB/s", f"≥ {floor} MB/s",
                met=median(speeds) >= floor, beside=f"the first {speeds[0]:,.0f} MB/s",
            )  # fmt: skip
    store.close()


def _size(movies: Path | None) -> Result:
    parts = sizes.saved(movies)
    share = 1 - sum(part.disk for part in parts) / sum(part.pandas for part in parts)
    case = f"size of the Parquet files, {sizes.source(movies)} movies' features"
    return _result(case, f"{share:.0%} smaller", "≥ 50 % smaller", met=share >= 0.5, beside="pandas in memory")


def _repeated(folder: Path) -> Iterator[Result]:
    store = SimpleFeatureStore(folder)
    names = [f"t{number}" for number in range(TABLES)]
    store.save_features("group", {name: frame(10_000, 30, seed) for seed, name in enumerate(names)})
    store.close()
    # Nothing in memory, nothing decoded on disk.
    store = SimpleFeatureStore(FeatureStoreConfig(folder, disk_cache_size_mb=0))
    taken: list[list[float]] = [[], []]
    for name in names:
        for times in taken:
            start = time.perf_counter()
            store.get_features([name], "group")
            times.append(time.perf_counter() - start)
    factor = median(first / second for first, second in zip(*taken, strict=True))
    yield _result(
        "second read against the first", f"{factor:.0f} × faster", "≥ 2 × faster", met=factor >= 2,
        beside=f"{shown(median(taken[0]))}, then {shown(median(taken[1]))}",
    )  # fmt: skip
    for _ in range(8):
        store.get_features(names, "group")
    assert store.cache
    rate = store.cache.get_stats()["hit_rate"]
    yield _result("cache hit rate, ten reads of each table", f"{rate:.0%}", "≥ 80 %", met=rate >= 0.8)
    store.close()


def _threads(folder: Path) -> Iterator[Result]:
    store = SimpleFeatureStore(folder)

    def work(thread: int) -> int:
        same = 0
        for number in range(THREAD_ROUNDS):
            data = frame(1_000, 10, 100 * thread + number)
            store.save_features("group", {f"own_{thread}": data})
            same += store.get_features([f"own_{thread}"], "group")[f"own_{thread}"].equals(data)
            store.store.save("group/shared", {"thread": [thread], "round": [number]}, mode="append")
        return same

    with ThreadPoolExecutor(THREADS) as pool:
        same, done = sum(pool.map(work, range(THREADS))), THREADS * THREAD_ROUNDS
    yield _result(
        "8 threads saving and loading: succeeded", f"{same / done:.0%}", "100 % (≥ 90 %)", met=same == done,
        beside=f"{same} of {done} read back equal",
    )  # fmt: skip
    lost = done - store.store.read("group/shared").to_polars().unique().height
    yield _result("8 threads appending to one table: lost", f"{lost} of {done}", "0", met=lost == 0)
    store.close()


def _endurance(folder: Path, seconds: int) -> Iterator[Result]:
    store, process, data = SimpleFeatureStore(folder), psutil.Process(), frame(1_000, 10)
    begin, counts, failed = time.perf_counter(), [0, 0, 0], 0
    memory: list[float] = []
    while (passed := time.perf_counter() - begin) < seconds:
        number = sum(counts)
        store.save_features("group", {f"t{number % 10}": data})
        failed += not store.get_features([f"t{number % 10}"], "group")[f"t{number % 10}"].equals(data)
        counts[min(int(3 * passed / seconds), 2)] += 1
        if number % 50 == 20:
            gc.collect()
            memory.append(process.memory_info().rss / 2**20)
    store.close()
    case, slower, grown = f"{seconds} s of save and load", 1 - counts[2] / counts[0], memory[-1] - memory[0]
    yield _result(
        f"{case}: errors", f"{failed}", "< 5 %", met=failed < 0.05 * sum(counts), beside=f"{sum(counts):,} rounds"
    )
    yield _result(
        f"{case}: slow-down", f"{slower:.0%}", "< 10 %", met=slower < 0.1, beside="last third against the first"
    )
    yield _result(f"{case}: growth of memory", f"{grown:+.0f} MB", "< 50 MB", met=grown < 50)


def _over_http(folder: Path, calls: int) -> Iterator[Result]:
    with tiffin.FeatureStore(folder) as store:
        store.save("group/table", frame(10_000, 10))
    taken = []
    with served(folder) as (url, process), tiffin.connect(url) as client:
        for _ in range(calls + 20):
            start = time.perf_counter()
            client.get_feature("group", "table", limit=100)
            taken.append(time.perf_counter() - start)
        busy = _busy(process, 2.0)
    hits = sorted(taken[20:])
    high = hits[len(hits) * 99 // 100]
    yield _result(
        "API answer on a cache hit, 100 rows", f"p99 {shown(high)}", "≤ 100 ms", met=high <= 0.1,
        beside=f"p50 {shown(median(hits))}",
    )  # fmt: skip
    rate = len(hits) / sum(hits)
    yield _result(
        "request rate", f"{rate:,.0f}/s", "≥ 100/s", met=rate >= 100, beside="one client, one call after another"
    )
    yield _result("idle server's processor use", f"{busy:.1%}", "< 50 %", met=busy < 0.5)


def _busy(process: psutil.Process, seconds: float) -> float:
    """Measure how much of one processor a process and its children use."""
    family = [process, *process.children(recursive=True)]

    def used() -> float:
        return sum(sum(one.cpu_times()[:2]) for one in family)

    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds


def _expiry(folder: Path) -> Result:
    """Read until an entry expires, and tell whether it came again by itself."""
    store, data = SimpleFeatureStore(FeatureStoreConfig(folder, cache_ttl_seconds=0.2)), frame(100, 3)
    assert store.cache
    store.save_features("group", {"table": data})
    end, same = time.perf_counter() + 10, True
    while not store.cache.get_stats()["expired"] and time.perf_counter() < end:
        same = same and store.get_features(["table"], "group")["table"].equals(data)
    stats = store.cache.get_stats()
    store.get_features(["table"], "group")
    again = store.cache.get_stats()["hits"] > stats["hits"]
    store.close()
    refreshed = bool(stats["expired"]) and same and again
    told = "yes" if refreshed else "no"
    return _result("an expired entry is refreshed by itself", told, "yes", met=refreshed, beside="TTL 0.2 s")


def _fault(folder: Path) -> Result:
    """Take a table's file away and put it back: the read between fails with an error of ours, the next answers."""
    with tiffin.FeatureStore(folder, memory_cache_bytes=0, disk_cache_bytes=0) as store:
        data: Any = frame(100, 3)
        store.save("group/table", data)
        (name,) = store.files("group/table")
        file = Path(name)
        away = file.rename(folder / "away")
        failed = False
        try:
            store.read("group/table")
        except tiffin.TiffinError:
            failed = True
        away.rename(file)
        recovered = failed and store.read("group/table").to_pandas().equals(data)
    told = "yes" if recovered else "no"
    return _result("a passing fault is recovered from by itself", told, "yes", met=recovered, beside="a file was away")
