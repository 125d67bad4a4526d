"""The row codec: the newest row of an entity, with all its features, as bytes.

A packed row is a checksum (4 bytes: XXH32 of the key and the rest) and one msgpack array::

    [time, value, value, …]       time: microseconds since 1970-01-01 UTC, or nil if the table has no timestamp
    [[row, row, …]]               all but the last not yet true when it was written; each an array like that

The values stand in the codec's `order`. What msgpack has no form for is written as a number or a text
(see `forms`). A row may have fewer values than the table has features: the last ones were added
after it was written, and are null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import xxhash

from tiffin.errors import IndexDamaged
from tiffin.online.base import REBUILD
from tiffin.online.forms import NIL, Fixed, Form, form
from tiffin.online.whole_numbers import microseconds

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2
"""Another whenever rows are packed otherwise: those of before are not built upon."""
SUM_BYTES = 4
MOST_PATTERNS = 16
"""Columns are packed together while their nulls lie in no more different ways than this."""

CHUNK_ROWS = 16_384
"""Rows packed at a time: what is worked on fits the processor's cache."""

Row = list[Any]
"""A decoded row: `[time, value, value, …]`."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_checksum = xxhash.xxh32_digest


class RowCodec:
    """Packs and unpacks the rows of one table.

    Parameters
    ----------
    dtypes : mapping of str to polars.DataType
        The features and their dtypes.
    order : sequence of str, optional
        Features in the order in which values lie in a row; by default those of fixed size first, which packs faster.
    """

    order: tuple[str, ...]
    """The features in the order of a row's values."""

    def __init__(self, dtypes: Mapping[str, pl.DataType], order: Sequence[str] | None = None) -> None:
        forms = {name: form(dtype) for name, dtype in dtypes.items()}
        by_size = sorted(dtypes, key=lambda name: not isinstance(forms[name], Fixed))
        self.order = tuple(by_size if order is None else order)
        self._forms = [forms[name] for name in self.order]
        self._size = 1 + len(self.order)
        self._readers = [(place, found.read) for place, found in enumerate(self._forms, 1) if found.read]
        self._writers = [(place, found.write) for place, found in enumerate(self._forms, 1) if found.write]

    def pack(self, key: bytes, rows: Sequence[Row]) -> bytes:
        """Pack the row of one entity, with those before it in time.

        Parameters
        ----------
        key : bytes
            The entity's key.
        rows : sequence of Row
            The newest first; all but the last are of times that were still to come, else one would do. Values are as
            Polars gives them in a row, in the codec's order.

        Returns
        -------
        bytes
            From which `chain` makes the rows again, given the same key.
        """
        written = [row.copy() for row in rows]
        for row in written:
            for place, write in self._writers:
                if row[place] is not None:
                    row[place] = write(row[place])
        # Side by side: there may be more of them than msgpack's arrays can be nested.
        body = _encode(written[0] if len(written) == 1 else [written])
        return _checksum(key + body) + body

    def pack_frame(self, keys: Sequence[bytes], times: pl.Series | None, frame: pl.DataFrame) -> list[bytes]:
        """Pack one row for each of many entities.

        Parameters
        ----------
        keys : sequence of bytes, n of them
            The entities' keys.
        times : Series, shape (n,), or None
            Their timestamps, dates or datetimes; None if the table has none.
        frame : DataFrame, shape (n, k)
            Has the features.

        Returns
        -------
        list of bytes
            The packed rows, in the order of the keys.
        """
        columns = [(found, frame.get_column(name)) for found, name in zip(self._forms, self.order, strict=True)]
        start = _array_header(self._size)
        if times is None:
            start += NIL
        else:
            columns.insert(0, (Fixed(tag=0xD3, kind=">i8", numbers=microseconds), times))
        packed: list[bytes] = []
        for first in range(0, len(keys), CHUNK_ROWS):
            chunk = [(found, column.slice(first, CHUNK_ROWS)) for found, column in columns]
            bodies = _bodies(start, chunk, min(CHUNK_ROWS, len(keys) - first))
            packed += [
                _checksum(key + body) + body for key, body in zip(keys[first : first + CHUNK_ROWS], bodies, strict=True)
            ]
        return packed

    def unpack(self, key: bytes, packed: bytes, at: int | None = None) -> Row | None:
        """Decode the row of one entity.

        Parameters
        ----------
        key : bytes
            The entity's key.
        packed : bytes
            What `pack` or `pack_frame` made for that key.
        at : int, optional
            A moment, microseconds since 1970-01-01 UTC: rows of later times are passed over.

        Returns
        -------
        Row or None
            `[time, value, …]`; time is None where the table or the row has none. None if all rows are of later times.

        Raises
        ------
        IndexDamaged
            These bytes were not packed for this key.
        """
        body = packed[SUM_BYTES:]
        if _checksum(key + body) != packed[:SUM_BYTES]:
            raise _damaged(key)
        return self._read(_decode(body), at)

    def unpack_many(
        self, keys: Sequence[bytes], packed: Sequence[bytes | None], at: int | None = None
    ) -> list[Row | None]:
        """Decode the rows of many entities, as `unpack` does for each; None where there is no row.

        Parameters
        ----------
        keys : sequence of bytes, n of them
            The entities' keys.
        packed : sequence of bytes or None, n of them
            Their packed rows.
        at : int, optional
            A moment, as for `unpack`.
        """
        bodies = []
        for key, row in zip(keys, packed, strict=True):
            if row is None:
                bodies.append(NIL)
                continue
            body = row[SUM_BYTES:]
            if _checksum(key + body) != row[:SUM_BYTES]:
                raise _damaged(key)
            bodies.append(body)
        # One array of all rows takes one call to decode.
        found = _decode(_array_header(len(bodies)) + b"".join(bodies))
        if self._readers or at is None:
            return [None if row is None else self._read(row, at) for row in found]
        # Nearly all rows are what they should be as they are; a call for each takes as long as decoding them.
        size = self._size
        return [
            row
            if row is None or (len(row) == size and row[0].__class__ is int and row[0] <= at)
            else self._read(row, at)
            for row in found
        ]

    def chain(self, key: bytes, packed: bytes) -> list[Row]:
        """Decode the row of one entity and those before it in time, the newest first.

        Raises
        ------
        IndexDamaged
            These bytes were not packed for this key.
        """
        body = packed[SUM_BYTES:]
        if _checksum(key + body) != packed[:SUM_BYTES]:
            raise _damaged(key)
        return [self._completed(row) for row in _newest_first(_decode(body))]

    def _read(self, row: Row, at: int | None) -> Row | None:
        """Choose the row of a moment from a decoded body, and complete it."""
        time = row[0]
        if time.__class__ is list or (at is not None and time is not None and time > at):
            known = (found for found in _newest_first(row) if at is None or found[0] is None or found[0] <= at)
            found = next(known, None)
            if found is None:
                return None
            row = found
        return self._completed(row) if self._readers or len(row) != self._size else row

    def _completed(self, row: Row) -> Row:
        """Turn msgpack's values into the dtypes' own, and add nulls for features that came later."""
        if len(row) < self._size:
            row += [None] * (self._size - len(row))
        for place, read in self._readers:
            if row[place] is not None:
                row[place] = read(row[place])
        return row


def _newest_first(body: Row) -> list[Row]:
    """Take a decoded body apart into its rows."""
    return body[0] if body[0].__class__ is list else [body]


def _bodies(start: bytes, columns: list[tuple[Form, pl.Series]], count: int) -> list[bytes]:
    """Pack a chunk of rows without their checksums: neighbouring columns of fixed size together, others one by one."""
    pieces: list[list[bytes]] = []
    for is_fixed, group in groupby(columns, key=lambda column: isinstance(column[0], Fixed)):
        if is_fixed:
            pieces.append(_fixed(b"" if pieces else start, list(group)))  # type: ignore[arg-type]  # all are Fixed
        else:
            pieces += [] if pieces else [[start] * count]
            pieces += [found.pack(column) for found, column in group]
    bodies = pieces[0] if pieces else [start] * count
    for piece in pieces[1:]:
        bodies = list(map(add, bodies, piece))
    return bodies


def _fixed(start: bytes, columns: list[tuple[Fixed, pl.Series]]) -> list[bytes]:
    """Pack columns of fixed size: all rows that have their nulls in the same columns at once.

    Where there are too many such patterns, each half of the columns has fewer.
    """
    import numpy as np  # noqa: PLC0415 - heavy, and not needed to read

    nullable = [place for place, (_, column) in enumerate(columns) if column.null_count()]
    numbers = [found.numbers(column).fill_null(0).to_numpy() for found, column in columns]
    if not nullable:
        return _laid_out(start, columns, numbers, frozenset())
    bits = np.zeros(len(numbers[0]), dtype=np.int64)
    for bit, place in enumerate(nullable[:MOST_PATTERNS]):
        bits |= columns[place][1].is_null().to_numpy().astype(np.int64) << bit
    patterns, which = np.unique(bits, return_inverse=True)
    if len(columns) > 1 and (len(patterns) > MOST_PATTERNS or len(nullable) > MOST_PATTERNS):
        half = len(columns) // 2
        return list(map(add, _fixed(start, columns[:half]), _fixed(b"", columns[half:])))
    packed: list[bytes] = []
    for number, pattern in enumerate(patterns.tolist()):
        null = frozenset(place for bit, place in enumerate(nullable) if pattern >> bit & 1)
        rows = np.flatnonzero(which == number)
        packed += _laid_out(start, columns, [values[rows] for values in numbers], null)
    # Row i is the n-th of those packed, if it is the n-th when sorted by pattern.
    places = np.argsort(np.argsort(which, kind="stable"), kind="stable")
    return [packed[place] for place in places.tolist()]


def _laid_out(
    start: bytes, columns: list[tuple[Fixed, pl.Series]], numbers: list[np.ndarray], null: frozenset[int]
) -> list[bytes]:
    """Pack rows that have their nulls in the same columns: each is a record of the same layout."""
    import numpy as np  # noqa: PLC0415 - heavy, and not needed to read

    layout: list[tuple[str, str]] = [("start", f"V{len(start)}")] if start else []
    constants: dict[str, int] = {}
    for place, (found, _) in enumerate(columns):
        tag = NIL[0] if place in null else found.tag
        if tag is not None:
            layout.append((f"tag {place}", "u1"))
            constants[f"tag {place}"] = tag
        if place not in null:
            layout.append((f"number {place}", found.kind))
    records = np.empty(len(numbers[0]), dtype=layout)
    if start:
        records["start"] = np.void(start)
    for name, tag in constants.items():
        records[name] = tag
    for place, values in enumerate(numbers):
        if place not in null:
            records[f"number {place}"] = values
    packed: list[bytes] = records.view(f"V{records.dtype.itemsize}").tolist()
    return packed


def _array_header(size: int) -> bytes:
    if size < 16:
        return bytes([0x90 | size])
    return b"\xdc" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xdd" + size.to_bytes(4, "big")


def _damaged(key: bytes) -> IndexDamaged:
    return IndexDamaged(f"a row in the online index is not what was written (key {key.hex()[:100]})", hint=REBUILD)
