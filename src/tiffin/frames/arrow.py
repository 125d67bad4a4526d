"""Arrow in and out: tables to Polars frames, and back to the Arrow types that were saved.

An Arrow type is remembered as text: its alias where Arrow has one (`uint8`, `timestamp[us]`), else the
Arrow IPC encoding of it in base64; ` not null` follows where the field said so.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from tiffin.errors import CorruptData, InvalidInputError
from tiffin.frames import libraries

PREFIX = "arrow:"
"""Starts the origin of a column that came from Arrow."""

_NOT_NULL = " not null"
_IPC = "ipc "
_OFFSET = re.compile(r"[+-]\d\d:\d\d")


def from_arrow(obj: Any) -> tuple[pl.DataFrame, dict[str, str]]:
    """Turn an Arrow table, batch, reader or stream into a Polars frame.

    Parameters
    ----------
    obj : object with ``__arrow_c_stream__`` or ``__arrow_c_array__``
        A PyArrow table, record batch or reader, a DuckDB relation, …

    Returns
    -------
    frame : polars.DataFrame, shape (n, k)
        The values; it shares memory with `obj` where the layouts agree.
    origins : dict of str to str
        Column name to its Arrow type, where Polars would give back another.

    Raises
    ------
    InvalidInputError
        If a type has no exact counterpart, or names repeat; names the column.
    """
    pyarrow = libraries.pyarrow()
    try:
        # It would import pandas, to ask whether a table is one of its frames.
        table = obj if isinstance(obj, pyarrow.Table) else pyarrow.table(obj)
    except pyarrow.ArrowInvalid as error:
        raise InvalidInputError(
            f"a {type(obj).__module__}.{type(obj).__qualname__} is not a frame: {error}",
            hint="give it columns and names: a table, or a Series' .to_frame()",
        ) from error
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise InvalidInputError(f"several columns are named {repeated[0]!r}", hint="give each column its own name")
    columns = [column_from_arrow(field.name, table.column(field.name)) for field in table.schema]
    origins = {
        field.name: PREFIX + encode_type(field.type) + ("" if field.nullable else _NOT_NULL)
        for field, column in zip(table.schema, columns, strict=True)
        if not field.nullable or natural(column.clear()).type != field.type
    }
    return pl.DataFrame(columns), origins


def column_from_arrow(name: str, array: Any) -> pl.Series:
    """Turn one Arrow array into a column.

    Parameters
    ----------
    name : str
        The column's name.
    array : pyarrow.Array or pyarrow.ChunkedArray, length n
        Its values.

    Returns
    -------
    polars.Series, shape (n,)
        The column.

    Raises
    ------
    InvalidInputError
        If the type has no exact counterpart in Polars, or a map repeats a key.
    """
    pyarrow = libraries.pyarrow()
    if isinstance(array, pyarrow.Array):
        array = pyarrow.chunked_array([array])
    if pyarrow.types.is_fixed_size_list(array.type) and any(chunk.offset for chunk in array.chunks):
        array = _compact(array)  # Polars 2.1 cannot read a slice of them
    plain = _plain_type(name, array.type)
    try:
        series = pl.Series(name, array if plain == array.type else array.cast(plain))
        _restore(natural(series.clear()), array.type)
    except (pyarrow.ArrowException, pl.exceptions.PolarsError) as error:
        raise _refused(name, array.type, str(error)) from error
    if _holds_map(array.type) and any(_repeats_key(chunk) for chunk in _compact(array).chunks):
        raise InvalidInputError(
            f"column {name!r} holds a map with the same key twice", hint="keep one value per key", column=name
        )
    return series


def to_arrow(frame: pl.DataFrame, origins: Mapping[str, str]) -> Any:
    """Turn a frame into a PyArrow table with the types its columns were saved with.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        The values.
    origins : mapping of str to str
        Column name to origin; a column without one gets the type that Polars gives it.

    Returns
    -------
    pyarrow.Table, shape (n, k)
        The same values. A column saved as `not null` that holds nulls by now is nullable again.

    Raises
    ------
    CorruptData
        If an origin is not one that Tiffin wrote.
    """
    pyarrow = libraries.pyarrow()
    if not frame.width:
        # PyArrow makes no rows of no columns; Polars tells it how many there are.
        return frame.to_arrow()
    arrays, fields = [], []
    for column in frame.iter_columns():
        array = natural(column)
        origin = origins.get(column.name, "")
        if origin.startswith(PREFIX):
            array = restore(array, origin.removeprefix(PREFIX).removesuffix(_NOT_NULL))
        arrays.append(array)
        required = origin.endswith(_NOT_NULL) and not column.null_count()
        fields.append(pyarrow.field(column.name, array.type, nullable=not required))
    return pyarrow.table(arrays, schema=pyarrow.schema(fields))


def restore(array: Any, text: str) -> Any:
    """Cast an Arrow array to a remembered type, if it still fits: the column's type may have changed since.

    Parameters
    ----------
    array : pyarrow.ChunkedArray
        What Polars gave.
    text : str
        What `encode_type` returned.

    Returns
    -------
    pyarrow.ChunkedArray
        The array in that type, or as it is.

    Raises
    ------
    CorruptData
        If the text is not an Arrow type.
    """
    pyarrow = libraries.pyarrow()
    try:
        return _restore(array, decode_type(text))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError):
        return array


def _restore(array: Any, target: Any) -> Any:
    types = libraries.pyarrow().types
    if types.is_dictionary(target) and not types.is_dictionary(array.type):
        array = array.cast(target.value_type).dictionary_encode()
    if array.type == target:
        return array
    if types.is_dictionary(target) and types.is_string_view(target.value_type):
        return _with_viewed_words(array, target)
    return array.cast(target)


def _with_viewed_words(array: Any, target: Any) -> Any:
    """Cast to a dictionary of string views: PyArrow 26 casts its two parts, and not the whole."""
    pyarrow = libraries.pyarrow()
    chunks = [
        pyarrow.DictionaryArray.from_arrays(
            chunk.indices.cast(target.index_type), chunk.dictionary.cast(target.value_type), ordered=target.ordered
        )
        for chunk in array.chunks
    ]
    return pyarrow.chunked_array(chunks, target)


def natural(column: pl.Series) -> Any:
    """Give a column the Arrow type that other libraries read: Int128, which is Polars' own, becomes a decimal.

    Parameters
    ----------
    column : polars.Series, shape (n,)
        The values.

    Returns
    -------
    pyarrow.ChunkedArray, length n
        The same values.
    """
    pyarrow = libraries.pyarrow()
    if column.dtype in {pl.Int128, pl.UInt128}:
        column = column.cast(pl.Decimal(38, 0))
    return pyarrow.chunked_array([column.to_arrow()])


def _plain_type(name: str, kind: Any) -> Any:
    """Name the Arrow type nearest to this one that Polars reads."""
    pyarrow = libraries.pyarrow()
    types = pyarrow.types
    if isinstance(kind, pyarrow.BaseExtensionType):
        if kind.extension_name not in {"arrow.uuid", "arrow.bool8", "arrow.json"}:
            raise _refused(name, kind, "the extension is not known")
        return pyarrow.bool_() if kind.extension_name == "arrow.bool8" else kind.storage_type
    if types.is_timestamp(kind) and kind.tz and _OFFSET.fullmatch(kind.tz):
        return pyarrow.timestamp(kind.unit, "UTC")
    if types.is_date64(kind):
        return pyarrow.date32()
    if types.is_decimal256(kind) and kind.precision <= 38:
        return pyarrow.decimal128(kind.precision, kind.scale)
    if types.is_dictionary(kind) and not _is_text(types, kind.value_type):
        return _plain_type(name, kind.value_type)
    if _is_refused(types, kind):
        raise _refused(name, kind, "it has no exact counterpart")
    return _plain_nested(name, kind)


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_refused(types: Any, kind: Any) -> bool:
    return bool(
        types.is_decimal256(kind)
        or types.is_union(kind)
        or types.is_interval(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
        or types.is_run_end_encoded(kind)
    )


def _plain_nested(name: str, kind: Any) -> Any:
    pyarrow = libraries.pyarrow()
    types = pyarrow.types

    def plain(field: Any) -> Any:
        return field.with_type(_plain_type(name, field.type))

    if types.is_list(kind):
        return pyarrow.list_(plain(kind.value_field))
    if types.is_large_list(kind):
        return pyarrow.large_list(plain(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pyarrow.list_(plain(kind.value_field), kind.list_size)
    if types.is_map(kind):
        return pyarrow.map_(plain(kind.key_field), plain(kind.item_field))
    if types.is_struct(kind):
        return pyarrow.struct([plain(field) for field in kind])
    return kind


def _refused(name: str, kind: Any, reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"column {name!r} of the Arrow type {kind} cannot be stored: {reason}",
        hint="cast it to one of the types that docs/dtypes.md lists, for example with table.set_column(…)",
        column=name,
    )


def _holds_map(kind: Any) -> bool:
    types = libraries.pyarrow().types
    return bool(types.is_map(kind) or any(_holds_map(kind.field(i).type) for i in range(kind.num_fields)))


def _compact(array: Any) -> Any:
    """Copy the rows, so that they have neither an offset nor values behind nulls."""
    pyarrow = libraries.pyarrow()
    return array.take(pyarrow.array(range(len(array)), pyarrow.int64()))


def _repeats_key(array: Any) -> bool:
    pyarrow = libraries.pyarrow()
    types = pyarrow.types
    if types.is_map(array.type):
        keys = pl.Series(pyarrow.ListArray.from_arrays(array.offsets, array.keys))
        return bool((keys.list.n_unique() != keys.list.len()).any()) or _repeats_key(array.items)
    if types.is_struct(array.type):
        return any(_repeats_key(field) for field in array.flatten())
    return types.is_nested(array.type) and _repeats_key(array.flatten())


def encode_type(kind: Any) -> str:
    """Write an Arrow type as text, from which `decode_type` makes the same type.

    Parameters
    ----------
    kind : pyarrow.DataType
        The type.

    Returns
    -------
    str
        Its alias, or its IPC encoding.
    """
    pyarrow = libraries.pyarrow()
    try:
        if pyarrow.type_for_alias(str(kind)) == kind:
            return str(kind)
    except ValueError:
        pass
    return _IPC + base64.b64encode(pyarrow.schema([pyarrow.field("", kind)]).serialize()).decode()


def decode_type(text: str) -> Any:
    """Make the Arrow type that `encode_type` wrote as text.

    Parameters
    ----------
    text : str
        What `encode_type` returned.

    Returns
    -------
    pyarrow.DataType
        The type.

    Raises
    ------
    CorruptData
        If the text is not an Arrow type.
    """
    pyarrow = libraries.pyarrow()
    try:
        if text.startswith(_IPC):
            encoded = base64.b64decode(text.removeprefix(_IPC), validate=True)
            return pyarrow.ipc.read_schema(pyarrow.py_buffer(encoded)).field(0).type
        return pyarrow.type_for_alias(text)
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        raise CorruptData(
            f"not an Arrow type: {text[:100]!r}", hint="the table's metadata was damaged, or written by a newer Tiffin"
        ) from error
