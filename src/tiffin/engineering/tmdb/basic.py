"""Part `basic`: what TMDB says of a movie, cleaned, as numbers, flags and tiers."""

from __future__ import annotations

import polars as pl

from tiffin.engineering.tmdb.feature import Feature, tier
from tiffin.engineering.tmdb.vocabulary import GENRES, LANGUAGES, RATING_TIERS


def features() -> list[Feature]:
    """List the features of this part."""
    return [*_figures(), *_genres(), *_languages()]


def _figures() -> list[Feature]:
    rating = pl.col("rating")
    floors = ", ".join(f"{name} from {floor:g}" for name, floor in RATING_TIERS.items())
    return [
        Feature("rating", pl.Float64, "Mean rating on TMDB; null if nobody voted.", rating, "0-10"),
        Feature(
            "rating_tier",
            pl.Enum(list(RATING_TIERS)),
            f"Rating in words: {floors}; null without a rating.",
            tier(rating, RATING_TIERS),
        ),
        Feature("vote_count", pl.Int64, "Votes on TMDB.", pl.col("votes"), "votes"),
        Feature("popularity", pl.Float64, "TMDB's popularity score.", pl.col("popularity"), ">= 0"),
        Feature("log_vote_count", pl.Float64, "Natural logarithm of 1 + votes.", pl.col("votes").log1p(), ">= 0"),
        Feature(
            "log_popularity", pl.Float64, "Natural logarithm of 1 + popularity.", pl.col("popularity").log1p(), ">= 0"
        ),
        Feature("is_adult", pl.Boolean, "TMDB marks the movie as adult.", pl.col("adult")),
        Feature(
            "runtime_minutes",
            pl.Float64,
            "Length; null where TMDB does not know it (0).",
            pl.col("runtime_minutes"),
            "minutes",
        ),
        Feature("budget_usd", pl.Float64, "Budget; null where TMDB does not know it (0).", pl.col("budget_usd"), "USD"),
        Feature(
            "revenue_usd", pl.Float64, "Revenue; null where TMDB does not know it (0).", pl.col("revenue_usd"), "USD"
        ),
    ]


def _genres() -> list[Feature]:
    return [
        Feature(
            f"genre_{name}",
            pl.Boolean,
            f"The movie has TMDB's genre {number} ({name.replace('_', ' ')}); null if its genres are missing.",
            pl.col(f"genre_{name}"),
        )
        for number, name in GENRES.items()
    ]


def _languages() -> list[Feature]:
    language = pl.col("language")
    flags = [
        Feature(f"language_{code}", pl.Boolean, f"Made in {name}; null if unknown.", language == code)
        for code, name in LANGUAGES.items()
    ]
    other = ~language.is_in(list(LANGUAGES))
    return [
        Feature("original_language", pl.Categorical(), "Language the movie was made in, TMDB's code.", language),
        *flags,
        Feature("language_other", pl.Boolean, "Made in a language without a flag; null if unknown.", other),
    ]
