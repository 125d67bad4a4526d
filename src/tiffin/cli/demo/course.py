"""The demo in its order: features built, saved and read, ratings predicted, features served, here and over HTTP."""

import time
from datetime import UTC, datetime

import msgspec

from tiffin.cli.demo import calling, prediction, serving, storing, tmdb
from tiffin.cli.demo.calling import Called
from tiffin.cli.demo.movie_tables import content_tables, made_up_ratings, rating_tables
from tiffin.cli.demo.prediction import Prediction
from tiffin.cli.demo.serving import Serving
from tiffin.cli.demo.storing import SecondSave, TableFigures
from tiffin.cli.run import Run
from tiffin.engineering.tmdb import MOVIE_PARTS

MADE_UP_MOVIES = 10_000
LATE_SHARE = 0.02
"""Share of the ratings that are held back, to arrive after the first save."""
_BUILDS = 3


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo did and measured."""

    store: str
    movies: int
    movies_from: str
    ratings: int
    ratings_from: str
    ratings_of_these_movies: int
    users: int
    features: int
    """Features of each movie."""
    build_s: float
    """The first time, loading of libraries included."""
    rebuild_s: float
    """The last of three times."""
    movies_per_s: float
    """At that time."""
    tables: list[TableFigures]
    second_save: SecondSave
    prediction: Prediction
    serving: Serving
    called: Called | None
    """None if what a server needs is not installed."""
    total_s: float
    """The whole demo, reading the input and comparing included."""


def show(run: Run, movies: str | None, ratings: str | None, seed: int) -> Report:
    """Run the demo.

    Parameters
    ----------
    run : Run
        Where the store is; shows the progress.
    movies, ratings : str or None
        Files; made up if None.
    seed : int
        Chooses what is made up, and which rows are recomputed.

    Raises
    ------
    CorruptData
        Something did not come back as it should.
    """
    start = time.perf_counter()
    sources = tmdb.Sources(movies, ratings, MADE_UP_MOVIES, seed)
    built = tmdb.build(run, sources, datetime.now(UTC).date(), MOVIE_PARTS, times=_BUILDS)
    with run.busy("rating the movies"):
        given = built.ratings if built.ratings is not None else made_up_ratings(built.movies, seed)
    early = given.head(given.height - max(1, int(given.height * LATE_SHARE)))
    content = list(content_tables(built.parts))
    figures = storing.save_and_read(run, [*content, *rating_tables(early, built.movies)], built.inputs)
    late = given.slice(early.height)
    second = storing.save_again(run, late, rating_tables(given, built.movies), built.inputs)
    predicted = prediction.predict(run, given, content, built.inputs, seed)
    served = serving.serve(run, given, seed)
    called = calling.call(run, given)
    return Report(
        store=str(run.folder),
        movies=len(built.movies),
        movies_from=sources.movies_named,
        ratings=len(given),
        ratings_from=ratings or f"made up, seed {seed}",
        ratings_of_these_movies=given.join(built.movies, on="movie_id", how="semi").height,
        users=given["user_id"].n_unique(),
        features=sum(len(part.columns) - 1 for part in built.parts.values()),
        build_s=built.build_s[0],
        rebuild_s=built.build_s[-1],
        movies_per_s=built.movies_per_s,
        tables=figures,
        second_save=second,
        prediction=predicted,
        serving=served,
        called=called,
        total_s=time.perf_counter() - start,
    )
