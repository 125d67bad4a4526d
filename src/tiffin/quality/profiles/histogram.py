"""Histograms whose bins fit those of other versions, and the numbers that values of any type are counted by.

The width of a bin is a power of two and its edges are multiples of the width. So of any two histograms the wider bins
are made of whole narrower ones: what was counted of two versions can be laid over each other without reading the rows
again, and a value lies in a bin by exact arithmetic, not by how a division was rounded.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import polars as pl

MOST_BINS = 64

_PER_SECOND = {"ms": 1e3, "us": 1e6, "ns": 1e9}
_SECONDS_A_DAY = 86_400
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years that can be written, 1 to 9999."""
_FINEST, _COARSEST = -1000, 1018
"""Exponents of widths that floats can still be divided by."""


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """How many values lie in each of some bins of equal width, the lower edge included.

    Of times the edges are seconds since 1970-01-01 UTC, of times of day seconds since midnight, of durations seconds.
    """

    start: float
    """Lower edge of the first bin, a multiple of `width`."""
    width: float
    """A power of two."""
    counts: tuple[int, ...]
    below: int = 0
    """Values before the first bin: the bins leave out what lies further from the middle 98 % than these are wide."""
    above: int = 0
    """Values after the last bin."""

    def edge(self, number: int) -> float:
        """Return the lower edge of a bin; of one past the last, the end."""
        return self.start + number * self.width


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """Which bins a histogram has."""

    first: int
    """Its first edge, in widths."""
    width: float
    count: int

    @property
    def edges(self) -> list[float]:
        """The lower edges of the bins, and the end of the last."""
        return [(self.first + number) * self.width for number in range(self.count + 1)]


def numbers_of(values: pl.Series) -> pl.Series | None:
    """Return values as 64-bit floats in which their order and distances are kept; None where they have none.

    Numbers are themselves; times become seconds, lists and bytes their lengths. Nulls stay.
    """
    dtype = values.dtype
    if dtype.is_numeric():
        return values.cast(pl.Float64)
    if isinstance(dtype, pl.Date):
        return values.to_physical().cast(pl.Float64) * _SECONDS_A_DAY
    if isinstance(dtype, pl.Datetime | pl.Duration):
        return values.to_physical().cast(pl.Float64) / _PER_SECOND[dtype.time_unit]
    if isinstance(dtype, pl.Time):
        return values.to_physical().cast(pl.Float64) / _PER_SECOND["ns"]
    lengths = lengths_of(values)
    return None if lengths is None else lengths.cast(pl.Float64)


def lengths_of(values: pl.Series) -> pl.Series | None:
    """Return how long each list is, or the bytes of each binary; None for other types."""
    dtype = values.dtype
    if isinstance(dtype, pl.List):
        return values.list.len()
    if isinstance(dtype, pl.Array):
        return values.is_not_null().replace_strict({True: dtype.size, False: None}, return_dtype=pl.UInt32)
    return values.bin.size() if dtype == pl.Binary else None


def choose(low: float, high: float, *, is_whole: bool = False) -> Bins:
    """Choose bins from one value to another: as narrow as `MOST_BINS` of them allow.

    Parameters
    ----------
    low, high : float
        Finite; low is not greater.
    is_whole : bool
        Whether the values are whole numbers, which bins narrower than 1 would not tell apart any better.

    Returns
    -------
    Bins
        32 to 64 bins, or fewer where the values have no room for them.
    """
    largest = max(abs(low), abs(high))
    # Halves, because the distance between the largest floats is none.
    span = (high / 2 - low / 2) or 1.0
    exponent = math.frexp(span)[1] + 1 - MOST_BINS.bit_length()
    # Narrower than two neighbouring floats are apart, an edge would not be a float.
    least = max(_FINEST, math.frexp(math.ulp(largest))[1] - 1, 0 if is_whole else _FINEST)
    exponent = min(max(exponent, least), _COARSEST)
    while True:
        width = math.ldexp(1.0, exponent)
        first, last = math.floor(low / width), math.floor(high / width)
        if last - first < MOST_BINS:
            return Bins(first=first, width=width, count=last - first + 1)
        exponent += 1


def histogram(ordered: pl.Series, bins: Bins, share: float = 1.0) -> Histogram:
    """Count sorted values by bins.

    Parameters
    ----------
    ordered : Series of Float64
        Ascending, without nulls and NaN.
    bins : Bins
        Which bins.
    share : float
        The share that the values are of all: counts are scaled up by it.

    Returns
    -------
    Histogram
    """
    cuts = [int(place) for place in ordered.search_sorted(pl.Series(bins.edges, dtype=pl.Float64), side="left")]
    parts = [cuts[0], *(high - low for low, high in pairwise(cuts)), len(ordered) - cuts[-1]]
    below, *counts, above = (round(count / share) for count in parts)
    return Histogram(start=bins.first * bins.width, width=bins.width, counts=tuple(counts), below=below, above=above)


def label(number: float, dtype: str) -> str:
    """Write an edge as the column's values are written: a time for the seconds that stand for it.

    Parameters
    ----------
    number : float
        An edge.
    dtype : str
        The column's type, as a profile names it.
    """
    kind = dtype.partition("(")[0]
    if kind in {"Date", "Datetime"} and _FIRST_SECOND <= number <= _LAST_SECOND:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        return f"{moment:%Y-%m-%d}" if kind == "Date" else f"{moment:%Y-%m-%d %H:%M}"
    if kind in {"Duration", "Time"} and abs(number) <= _LAST_SECOND:
        return str(timedelta(seconds=number))
    return f"{number:.4g}"


def fence(ordered: pl.Series) -> tuple[float, float]:
    """Find between which values bins are worth their place: a few far outliers would put all others into one.

    Parameters
    ----------
    ordered : Series of Float64
        Finite, ascending, at least one.

    Returns
    -------
    (float, float)
        The least and greatest value, but none further from the middle 98 % than these are wide (Tukey's fences, with
        percentiles for his quartiles: J. W. Tukey, Exploratory Data Analysis, 1977).
    """
    least, most, last = ordered[0], ordered[-1], len(ordered) - 1
    low, high = ordered[last // 100], ordered[last - last // 100]
    reach = high - low
    if not reach or math.isinf(reach):
        return least, most
    return max(least, low - reach), min(most, high + reach)
