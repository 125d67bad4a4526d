"""Texts that CSV and JSON have in place of values: read as what a column is to hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.frames.ingest import ingest

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DIGITS = {"ms": 3, "us": 6, "ns": 6}
_ISO_DAY = r"^\d{4}-\d\d-\d\d"


def from_json(
    rows: Sequence[Mapping[str, Any]],
    known: Mapping[str, pl.DataType],
    times: Collection[str] = (),
    *,
    is_new_schema: bool = False,
) -> pl.DataFrame:
    """Turn rows as JSON has them into a frame whose columns have the types they are meant to have.

    Parameters
    ----------
    rows : sequence of mapping, length n
        Column to value. Times and durations in ISO 8601, decimals as text, bytes in base64; NaN and infinities in
        words where the column holds floats.
    known : mapping of str to DataType
        The columns of the table that they are meant for; others take the types that their values have.
    times : collection of str
        Columns that hold times, in UTC where they say no zone.
    is_new_schema : bool
        Values that are not of their column's type keep their own: the table is to change.

    Returns
    -------
    DataFrame, shape (n, k)

    Raises
    ------
    InvalidInputError
        A value is not of its column's type: names the column and the row.
    """
    floats = [name for name, dtype in known.items() if dtype.is_float()]
    rows = _without_words(rows, floats, is_new_schema=is_new_schema)
    rows, maps = _maps_apart(rows, known, is_new_schema=is_new_schema)
    return as_meant(ingest(rows).frame.with_columns(maps), known, times, is_new_schema=is_new_schema)


def as_meant(
    frame: pl.DataFrame,
    known: Mapping[str, pl.DataType],
    times: Collection[str] = (),
    *,
    is_new_schema: bool = False,
) -> pl.DataFrame:
    """Give the columns of a frame, texts among them, the types they are meant to have; see `from_json`."""

    def meant(column: pl.Series) -> pl.Series:
        if column.name in known:
            try:
                return as_known(column, known[column.name])
            except InvalidInputError:
                if not is_new_schema:
                    raise
        # What it came as: whether the table may change so, the store decides.
        return as_time(column) if column.name in times else column

    return pl.DataFrame([meant(column) for column in frame.iter_columns()])


def _without_words(
    rows: Sequence[Mapping[str, Any]], floats: Collection[str], *, is_new_schema: bool
) -> Sequence[Mapping[str, Any]]:
    if is_new_schema:
        # Where there are other texts too, the column is to hold text.
        texts = {name: {row[name] for row in rows if isinstance(row.get(name), str)} for name in floats}
        floats = [name for name, found in texts.items() if found <= _WORDS.keys()]
    if not any(isinstance(row.get(name), str) for name in floats for row in rows):
        return rows
    return [
        {**row, **{name: _WORDS.get(row[name], row[name]) for name in floats if isinstance(row.get(name), str)}}
        for row in rows
    ]


def _maps_apart(
    rows: Sequence[Mapping[str, Any]], known: Mapping[str, pl.DataType], *, is_new_schema: bool
) -> tuple[Sequence[Mapping[str, Any]], list[pl.Series]]:
    """Read columns of maps by themselves: an object of JSON alone looks like a struct with the keys of all rows."""
    names = [name for name, dtype in known.items() if holds_map(dtype) and any(name in row for row in rows)]
    if not names:
        return rows, []
    maps = []
    for name in names:
        try:
            maps.append(_nested(name, [row.get(name) for row in rows], known[name]))
        except InvalidInputError:
            if not is_new_schema:
                raise
    read = dict.fromkeys(column.name for column in maps)
    return [{**row, **read} for row in rows], maps


def holds_map(dtype: Any) -> bool:
    """Tell whether a column holds maps, be it inside of lists and structs."""
    if isinstance(dtype, pl.Struct):
        return any(holds_map(field.dtype) for field in dtype.fields)
    return isinstance(dtype, pl.Map) or (isinstance(dtype, pl.List | pl.Array) and holds_map(dtype.inner))


def as_known(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Give a column the type that the table has for it; text is read as what it says.

    Parameters
    ----------
    column : Series, shape (n,)
        As it came.
    dtype : DataType
        As the table has it.

    Returns
    -------
    Series, shape (n,)
        Numbers that have no exact place in the type are left as they are: the store decides about them.

    Raises
    ------
    InvalidInputError
        A text is no value of the type.
    """
    if dtype in {column.dtype, pl.Null}:
        return column
    if column.dtype.is_nested() and dtype.is_nested():
        return _nested(column.name, column.to_list(), dtype)
    if column.dtype != pl.String:
        cast = column.cast(dtype, strict=False) if _can_cast(column.dtype, dtype) else column
        if dtype.is_float() and column.dtype.is_float():
            # Written as 0.1, a number means the nearest one that the column has.
            return cast if cast.is_infinite().equals(column.is_infinite()) else column
        is_exact = cast.dtype == dtype and cast.cast(column.dtype, strict=False).equals(column, null_equal=True)
        return cast if is_exact else column
    parsed = as_values(column, dtype)
    wrong = (parsed.is_null() & column.is_not_null()).arg_true()
    if len(wrong):
        raise InvalidInputError(
            f"column {column.name!r} is {dtype} in the table; row {wrong[0]} holds {column[wrong[0]]!r}",
            hint="correct it, or change the column's type: overwrite the table and let it evolve",
        )
    return parsed


def as_time(column: pl.Series) -> pl.Series:
    """Read a column of ISO 8601 texts as days, if there are only days, or as instants in UTC.

    Raises
    ------
    InvalidInputError
        A text is no time.
    """
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else column
    if column.dtype != pl.String:
        return column
    is_day = column.str.contains(_ISO_DAY + r"\s*$").all()
    parsed = as_values(column, pl.Date() if is_day else pl.Datetime("us", "UTC"))
    wrong = (parsed.is_null() & column.is_not_null()).arg_true()
    if len(wrong):
        raise InvalidInputError(
            f"column {column.name!r} is declared as a time; row {wrong[0]} holds {column[wrong[0]]!r}",
            hint="write times like 2024-05-31T12:00:00Z, to the microsecond at most",
        )
    return parsed


def as_values(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Read texts as values of a type that CSV can write; null where a text is none, or finer than the type."""
    trimmed = texts.str.strip_chars()
    if isinstance(dtype, pl.Datetime | pl.Duration):
        # Python, which reads durations and some times, has no nanoseconds.
        digits = 9 if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns" else _DIGITS[dtype.time_unit]
        texts = trimmed = trimmed.set(trimmed.str.contains(rf"[.,]\d{{{digits}}}\d*[1-9]").fill_null(value=False), None)
    if isinstance(dtype, pl.Datetime):
        instants = _instants(trimmed, dtype)
        return (
            instants.dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else instants.dt.replace_time_zone(None)
        )
    if dtype == pl.Date:
        return trimmed.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Time:
        return trimmed.str.to_time(strict=False)
    if dtype == pl.Boolean:
        return trimmed.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
    if isinstance(dtype, pl.Duration) or dtype.is_nested() or dtype == pl.Binary:
        return _decoded(texts, dtype)
    if isinstance(dtype, pl.Decimal):
        # A cast would round.
        trimmed = trimmed.set(trimmed.str.contains(rf"\.\d{{{dtype.scale}}}\d*[1-9]").fill_null(value=False), None)
    return (trimmed if dtype.is_numeric() else texts).cast(dtype, strict=False)


def _instants(texts: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Read ISO 8601 texts as instants in UTC; null where a text is none."""
    # Polars alone would also take 01/02/2024, and guess which of them is the month.
    iso = texts.set(~texts.str.contains(_ISO_DAY).fill_null(value=False), None)
    instants = iso.str.to_datetime(time_unit=dtype.time_unit, time_zone="UTC", strict=False)
    # It expects all texts to be written the same way; the others are read one by one.
    left = (instants.is_null() & iso.is_not_null()).arg_true()
    if not len(left):
        return instants
    return instants.scatter(left, pl.Series([_instant(text) for text in iso.gather(left)], dtype=instants.dtype))


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _decoded(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Read ISO 8601 durations, base64, and lists and structs that stand as JSON; null where a text is none."""
    kind = _python(dtype)
    values: list[Any] = []
    for text in texts:
        try:
            given = msgspec.json.decode(text) if dtype.is_nested() and text is not None else text
            values.append(_plain(msgspec.convert(given, kind, str_keys=True)))
        except (msgspec.MsgspecError, RecursionError):
            values.append(None)
    return pl.Series(texts.name, values, dtype=dtype, strict=False)


def _nested(name: str, found: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """Read the texts inside of lists, structs and maps, and make them what the column is to hold."""
    try:
        kind = _python(dtype)
        values = [_plain(msgspec.convert(value, kind, str_keys=True)) for value in found]
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (msgspec.ValidationError, pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise InvalidInputError(
            f"column {name!r} is {dtype} in the table, and holds something else: {error}",
            hint="correct it, or change the column's type: overwrite the table and let it evolve",
        ) from error


def _python(dtype: Any) -> Any:
    """Name the Python type of a column's values, null among them, as far into lists and structs as they go."""
    if isinstance(dtype, pl.List | pl.Array):
        return list[_python(dtype.inner)] | None  # type: ignore[misc]  # found while running
    if isinstance(dtype, pl.Struct):
        fields = [(f"field{number}", _python(field.dtype), None) for number, field in enumerate(dtype.fields)]
        names = {f"field{number}": field.name for number, field in enumerate(dtype.fields)}
        return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True) | None
    if isinstance(dtype, pl.Map):
        return dict[_python(dtype.key), _python(dtype.value)] | None  # type: ignore[misc]  # as above
    return (str if isinstance(dtype, pl.Categorical | pl.Enum) else dtype.to_python()) | None


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, builtin_types=(datetime, date, time, timedelta, Decimal, bytes))


def _can_cast(old: pl.DataType, new: pl.DataType) -> bool:
    return old == pl.Null or (old.is_numeric() and new.is_numeric()) or (old.is_temporal() and new.is_temporal())
