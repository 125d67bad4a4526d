"""Saves and uncached reads against Polars and deltalake on the same frame."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import deltalake
import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result, alternately, ratio, shown

SHAPES = [(1_000, 10), (10_000, 30), (1_000_000, 12)]


def frame(rows: int, columns: int) -> pl.DataFrame:
    """Random floats: the hardest to compress, so writing is as slow as it gets."""
    random = np.random.default_rng(0)
    return pl.DataFrame({f"feature_{n}": random.random(rows) for n in range(columns)})


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def run(*, quick: bool) -> Iterator[Result]:
    for rows, columns in SHAPES[:2] if quick else SHAPES:
        rounds = 10 if quick else (12 if rows == 1_000_000 else 60)
        with tempfile.TemporaryDirectory() as folder:
            yield from _shape(Path(folder), rows, columns, rounds)


def _shape(folder: Path, rows: int, columns: int, rounds: int) -> Iterator[Result]:
    data = frame(rows, columns)
    store = tiffin.FeatureStore(folder / "store", memory_cache_bytes=0, disk_cache_bytes=0)
    names = (folder / f"floor-{number}" for number in itertools.count())

    def save() -> None:
        store.save("g/t", data)

    def write_and_sync() -> None:
        """Do the least that durability takes: the same Parquet in a new file, and four syncs."""
        large, small = next(names), next(names)
        data.write_parquet(large, compression="zstd", compression_level=1)
        _sync(large)
        _sync(folder)
        small.write_bytes(b"x" * 1500)
        _sync(small)
        _sync(folder)

    def write_only() -> None:
        data.write_parquet(next(names), compression="zstd", compression_level=1)

    def save_with_deltalake() -> None:
        deltalake.write_deltalake(folder / "delta", data, mode="overwrite")

    ours, floor, plain, delta = alternately(rounds, save, write_and_sync, write_only, save_with_deltalake, settle=True)
    # The goal: 1.5 times the write, and the syncs once.
    allowed = [1.5 * p + (f - p) for p, f in zip(plain, floor, strict=True)]
    share = ratio(ours, allowed)
    case = f"{rows:,} × {columns}"
    yield Result(
        "save", case, shown(median(ours)), f"write + 4 syncs {shown(median(floor))}", f"{ratio(ours, floor):.2f}",
        "≤ 1.5 × write + syncs", share <= 1,
    )  # fmt: skip
    yield Result(
        "save", case, shown(median(ours)), f"deltalake (no sync) {shown(median(delta))}", f"{ratio(ours, delta):.2f}",
        "< 1", ratio(ours, delta) < 1,
    )  # fmt: skip
    yield _read(store, case, rounds)


def _read(store: tiffin.FeatureStore, case: str, rounds: int) -> Result:
    files = store.files("g/t")
    # Opened, with nothing verified yet: each reads the file for the first time and so checks it as well.
    opened = [tiffin.FeatureStore(store.path, memory_cache_bytes=0, disk_cache_bytes=0) for _ in range(rounds + 1)]
    for one in opened:
        one.describe("g/t")
    fresh = iter(opened)
    ours, floor = alternately(rounds, lambda: next(fresh).read("g/t"), lambda: pl.read_parquet(files))
    allowed = [1.3 * seconds + 0.002 for seconds in floor]
    return Result(
        "read, not cached", case, shown(median(ours)), f"read_parquet {shown(median(floor))}",
        f"{ratio(ours, floor):.2f}", "≤ 1.3 × + 2 ms", ratio(ours, allowed) <= 1,
    )  # fmt: skip
