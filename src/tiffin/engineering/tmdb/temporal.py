"""Part `temporal`: when a movie came out, in the calendar and against a given day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering.tmdb.feature import Feature

if TYPE_CHECKING:
    from tiffin.engineering.tmdb.config import TMDBConfig

_YEAR_DAYS = 365.2425  # mean length of a year of the Gregorian calendar

_SEASONS = {"spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11), "winter": (12, 1, 2)}


def features(config: TMDBConfig) -> list[Feature]:
    """List the features of this part. All are null if the release date is missing or not a date."""
    return [*_calendar(), *_age(config)]


def _calendar() -> list[Feature]:
    release = pl.col("release")
    month = release.dt.month()
    seasons = [
        Feature(
            f"is_{name}_release",
            pl.Boolean,
            f"Released in meteorological {name} of the northern hemisphere (months {', '.join(map(str, months))}).",
            month.is_in(months),
        )
        for name, months in _SEASONS.items()
    ]
    return [
        Feature("release_date", pl.Date, "Day of the release.", release),
        Feature("release_year", pl.Int16, "Year of the release.", release.dt.year(), "year"),
        Feature("release_month", pl.Int8, "Month of the release.", month, "1-12"),
        Feature("release_quarter", pl.Int8, "Quarter of the release.", release.dt.quarter(), "1-4"),
        Feature("release_day_of_year", pl.Int16, "Day of the year of the release.", release.dt.ordinal_day(), "1-366"),
        Feature("release_weekday", pl.Int8, "ISO weekday of the release, Monday is 1.", release.dt.weekday(), "1-7"),
        Feature(
            "release_decade", pl.Int16, "First year of the decade of the release.", release.dt.year() // 10 * 10, "year"
        ),
        *seasons,
    ]


def _age(config: TMDBConfig) -> list[Feature]:
    days = (pl.lit(config.now) - pl.col("release")).dt.total_days()
    years = days / _YEAR_DAYS
    now = {"now": config.now.isoformat()}
    return [
        Feature(
            "days_since_release",
            pl.Int32,
            "Days from the release to `now`; negative for a future release.",
            days,
            "days",
            now,
        ),
        Feature(
            "years_since_release",
            pl.Float64,
            f"`days_since_release` in years of {_YEAR_DAYS} days.",
            years,
            "years",
            now,
        ),
        Feature(
            "is_recent",
            pl.Boolean,
            "Released by `now`, at most `recent_years` before it.",
            (days >= 0) & (years <= config.recent_years),
            parameters={**now, "recent_years": config.recent_years},
        ),
        Feature(
            "is_classic",
            pl.Boolean,
            "Released at least `classic_years` before `now`.",
            years >= config.classic_years,
            parameters={**now, "classic_years": config.classic_years},
        ),
        Feature("is_future_release", pl.Boolean, "Released after `now`.", days < 0, parameters=now),
    ]
