"""Entities as keys: bytes that are equal if the entities are, and in the same order."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any, Protocol

import polars as pl
import xxhash

from tiffin.errors import IndexDamaged, InvalidInputError, SchemaMismatch
from tiffin.online.base import MAX_KEY_BYTES, REBUILD
from tiffin.online.whole_numbers import Counting, counting

HASHED_BYTES = MAX_KEY_BYTES
"""Size of a key that holds the beginning and a digest of a longer one; no other key has this size."""

_END, _NUL = b"\0\1", b"\0\2"
"""What ends a text inside a key, and what stands for a NUL in it: the end comes before every continuation."""


class KeyCodec:
    """Turns entities into keys and back.

    Whole numbers (dates, times and decimals are counted) are big-endian with the sign flipped, texts are UTF-8. Keys
    sort as the entities do in a table's files, except where they are so long that they had to be hashed: sort by the
    keys where the order matters.

    Parameters
    ----------
    dtypes : mapping of str to polars.DataType
        Names and dtypes of the entity columns, in order.

    Raises
    ------
    SchemaMismatch
        A column's dtype cannot be a key.
    """

    encode_one: Callable[[Sequence[Any]], bytes | None]
    """Return the key of one entity, given as the values of its columns.

    Values may be Python's or NumPy's scalars. None if one is missing (None, NaN, NaT), or is one that the column's
    dtype cannot hold: no row has that entity. Raises `InvalidInputError` naming the column if a value is of another
    kind than the column, or if there are more or fewer values than columns.
    """

    def __init__(self, dtypes: Mapping[str, pl.DataType]) -> None:
        self._dtypes = dict(dtypes)
        last = len(dtypes) - 1
        self._parts = [
            _part(name, dtype, is_last=number == last) for number, (name, dtype) in enumerate(dtypes.items())
        ]
        self.encode_one = self._parts[0].alone() if last == 0 else self._encode_all

    def _encode_all(self, values: Sequence[Any]) -> bytes | None:
        if len(values) != len(self._parts):
            raise _wrong_number(values, list(self._dtypes))
        key = b""
        for part, value in zip(self._parts, values, strict=True):
            piece = part.encode(value)
            if piece is None:
                return None
            key += piece
        return _bounded(key)

    def encode_frame(self, frame: pl.DataFrame) -> pl.Series:
        """Return the keys of many entities.

        Parameters
        ----------
        frame : DataFrame, shape (n, k)
            Has the entity columns, of the codec's dtypes.

        Returns
        -------
        Series, shape (n,)
            Binary; null where a column is null.

        Raises
        ------
        SchemaMismatch
            A column is missing or has another dtype.
        """
        keys = None
        for (name, dtype), part in zip(self._dtypes.items(), self._parts, strict=True):
            if frame.schema.get(name) != dtype:
                raise SchemaMismatch(f"entity column {name!r} is {frame.schema.get(name)}, not {dtype}")
            pieces = part.encode_column(frame.get_column(name))
            keys = pieces if keys is None else keys + pieces
        assert keys is not None, "a table without an entity has no keys"
        if len(self._parts) == 1 and isinstance(self._parts[0], _Text):
            keys = _marked(keys)
        return _all_bounded(keys.alias("key"))

    def decode(self, key: bytes) -> tuple[Any, ...] | None:
        """Return the entity that a key was made of, as Polars gives it in a row; None if the key is hashed.

        Raises
        ------
        IndexDamaged
            No entity has this key.
        """
        if len(key) == HASHED_BYTES:
            return None
        is_alone = len(self._parts) == 1 and isinstance(self._parts[0], _Text)
        rest = key[1:] if is_alone and key.startswith(b"\0") else key
        values = []
        try:
            for part in self._parts:
                value, rest = part.decode(rest)
                values.append(value)
        except (ValueError, OverflowError) as error:
            raise _no_key(key) from error
        if rest:
            raise _no_key(key)
        return tuple(values)


class _Part(Protocol):
    """One column's share in a key."""

    def alone(self) -> Callable[[Sequence[Any]], bytes | None]:
        """Return what encodes an entity of this column alone."""

    def encode(self, value: Any) -> bytes | None: ...

    def encode_column(self, column: pl.Series) -> pl.Series: ...

    def decode(self, rest: bytes) -> tuple[Any, bytes]:
        """Split the value off the rest of a key."""


def _part(name: str, dtype: pl.DataType, *, is_last: bool) -> _Part:
    if dtype.base_type() in (pl.String, pl.Categorical, pl.Enum, pl.Binary):
        return _Text(name, dtype, is_last=is_last)
    numbers = counting(dtype)
    if numbers is None:
        raise SchemaMismatch(f"entity column {name!r} is {dtype}", hint="a key holds texts, whole numbers or dates")
    return _Number(name, dtype, numbers)


class _Number:
    """A column of whole numbers, or of what is counted by them."""

    def __init__(self, name: str, dtype: pl.DataType, numbers: Counting) -> None:
        self._name, self._dtype, self._numbers = name, dtype, numbers
        self._size = numbers.size_bytes
        self._offset = 1 << (8 * self._size - 1) if numbers.is_signed else 0
        self._end = 1 << (8 * self._size)

    def alone(self) -> Callable[[Sequence[Any]], bytes | None]:
        if not self._dtype.is_integer() or self._size > 8:
            return lambda values: self.encode(_only(values, self._name))
        pack, offset = struct.Struct({1: ">B", 2: ">H", 4: ">I", 8: ">Q"}[self._size]).pack, self._offset
        plain, out_of_range = int, struct.error

        def encode_int(values: Sequence[Any]) -> bytes | None:
            # This is each look-up of the most usual kind of entity.
            if len(values) == 1 and type(values[0]) is plain:
                try:
                    return pack(values[0] + offset)
                except out_of_range:
                    return None
            return self.encode(_only(values, self._name))

        return encode_int

    def encode(self, value: Any) -> bytes | None:
        value = _plain(value)
        if value is None:
            return None
        try:
            number = self._numbers.count(value)
        except TypeError:
            raise _wrong_kind(value, self._name, self._dtype) from None
        if number is None or not 0 <= (shifted := number + self._offset) < self._end:
            return None
        return shifted.to_bytes(self._size, "big")

    def encode_column(self, column: pl.Series) -> pl.Series:
        numbers = self._numbers.physical(column)
        if self._size > 8:
            pieces = [
                None if number is None else (number + self._offset).to_bytes(self._size, "big") for number in numbers
            ]
            return pl.Series(column.name, pieces, dtype=pl.Binary)
        counts = numbers.fill_null(0).to_numpy().astype(f"i{self._size}" if self._offset else f"u{self._size}")
        shifted = counts.view(f"u{self._size}") ^ self._offset
        pieces = shifted.astype(f">u{self._size}").view(f"V{self._size}").tolist()
        return _null_where(pl.Series(column.name, pieces, dtype=pl.Binary), column)

    def decode(self, rest: bytes) -> tuple[Any, bytes]:
        if len(rest) < self._size:
            raise ValueError
        number = int.from_bytes(rest[: self._size], "big") - self._offset
        return self._numbers.value(number), rest[self._size :]


class _Text:
    """A column of texts or bytes: the last of a key as it is, one before others with its end marked."""

    def __init__(self, name: str, dtype: pl.DataType, *, is_last: bool) -> None:
        self._name, self._dtype, self._is_last = name, dtype, is_last
        self._is_binary = dtype == pl.Binary

    def alone(self) -> Callable[[Sequence[Any]], bytes | None]:
        if self._is_binary:
            return self._encode_alone
        most = HASHED_BYTES

        def encode_text(values: Sequence[Any]) -> bytes | None:
            if len(values) == 1 and type(values[0]) is str:
                try:
                    key = values[0].encode()
                except UnicodeEncodeError:
                    return None
                if 0 < len(key) < most and key[0]:
                    return key
            return self._encode_alone(values)

        return encode_text

    def _encode_alone(self, values: Sequence[Any]) -> bytes | None:
        key = self.encode(_only(values, self._name))
        if key is None:
            return None
        return _bounded(key if key and key[0] else b"\0" + key)

    def encode(self, value: Any) -> bytes | None:
        value = _plain(value)
        if value is None:
            return None
        if not isinstance(value, bytes if self._is_binary else str):
            raise _wrong_kind(value, self._name, self._dtype)
        try:
            data = value if isinstance(value, bytes) else value.encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair: no table holds such a text.
            return None
        return data if self._is_last else data.replace(b"\0", _NUL) + _END

    def encode_column(self, column: pl.Series) -> pl.Series:
        if self._is_last:
            return column.cast(pl.Binary) if self._is_binary else column.cast(pl.String).cast(pl.Binary)
        if self._is_binary:
            pieces = [None if data is None else data.replace(b"\0", _NUL) + _END for data in column]
            return pl.Series(column.name, pieces, dtype=pl.Binary)
        text = column.cast(pl.String).str.replace_all("\0", _NUL.decode(), literal=True)
        return (text + _END.decode()).cast(pl.Binary)

    def decode(self, rest: bytes) -> tuple[Any, bytes]:
        data, rest = (rest, b"") if self._is_last else rest.split(_END, 1)
        if not self._is_last:
            data = data.replace(_NUL, b"\0")
        return (data if self._is_binary else data.decode()), rest


def _marked(keys: pl.Series) -> pl.Series:
    """Put a NUL before the keys that are empty, which no backend takes, or begin with one already."""
    needs_mark = (keys.bin.size() == 0) | keys.bin.starts_with(b"\0")
    if not needs_mark.any():
        return keys
    return (
        keys.to_frame().select(pl.when(needs_mark).then(pl.lit(b"\0") + pl.first()).otherwise(pl.first())).to_series()
    )


def _bounded(key: bytes) -> bytes:
    """Replace the end of a key that is too long by a digest of all of it."""
    if len(key) < HASHED_BYTES:
        return key
    return key[: HASHED_BYTES - 16] + xxhash.xxh3_128_digest(key)


def _all_bounded(keys: pl.Series) -> pl.Series:
    longest = keys.bin.size().max()
    if longest is None or int(longest) < HASHED_BYTES:  # type: ignore[arg-type]  # of whole numbers
        return keys
    return pl.Series(keys.name, [None if key is None else _bounded(key) for key in keys], dtype=pl.Binary)


def _null_where(pieces: pl.Series, column: pl.Series) -> pl.Series:
    if not column.null_count():
        return pieces
    return pieces.to_frame().select(pl.when(column.is_not_null()).then(pl.first())).to_series()


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars into Python's, and what pandas writes for a missing value into None."""
    kind = type(value)
    if kind.__module__ in ("builtins", "datetime", "decimal"):
        return None if kind is float and isnan(value) else value
    if kind.__name__ in ("NaTType", "NAType"):
        return None
    if kind.__module__ != "numpy" or getattr(value, "shape", None) != ():
        # Of another library, or an array: a number, a text or a time, or refused by the column.
        return value
    plain = value.item()
    if kind.__name__ in ("datetime64", "timedelta64") and isinstance(plain, int):
        # Finer than a microsecond: equal to no stored value, unless it is a round one.
        rounded = value.astype(f"{kind.__name__}[us]")
        # Compared in its own unit: one that is too far away would overflow to the same in both.
        return rounded.item() if rounded.astype(value.dtype) == value else None
    # What Python has no form for, such as a long double, stays what it is.
    return plain if type(plain) is kind else _plain(plain)


def _only(values: Sequence[Any], name: str) -> Any:
    if len(values) != 1:
        raise _wrong_number(values, [name])
    return values[0]


def _wrong_number(values: Sequence[Any], names: list[str]) -> InvalidInputError:
    return InvalidInputError(
        f"an entity has {len(values)} values where the table has {len(names)} entity columns", hint=", ".join(names)
    )


def _wrong_kind(value: Any, name: str, dtype: pl.DataType) -> InvalidInputError:
    return InvalidInputError(
        f"entity column {name!r} is {dtype}; {value!r:.100} is {type(value).__name__}",
        hint="give a value of the column's type",
        column=name,
    )


def _no_key(key: bytes) -> IndexDamaged:
    return IndexDamaged(f"the online index holds a key that no entity has: {key.hex()[:100]}", hint=REBUILD)
