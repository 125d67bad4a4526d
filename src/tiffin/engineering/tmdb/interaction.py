"""Part `interaction`: what two properties of a movie say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering.tmdb.feature import Feature
from tiffin.engineering.tmdb.vocabulary import GENRES

if TYPE_CHECKING:
    from tiffin.engineering.tmdb.batch import Batch


def features() -> list[Feature]:
    """List the features of this part."""
    return [*_products(), *_genres()]


def prepare(movies: pl.LazyFrame, batch: Batch) -> pl.LazyFrame:
    """Add `genre_expected_rating`, which two features of this part show."""
    own = movies.with_columns(
        pl.col("rating").fill_null(0.0).alias("own_rating"),
        pl.col("rating").is_not_null().cast(pl.Float64).alias("own_count"),
    )
    expected = genre_expected_rating(pl.col("own_rating"), pl.col("own_count"), batch)
    return own.with_columns(expected.alias("genre_expected_rating"))


def genre_expected_rating(own_rating: pl.Expr, own_count: pl.Expr, batch: Batch) -> pl.Expr:
    """Expect a rating from the genres alone.

    Parameters
    ----------
    own_rating : Expr of Float64, shape (n,)
        The movie's own mean rating, 0-10; 0 if it has none.
    own_count : Expr of Float64, shape (n,)
        1 if the movie has a rating, 0 if not.
    batch : Batch
        Sums and counts of the ratings per genre.

    Returns
    -------
    Expr of Float64, shape (n,)
        Mean, over the movie's genres, of the mean rating of that genre's *other* movies; null if none of its genres
        has another rated movie.

    Notes
    -----
    Leaving the movie itself out keeps its own rating from leaking into what is expected of it: with it, the only
    movie of a genre would always be exactly as good as expected.
    """
    means, told = [], []
    for name in GENRES.values():
        tells = pl.col(f"genre_{name}")
        others = batch.genre_rating_counts[name] - own_count
        if batch.genre_rating_counts[name] < 2:  # else there is always another one
            tells &= others > 0
        mean = (batch.genre_rating_sums[name] - own_rating) / others
        means.append(pl.when(tells).then(mean).otherwise(0.0))
        told.append(tells)
    # Adding zeros and counting is twice as fast as the mean of columns with nulls.
    genres = pl.sum_horizontal(told)
    return pl.when(genres > 0).then(pl.sum_horizontal(means) / genres)


def _products() -> list[Feature]:
    rating, votes, popularity = pl.col("rating"), pl.col("votes"), pl.col("popularity")
    budget, revenue = pl.col("budget_usd"), pl.col("revenue_usd")
    return [
        Feature("rating_x_popularity", pl.Float64, "Rating times popularity.", rating * popularity, ">= 0"),
        Feature(
            "rating_x_log_vote_count",
            pl.Float64,
            "Rating times the natural logarithm of 1 + votes.",
            rating * votes.log1p(),
            ">= 0",
        ),
        Feature(
            "votes_per_popularity",
            pl.Float64,
            "Votes per point of popularity; null if the popularity is 0.",
            pl.when(popularity > 0).then(votes / popularity),
            ">= 0",
        ),
        Feature(
            "revenue_per_budget",
            pl.Float64,
            "Revenue per dollar of budget; null if either is unknown.",
            revenue / budget,
            "> 0",
        ),
    ]


def _genres() -> list[Feature]:
    expected = pl.col("genre_expected_rating")
    return [
        Feature("genre_count", pl.Int32, "Distinct genre ids of the movie.", pl.col("genre_count"), "genres"),
        Feature(
            "unknown_genre_count",
            pl.Int32,
            "Distinct genre ids that are not among TMDB's 19, such as the retired 10769.",
            pl.col("unknown_genre_count"),
            "genres",
        ),
        Feature("is_multi_genre", pl.Boolean, "The movie has two genre ids or more.", pl.col("genre_count") > 1),
        Feature(
            "genre_expected_rating",
            pl.Float64,
            "Mean, over the movie's genres, of the mean rating of the batch's other movies of that genre.",
            expected,
            "0-10",
        ),
        Feature(
            "rating_above_genre",
            pl.Float64,
            "Rating minus `genre_expected_rating`.",
            pl.col("rating") - expected,
            "-10 to 10",
        ),
    ]
