"""One feature: its name, type, meaning and formula in one place, so that they cannot drift apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from polars._typing import PolarsDataType


@dataclass(frozen=True)
class Feature:
    """A column of one of the parts.

    Parameters
    ----------
    name : str
        Column name.
    dtype : Polars data type
        Type of the column, the same whatever the input.
    description : str
        What the value means, and when it is null.
    expression : Expr
        The formula, over the columns of a clean movie frame (see `intake.read_movies`) and those that the part's
        `prepare` adds to it.
    unit : str
        Unit or range; empty for flags and categories.
    parameters : mapping of str to object
        What the value depends on besides the movie itself (settings, and figures of the whole batch).
    """

    name: str
    dtype: PolarsDataType
    description: str
    expression: pl.Expr
    unit: str = ""
    parameters: Mapping[str, object] | None = None


def tier(value: pl.Expr, floors: Mapping[str, float]) -> pl.Expr:
    """Name the highest tier whose floor the value reaches.

    Parameters
    ----------
    value : Expr, shape (n,)
    floors : mapping of str to float
        Tiers in rising order, each with its lowest value.

    Returns
    -------
    Expr of Enum, shape (n,)
        Null where `value` is null or below all floors.
    """
    # Null sorts before all floors, so it finds place 0. A chain of when() would compute `value` once per tier.
    names = pl.Series([None, *floors], dtype=pl.Enum(list(floors)))
    place = pl.lit(pl.Series(list(floors.values()))).search_sorted(value, side="right")
    return pl.lit(names).gather(place)


def select(movies: pl.LazyFrame, features: Iterable[Feature]) -> pl.LazyFrame:
    """Plan the features of movies, keyed by `movie_id`."""
    columns = [feature.expression.cast(feature.dtype).alias(feature.name) for feature in features]
    return movies.select("movie_id", *columns)
