"""Speed and memory of the TMDB features: `python benchmarks/tmdb.py [--json] [--movies FILE.jsonl]`."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import psutil
from rich.console import Console
from rich.table import Table

from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import MOVIE_PARTS, AdvancedTMDBPreProcessor, TMDBProcessor

MOVIES = 100_000
RUNS = 7


def load(path: Path | None) -> pl.DataFrame:
    """Make up movies, or repeat those of a file under new ids, up to the number that is measured."""
    if path is None:
        return synthetic.movies(MOVIES)
    movies = pl.read_ndjson(path)
    repeated = pl.concat([movies] * (MOVIES // len(movies) + 1)).head(MOVIES)
    return repeated.with_columns(pl.int_range(MOVIES).alias("movie_id"))


def seconds(work: Callable[[], object]) -> list[float]:
    """Time several runs; the first, which warms up, does not count."""
    work()
    taken = []
    for _ in range(RUNS):
        gc.collect()
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def speed(name: str, movies: Any, goal: float) -> dict[str, Any]:
    taken = seconds(lambda: TMDBProcessor(movies).extract(MOVIE_PARTS))
    best, median = MOVIES / min(taken), MOVIES / statistics.median(taken)
    return {"case": name, "unit": "movies/s", "best": best, "median": median, "goal": goal, "reached": best >= goal}


def growth(name: str, work: Callable[[], object], goal_mb: float) -> dict[str, Any]:
    """Measure how much memory ten rounds leave behind, counted from the end of the first as the guide does."""
    process, readings = psutil.Process(), []
    for _ in range(10):
        work()
        gc.collect()
        readings.append(process.memory_info().rss / 2**20)
    grown = readings[-1] - readings[0]
    return {"case": name, "unit": "MB", "best": grown, "median": grown, "goal": goal_mb, "reached": grown < goal_mb}


def guide_round() -> object:
    """One round of the guide's memory test: 100 small movies, all parts, as pandas."""
    movies = [
        {
            "movie_id": number,
            "title": f"Benchmark movie {number}",
            "release_date": "2023-01-01",
            "vote_average": 7.0 + number % 3,
            "vote_count": 1000 + number * 100,
            "popularity": 50.0 + number * 5,
            "genre_ids": [28],
            "adult": False,
            "original_language": "en",
            "overview": f"The story of movie number {number}",
        }
        for number in range(100)
    ]
    return AdvancedTMDBPreProcessor(movies).extract_all_features()


def measure(path: Path | None) -> list[dict[str, Any]]:
    frame = load(path)
    rows = frame.to_dicts()
    return [
        growth("ten rounds of 100 movies, all parts", guide_round, 20),
        speed("five parts of 100,000 movies, from dicts", rows, 250_000),
        speed("five parts of 100,000 movies, from a frame", frame, 600_000),
        growth("ten rounds of 100,000 movies, five parts", lambda: TMDBProcessor(rows).extract(MOVIE_PARTS), 20),
    ]


def show(results: list[dict[str, Any]]) -> None:
    table = Table("case", "unit", "best", "median", "goal", "reached", title="TMDB features")
    for result in results:
        figures = (f"{result[name]:,.0f}" for name in ("best", "median", "goal"))
        table.add_row(result["case"], result["unit"], *figures, "yes" if result["reached"] else "no")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--movies", type=Path, help="movies to repeat instead of synthetic ones, one JSON object a line"
    )
    options = parser.parse_args()
    results = measure(options.movies)
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
