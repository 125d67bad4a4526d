"""Figures of a whole batch of movies that single movies are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering.tmdb.vocabulary import GENRES

if TYPE_CHECKING:
    from tiffin.engineering.tmdb.config import TMDBConfig


@dataclass(frozen=True)
class Batch:
    """What is known of all movies together.

    Parameters
    ----------
    prior_rating : float, optional
        Mean of the known ratings, 0-10; None if no movie has one.
    minimum_votes : float, optional
        Votes at which a movie's own rating weighs as much as `prior_rating`; None if it is neither set nor can be
        told, because no movie has votes.
    genre_rating_sums : dict of str to float
        Per genre the sum of the known ratings of its movies.
    genre_rating_counts : dict of str to int
        Per genre how many those are.
    """

    prior_rating: float | None
    minimum_votes: float | None
    genre_rating_sums: dict[str, float]
    genre_rating_counts: dict[str, int]


def measure(movies: pl.DataFrame, config: TMDBConfig) -> Batch:
    """Measure a clean movie frame (see `intake.read_movies`)."""
    rating, votes = pl.col("rating"), pl.col("votes")
    rated = {name: rating.filter(pl.col(f"genre_{name}")) for name in GENRES.values()}
    figures = movies.select(
        # Sorted, because a sum of floats depends on its order in the last digit, and the synthetic draws on the sum.
        rating.sort().mean().alias("prior"),
        votes.filter(votes > 0).median().alias("median_votes"),
        *(ratings.sum().alias(f"sum_{name}") for name, ratings in rated.items()),
        *(ratings.count().alias(f"count_{name}") for name, ratings in rated.items()),
    ).row(0, named=True)
    return Batch(
        prior_rating=figures["prior"],
        minimum_votes=figures["median_votes"] if config.minimum_votes is None else float(config.minimum_votes),
        genre_rating_sums={name: figures[f"sum_{name}"] for name in rated},
        genre_rating_counts={name: figures[f"count_{name}"] for name in rated},
    )
