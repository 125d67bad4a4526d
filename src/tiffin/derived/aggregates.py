"""What is made of the events in a window: counts, sums, means, extremes, … (pure).

Nulls are passed over, as in SQL. NaN is a value, greater than every number, as in most databases: the largest value of
a window that holds one is NaN, and so are its sum, mean and deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tiffin.derived.folding import Ints, Parts, Slices, add, greater, lesser, moments
from tiffin.derived.spans import Events, Span
from tiffin.errors import InvalidInputError, SchemaMismatch

_COUNTED = pl.Int64()
_REAL = pl.Float64()
_MOST = 2**63
_WIDEST = 38
"""Digits of a decimal."""


def dtype_of(aggregation: str, dtype: pl.DataType, column: str) -> pl.DataType:
    """Tell of which type an aggregation is.

    Parameters
    ----------
    aggregation : str
        One of those that a definition may ask for.
    dtype : polars.DataType
        The column's.
    column : str
        Its name, for messages.

    Raises
    ------
    SchemaMismatch
        Values of the column cannot be aggregated so.
    """
    is_number = dtype.is_numeric() or dtype == pl.Boolean
    is_sum = is_number or isinstance(dtype, pl.Duration)
    is_ordered = is_sum or dtype.is_temporal() or dtype == pl.String
    fits = {"sum": is_sum, "mean": is_sum, "std": is_sum, "min": is_ordered, "max": is_ordered}
    fits["distinct"] = not dtype.is_nested()
    if not fits.get(aggregation, True):
        raise SchemaMismatch(
            f"column {column!r} is {dtype}: it has no {aggregation}",
            hint="count, first and last are of any column; leave this one out",
        )
    if aggregation in {"count", "distinct"}:
        return _COUNTED
    if aggregation in {"mean", "std"} and is_number:
        return _REAL
    if aggregation == "sum" and is_number:
        return _sum_dtype(dtype)
    return dtype


def _sum_dtype(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Decimal):
        return pl.Decimal(_WIDEST, dtype.scale)
    return _REAL if dtype.is_float() else _COUNTED


class Values:
    """The values of a column that are not null, with the windows counted in them.

    Parameters
    ----------
    column : Series, shape (n,)
        In the order of the events.
    events : Events
        When they occurred.
    """

    def __init__(self, column: pl.Series, events: Events) -> None:
        self.name = column.name
        is_there = column.is_not_null().to_numpy()
        self._before = np.concatenate([[0], np.cumsum(is_there)])
        self.values = column.drop_nulls()
        self.events = Events(self._before[events.starts], events.times[is_there])
        self._prefix: pl.Series | None = None

    def within(self, span: Span) -> Windows:
        """Find the values in the windows of one length."""
        return Windows(self, self._before[span.low], self._before[span.high], span.length)

    @cached_property
    def gaps(self) -> tuple[Ints, Ints]:
        """Tell of each value how long ago its entity had an equal one, and how long until the next, microseconds."""
        runs = self.events.starts
        owner = np.repeat(np.arange(len(runs) - 1), np.diff(runs))
        frame = pl.DataFrame({"owner": owner, "time": self.events.times}).with_columns(self.values.alias("value"))
        time, never = pl.col("time"), _MOST - 1
        found = frame.select(
            (time - time.shift(1)).over("owner", "value").fill_null(never).alias("before"),
            (time.shift(-1) - time).over("owner", "value").fill_null(never).alias("after"),
        )
        return found["before"].to_numpy(), found["after"].to_numpy()

    def totals(self) -> pl.Series:
        """Add the values up from the first on; exact, so that a sum is the difference of two of these."""
        if self._prefix is None:
            dtype = self.values.dtype
            exact = self.values.to_physical() if isinstance(dtype, pl.Duration) else self.values
            if isinstance(dtype, pl.Decimal):
                widest = pl.Decimal(_WIDEST, dtype.scale)
                exact = _checked(exact.cast(widest), self.name, 10 ** (_WIDEST - dtype.scale), f"{_WIDEST} digits")
            else:
                exact = _checked(exact.cast(_COUNTED, strict=False), self.name, _MOST, "64 bits")
            self._prefix = pl.concat([exact.clear(1).fill_null(0), exact.cum_sum()])
        return self._prefix


def _checked(values: pl.Series, name: str, most: int, place: str) -> pl.Series:
    """Refuse numbers whose sum may not fit: it would come out wrong without a word, or fail in words of others."""
    low: Any = values.min()
    high: Any = values.max()
    # A decimal times a number is rounded to 28 digits; a fraction is exact.
    large = Fraction(max(abs(low or 0), abs(high or 0)))
    if values.null_count() or large * len(values) >= most:
        raise InvalidInputError(
            f"column {name!r} holds numbers whose sums may not fit into {place}",
            hint="save it as a column of floats, and aggregate that",
        )
    return values


class Windows:
    """The values of one column in the windows of one length.

    Parameters
    ----------
    column : Values
        The values.
    low, high : array, shape (s,)
        Where the values in each window begin and end.
    length : int or None
        How long the windows are, microseconds; None for those that never empty.
    """

    def __init__(self, column: Values, low: Ints, high: Ints, length: int | None) -> None:
        self._column = column
        self._low, self._high, self._length = low, high, length
        self._count = high - low
        self._slices: Slices | None = None

    def aggregate(self, aggregation: str) -> pl.Series:
        """Aggregate the values of each window.

        Returns
        -------
        Series, shape (s,)
            Null where a window has too few values: none, or one for a standard deviation.
        """
        known: dict[str, Callable[[], pl.Series]] = {
            "count": lambda: pl.Series(self._count),
            "sum": self._sum,
            "mean": self._mean,
            "std": self._std,
            "min": lambda: self._extreme(lesser, _MOST - 1),
            "max": lambda: self._extreme(greater, -1),
            "first": lambda: self._taken(self._low),
            "last": lambda: self._taken(self._high - 1),
            "distinct": self._distinct,
        }
        return known[aggregation]()

    def _fold(self, elements: Parts, neutral: tuple[float, ...], combine: Callable[[Parts, Parts], Parts]) -> Parts:
        if self._slices is None:
            self._slices = Slices(self._column.events.starts, self._low, self._high)
        with np.errstate(invalid="ignore", over="ignore"):
            return self._slices.fold(elements, neutral, combine)

    def _reals(self) -> Ints:
        values = self._column.values
        physical = values.to_physical() if isinstance(values.dtype, pl.Duration) else values
        return physical.cast(_REAL).to_numpy()

    def _total(self) -> pl.Series:
        """Sum each window up, without looking whether it is empty."""
        if self._column.values.dtype.is_float():
            return pl.Series(self._fold((self._reals(),), (0.0,), add)[0])
        totals = self._column.totals()
        return totals.gather(self._high) - totals.gather(self._low)

    def _sum(self) -> pl.Series:
        dtype = dtype_of("sum", self._column.values.dtype, self._column.name)
        return self._unless_fewer(self._total().cast(dtype), 1)

    def _mean(self) -> pl.Series:
        with np.errstate(invalid="ignore", divide="ignore"):
            means = pl.Series(self._total().cast(_REAL).to_numpy() / self._count)
        return self._unless_fewer(self._real(means, 1), 1)

    def _std(self) -> pl.Series:
        reals = self._reals()
        # What lies infinitely far from the mean has no deviation that could be told.
        reals = np.where(np.isfinite(reals), reals, np.nan)
        parts = (np.ones(len(reals)), reals, np.zeros(len(reals)))
        squares = self._fold(parts, (0.0, 0.0, 0.0), moments)[2]
        with np.errstate(invalid="ignore"):
            deviation = pl.Series(np.sqrt(squares / np.maximum(self._count - 1, 1)))
        return self._unless_fewer(self._real(deviation, 2), 2)

    def _real(self, numbers: pl.Series, least: int) -> pl.Series:
        """Give numbers as durations, if that is what they are of."""
        dtype = self._column.values.dtype
        if not isinstance(dtype, pl.Duration):
            return numbers
        return self._unless_fewer(numbers, least).round().cast(_COUNTED).cast(dtype)

    def _extreme(self, combine: Callable[[Parts, Parts], Parts], neutral: int) -> pl.Series:
        """Take an extreme by the rank of the values, which is exact for every type that has an order."""
        values = self._column.values
        ranks = values.rank("dense").cast(pl.Int64).to_numpy() - 1
        (chosen,) = self._fold((ranks,), (neutral,), combine)
        ordered = values.unique().sort(nulls_last=True)
        return self._gather(ordered, np.where(self._count > 0, chosen, 0))

    def _taken(self, places: Ints) -> pl.Series:
        return self._gather(self._column.values, np.where(self._count > 0, places, 0))

    def _gather(self, values: pl.Series, places: Ints) -> pl.Series:
        if not len(values):
            return values.clear(len(places))
        return self._unless_fewer(values.gather(places), 1)

    def _distinct(self) -> pl.Series:
        """Count different values.

        Of each value the times in which a window holds it are stretches: a new one begins with an event that no other
        of the value precedes by less than the length, and ends after one that none follows so soon. As many
        values are in a window as stretches have begun and not ended.
        """
        before, after = self._column.gaps
        length = _MOST - 1 if self._length is None else self._length
        begun = np.concatenate([[0], np.cumsum(before >= length)])
        if self._length is None:
            return pl.Series(begun[self._high] - begun[self._low])
        ended = np.concatenate([[0], np.cumsum(after >= length)])
        return pl.Series(begun[self._high] - ended[self._low])

    def _unless_fewer(self, values: pl.Series, least: int) -> pl.Series:
        if (self._count >= least).all():
            return values
        enough = pl.Series(self._count >= least)
        return values.zip_with(enough, values.clear(len(values)))
