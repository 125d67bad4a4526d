"""Column types: how a Polars dtype is named in metadata and held in a Delta table.

A column has a *dtype*, the Polars type that its users see, and a *stored* dtype, the nearest one that Delta
and Parquet hold without losing a value. Only the dtype is remembered; the stored one follows from it:

=======================================  =====================  ====================
dtype                                    stored dtype           Delta type
=======================================  =====================  ====================
String, Binary, Boolean, Date            the same               string, binary, …
Int8 … Int64, Float32, Float64, Decimal  the same               byte … long, float …
UInt8, UInt16, UInt32                    Int16, Int32, Int64    short, integer, long
UInt64                                   Decimal(20, 0)         decimal(20,0)
Int128, UInt128                          Decimal(38, 0)         decimal(38,0)
Float16                                  Float32                float
Datetime, any unit and zone              Datetime(us, UTC)      timestamp
Duration, Time                           Int64, in their unit   long
Categorical, Enum, Null                  String                 string
List and Array, Struct, Map              List, Struct, Map      array, struct, map
=======================================  =====================  ====================

Datetimes finer than a microsecond and 128-bit integers of more than 38 digits are refused, never rounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from tiffin.errors import CorruptData, InvalidInputError, SchemaMismatch

DeltaType = str | dict[str, Any]
"""A type as the Delta protocol writes it in JSON: a name, or an object for array, struct and map."""

MAX_CATEGORIES = 65_536
"""Categories of one column; they are kept in the table's metadata, which every reader loads."""

MAX_DEPTH = 16
"""How deep lists, structs and maps may lie within one another."""

_SIMPLE: dict[str, type[pl.DataType]] = {
    dtype.__name__: dtype
    for dtype in (
        pl.Binary, pl.Boolean, pl.Date, pl.Float16, pl.Float32, pl.Float64, pl.Int8, pl.Int16, pl.Int32, pl.Int64,
        pl.Int128, pl.Null, pl.String, pl.Time, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128,
    )
}  # fmt: skip

_STORED: dict[type[pl.DataType], pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Int128: pl.Decimal(38, 0),
    pl.UInt128: pl.Decimal(38, 0),
    pl.Float16: pl.Float32(),
    pl.Datetime: pl.Datetime("us", "UTC"),
    pl.Duration: pl.Int64(),
    pl.Time: pl.Int64(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
    pl.Null: pl.String(),
}

_DELTA: dict[type[pl.DataType], str] = {
    pl.String: "string",
    pl.Int64: "long",
    pl.Int32: "integer",
    pl.Int16: "short",
    pl.Int8: "byte",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.Binary: "binary",
    pl.Date: "date",
    pl.Datetime: "timestamp",
}

_AS_IT_IS = {pl.Decimal, *_DELTA} - {pl.Datetime}
"""What the files hold just as it is."""

_EPOCH = date(1970, 1, 1)
_PER_DAY: dict[type[pl.DataType], int] = {pl.Date: 1, pl.Datetime: 86_400_000_000}
"""Of what a stored date or datetime counts, as many as a day has."""

_FROM_DELTA: dict[str, pl.DataType] = {
    **{name: dtype() for dtype, name in _DELTA.items()},
    "timestamp": pl.Datetime("us", "UTC"),
    "timestamp_ntz": pl.Datetime("us"),
    "void": pl.Null(),
}


def stored_dtype(dtype: pl.DataType) -> pl.DataType:
    """Name the Polars dtype that a Delta table holds for a column of this dtype.

    Parameters
    ----------
    dtype : polars.DataType
        The column's dtype.

    Returns
    -------
    polars.DataType
        The nearest dtype that Delta has; `dtype` itself where Delta has it.

    Raises
    ------
    InvalidInputError
        If no Delta type can hold it (Object, extension types, a struct without fields).
    """
    return _stored(dtype, 0)


def _stored(dtype: pl.DataType, depth: int) -> pl.DataType:
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"a column's type is nested more than {MAX_DEPTH} deep", hint="flatten it first")
    base = dtype.base_type()
    if base in _AS_IT_IS:
        return dtype
    match dtype:
        case pl.List() | pl.Array():
            return pl.List(_stored(_instance(dtype.inner), depth + 1))
        case pl.Map():
            return pl.Map(_stored(_instance(dtype.key), depth + 1), _stored(_instance(dtype.value), depth + 1))
        case pl.Struct() if dtype.fields:
            return pl.Struct({field.name: _stored(_instance(field.dtype), depth + 1) for field in dtype.fields})
        case pl.Enum() if len(dtype.categories) > MAX_CATEGORIES:
            raise InvalidInputError(
                f"a column has {len(dtype.categories):,} categories; at most {MAX_CATEGORIES:,} can be kept",
                hint="save it as strings",
            )
    if base in _STORED:
        return _STORED[base]
    raise InvalidInputError(
        f"a column of type {dtype} cannot be stored in a table",
        hint="cast it to one of the types that docs/dtypes.md lists",
        dtype=str(dtype),
    )


def _instance(dtype: Any) -> pl.DataType:
    """Polars accepts `Int64` for `Int64()` and gives back whichever it was given."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[no-any-return]


def to_stored(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn every column into its stored dtype, or refuse what would not come back.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        What the user saved.

    Returns
    -------
    polars.DataFrame, shape (n, k)
        The same values in stored dtypes; `frame` itself if they are stored dtypes already.

    Raises
    ------
    InvalidInputError
        If a type cannot be stored, or a value does not fit the stored type; names column and row.
    """
    converted = []
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        target = _stored_column(name, dtype)
        if target is not dtype and target != dtype:
            column = frame.get_column(name)
            # Not strict: every value fits, and Polars 2.1's strict casts panic on null arrays of lists
            converted.append(_exact(column, target) if _may_lose(dtype) else column.cast(target, strict=False))
    return frame.with_columns(converted) if converted else frame


def outside_calendar(column: pl.Series) -> int | None:
    """Find a time outside the years 1 to 9999: Polars counts beyond, Python and Delta's readers do not.

    Parameters
    ----------
    column : Series, shape (n,)
        Of any dtype; only dates and datetimes can be outside.

    Returns
    -------
    int or None
        The first such row.
    """
    base = column.dtype.base_type()
    if base not in _PER_DAY:
        return None
    first, last = (day.toordinal() - _EPOCH.toordinal() for day in (date.min, date.max))
    # Not strict: milliseconds reach further than microseconds can be counted, and are null then.
    counts = column.cast(stored_dtype(column.dtype), strict=False).to_physical()
    inside = counts.is_between(first * _PER_DAY[base], (last + 1) * _PER_DAY[base], closed="left")
    outside = (column.is_not_null() & ~inside.fill_null(False)).arg_true()
    return int(outside[0]) if len(outside) else None


def python_values(column: pl.Series) -> list[Any]:
    """Return a few values of a column as Python has them, whose calendar is shorter than that of Polars.

    Parameters
    ----------
    column : Series, shape (n,)
        Of any dtype.

    Returns
    -------
    list, length n
        Instead of times outside the years 1 to 9999, texts that say so.
    """
    # The end of the calendar in UTC is beyond it farther east.
    has_zone = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
    if outside_calendar(column) is None and not (
        has_zone and outside_calendar(column.dt.replace_time_zone(None)) is not None
    ):
        return column.to_list()
    if len(column) == 1:
        return ["a time outside the years 1 to 9999"]
    return [value for row in range(len(column)) for value in python_values(column[row : row + 1])]


def python_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a few rows as Python has them; see `python_values`."""
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*map(python_values, frame), strict=True)]


def _stored_column(name: str, dtype: pl.DataType) -> pl.DataType:
    try:
        return stored_dtype(dtype)
    except InvalidInputError as error:
        raise InvalidInputError(f"column {name!r}: {error.message}", hint=error.hint, column=name) from error


def _may_lose(dtype: pl.DataType) -> bool:
    """Whether some value of this dtype does not fit the stored dtype."""
    match dtype:
        case pl.Int128() | pl.UInt128():
            return True
        case pl.Datetime():
            return dtype.time_unit != "us"
        case pl.List() | pl.Array():
            return _may_lose(_instance(dtype.inner))
        case pl.Map():
            return _may_lose(_instance(dtype.key)) or _may_lose(_instance(dtype.value))
        case pl.Struct():
            return any(_may_lose(_instance(field.dtype)) for field in dtype.fields)
    return False


def _exact(column: pl.Series, target: pl.DataType) -> pl.Series:
    stored = column.cast(target, strict=False)
    lost = stored.cast(column.dtype, strict=False).ne_missing(column).arg_true()
    if len(lost):
        row = lost[0]
        raise InvalidInputError(
            f"column {column.name!r} ({column.dtype}): the value in row {row} does not fit the stored type {target}",
            hint="datetimes are stored in microseconds: round finer ones first, with .dt.truncate('1us') in Polars or "
            ".dt.floor('us') in pandas; 128-bit integers are stored with 38 digits: save longer ones as strings",
            column=column.name,
            row=row,
        )
    return stored


def from_stored(frame: pl.DataFrame, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Turn stored columns back into the dtypes they were saved with.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        What was read from a table.
    dtypes : mapping of str to polars.DataType
        The dtype of each column; columns that it does not name stay as they are.

    Returns
    -------
    polars.DataFrame, shape (n, k)
        The same values in their own dtypes; `frame` itself if it has them already.

    Raises
    ------
    SchemaMismatch
        If a value does not fit its dtype (another program wrote it).
    """
    restored = [
        _restore(frame.get_column(name), dtypes[name])
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
        if dtypes.get(name, dtype) != dtype
    ]
    return frame.with_columns(restored) if restored else frame


def _restore(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    # Not strict but checked: Polars 2.1's strict casts refuse null arrays of arrays
    try:
        restored = column.cast(dtype, strict=False)
    except pl.exceptions.PolarsError as error:
        raise _misfit(column, dtype) from error
    # Polars returns List(String) as it is where List(Null) is asked for, inside of others too.
    if restored.dtype != dtype:
        restored = restored.to_frame().select(_cast_inside(pl.first(), dtype).alias(column.name)).to_series()
    if not _as_many_values(column, restored):
        raise _misfit(column, dtype)
    return restored


def _as_many_values(column: pl.Series, restored: pl.Series) -> bool:
    """Whether no value became null: that is how a cast that is not strict says that it does not fit."""
    if restored.dtype.is_nested():
        return not restored.cast(column.dtype, strict=False).ne_missing(column).any()
    return restored.null_count() == column.null_count()


def _misfit(column: pl.Series, dtype: pl.DataType) -> SchemaMismatch:
    return SchemaMismatch(
        f"column {column.name!r} holds {column.dtype} values that do not fit its type {dtype}",
        hint="another program wrote to this table; repair its rows, or restore an earlier version",
        column=column.name,
    )


def _cast_inside(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return column.list.eval(_cast_inside(pl.element(), _instance(dtype.inner)))
    if isinstance(dtype, pl.Array):
        inner = pl.List(_instance(dtype.inner))
        return _cast_inside(column.arr.to_list(), inner).list.to_array(dtype.size)
    if isinstance(dtype, pl.Struct):
        fields = [
            _cast_inside(column.struct.field(field.name), _instance(field.dtype)).alias(field.name)
            for field in dtype.fields
        ]
        return pl.when(column.is_not_null()).then(pl.struct(fields))
    return column.cast(dtype)


def delta_type(dtype: pl.DataType) -> DeltaType:
    """Name the Delta type of the stored form of a dtype.

    Parameters
    ----------
    dtype : polars.DataType
        The column's dtype.

    Returns
    -------
    str or dict
        The type as the Delta protocol writes it in a table's schema.

    Raises
    ------
    InvalidInputError
        If the dtype cannot be stored.
    """
    return _delta(stored_dtype(dtype))


def _delta(stored: pl.DataType) -> DeltaType:
    match stored:
        case pl.Decimal():
            return f"decimal({stored.precision},{stored.scale})"
        case pl.List():
            return {"type": "array", "elementType": _delta(_instance(stored.inner)), "containsNull": True}
        case pl.Map():
            key, value = _delta(_instance(stored.key)), _delta(_instance(stored.value))
            return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
        case pl.Struct():
            fields = [
                {"name": field.name, "type": _delta(_instance(field.dtype)), "nullable": True, "metadata": {}}
                for field in stored.fields
            ]
            return {"type": "struct", "fields": fields}
    return _DELTA[stored.base_type()]


def from_delta(delta: DeltaType) -> pl.DataType:
    """Name the dtype of a column in a table that another program wrote.

    Parameters
    ----------
    delta : str or dict
        A type from the table's Delta schema.

    Returns
    -------
    polars.DataType
        The dtype its values are read with.

    Raises
    ------
    InvalidInputError
        If Delta has the type and Tiffin does not (interval, variant).
    """
    match delta:
        case {"type": "array", "elementType": element}:
            return pl.List(from_delta(element))
        case {"type": "map", "keyType": key, "valueType": value}:
            return pl.Map(from_delta(key), from_delta(value))
        case {"type": "struct", "fields": [*fields]}:
            return pl.Struct({field["name"]: from_delta(field["type"]) for field in fields})
        case str() if decimal := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", delta):
            return pl.Decimal(int(decimal[1]), int(decimal[2]))
        case str() if delta in _FROM_DELTA:
            return _FROM_DELTA[delta]
    raise InvalidInputError(
        f"the table has a column of the Delta type {delta!r}, which is not supported",
        hint="read it with the program that wrote it and save it as another type",
    )


def encode(dtype: pl.DataType) -> str:
    """Write a dtype as text: `Int64`, `Datetime(us, Asia/Seoul)`, `List(Float32)`, `Struct("a": Int8)`.

    Parameters
    ----------
    dtype : polars.DataType
        The column's dtype.

    Returns
    -------
    str
        Text from which `decode` makes the same dtype.

    Raises
    ------
    InvalidInputError
        If the dtype cannot be stored.
    """
    stored_dtype(dtype)
    return _encode(dtype)


def _encode(dtype: pl.DataType) -> str:
    match dtype:
        case pl.Datetime():
            return (
                f"Datetime({dtype.time_unit}, {dtype.time_zone})" if dtype.time_zone else f"Datetime({dtype.time_unit})"
            )
        case pl.Duration():
            return f"Duration({dtype.time_unit})"
        case pl.Decimal():
            return f"Decimal({dtype.precision}, {dtype.scale})"
        case pl.Enum():
            return f"Enum({_json(dtype.categories.to_list())})"
        case pl.Categorical():
            return _encode_categorical(dtype)
        case pl.List():
            return f"List({_encode(_instance(dtype.inner))})"
        case pl.Array():
            return f"Array({_encode(_instance(dtype.inner))}, {dtype.size})"
        case pl.Map():
            return f"Map({_encode(_instance(dtype.key))}, {_encode(_instance(dtype.value))})"
        case pl.Struct():
            fields = (f"{_json(field.name)}: {_encode(_instance(field.dtype))}" for field in dtype.fields)
            return f"Struct({', '.join(fields)})"
    return dtype.base_type().__name__


def _encode_categorical(dtype: pl.Categorical) -> str:
    categories = dtype.categories
    if categories == pl.Categories():
        return "Categorical"
    return f"Categorical({_json([categories.name(), categories.namespace(), str(categories.physical())])})"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> pl.DataType:
    """Make the dtype that `encode` wrote as text.

    Parameters
    ----------
    text : str
        What `encode` returned.

    Returns
    -------
    polars.DataType
        The dtype.

    Raises
    ------
    CorruptData
        If the text is not a dtype.
    """
    reader = _Reader(text)
    try:
        dtype = reader.dtype(0)
        reader.take(r"\Z")
    except (ValueError, TypeError, KeyError, AssertionError, RecursionError, pl.exceptions.PolarsError) as error:
        raise CorruptData(
            f"not a column type: {text[:100]!r} (at character {reader.position})",
            hint="the table's metadata was damaged, or written by a newer Tiffin",
        ) from error
    return dtype


class _Reader:
    """Reads a dtype's text from left to right; anything unexpected is a ValueError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def take(self, pattern: str) -> str:
        found = re.compile(pattern).match(self.text, self.position)
        if found is None:
            raise ValueError(pattern)
        self.position = found.end()
        return found[0]

    def sees(self, text: str) -> bool:
        return self.text.startswith(text, self.position)

    def json(self) -> Any:
        value, self.position = json.JSONDecoder().raw_decode(self.text, self.position)
        return value

    def dtype(self, depth: int) -> pl.DataType:
        name = self.take(r"[A-Z][A-Za-z]*\d*")
        if depth > MAX_DEPTH:
            raise ValueError(depth)
        if name in _SIMPLE:
            return _SIMPLE[name]()
        if name == "Categorical" and not self.sees("("):
            return pl.Categorical()
        self.take(r"\(")
        dtype = self.nested(name, depth + 1) or self.parametrized(name)
        self.take(r"\)")
        return dtype

    def nested(self, name: str, depth: int) -> pl.DataType | None:
        match name:
            case "List":
                return pl.List(self.dtype(depth))
            case "Array":
                return pl.Array(self.dtype(depth), self.number(", "))
            case "Map":
                return pl.Map(self.dtype(depth), self.second(depth))
            case "Struct":
                return pl.Struct(self.fields(depth))
        return None

    def second(self, depth: int) -> pl.DataType:
        self.take(", ")
        return self.dtype(depth)

    def fields(self, depth: int) -> list[pl.Field]:
        fields = []
        while True:
            name = self.json()
            self.take(": ")
            fields.append(pl.Field(name, self.dtype(depth)))
            if not self.sees(", "):
                return fields
            self.take(", ")

    def parametrized(self, name: str) -> pl.DataType:
        match name:
            case "Datetime":
                unit = self.take("ms|us|ns")
                zone = self.take(", [^)]+")[2:] if self.sees(", ") else None
                return pl.Datetime(unit, zone)  # type: ignore[arg-type]  # one of the three units
            case "Duration":
                return pl.Duration(self.take("ms|us|ns"))  # type: ignore[arg-type]  # one of the three units
            case "Decimal":
                return pl.Decimal(self.number(), self.number(", "))
            case "Enum":
                return pl.Enum(self.json())
            case "Categorical":
                title, namespace, physical = self.json()
                return pl.Categorical(pl.Categories(title, namespace, _SIMPLE[physical]))
        raise ValueError(name)

    def number(self, before: str = "") -> int:
        self.take(before)
        return int(self.take(r"\d+"))
