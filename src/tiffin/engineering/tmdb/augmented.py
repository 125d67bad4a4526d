"""Part `augmented`: synthetic interactions of users with movies, for trying things out before there are real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering.seeded import bell, pick, uniform
from tiffin.engineering.tmdb.feature import Feature
from tiffin.engineering.tmdb.statistical import weighted_rating

if TYPE_CHECKING:
    from tiffin.engineering.tmdb.batch import Batch
    from tiffin.engineering.tmdb.config import TMDBConfig


def features(config: TMDBConfig) -> list[Feature]:
    """List the features of this part, over the columns that `draw` gives."""
    drawn = {"seed": config.seed, "interactions": config.interactions, "users": config.users}
    return [
        Feature(
            "user_id",
            pl.Int32,
            "A synthetic user; low numbers are the more active users.",
            pl.col("user_id"),
            parameters=drawn,
        ),
        Feature(
            "user_rating",
            pl.Float64,
            "Synthetic rating in steps of 0.5: half the movie's weighted rating, the user's mildness, and noise.",
            pl.col("user_rating"),
            "0.5-5",
            drawn,
        ),
        Feature(
            "weight",
            pl.Float64,
            "The movie's weighted rating / 10; how often a movie is drawn is proportional to it.",
            pl.col("weight"),
            "0-1",
            drawn,
        ),
    ]


def draw(movies: pl.DataFrame, batch: Batch, config: TMDBConfig) -> pl.DataFrame:
    """Draw interactions, the more often the better a movie is rated.

    Parameters
    ----------
    movies : DataFrame
        Clean movies (see `intake.read_movies`), in any order.
    batch : Batch
        Their prior rating and minimum votes.
    config : TMDBConfig
        Seed, number of interactions and of users.

    Returns
    -------
    DataFrame, shape (config.interactions, 4)
        `movie_id`, `user_id` (1 to config.users), `user_rating`, `weight`. The same for the same movies, settings and
        seed, whatever the order of the movies. Movies without a weighted rating are never drawn; if none has one, the
        frame is empty.
    """
    rating = weighted_rating(pl.col("votes"), pl.col("rating"), batch.minimum_votes, batch.prior_rating)
    rated = movies.select("movie_id", rating.alias("rating")).drop_nulls().sort("movie_id")
    number = pl.col("number")
    draws = pl.select(pl.int_range(config.interactions if len(rated) else 0, dtype=pl.Int64).alias("number"))
    if draws.is_empty():
        return pl.DataFrame(schema={"movie_id": pl.Int64, **{f.name: f.dtype for f in features(config)}})
    movie = pick(number, rated["rating"], seed=config.seed, stream="movie")
    # The square of a uniform number makes few users do much and many do little.
    user = (uniform(number, seed=config.seed, stream="user") ** 2 * config.users).floor().cast(pl.Int32) + 1
    drawn = draws.with_columns(movie=movie, user_id=user)
    chosen = drawn.with_columns(rated[drawn["movie"]])
    mildness = 0.4 * bell(pl.col("user_id"), seed=config.seed, stream="mildness")
    noise = 0.6 * bell(number, seed=config.seed, stream="noise")
    given = (pl.col("rating") / 2 + mildness + noise).clip(0.5, 5.0)
    return chosen.select(
        "movie_id", "user_id", ((given * 2).round() / 2).alias("user_rating"), (pl.col("rating") / 10).alias("weight")
    )
