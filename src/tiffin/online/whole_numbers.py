"""Integers, booleans, dates, times and decimals as whole numbers: what keys and rows hold of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAIVE = _EPOCH.replace(tzinfo=None)
_FEW = 8
"""Times below this number are made faster one by one."""
_EXACTLY = Context(prec=38, traps=[Inexact, InvalidOperation])

_BITS: dict[type[pl.DataType], int] = {
    pl.Int8: 8, pl.Int16: 16, pl.Int32: 32, pl.Int64: 64, pl.Int128: 128,
    pl.UInt8: 8, pl.UInt16: 16, pl.UInt32: 32, pl.UInt64: 64, pl.UInt128: 128,
}  # fmt: skip


@dataclass(frozen=True)
class Counting:
    """How the values of a dtype are counted by whole numbers, in the same order."""

    size_bytes: int
    """Bytes that hold each of the numbers."""
    is_signed: bool
    count: Callable[[Any], int | None]
    """The number of a value; None if no value of the dtype equals it. `TypeError` if it is of another kind."""
    value: Callable[[int], Any]
    """The value of a number, as Polars gives it in a row."""
    physical: Callable[[pl.Series], pl.Series]
    """The numbers of a column."""


def counting(dtype: pl.DataType) -> Counting | None:
    """Tell how the values of a dtype are counted.

    Parameters
    ----------
    dtype : polars.DataType
        Any.

    Returns
    -------
    Counting or None
        None for texts, bytes, floats and nested values. Datetimes count microseconds since 1970-01-01 UTC, whatever
        their unit, since tables hold no finer ones; durations count in their own unit, times in nanoseconds, dates in
        days, decimals in units of their last digit.
    """
    match dtype:
        case pl.Boolean():
            return Counting(1, False, _bool, bool, lambda column: column.cast(pl.UInt8))
        case pl.Date():
            return Counting(4, True, _days, lambda days: date.fromordinal(_DAY + days), pl.Series.to_physical)
        case pl.Datetime():
            return Counting(8, True, _microseconds, _to_datetime(dtype.time_zone), microseconds)
        case pl.Time():
            return Counting(8, True, _nanoseconds, _to_time, pl.Series.to_physical)
        case pl.Duration():
            return _durations(dtype.time_unit)
        case pl.Decimal():
            scale = dtype.scale or 0
            value = lambda units: Decimal(units).scaleb(-scale, _EXACTLY)  # noqa: E731 - a one-line function
            return Counting(16, True, _units(dtype.precision, scale), value, pl.Series.to_physical)
    bits = _BITS.get(dtype.base_type())
    if bits is None:
        return None
    return Counting(bits // 8, dtype.is_signed_integer(), _integer, int, lambda column: column)


def microseconds(times: pl.Series) -> pl.Series:
    """Count the microseconds of times since 1970-01-01 UTC.

    Parameters
    ----------
    times : Series, shape (n,)
        Datetimes of any unit and zone (naive ones are UTC), or dates (their midnight, UTC).

    Returns
    -------
    Series, shape (n,)
        Int64; null where the time is.
    """
    return times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None))).to_physical()


def datetimes(counts: Sequence[int | None]) -> list[datetime | None]:
    """Make datetimes of microseconds since 1970-01-01 UTC: without a zone, and many at once.

    Parameters
    ----------
    counts : sequence of int or None, length n
        Microseconds; None where there is no time.

    Returns
    -------
    list of datetime or None, length n
        In UTC.
    """
    if len(counts) < _FEW:
        return [None if count is None else _NAIVE + timedelta(0, 0, count) for count in counts]
    import numpy as np  # noqa: PLC0415 - heavy, and not needed to read rows

    found: list[datetime | None] = np.array(counts, dtype="datetime64[us]").tolist()
    return found


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _bool(value: Any) -> int:
    if not isinstance(value, bool):
        raise TypeError
    return int(value)


def _days(value: Any) -> int:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError
    return value.toordinal() - _DAY


def _microseconds(value: Any) -> int | None:
    if not isinstance(value, datetime):
        raise TypeError
    if getattr(value, "nanosecond", 0):  # of a pandas Timestamp
        return None
    try:
        instant = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        # Its zone puts it before the year 1, or after 9999.
        return None
    return (instant - _EPOCH) // _MICROSECOND


def _nanoseconds(value: Any) -> int:
    if not isinstance(value, time) or value.tzinfo is not None:
        raise TypeError
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 10**9 + value.microsecond * 1000


def _durations(unit: str) -> Counting:
    per_microsecond, per_unit = {"ns": (1000, 1), "us": (1, 1), "ms": (1, 1000)}[unit]

    def count(value: Any) -> int | None:
        if not isinstance(value, timedelta):
            raise TypeError
        number, rest = divmod(value // _MICROSECOND * per_microsecond, per_unit)
        number += getattr(value, "nanoseconds", 0) if unit == "ns" else 0  # of a pandas Timedelta
        return None if rest or (unit != "ns" and getattr(value, "nanoseconds", 0)) else number

    def value(number: int) -> timedelta:
        # Towards zero, as Polars does.
        whole = abs(number) * per_unit // per_microsecond
        return timedelta(microseconds=whole if number >= 0 else -whole)

    return Counting(8, True, count, value, pl.Series.to_physical)


def _units(precision: int, scale: int) -> Callable[[Any], int | None]:
    end = 10**precision

    def count(value: Any) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise TypeError
        try:
            number = int(Decimal(value).scaleb(scale, _EXACTLY).quantize(Decimal(1), context=_EXACTLY))
        except (Inexact, InvalidOperation, ValueError):
            # Finer or longer than any column's numbers, or no number at all.
            return None
        return number if -end < number < end else None

    return count


def _to_time(nanoseconds: int) -> time:
    seconds, rest = divmod(nanoseconds, 10**9)
    minutes, second = divmod(seconds, 60)
    return time(minutes // 60, minutes % 60, second, rest // 1000)


def _to_datetime(zone: str | None) -> Callable[[int], datetime]:
    if zone is None:
        naive = _EPOCH.replace(tzinfo=None)
        return lambda count: naive + timedelta(microseconds=count)
    there = ZoneInfo(zone)
    return lambda count: (_EPOCH + timedelta(microseconds=count)).astimezone(there)
