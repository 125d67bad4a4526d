"""Looking at the values of a version, column by column.

A column of many rows is counted through once, for what one pass can tell; what needs its values in order is told from
rows that were drawn by chance, because sorting costs more than reading does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl

from tiffin.quality.profiles import histogram as histograms
from tiffin.quality.profiles.profile import ColumnProfile, Common, Lengths, Profile, shortened
from tiffin.schema.dtypes import python_values

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
EXACT_ROWS = 100_000
"""Up to so many rows everything is counted. Beyond, so many are drawn: the rank of a quantile that they give is off by
0.16 % of the rows (one standard error, at the median)."""

_MOST_SHOWN = 10
_JSON_INTEGERS = range(-(1 << 63), 1 << 64)
_SEED = 0
_AT_ONCE = 2


def profile(table: str, version: int, columns: Sequence[str], read: Callable[[str], pl.Series]) -> Profile:
    """Look at the columns of a version, two at a time: no more are in memory.

    Parameters
    ----------
    table : str
        `group/name`.
    version : int
        Its version.
    columns : sequence of str
        Which columns.
    read : callable
        Reads one; called from two threads.

    Returns
    -------
    Profile
    """

    @cache
    def places(rows: int) -> pl.Series | None:
        return drawn(rows, EXACT_ROWS)

    def look(name: str) -> tuple[int, ColumnProfile]:
        values = read(name)
        return len(values), _column(values, places(len(values)))

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tiffin-profile") as pool:
        found = list(pool.map(look, columns))
    rows = found[0][0] if found else 0
    return Profile(table=table, version=version, rows=rows, columns=tuple(column for _, column in found))


def drawn(rows: int, most: int) -> pl.Series | None:
    """Draw places of rows by chance, the same ones each time; None if there are no more than `most`."""
    return None if rows <= most else pl.int_range(rows, eager=True).sample(most, seed=_SEED).sort()


def _column(values: pl.Series, places: pl.Series | None) -> ColumnProfile:
    dtype = values.dtype
    about: dict[str, Any] = {"name": values.name, "dtype": str(dtype), "nulls": values.null_count()}
    if dtype.is_float():
        about |= {"nans": _count(values.is_nan()), "infinities": _count(values.is_infinite())}
        values = values.set(~values.is_finite(), None) if about["nans"] or about["infinities"] else values
    present = values.drop_nulls()
    some = present if places is None else values.gather(places).drop_nulls()
    share = len(some) / len(present) if len(present) else 1.0
    if dtype == pl.Boolean:
        return ColumnProfile(**about, **_bools(_count(present), len(present)))
    about |= {"is_exact": places is None, "sampled": None if places is None else len(places)}
    if not dtype.is_nested() and dtype not in {pl.Binary, pl.Null}:
        estimate: Any = present.n_unique() if places is None else present.approx_n_unique()
        about |= {"distinct": min(estimate, len(present))}
    if dtype.is_numeric():
        about |= _numbers(present, some, share)
    elif isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        about |= _texts(present, some, share)
    elif dtype.is_temporal():
        about |= _times(present, some, share)
    else:
        about |= _nested(present, some, share)
    return ColumnProfile(**about)


def _bools(true: int, rows: int) -> dict[str, Any]:
    counts = [Common(value, count) for value, count in ((False, rows - true), (True, true)) if count]
    common = tuple(sorted(counts, key=lambda each: -each.rows))
    return {"distinct": len(common), "mean": true / rows if rows else None, "common": common}


def _numbers(present: pl.Series, some: pl.Series, share: float) -> dict[str, Any]:
    # A decimal's figures are taken in floats; its extremes are what they are.
    floats, ordered = present.cast(pl.Float64), some.cast(pl.Float64).sort()
    is_whole = present.dtype.is_integer()
    return {
        "zeros": _count(present == 0),
        "min": _plain(present.min()),
        "max": _plain(present.max()),
        "mean": _finite(floats.mean()),
        "std": _finite(floats.std()) if len(floats) > 1 else None,
        "quantiles": {str(at): _between(ordered, at) for at in QUANTILES} if len(ordered) else {},
        "histogram": _histogram(ordered, share, is_whole=is_whole),
        "common": _common(some, share) if is_whole else (),
    }


def _times(present: pl.Series, some: pl.Series, share: float) -> dict[str, Any]:
    ordered = some.sort()
    seconds = histograms.numbers_of(ordered)
    places = {str(at): int(at * (len(ordered) - 1)) for at in QUANTILES}
    return {
        "min": _at(present, present.arg_min()),
        "max": _at(present, present.arg_max()),
        "quantiles": {at: _at(ordered, place) for at, place in places.items()} if len(ordered) else {},
        "histogram": None if seconds is None else _histogram(seconds, share),
    }


def _texts(present: pl.Series, some: pl.Series, share: float) -> dict[str, Any]:
    lengths = _lengths(present.cast(pl.String).str.len_chars())
    return {
        # An enum has an order of its own.
        "min": _plain(present.min()),
        "max": _plain(present.max()),
        "mean": None if lengths is None else lengths.mean,
        "lengths": lengths,
        "common": _common(some.cast(pl.String), share),
    }


def _nested(present: pl.Series, some: pl.Series, share: float) -> dict[str, Any]:
    lengths = histograms.numbers_of(some)
    return {
        "lengths": _lengths(histograms.lengths_of(present)),
        "histogram": None if lengths is None else _histogram(lengths.sort(), share, is_whole=True),
    }


def _lengths(lengths: pl.Series | None) -> Lengths | None:
    if lengths is None or not len(lengths):
        return None
    found = lengths.to_frame("it").select(low=pl.col("it").min(), mean=pl.col("it").mean(), high=pl.col("it").max())
    return Lengths(*found.row(0))


def _histogram(ordered: pl.Series, share: float, *, is_whole: bool = False) -> histograms.Histogram | None:
    if not len(ordered):
        return None
    return histograms.histogram(ordered, histograms.choose(*histograms.fence(ordered), is_whole=is_whole), share)


def _common(some: pl.Series, share: float) -> tuple[Common, ...]:
    counts = some.rename("value").to_frame().group_by("value").len()
    most = counts.top_k(_MOST_SHOWN, by=["len", "value"], reverse=[False, True])
    rows = most.sort(["len", "value"], descending=[True, False]).iter_rows()
    return tuple(Common(_plain(value), round(count / share)) for value, count in rows)


def _count(mask: pl.Series) -> int:
    return int(mask.sum())


def _finite(value: Any) -> float | None:
    """Return a figure, unless it is too large for a float."""
    return float(value) if value is not None and math.isfinite(value) else None


def _between(ordered: pl.Series, at: float) -> float:
    """Interpolate between the two values next to a rank, such that the distance of the largest floats is no trouble."""
    place = at * (len(ordered) - 1)
    low = int(place)
    weight = place - low
    return float(ordered[low] * (1 - weight) + ordered[min(low + 1, len(ordered) - 1)] * weight)


def _at(values: pl.Series, place: int | None) -> Any:
    """Return one of some times; None without a place."""
    return None if place is None else python_values(values[place : place + 1])[0]


def _plain(value: Any) -> Any:
    """Return a value as it is; a long text shortened, a number that JSON has not as a decimal."""
    if isinstance(value, int) and value not in _JSON_INTEGERS:
        return Decimal(value)
    return shortened(value) if isinstance(value, str) else value
