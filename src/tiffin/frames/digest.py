"""Digests of columns: equal for equal names, dtypes and values, however the frame lies in memory.

Any program can compute them. The digest of a column is the XXH3-128, in hexadecimal, of these bytes one after another:

1. the JSON text ``["<dtype>",<rows>,<nulls>]``, with the dtype as `tiffin.schema.dtypes.encode` writes it;
2. if there are nulls, a bit for each row, 1 for a value and 0 for null, the first row in the lowest bit of the first
   byte, zeros to the end of the last;
3. the values that are not null, in order:

   ===========================================  ===================================================================
   numbers                                      little-endian, as they are: NaN and -0.0 by their bits
   booleans                                     a byte each, 0 or 1
   dates                                        days since 1970-01-01, 32 bits
   datetimes, durations, times                  a count of the dtype's unit since 1970-01-01 UTC or 0, 64 bits
   text, categories, binary                     the length of each in bytes, 64 bits; then the bytes of all
   decimals, 128-bit integers                   their decimal digits, as text
   lists, arrays                                the length of each, 64 bits; then all elements, as a column (1, 2, 3)
   structs                                      each field, as a column (1, 2, 3)
   maps                                         as lists of structs of key and value
   ===========================================  ===================================================================

The digest of a frame is that of the JSON text ``[["<name>","<digest>"],…]`` of its columns, in order. Both texts are
UTF-8 without spaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import xxhash

from tiffin.schema import dtypes

if TYPE_CHECKING:
    from xxhash import xxh3_128

_AS_TEXT = (pl.Categorical, pl.Enum, pl.Decimal, pl.Int128, pl.UInt128)


def column_digests(frame: pl.DataFrame) -> dict[str, str]:
    """Digest each column of a frame.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
        The values.

    Returns
    -------
    dict of str to str
        Column name to digest, in the order of the columns.

    Raises
    ------
    InvalidInputError
        A column is of a type that no table can hold.
    """
    digests = {}
    for column in frame.iter_columns():
        digest = xxhash.xxh3_128()
        _add_column(digest, column)
        digests[column.name] = digest.hexdigest()
    return digests


def frame_digest(columns: Iterable[tuple[str, str]]) -> str:
    """Digest a frame by the names and digests of its columns.

    Parameters
    ----------
    columns : iterable of (name, digest)
        In order.

    Returns
    -------
    str
        In hexadecimal.
    """
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(list(columns)))


def _add_column(digest: xxh3_128, column: pl.Series) -> None:
    nulls = column.null_count()
    digest.update(msgspec.json.encode([dtypes.encode(column.dtype), len(column), nulls]))
    if nulls:
        digest.update(_bits(column.is_not_null()))
    _add_values(digest, column.drop_nulls() if nulls else column)


def _add_values(digest: xxh3_128, column: pl.Series) -> None:
    match column.dtype:
        case pl.Struct():
            for name in column.struct.fields:
                _add_column(digest, column.struct.field(name))
        case pl.Map(key=key, value=value):
            _add_values(digest, column.cast(pl.List(pl.Struct({"key": key, "value": value}))))
        case pl.Array():
            _add_values(digest, column.arr.to_list())
        case pl.List():
            digest.update(column.list.len().cast(pl.UInt64).to_numpy().data)
            _add_column(digest, column.explode(empty_as_null=False))
        case pl.String() | pl.Binary():
            _add_texts(digest, column)
        case dtype if isinstance(dtype, _AS_TEXT):
            _add_texts(digest, column.cast(pl.String))
        case pl.Null():
            pass
        case _:
            digest.update(column.to_physical().to_numpy().data)


def _add_texts(digest: xxh3_128, column: pl.Series) -> None:
    sizes = column.str.len_bytes() if column.dtype == pl.String else column.bin.size()
    digest.update(sizes.cast(pl.UInt64).to_numpy().data)
    _, offsets, data = column.rechunk().to_arrow().buffers()
    if data is not None and len(column):
        begin, end = memoryview(offsets).cast("q")[0], memoryview(offsets).cast("q")[len(column)]
        digest.update(memoryview(data)[begin:end])


def _bits(flags: pl.Series) -> Any:
    import numpy as np  # noqa: PLC0415  # heavy, and hashes are seldom asked for

    return np.packbits(flags.to_numpy(), bitorder="little")
