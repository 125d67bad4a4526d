"""Part `metadata`: what each feature is, and how good its values are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from polars import selectors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.engineering.tmdb.feature import Feature


def describe(part: str, frame: pl.DataFrame, features: Iterable[Feature]) -> dict[str, dict[str, Any]]:
    """Describe the features of one part.

    Parameters
    ----------
    part : str
        Name of the part.
    frame : DataFrame, shape (n, …)
        Its values; features that the frame lacks are left out.
    features : iterable of Feature

    Returns
    -------
    dict of str to dict
        Per feature: `part`, `dtype`, `description`, `unit`, `parameters`, `count` (rows), `null_rate` (0-1; None
        without rows), `distinct_count` (known values), and for numbers and flags `min`, `max`, `mean` of the known
        values (None if there are none). Plain JSON values.
    """
    figures = _figures(frame)
    return {
        feature.name: {
            "part": part,
            "dtype": str(feature.dtype),
            "description": feature.description,
            "unit": feature.unit,
            "parameters": dict(feature.parameters or {}),
            "count": len(frame),
            **figures[feature.name],
        }
        for feature in features
        if feature.name in frame.columns
    }


def _figures(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    measured = selectors.numeric() | selectors.boolean()
    everything = pl.all()
    row = frame.select(
        everything.null_count().name.suffix("|nulls"),
        everything.drop_nulls().n_unique().name.suffix("|distinct"),
        measured.cast(pl.Float64).min().name.suffix("|min"),
        measured.cast(pl.Float64).max().name.suffix("|max"),
        measured.cast(pl.Float64).mean().name.suffix("|mean"),
    ).row(0, named=True)
    return {
        name: {
            "null_rate": row[f"{name}|nulls"] / len(frame) if len(frame) else None,
            "distinct_count": row[f"{name}|distinct"],
            **{figure: row[f"{name}|{figure}"] for figure in ("min", "max", "mean") if f"{name}|{figure}" in row},
        }
        for name in frame.columns
    }
