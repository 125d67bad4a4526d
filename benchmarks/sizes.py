"""How small the real TMDB feature tables become, without losing anything."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tiffin
from benchmarks.measure import Result
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import TMDBProcessor


class Saved(NamedTuple):
    """The bytes of a part: in memory as each library has it, and on disk."""

    name: str
    polars: int
    pandas: int
    disk: int


def source(movies: Path | None) -> str:
    return "generated" if movies is None else "real"


def saved(movies: Path | None) -> list[Saved]:
    """Save the features of movies, and read them back equal."""
    if movies is None:
        rows: Any = synthetic.movies(5_000, seed=1)
    else:
        with gzip.open(movies, "rt") as lines:
            rows = [json.loads(line) for line in lines]
    found = []
    with tempfile.TemporaryDirectory() as folder, tiffin.FeatureStore(Path(folder) / "store") as store:
        for name, part in TMDBProcessor(rows).extract().items():
            pandas = part.to_pandas()
            store.save(f"content/{name}", pandas)
            assert store.read(f"content/{name}", use_cache=False).to_polars().equals(store.read(name).to_polars())
            memory = int(pandas.memory_usage(deep=True).sum())
            found.append(Saved(name, part.estimated_size(), memory, store.describe(f"content/{name}").size_bytes))
    return found


def run(*, movies: Path | None) -> Iterator[Result]:
    parts = saved(movies)
    for part in parts:
        yield Result(
            "size", f"{source(movies)} movies, {part.name}", f"{part.disk / 1e3:.0f} kB",
            f"{part.polars / 1e3:.0f} kB (Polars)", f"{1 - part.disk / part.polars:.0%} smaller", "", met=True,
        )  # fmt: skip
    disk, memory = sum(part.disk for part in parts), sum(part.pandas for part in parts)
    share = 1 - disk / memory
    yield Result(
        "size", f"{source(movies)} movies, all parts", f"{disk / 1e3:.0f} kB", f"{memory / 1e3:.0f} kB (pandas)",
        f"{share:.0%} smaller", "≥ 60 % smaller", share >= 0.6,
    )  # fmt: skip
