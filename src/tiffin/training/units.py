"""Times and keys of a spine and of a table, brought to one form in which they compare exactly.

Times are counted in whole microseconds since 1970-01-01 UTC, as tables store them. What is finer or does not fit is
not cut off to something that would match: see each function.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from tiffin.errors import SchemaMismatch

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
_DAY_NS = 86_400_000_000_000
_US_NS = _NS["us"]
_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)
_KINDS: dict[str, tuple[type[pl.DataType], ...]] = {
    "whole numbers": (*_NARROW, pl.UInt64, pl.Int128, pl.UInt128),
    "decimals": (pl.Decimal,),
    "floats": (pl.Float16, pl.Float32, pl.Float64),
    "texts": (pl.String, pl.Categorical, pl.Enum),
    "booleans": (pl.Boolean,),
    "bytes": (pl.Binary,),
    "times": (pl.Date, pl.Datetime),
    "durations": (pl.Duration,),
    "times of day": (pl.Time,),
    "nulls": (pl.Null,),
}
_ALSO = {"whole numbers": {"decimals", "floats"}, "decimals": {"whole numbers"}}
"""Kinds of a spine's keys that are compared with a table's, besides the table's own."""
_EXACT_BITS: dict[type[pl.DataType], int] = {pl.Float16: 11, pl.Float32: 24, pl.Float64: 53}
"""Below two to this power, every whole number has a float of its own."""


def since_epoch(moment: datetime) -> int:
    """Count the microseconds from 1970-01-01 UTC to a moment; one without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def time_limits(times: pl.Series, what: str) -> tuple[pl.Series, pl.Series]:
    """Bring times to microseconds, such that comparing them with a table's times is exact.

    Parameters
    ----------
    times : Series of Datetime or Date, shape (n,)
        In any unit and zone; without a zone they are UTC, and a date is its midnight there.
    what : str
        What they are, for messages.

    Returns
    -------
    tuple of two Series of Int64, shape (n,)
        Rounded down, for "not after", and rounded up, for "not older than". A time too far away to be counted, some
        292,000 years, is as far away as can be.

    Raises
    ------
    SchemaMismatch
        They are no times.
    """
    if times.dtype == pl.Null:
        times = times.cast(pl.Datetime("us"))
    if not isinstance(times.dtype, pl.Datetime | pl.Date):
        raise SchemaMismatch(
            f"{what} holds {times.dtype}, not times",
            hint="a time is a datetime or date column; parse texts and numbers first",
        )
    unit = _unit_ns(times.dtype)
    count = times.to_physical().cast(pl.Int64)
    if unit < _US_NS:
        down = count // (_US_NS // unit)
        return down, down + (count % (_US_NS // unit) != 0).cast(pl.Int64)
    scaled = _scaled(count, unit // _US_NS, saturate=True)
    return scaled, scaled


def stored_times(column: pl.Series) -> pl.Series:
    """Bring a table's times, as they are stored, to microseconds.

    Parameters
    ----------
    column : Series of Datetime or Date, shape (m,)
        Stored values: microseconds or days.
    """
    return _scaled(column.to_physical().cast(pl.Int64), _unit_ns(column.dtype) // _US_NS, saturate=True)


def comparable(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Bring a table's key column, as it is stored, to the form in which keys are compared.

    Parameters
    ----------
    column : Series, shape (m,)
        Stored values.
    dtype : DataType
        What the table declares.
    """
    if _kind(dtype) == "times":
        return stored_times(column)
    return column.cast(_form(dtype))


def comparable_keys(keys: pl.Series, dtype: pl.DataType, table: str) -> pl.Series:
    """Bring a spine's key column to the form in which a table's are compared.

    Parameters
    ----------
    keys : Series, shape (n,)
        The spine's.
    dtype : DataType
        What the table declares for the column.
    table : str
        The table's name, for messages.

    Returns
    -------
    Series, shape (n,)
        Null where the table's type has no such value: nothing can match it.

    Raises
    ------
    SchemaMismatch
        Keys of these two types are never equal, or only by accident.
    """
    own, theirs = _kind(keys.dtype), _kind(dtype)
    if own == "nulls":
        return keys.cast(_form(dtype))
    if not meet(keys.dtype, dtype):
        raise SchemaMismatch(
            f"key column {keys.name!r} of table {table} holds {theirs} ({dtype}), the spine's holds {own} "
            f"({keys.dtype})",
            hint=f"cast the spine's column to {dtype}",
            column=keys.name,
        )
    if own == "floats":
        keys = _whole(keys, dtype, table)
    if own in {"times", "durations"}:
        return _recounted(keys.to_physical().cast(pl.Int64), _unit_ns(keys.dtype), _target_ns(dtype))
    form = _form(dtype)
    cast = keys.cast(form, strict=False)
    if own in {"texts", "booleans", "bytes", "times of day"}:
        return cast
    # There and back: a number that the form has no place for would come back as another one.
    return cast.set(cast.cast(keys.dtype, strict=False) != keys, None)


def meet(given: pl.DataType, dtype: pl.DataType) -> bool:
    """Tell whether keys of some type are compared with a table's of another.

    Raises
    ------
    SchemaMismatch
        Values of one of the types cannot be keys.
    """
    own, theirs = _kind(given), _kind(dtype)
    return own in {theirs, "nulls"} or own in _ALSO.get(theirs, ())


def _whole(keys: pl.Series, dtype: pl.DataType, table: str) -> pl.Series:
    """Take floats for whole numbers if they are: pandas makes floats of whole numbers with a gap."""
    most = 2.0 ** _EXACT_BITS[keys.dtype.base_type()]
    wrong = (keys.is_not_nan() & ((keys.floor() != keys) | (keys.abs() >= most))).arg_true()
    if len(wrong):
        raise SchemaMismatch(
            f"key column {keys.name!r} of table {table} holds whole numbers ({dtype}); row {wrong[0]} of the spine "
            f"holds the float {keys[wrong[0]]!r}, which stands for none of them",
            hint="give the keys as whole numbers: .cast(pl.Int64) in Polars, .astype('Int64') in pandas",
            column=keys.name,
        )
    return keys.cast(pl.Int64, strict=False)


def _kind(dtype: pl.DataType) -> str:
    base = dtype.base_type()
    for kind, bases in _KINDS.items():
        if base in bases:
            return kind
    raise SchemaMismatch(f"values of type {dtype} cannot be keys", hint="use whole numbers, texts, dates or booleans")


def _form(dtype: pl.DataType) -> pl.DataType:
    match _kind(dtype):
        case "whole numbers":
            return pl.Int64() if dtype.base_type() in _NARROW else pl.Int128()
        case "decimals":
            assert isinstance(dtype, pl.Decimal)
            return pl.Decimal(38, dtype.scale)
        case "texts":
            return pl.String()
        case "booleans" | "bytes":
            return dtype
    return pl.Int64()


def _unit_ns(dtype: pl.DataType) -> int:
    return _NS[dtype.time_unit] if isinstance(dtype, pl.Datetime | pl.Duration) else _DAY_NS


def _target_ns(dtype: pl.DataType) -> int:
    return _unit_ns(dtype) if isinstance(dtype, pl.Duration) else _US_NS


def _recounted(count: pl.Series, unit: int, target: int) -> pl.Series:
    """Count in another unit; null where it does not come out even."""
    if unit >= target:
        return _scaled(count, unit // target, saturate=False)
    factor = target // unit
    return (count // factor).set(count % factor != 0, None)


def _scaled(count: pl.Series, factor: int, *, saturate: bool) -> pl.Series:
    if factor == 1:
        return count
    most = _MOST // factor
    above, below = (_MOST, _LEAST) if saturate else (None, None)
    return (count * factor).set(count > most, above).set(count < -most, below)
