"""As-of joins against the floor (reading and gathering alone), Polars and DuckDB on the same files.

Run as a program, `python -m benchmarks.joining STORE SPINE TABLE` joins once and prints the most memory it took, in MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result, alternately, ratio, shown

M, L = (1_000_000, 100_000), (10_000_000, 1_000_000)
"""Rows and entities of the tables."""
HUGE_PARTS, HUGE_ENTITIES = 10, 10_000_000
"""The largest table is saved in so many parts, of 10 M rows each."""
START = datetime(2024, 1, 1, tzinfo=UTC)
SPAN_US = timedelta(days=90) // timedelta(microseconds=1)
KEYS = ["user_id", "event_timestamp"]


def run(*, quick: bool, large: bool) -> Iterator[Result]:
    scale = 10 if quick else 1
    sizes = {name: (rows // scale, entities // scale) for name, (rows, entities) in {"m": M, "l": L}.items()}
    with tempfile.TemporaryDirectory() as folder:
        store = tiffin.FeatureStore(Path(folder) / "store", memory_cache_bytes=0, disk_cache_bytes=0)
        for number, (name, size) in enumerate([*sizes.items(), *((f"m{copy}", sizes["m"]) for copy in range(1, 5))]):
            save(store, name, *size, seed=number)
        for spine_rows, name in ((100_000, "m"), (1_000_000, "m"), (1_000_000, "l")):
            yield from _one_table(store, name, make_spine(spine_rows // scale, sizes[name][1]))
        spine = make_spine(100_000 // scale, sizes["m"][1])
        yield _five_tables(store, spine)
        yield _memory(store, "l", make_spine(1_000_000 // scale, sizes["l"][1]), 1200)
        if large:
            _save_huge(store)
            yield _memory(store, "huge", make_spine(1_000_000, HUGE_ENTITIES), 2000)


def _keys(rows: int, entities: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    times = pl.Series(random.integers(0, SPAN_US, rows)).cast(pl.Duration("us"))
    return pl.select(user_id=pl.Series(random.integers(0, entities, rows)), event_timestamp=pl.lit(START) + times)


def make_spine(rows: int, entities: int) -> pl.DataFrame:
    return _keys(rows, entities, seed=100)


def save(store: tiffin.FeatureStore, name: str, rows: int, entities: int, *, seed: int, floats: int = 10) -> None:
    random = np.random.default_rng(seed)
    features = [pl.Series(f"feature_{number}", random.random(rows)) for number in range(floats)]
    names = pl.Series("segment", [f"segment {number:03d}" for number in range(500)])
    texts = [names.gather(random.integers(0, 500, rows))] if floats == 10 else []
    frame = _keys(rows, entities, seed).with_columns(features + texts)
    store.save(f"g/{name}", frame, entity="user_id", timestamp="event_timestamp", mode="append")


def _save_huge(store: tiffin.FeatureStore) -> None:
    for part in range(HUGE_PARTS):
        save(store, "huge", 10_000_000, HUGE_ENTITIES, seed=part, floats=3)


def _one_table(store: tiffin.FeatureStore, name: str, spine: pl.DataFrame) -> Iterator[Result]:
    files = store.files(f"g/{name}")
    features = [column.name for column in store.describe(f"g/{name}").columns if column.role == "feature"]
    rows = np.random.default_rng(7).integers(0, store.describe(f"g/{name}").rows, spine.height)
    sides: list[Callable[[], pl.DataFrame]] = [
        lambda: store.get_historical_features(spine, f"g/{name}").to_polars(),
        lambda: pl.scan_parquet(files).select(KEYS + features).collect().select(pl.col(features).gather(rows)),
        partial(by_polars, files, spine),
        partial(by_duckdb, files, spine, features),
    ]
    ours, from_polars, from_duckdb = (sides[place]().sort(pl.all()) for place in (0, 2, 3))
    assert ours.equals(from_polars)
    assert ours.equals(from_duckdb)
    del ours, from_polars, from_duckdb
    mine, floor, polars, duck = alternately(7, *sides)
    rival, other = ("Polars", polars) if min(polars) <= min(duck) else ("DuckDB", duck)
    case = f"{spine.height:,} × {store.describe(f'g/{name}').rows:,} rows"
    share = ratio(mine, floor)
    yield Result("joining", case, shown(min(mine)), f"floor {shown(min(floor))}", f"{share:.2f}", "≤ 1.5", share <= 1.5)
    share = ratio(mine, other)
    beside = f"Polars {shown(min(polars))}, DuckDB {shown(min(duck))}"
    yield Result("joining", f"{case}, beside {rival}", shown(min(mine)), beside, f"{share:.2f}", "≤ 1", share <= 1)


def by_polars(files: list[str], spine: pl.DataFrame) -> pl.DataFrame:
    left = spine.with_row_index("row").sort("event_timestamp")
    right = pl.scan_parquet(files).collect()
    joined = left.join_asof(right, on="event_timestamp", by="user_id", check_sortedness=False)
    return joined.sort("row").drop("row")


def by_duckdb(files: list[str], spine: pl.DataFrame, features: list[str]) -> pl.DataFrame:
    columns = ", ".join(f"f.{name}" for name in features)
    query = f"""
        select s.*, {columns} from spine s asof left join read_parquet({files}) f
        on s.user_id = f.user_id and s.event_timestamp >= f.event_timestamp
    """
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("spine", spine.to_arrow())
        return pl.DataFrame(connection.sql(query).to_arrow_table())


def _five_tables(store: tiffin.FeatureStore, spine: pl.DataFrame) -> Result:
    names = ["g/m", *(f"g/m{copy}" for copy in range(1, 5))]
    five, one = alternately(
        7,
        lambda: store.get_historical_features(spine, names, full_feature_names=True).to_polars(),
        lambda: store.get_historical_features(spine, names[0]).to_polars(),
    )
    share = ratio(five, one)
    return Result(
        "joining", f"5 tables, {spine.height:,} rows", shown(min(five)), f"1 table {shown(min(one))}", f"{share:.2f}",
        "≤ 4", share <= 4,
    )  # fmt: skip


def _memory(store: tiffin.FeatureStore, name: str, spine: pl.DataFrame, most_mb: int) -> Result:
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        spine.write_parquet(file.name)
        command = [sys.executable, "-m", "benchmarks.joining", str(store.path), file.name, f"g/{name}"]
        took, peak = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    case = f"memory, {spine.height:,} × {store.describe(f'g/{name}').rows:,} rows"
    return Result("joining", case, f"{peak:.0f} MB", shown(took), "", f"≤ {most_mb:,} MB", peak <= most_mb)


def _join_once(path: str, spine: str, table: str) -> None:
    store = tiffin.FeatureStore(path, memory_cache_bytes=0, disk_cache_bytes=0)
    rows = pl.read_parquet(spine)
    start = time.perf_counter()
    store.get_historical_features(rows, table)
    took = time.perf_counter() - start
    # Not `ru_maxrss`, which begins with what the parent process had.
    peak_kb = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(took, int(peak_kb) / 1024)


if __name__ == "__main__":
    _join_once(*sys.argv[1:])
