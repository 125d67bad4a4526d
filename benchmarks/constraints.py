"""What five constraints cost a save: the same frame saved to a table with them and to one without."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result, alternately, ratio, shown

CONSTRAINTS = [
    "rating between 0 and 5",
    "user_id is not null",
    'genre in ["action", "comedy", "drama", "horror"]',
    "title matches ^Title [0-9]+$",
    "feature_0 <= 1 OR rating > 4",
]
"""A range, not null, allowed values, a pattern, SQL."""


def run(*, quick: bool) -> Iterator[Result]:
    rows = 100_000 if quick else 1_000_000
    data = _frame(rows)
    with tempfile.TemporaryDirectory() as folder:
        stores = [
            tiffin.FeatureStore(Path(folder) / name, keep_versions=2, memory_cache_bytes=0, disk_cache_bytes=0)
            for name in ("with", "without")
        ]
        stores[0].save("g/t", data, constraints=CONSTRAINTS)
        bound, free = alternately(10, *(lambda store=store: store.save("g/t", data) for store in stores), settle=True)
        found = ratio(bound, free)
        yield Result(
            "constraints", f"save {rows:,} × {data.width}, five constraints", shown(median(bound)),
            f"without {shown(median(free))}", f"{found:.2f}", "≤ 1.3", found <= 1.3,
        )  # fmt: skip
        read, checked = alternately(
            10, lambda: stores[0].read("g/t", use_cache=False), lambda: stores[0].check("g/t"), settle=True
        )
        found = ratio(checked, read)
        yield Result(
            "constraints", f"check {rows:,} × {data.width}", shown(median(checked)), f"read {shown(median(read))}",
            f"{found:.2f}", "≤ 2", found <= 2,
        )  # fmt: skip


def _frame(rows: int) -> pl.DataFrame:
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {f"feature_{number}": random.random(rows) for number in range(8)}
        | {
            "user_id": np.arange(rows),
            "rating": random.integers(0, 11, rows) / 2,
            "genre": np.array(["action", "comedy", "drama", "horror"])[random.integers(0, 4, rows)],
            "title": [f"Title {number:07}" for number in range(rows)],
        }
    )
