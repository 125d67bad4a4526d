"""Speed and memory of the TMDB features."""

from __future__ import annotations

import gc
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psutil

from benchmarks.measure import Result
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import MOVIE_PARTS, AdvancedTMDBPreProcessor, TMDBProcessor

ROUNDS = 10


def run(*, quick: bool, movies: Path | None) -> Iterator[Result]:
    count, rounds = (20_000, 3) if quick else (100_000, 15)
    frame = made(count, movies)
    rows = frame.to_dicts()
    yield _speed(f"{count:,} movies, five parts, from dicts", rows, rounds, 250_000)
    yield _speed(f"{count:,} movies, five parts, from a frame", frame, rounds, 600_000)
    yield growth(f"{ROUNDS} rounds of {count:,} movies, five parts", lambda: TMDBProcessor(rows).extract(MOVIE_PARTS))


def made(count: int, path: Path | None) -> pl.DataFrame:
    """Make up movies, or repeat those of a file under new ids."""
    if path is None:
        return synthetic.movies(count)
    real = pl.read_ndjson(gzip.decompress(path.read_bytes()))
    repeated = pl.concat([real] * (count // len(real) + 1)).head(count)
    return repeated.with_columns(pl.int_range(count).alias("movie_id"))


def all_parts(rows: list[dict[str, Any]]) -> object:
    """Extract everything, as pandas."""
    return AdvancedTMDBPreProcessor(rows).extract_all_features()


def _speed(case: str, movies: Any, rounds: int, goal: int) -> Result:
    taken = []
    for _ in range(rounds + 1):
        gc.collect()
        start = time.perf_counter()
        TMDBProcessor(movies).extract(MOVIE_PARTS)
        taken.append(time.perf_counter() - start)
    middle, best = len(movies) / median(taken[1:]), len(movies) / min(taken[1:])
    return Result("features", case, f"{middle:,.0f}/s", f"best {best:,.0f}/s", "", f"≥ {goal:,}/s", middle >= goal)


def growth(case: str, work: Callable[[], object], what: str = "features") -> Result:
    """Measure what the rounds leave behind, counted from the end of the first."""
    process, readings = psutil.Process(), []
    for _ in range(ROUNDS):
        work()
        gc.collect()
        readings.append(process.memory_info().rss / 2**20)
    grown = readings[-1] - readings[0]
    return Result(what, f"memory: {case}", f"{grown:+.1f} MB", "", "", "< 20 MB", grown < 20)
