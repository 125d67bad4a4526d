"""Part `statistical`: a movie against all movies of the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering.tmdb.feature import Feature, tier
from tiffin.engineering.tmdb.vocabulary import POPULARITY_TIERS

if TYPE_CHECKING:
    from tiffin.engineering.tmdb.batch import Batch

_LOWEST_VOTE, _HIGHEST_VOTE = 0.5, 10.0  # TMDB's scale

_COMPARED = {"rating": "rating", "vote_count": "votes", "popularity": "popularity"}


def features(batch: Batch) -> list[Feature]:
    """List the features of this part."""
    return [*_positions(), *_shrinkage(batch)]


def prepare(movies: pl.LazyFrame) -> pl.LazyFrame:
    """Add the percentile of each compared column: the slowest features, and one of them has tiers."""
    return movies.with_columns(
        percentile(pl.col(column)).alias(f"{column}_percentile") for column in _COMPARED.values()
    )


def z_score(value: pl.Expr) -> pl.Expr:
    """Count how many standard deviations a value lies above the mean of the known values.

    Parameters
    ----------
    value : Expr, shape (n,)

    Returns
    -------
    Expr of Float64, shape (n,)
        Null where `value` is null, and everywhere if all known values are equal: without spread there is no score.

    Notes
    -----
    The batch is the whole population: the standard deviation divides by n, not by n - 1.
    """
    has_spread = value.max() > value.min()
    return pl.when(has_spread).then((value - value.mean()) / value.std(ddof=0))


def percentile(value: pl.Expr) -> pl.Expr:
    """Place a value among the known values.

    Parameters
    ----------
    value : Expr, shape (n,)

    Returns
    -------
    Expr of Float64, shape (n,)
        Within (0, 1); equal values share the middle of their places; null where `value` is null.

    Notes
    -----
    Source: Hazen's plotting position, (rank - 1/2) / n (Hazen, "Storage to be provided in impounding reservoirs
    for municipal water supply", 1914).
    """
    return (value.rank("average") - 0.5) / value.count()


def rating_confidence(votes: pl.Expr, floor: float | None) -> pl.Expr:
    """Weigh a movie's own rating against the prior: votes / (votes + floor).

    Parameters
    ----------
    votes : Expr, shape (n,)
        Number of votes, >= 0.
    floor : float, optional
        Votes at which the two weigh the same; None if unknown.

    Returns
    -------
    Expr of Float64, shape (n,)
        Within [0, 1): 0 without votes, 1/2 at `floor` votes; null where `votes` is null or `floor` is None.
    """
    return votes / (votes + pl.lit(floor, dtype=pl.Float64))


def weighted_rating(votes: pl.Expr, rating: pl.Expr, floor: float | None, prior: float | None) -> pl.Expr:
    """Shrink a movie's mean rating towards the prior by its number of votes.

    Parameters
    ----------
    votes : Expr, shape (n,)
        Number of votes, >= 0.
    rating : Expr, shape (n,)
        Mean rating, 0-10; null where there are no votes.
    floor : float, optional
        Votes at which the two weigh the same; None if unknown.
    prior : float, optional
        Mean rating of all movies, 0-10; None if unknown.

    Returns
    -------
    Expr of Float64, shape (n,)
        Rating, 0-10; null where `rating` or `votes` is null.

    Notes
    -----
    Source: IMDb's published Top-250 formula (Bayesian average).
    """
    weight = rating_confidence(votes, floor)
    return weight * rating + (1 - weight) * pl.lit(prior, dtype=pl.Float64)


def controversy(rating: pl.Expr, confidence: pl.Expr) -> pl.Expr:
    """Tell how much a movie's voters may disagree.

    Parameters
    ----------
    rating : Expr, shape (n,)
        Mean rating, 0-10.
    confidence : Expr, shape (n,)
        Weight of that rating, 0-1.

    Returns
    -------
    Expr of Float64, shape (n,)
        Within [0, 1): near 1 for many votes with a mean in the middle of the scale; 0 at either end of it, where all
        must agree, and without votes to speak of. Null where `rating` or `confidence` is null.

    Notes
    -----
    TMDB publishes no votes, only their mean, which bounds their variance: var <= (high - mean)(mean - low). The value
    is that bound as a share of its maximum, times the confidence. It is what the mean allows, not a measured spread.
    Source: Bhatia and Davis, "A better bound on the variance", 2000.
    """
    bound = (_HIGHEST_VOTE - rating) * (rating - _LOWEST_VOTE)
    largest = ((_HIGHEST_VOTE - _LOWEST_VOTE) / 2) ** 2
    return (bound / largest).clip(lower_bound=0) * confidence


def _positions() -> list[Feature]:
    scores = [
        Feature(
            f"{name}_z_score",
            pl.Float64,
            f"Standard deviations of `{name}` above the mean of the batch; null if all its movies are equal.",
            z_score(pl.col(column)),
        )
        for name, column in _COMPARED.items()
    ]
    percentiles = [
        Feature(
            f"{name}_percentile",
            pl.Float64,
            f"Share of the batch's movies with a lower `{name}`, counting half of the equal ones.",
            pl.col(f"{column}_percentile"),
            "0-1",
        )
        for name, column in _COMPARED.items()
    ]
    floors = ", ".join(f"{name} from {floor:g}" for name, floor in POPULARITY_TIERS.items())
    popularity_tier = Feature(
        "popularity_tier",
        pl.Enum(list(POPULARITY_TIERS)),
        f"`popularity_percentile` in words: {floors}.",
        tier(pl.col("popularity_percentile"), POPULARITY_TIERS),
    )
    return [*scores, *percentiles, popularity_tier]


def _shrinkage(batch: Batch) -> list[Feature]:
    votes, rating = pl.col("votes"), pl.col("rating")
    confidence = rating_confidence(votes, batch.minimum_votes)
    floor = {"minimum_votes": batch.minimum_votes}
    return [
        Feature(
            "weighted_rating",
            pl.Float64,
            "Rating, shrunk towards the mean rating of the batch by the number of votes.",
            weighted_rating(votes, rating, batch.minimum_votes, batch.prior_rating),
            "0-10",
            {**floor, "prior_rating": batch.prior_rating},
        ),
        Feature(
            "rating_confidence",
            pl.Float64,
            "Weight of the movie's own rating in `weighted_rating`: 0 without votes, 0.5 at `minimum_votes`.",
            confidence,
            "0-1",
            floor,
        ),
        Feature(
            "controversy",
            pl.Float64,
            "Largest disagreement of voters that the rating allows, weighted by `rating_confidence`.",
            controversy(rating, confidence),
            "0-1",
            floor,
        ),
    ]
