"""How small the real TMDB feature tables become, without losing anything."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tiffin
from benchmarks.measure import Result
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import TMDBProcessor


def run(*, movies: Path | None) -> Iterator[Result]:
    if movies is None:
        source, rows = "generated", synthetic.movies(5_000, seed=1)
    else:
        with gzip.open(movies, "rt") as lines:
            source, rows = "real", [json.loads(line) for line in lines]
    features = TMDBProcessor(rows).extract()
    with tempfile.TemporaryDirectory() as folder, tiffin.FeatureStore(Path(folder) / "store") as store:
        memory = disk = 0
        for name, part in features.items():
            pandas = part.to_pandas()
            store.save(f"content/{name}", pandas)
            memory += int(pandas.memory_usage(deep=True).sum())
            disk += store.describe(f"content/{name}").size_bytes
            assert store.read(f"content/{name}", use_cache=False).to_polars().equals(store.read(name).to_polars())
            pl_bytes = part.estimated_size()
            saved = store.describe(f"content/{name}").size_bytes
            share = 1 - saved / pl_bytes
            yield Result(
                "size", f"{source} movies, {name}", f"{saved / 1e3:.0f} kB", f"{pl_bytes / 1e3:.0f} kB (Polars)",
                f"{share:.0%} smaller", "", True,
            )  # fmt: skip
        share = 1 - disk / memory
        yield Result(
            "size", f"{source} movies, all parts", f"{disk / 1e3:.0f} kB", f"{memory / 1e3:.0f} kB (pandas)",
            f"{share:.0%} smaller", "≥ 60 % smaller", share >= 0.6,
        )  # fmt: skip
