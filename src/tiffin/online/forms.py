"""How a feature's values are written in a row, by dtype.

============================================  ====================================================
dtype                                         in msgpack
============================================  ====================================================
Boolean, integers of up to 64 bits            boolean, integer of the dtype's size
Float64; Float32 and Float16                  float of 64 bits; of 32 bits
String, Categorical, Enum; Binary             text; bytes
Date, Datetime, Time, Duration                integer (see `whole_numbers`)
Decimal, Int128, UInt128                      text
List, Array; Struct; Map                      array; array of the fields; array of keys and values
Null                                          nil
============================================  ====================================================

A value that is read back equals what Polars gives for it in a row of the frame it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl

from tiffin.online.whole_numbers import counting

Convert = Callable[[Any], Any]

NIL = b"\xc0"

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Form:
    """How single values are converted; None where msgpack holds them as they are."""

    read: Convert | None = None
    write: Convert | None = None

    def pack(self, column: pl.Series) -> list[bytes]:
        """Pack every value of a column, null as nil."""
        write = self.write
        if write is None:
            return [_encode(value) for value in column.to_list()]
        return [NIL if value is None else _encode(write(value)) for value in column.to_list()]


@dataclass(frozen=True)
class Fixed(Form):
    """A form of one size for every value: a tag and a big-endian number."""

    tag: int | None = None
    """The byte before the number, if any."""
    kind: str = ""
    """The number as a NumPy dtype."""
    numbers: Convert = pl.Series.to_physical
    """Turns a column into these numbers."""


_FIXED: dict[type[pl.DataType], tuple[int, str]] = {
    pl.Int8: (0xD0, "i1"), pl.Int16: (0xD1, ">i2"), pl.Int32: (0xD2, ">i4"), pl.Int64: (0xD3, ">i8"),
    pl.UInt8: (0xCC, "u1"), pl.UInt16: (0xCD, ">u2"), pl.UInt32: (0xCE, ">u4"), pl.UInt64: (0xCF, ">u8"),
    pl.Float16: (0xCA, ">f4"), pl.Float32: (0xCA, ">f4"), pl.Float64: (0xCB, ">f8"),
    pl.Date: (0xD2, ">i4"), pl.Datetime: (0xD3, ">i8"), pl.Time: (0xD3, ">i8"), pl.Duration: (0xD3, ">i8"),
}  # fmt: skip
_BOOLEAN = 0xC2
"""False in msgpack; true comes after it."""


def form(dtype: pl.DataType) -> Form:
    """Tell how the values of a dtype are written.

    Parameters
    ----------
    dtype : polars.DataType
        One that a table can hold.
    """
    base = dtype.base_type()
    numbers = counting(dtype)
    if base == pl.Boolean:
        return Fixed(kind="u1", numbers=lambda column: column.cast(pl.UInt8) + _BOOLEAN)
    if base in _FIXED:
        tag, kind = _FIXED[base]
        if dtype.is_numeric() or numbers is None:
            return Fixed(tag=tag, kind=kind)
        return Fixed(numbers.value, numbers.count, tag, kind, numbers.physical)
    match dtype:
        case pl.Decimal():
            return Form(Decimal, str)
        case pl.Int128() | pl.UInt128():
            return Form(int, str)
        case pl.List() | pl.Array():
            return _list(form(_instance(dtype.inner)))
        case pl.Struct():
            return _struct([(field.name, form(_instance(field.dtype))) for field in dtype.fields])
        case pl.Map():
            return _map(form(_instance(dtype.key)), form(_instance(dtype.value)))
    return Form()


def _list(inner: Form) -> Form:
    if inner.read is None or inner.write is None:
        return Form()
    read, write = _unless_null(inner.read), _unless_null(inner.write)
    return Form(lambda values: list(map(read, values)), lambda values: list(map(write, values)))


def _struct(fields: list[tuple[str, Form]]) -> Form:
    names = [name for name, _ in fields]
    readers = [_unless_null(inner.read) for _, inner in fields]
    writers = [_unless_null(inner.write) for _, inner in fields]
    return Form(
        lambda values: {name: read(value) for name, read, value in zip(names, readers, values, strict=True)},
        lambda struct: [write(struct[name]) for name, write in zip(names, writers, strict=True)],
    )


def _map(key: Form, value: Form) -> Form:
    read_key, write_key = _unless_null(key.read), _unless_null(key.write)
    read_value, write_value = _unless_null(value.read), _unless_null(value.write)
    return Form(
        lambda pairs: {read_key(name): read_value(held) for name, held in pairs},
        lambda mapping: [(write_key(name), write_value(held)) for name, held in mapping.items()],
    )


def _unless_null(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _instance(dtype: Any) -> pl.DataType:
    """Polars accepts `Int64` for `Int64()` and gives back whichever it was given."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[no-any-return]
