"""Rows of a frame as JSON, written by Polars: times in ISO 8601 with their zone, decimals as text, bytes in base64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import polars as pl

from tiffin.frames.texts import holds_map
from tiffin.server.answers.json_values import Leaf, converter, in_words, plain

SLICE_ROWS = 8192
"""Rows that are written at once."""


def rows(frame: pl.DataFrame, nan: Literal["null", "text"] = "null") -> Iterator[bytes]:
    """Write the rows of a frame as the elements of a JSON array, without its brackets.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)
        The rows.
    nan : {"null", "text"}
        How NaN and infinities are shown: as null, or as "NaN", "Infinity" and "-Infinity".

    Yields
    ------
    bytes
        Some thousand rows each.
    """
    write = _in_words if nan == "text" and _may_hold_nan(frame) else _in_nulls
    for start in range(0, frame.height, SLICE_ROWS):
        piece = write(frame.slice(start, SLICE_ROWS))
        yield b"," + piece if start else piece


def _in_nulls(frame: pl.DataFrame) -> bytes:
    if any(map(holds_map, frame.dtypes)):
        return msgspec.json.encode(_converted(frame, plain))[1:-1]
    return _shown(frame).write_json()[1:-1].encode()


def _in_words(frame: pl.DataFrame) -> bytes:
    return msgspec.json.encode(_converted(frame, in_words))[1:-1]


def _converted(frame: pl.DataFrame, leaf: Leaf) -> list[dict[str, Any]]:
    """Convert value by value: Polars writes no NaN as a word, and no map whose keys are not text."""
    changes = {name: converter(dtype, leaf) for name, dtype in frame.schema.items()}
    rows = frame.to_dicts()
    for name, convert in changes.items():
        if convert is not None:
            for row in rows:
                row[name] = convert(row[name])
    return rows


def _may_hold_nan(frame: pl.DataFrame) -> bool:
    """Tell whether a frame may hold NaN or infinities."""
    if any(dtype.is_nested() for dtype in frame.dtypes):
        return True
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    return bool(floats) and not frame.select(pl.all_horizontal(pl.col(floats).is_finite().all())).item()


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    """Give values a form that Polars writes as they are to be shown."""
    changes = [
        _as_shown(pl.col(name), dtype).alias(name) for name, dtype in frame.schema.items() if _needs_change(dtype)
    ]
    return frame.with_columns(changes) if changes else frame


def _as_shown(column: pl.Expr, dtype: Any) -> pl.Expr:
    if dtype == pl.Binary:
        return column.bin.encode("base64")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        return column.dt.replace_time_zone("UTC")
    if not _needs_change(dtype):
        return column
    if isinstance(dtype, pl.Struct):
        fields = [_as_shown(column.struct.field(field.name), field.dtype).alias(field.name) for field in dtype.fields]
        return pl.when(column.is_not_null()).then(pl.struct(fields))
    if isinstance(dtype, pl.Array):
        column = column.arr.to_list()
    return column.list.eval(_as_shown(pl.element(), dtype.inner))


def _needs_change(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return any(_needs_change(field.dtype) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _needs_change(dtype.inner)
    return dtype == pl.Binary or (isinstance(dtype, pl.Datetime) and dtype.time_zone is None)
