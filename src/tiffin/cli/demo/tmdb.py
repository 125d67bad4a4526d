"""What `tiffin tmdb` does, and `tiffin demo` begins with: movies and ratings in, features out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.commands.rows import saved as saved_line
from tiffin.cli.commands.rows import warn
from tiffin.cli.demo.movie_tables import MovieTable, check_ratings, content_tables, rating_tables
from tiffin.cli.files import intake
from tiffin.cli.run import Run
from tiffin.cli.views import words
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import FRAME_PARTS, TMDBConfig, TMDBProcessor
from tiffin.tables.table import Commit


@dataclass(frozen=True)
class Sources:
    """Where movies and ratings come from."""

    movies: str | None
    """A file; None to make them up."""
    ratings: str | None
    """A file, if there are any."""
    made_up: int
    """How many movies to make up."""
    seed: int

    @property
    def movies_named(self) -> str:
        """What the movies were made from."""
        return self.movies or f"made up, seed {self.seed}"

    def read_movies(self) -> object:
        """Read or make up the movies, as `TMDBProcessor` takes them."""
        if self.movies is None:
            return synthetic.movies(self.made_up, self.seed)
        return intake.load(self.movies)

    def read_ratings(self) -> pl.DataFrame | None:
        """Read the ratings, if there are any."""
        return None if self.ratings is None else check_ratings(intake.read(self.ratings, times=["event_timestamp"]))


@dataclass(frozen=True)
class Built:
    """Features, and what it took to build them."""

    sources: Sources
    movies: pl.DataFrame
    """The movies as they were understood."""
    parts: dict[str, pl.DataFrame]
    ratings: pl.DataFrame | None
    build_s: list[float]
    """Seconds from the movies as they were read to the features, each time they were built."""

    @property
    def movies_per_s(self) -> float:
        """How many movies a second the last time made."""
        return len(self.movies) / self.build_s[-1]

    @property
    def inputs(self) -> list[str]:
        """What everything was made from, for the history."""
        return [Path(name).name for name in (self.sources.movies_named, self.sources.ratings) if name]


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What `tiffin tmdb` did."""

    movies: int
    features: int
    """Features of each movie."""
    build_s: float
    movies_per_s: float
    commits: list[Commit]


def build(run: Run, sources: Sources, now: date, parts: tuple[str, ...] = FRAME_PARTS, times: int = 1) -> Built:
    """Read movies and ratings, and build features of the movies.

    Parameters
    ----------
    run : Run
        Shows the progress.
    sources : Sources
        Where they come from.
    now : date
        Day that ages are counted to.
    parts : tuple of str
        Which parts of the features.
    times : int
        How often to build them: the first time also pays for loading libraries.
    """
    with run.busy("reading the movies"):
        raw = sources.read_movies()
        ratings = sources.read_ratings()
    build_s = []
    with run.progress("parts") as bar:
        task = bar.add_task("building features", total=times * len(parts))
        for _ in range(times):
            start = time.perf_counter()
            processor = TMDBProcessor(raw, TMDBConfig(now=now, seed=sources.seed))
            built = processor.extract(parts, progress=lambda *_: bar.advance(task))
            build_s.append(time.perf_counter() - start)
    return Built(sources, processor.movies, built, ratings, build_s)


def save(run: Run, built: Built, message: str) -> Saved:
    """Save built features as tables."""
    tables = list(content_tables(built.parts))
    if built.ratings is not None:
        tables += rating_tables(built.ratings, built.movies)
    else:
        description = "Made-up interactions, drawn by the movies' weighted ratings; for trying things out."
        name, keys = "interaction/synthetic_interactions", ("user_id", "movie_id")
        tables.append(MovieTable(name, built.parts["augmented"], keys, description))
    with run.progress("tables") as bar:
        arriving = bar.track(tables, description="saving")
        commits = [table.save(run.store, message=message, inputs=built.inputs) for table in arriving]
    for commit in commits:
        warn(run, commit)
    return Saved(
        movies=len(built.movies),
        features=sum(len(table.frame.columns) - 1 for table in tables if table.name.startswith("content/")),
        build_s=built.build_s[0],
        movies_per_s=built.movies_per_s,
        commits=commits,
    )


def views(done: Saved) -> Iterator[RenderableType]:
    """Show for people what was done."""
    yield Text.assemble(
        ("built ", "green"),
        f"{done.features} features of {words.many(done.movies, 'movie')} in {words.seconds(done.build_s)}",
        (f" · {words.three_digits(done.movies_per_s)} movies/s", "dim"),
    )
    for commit in done.commits:
        yield saved_line(commit)
