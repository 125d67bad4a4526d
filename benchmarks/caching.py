"""Reads that the caches answer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import tiffin
from benchmarks.measure import Result, alternately, ratio, shown
from benchmarks.saving import frame


def run(*, quick: bool) -> Iterator[Result]:
    for rows in (1_000, 100_000) if quick else (1_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows(Path(folder), rows)


def _rows(folder: Path, rows: int) -> Iterator[Result]:
    store = tiffin.FeatureStore(folder / "store")
    store.save("g/t", frame(rows, 12))
    hits = alternately(
        200,
        lambda: store.read("g/t").to_polars(),
        lambda: store.read("g/t").to_pandas(),
    )
    arrow = alternately(200, lambda: store.read("g/t").to_arrow())[0]
    store.close()
    for name, times, goal_s in (("Polars", hits[0], 50e-6), ("Arrow", arrow, 50e-6), ("pandas", hits[1], 250e-6)):
        yield Result(
            "memory hit", f"{rows:,} × 12 as {name}", shown(median(times)), "", "", f"≤ {shown(goal_s)}",
            median(times) <= goal_s,
        )  # fmt: skip
    opened = tiffin.FeatureStore(store.path)

    def disk_hit() -> None:
        # A new object each time: nothing in memory, no checksum verified.
        tiffin.FeatureStore(store.path).read("g/t")

    disk, decoded = alternately(15, disk_hit, lambda: opened.read("g/t", use_cache=False))
    factor = 1 / ratio(disk, decoded)
    if rows >= 100_000:
        yield Result(
            "disk hit", f"{rows:,} × 12, first in its process", shown(median(disk)),
            f"decode the Parquet {shown(median(decoded))}", f"{factor:.1f} × faster", "≥ 5 × faster", factor >= 5,
        )  # fmt: skip
