"""Feast's types of values beside ours."""

from __future__ import annotations

import json
from dataclasses import dataclass

import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.values import Made, Outside, Value, shown, unknown_in


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of Feast's; prints as it is written in definitions: ``Array(Float32)``."""

    name: str
    inner: tuple[Kind, ...] = ()
    fields: tuple[str, ...] = ()
    """Names of a struct's fields."""

    def __str__(self) -> str:
        if self.fields:
            pairs = zip(self.fields, self.inner, strict=True)
            return (
                "Struct({" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {kind}" for name, kind in pairs) + "})"
            )
        return f"{self.name}({self.inner[0]})" if self.inner else self.name

    def names(self) -> set[str]:
        """Name every type that it is written with."""
        return {self.name}.union(*(kind.names() for kind in self.inner))


_UTC = pl.Datetime("us", "UTC")
_MAP = pl.Map(pl.String(), pl.String())

_DTYPES: dict[str, pl.DataType | None] = {
    "Bool": pl.Boolean(),
    "Bytes": pl.Binary(),
    "Decimal": None,
    "Float32": pl.Float32(),
    "Float64": pl.Float64(),
    "ImageBytes": pl.Binary(),
    "Int32": pl.Int32(),
    "Int64": pl.Int64(),
    "Invalid": None,
    "Json": pl.String(),
    "Map": _MAP,
    "PdfBytes": pl.Binary(),
    "ScalarMap": _MAP,
    "String": pl.String(),
    "TimeUuid": pl.String(),
    "UnixTimestamp": _UTC,
    "Uuid": pl.String(),
    "ZonedTimestamp": _UTC,
}
"""What a column is cast to, if it is of another type; None if nothing is: the file's own type stays."""

_TAKEN: dict[str, set[type[pl.DataType]]] = {
    "Decimal": {pl.Decimal, pl.String},
    "Map": {pl.Map, pl.Struct},
    "ScalarMap": {pl.Map, pl.Struct},
    "UnixTimestamp": {pl.Datetime},
    "ZonedTimestamp": {pl.Datetime},
}
"""What stays as it is although it is not quite what a column would be cast to."""

_SPELLED = {name.upper(): name for name in _DTYPES} | {
    "DOUBLE": "Float64",
    "FLOAT": "Float32",
    "IMAGE_BYTES": "ImageBytes",
    "PDF_BYTES": "PdfBytes",
    "SCALAR_MAP": "ScalarMap",
    "TIME_UUID": "TimeUuid",
    "UNIX_TIMESTAMP": "UnixTimestamp",
    "UNKNOWN": "Invalid",
    "ZONED_TIMESTAMP": "ZonedTimestamp",
}
"""How `ValueType` and `PrimitiveFeastType` spell them."""


def kind_of(value: Value) -> Kind:
    """Read a type as definitions write it.

    Parameters
    ----------
    value : Value
        `Float32`, `Array(Float32)`, `Struct({"name": String})`, `ValueType.INT64`, `ValueType.STRING_LIST`, …

    Returns
    -------
    Kind

    Raises
    ------
    InvalidInputError
        It is no type that is known.
    """
    match value:
        case Outside(is_of_feast=True, name=name) if name in _DTYPES:
            return Kind(name)
        case Outside(is_of_feast=True, name=name) if name in _SPELLED:
            return Kind(_SPELLED[name])
        case Outside(is_of_feast=True, name=name):
            base, _, collection = name.rpartition("_")
            if base in _SPELLED and collection in {"LIST", "SET"}:
                return Kind("Array" if collection == "LIST" else "Set", (Kind(_SPELLED[base]),))
        case Made(kind="Array" | "Set", positional=[inner]) | Made(kind="Array" | "Set", named={"base_type": inner}):
            return Kind(value.kind, (kind_of(inner),))
        case (
            Made(kind="Struct", positional=[dict() as fields]) | Made(kind="Struct", named={"fields": dict() as fields})
        ):
            return Kind("Struct", tuple(map(kind_of, fields.values())), tuple(map(str, fields)))
    unknown = unknown_in(value)
    raise InvalidInputError(
        f"{unknown.why if unknown else shown(value)} is no type that can be read",
        hint="write a type of feast.types, such as Float32 or Array(Int64)",
    )


def fitted(column: pl.Series, kind: Kind) -> pl.Series | None:
    """Give a column the type that is declared of it, if that changes no value.

    Numbers that the declared type cannot hold exactly keep the type that they have in the file.

    Parameters
    ----------
    column : Series, shape (n,)
        As it is in the file.
    kind : Kind
        As it is declared.

    Returns
    -------
    Series, shape (n,), or None
        The same values; None if they are not of that kind.
    """
    if takes(column.dtype, kind):
        return column
    target = _dtype(kind)
    if target is None or not _is_kin(column.dtype, target):
        return None
    # Not strict: what does not fit becomes null, which differs; strict casts of nested columns may panic.
    made = column.cast(target, strict=False)
    if made.cast(column.dtype, strict=False).eq_missing(column).all():
        return made
    return column if _stays(column.dtype, target) else None


def kind_for(dtype: pl.DataType) -> Kind | None:
    """Name Feast's type for a column of ours; None if Feast has none.

    Parameters
    ----------
    dtype : DataType
        Of the column.
    """
    match dtype:
        case pl.List() | pl.Array():
            inner = kind_for(_instance(dtype.inner))
            return Kind("Array", (inner,)) if inner else None
        case pl.Struct():
            parts = [kind_for(_instance(field.dtype)) for field in dtype.fields]
            names = tuple(field.name for field in dtype.fields)
            return Kind("Struct", tuple(part for part in parts if part), names) if names and all(parts) else None
        case pl.Map():
            return Kind("Map") if dtype == _MAP else None
    name = _EXPORTED.get(dtype.base_type())
    return Kind(name) if name else None


def dtype_for(kind: Kind) -> pl.DataType:
    """Name the Polars type in which values of a type that `kind_for` gave are written for Feast."""
    dtype = _dtype(kind)
    assert dtype is not None, kind
    return dtype


_EXPORTED: dict[type[pl.DataType], str] = {
    pl.Binary: "Bytes",
    pl.Boolean: "Bool",
    pl.Categorical: "String",
    pl.Datetime: "UnixTimestamp",
    pl.Enum: "String",
    pl.Float16: "Float32",
    pl.Float32: "Float32",
    pl.Float64: "Float64",
    pl.Int8: "Int32",
    pl.Int16: "Int32",
    pl.Int32: "Int32",
    pl.Int64: "Int64",
    pl.String: "String",
    pl.UInt8: "Int32",
    pl.UInt16: "Int32",
    pl.UInt32: "Int64",
}


def _dtype(kind: Kind) -> pl.DataType | None:
    if kind.name in {"Array", "Set"}:
        inner = _dtype(kind.inner[0])
        return pl.List(inner) if inner is not None else None
    if kind.name == "Struct":
        inners = {name: _dtype(inner) for name, inner in zip(kind.fields, kind.inner, strict=True)}
        known = {name: inner for name, inner in inners.items() if inner is not None}
        return pl.Struct(known) if len(known) == len(inners) else None
    return _DTYPES[kind.name]


def takes(dtype: pl.DataType, kind: Kind) -> bool:
    """Tell whether columns of a dtype are of a kind as they are.

    Parameters
    ----------
    dtype : DataType
        Of the column.
    kind : Kind
        As it is declared.
    """
    if kind.name == "Invalid":
        return True
    if kind.name in {"Array", "Set"}:
        return isinstance(dtype, pl.List | pl.Array) and takes(_instance(dtype.inner), kind.inner[0])
    if kind.name == "Struct":
        fields = {field.name: _instance(field.dtype) for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        pairs = zip(kind.fields, kind.inner, strict=True)
        return [*fields] == [*kind.fields] and all(takes(fields[name], inner) for name, inner in pairs)
    return dtype == _DTYPES[kind.name] or dtype.base_type() in _TAKEN.get(kind.name, ())


def _is_kin(dtype: pl.DataType, target: pl.DataType) -> bool:
    """Tell whether a cast from one to the other is a matter of width, not of meaning."""
    if isinstance(dtype, pl.List | pl.Array) and isinstance(target, pl.List):
        return _is_kin(_instance(dtype.inner), _instance(target.inner))
    if isinstance(dtype, pl.Struct) and isinstance(target, pl.Struct):
        pairs = zip(dtype.fields, target.fields, strict=False)
        return len(dtype.fields) == len(target.fields) and all(
            one.name == other.name and _is_kin(_instance(one.dtype), _instance(other.dtype)) for one, other in pairs
        )
    if dtype == target or isinstance(dtype, pl.Null):
        return True
    return any({dtype.base_type(), target.base_type()} <= family for family in _FAMILIES)


_NUMBERS: set[type[pl.DataType]] = {
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128,
    pl.Float16, pl.Float32, pl.Float64, pl.Decimal,
}  # fmt: skip
_FAMILIES: list[set[type[pl.DataType]]] = [
    _NUMBERS,
    {pl.String, pl.Categorical, pl.Enum},
    {pl.Date, pl.Datetime},
]


def _stays(dtype: pl.DataType, target: pl.DataType) -> bool:
    """Tell whether values too precise for a type are of its kind all the same."""
    if isinstance(dtype, pl.List | pl.Array) and isinstance(target, pl.List):
        return _stays(_instance(dtype.inner), _instance(target.inner))
    if isinstance(dtype, pl.Struct) and isinstance(target, pl.Struct):
        pairs = [
            (_instance(one.dtype), _instance(other.dtype))
            for one, other in zip(dtype.fields, target.fields, strict=True)
        ]
        return all(one == other or _stays(one, other) for one, other in pairs)
    return dtype.is_numeric() and (target.is_float() or (target.is_integer() and dtype.is_integer()))


def _instance(dtype: object) -> pl.DataType:
    """Polars gives back `Int64` or `Int64()`, whichever it was given."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[return-value]
