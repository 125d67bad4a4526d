"""What the values of a version look like, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec
import polars as pl

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
EXACT_ROWS = 100_000
"""Up to so many rows distinct values are counted; beyond, they are estimated (HyperLogLog), to about 1 %."""

_MOST_SHOWN = 5


class Common(msgspec.Struct, frozen=True):
    """A value that stands in many rows."""

    value: Any
    rows: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of a column look like. What does not apply to its type is None."""

    name: str
    dtype: str
    nulls: int
    nans: int | None = None
    """Values that are NaN; they are left out of all that follows."""
    distinct: int | None = None
    """Different values, null not counted."""
    is_exact: bool = True
    """Whether `distinct` was counted; else it is an estimate."""
    min: Any = None
    max: Any = None
    mean: float | None = None
    """Of a bool: the share that is true. Of a text: of its characters."""
    std: float | None = None
    """Of a sample: divided by n - 1."""
    quantiles: dict[str, float] = {}
    """`0.01` to `0.99`, interpolated linearly."""
    common: tuple[Common, ...] = ()
    """The five most frequent values of a text, category or bool; of equally frequent ones the lesser."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of a version look like."""

    table: str
    version: int
    rows: int
    columns: tuple[ColumnProfile, ...]


def profile(table: str, version: int, columns: Sequence[str], read: Callable[[str], pl.Series]) -> Profile:
    """Look at the columns of a version, one after the other: no more than one is in memory.

    Parameters
    ----------
    table : str
        `group/name`.
    version : int
        Its version.
    columns : sequence of str
        Which columns.
    read : callable
        Reads one.

    Returns
    -------
    Profile
    """
    found, rows = [], 0
    for name in columns:
        values = read(name)
        rows = len(values)
        found.append(_column(values))
    return Profile(table=table, version=version, rows=rows, columns=tuple(found))


def _column(values: pl.Series) -> ColumnProfile:
    dtype = values.dtype
    about: dict[str, Any] = {"name": values.name, "dtype": str(dtype), "nulls": values.null_count()}
    present = values.drop_nulls()
    if dtype.is_float():
        about["nans"] = int(present.is_nan().sum())
        present = present.drop_nans()
    if dtype.is_nested() or dtype in {pl.Binary, pl.Null, pl.Object}:
        return ColumnProfile(**about)
    is_exact = len(present) <= EXACT_ROWS
    about |= {"distinct": present.n_unique() if is_exact else present.approx_n_unique(), "is_exact": is_exact}
    if dtype.is_numeric():
        about |= _numbers(present)
    elif dtype == pl.Boolean:
        about |= {"mean": present.mean(), "common": _common(present)}
    elif dtype in {pl.String, pl.Categorical, pl.Enum}:
        texts = present.cast(pl.String)
        # An enum has an order of its own.
        about |= {"min": present.min(), "max": present.max(), "mean": texts.str.len_chars().mean()}
        about |= {"common": _common(texts)}
    else:
        about |= {"min": _moment(present.min()), "max": _moment(present.max())}
    return ColumnProfile(**about)


def _numbers(present: pl.Series) -> dict[str, Any]:
    # A decimal's figures are taken in floats; its extremes are what they are.
    floats = present.cast(pl.Float64)
    spread = floats.std() if len(floats) > 1 else None
    quantiles = {str(at): floats.quantile(at, "linear") for at in QUANTILES} if len(floats) else {}
    return {"min": present.min(), "max": present.max(), "mean": floats.mean(), "std": spread, "quantiles": quantiles}


def _common(present: pl.Series) -> tuple[Common, ...]:
    counts = present.rename("value").to_frame().group_by("value").len().sort(["len", "value"], descending=[True, False])
    return tuple(Common(value, rows) for value, rows in counts.head(_MOST_SHOWN).iter_rows())


def _moment(value: Any) -> Any:
    """Return a time as it is, or as text where Python has none such."""
    return value if isinstance(value, date | datetime | time | timedelta | None) else str(value)
