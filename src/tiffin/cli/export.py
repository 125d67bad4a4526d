"""Frames out: CSV, Parquet, JSON and JSON lines, each also compressed with gzip, to a file or standard output."""

import base64
import contextlib
import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import polars as pl

from tiffin.cli.formats import Format
from tiffin.errors import StorageError

STREAM = "-"
_ROWS_AT_ONCE = 10_000


def write(frame: pl.DataFrame, name: str, form: Format) -> None:
    """Write a frame.

    Parameters
    ----------
    frame : DataFrame
        What to write.
    name : str
        A file, compressed if it ends with `.gz`; or `-` for standard output. A file that is there is replaced when
        the new one is complete.
    form : Format
        How.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    if name == STREAM:
        _write(frame, sys.stdout.buffer, form)
        sys.stdout.buffer.flush()
        return
    with _replacing(name) as file:
        if not name.endswith(".gz"):
            _write(frame, file, form)
            return
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed:
            _write(frame, cast("BinaryIO", packed), form)


def _write(frame: pl.DataFrame, file: BinaryIO, form: Format) -> None:
    if form is Format.PARQUET:
        frame.write_parquet(file)
    elif form is Format.CSV:
        as_text(frame).write_csv(file)
    elif form is Format.JSONL:
        for part in frame.iter_slices(_ROWS_AT_ONCE):
            file.write(msgspec.json.Encoder().encode_lines(part.to_dicts()))
    else:
        file.write(b"[")
        for number, part in enumerate(frame.iter_slices(_ROWS_AT_ONCE)):
            rows = msgspec.json.encode(part.to_dicts())
            file.write((b",\n" if number else b"") + rows[1:-1])
        file.write(b"]\n")


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the values that CSV has no form for one: times as ISO 8601, lists and structs as JSON, bytes as base64.

    Parameters
    ----------
    frame : DataFrame, shape (n, k)

    Returns
    -------
    DataFrame, shape (n, k)
    """
    return frame.with_columns([_column_as_text(column) for column in frame.iter_columns()])


def _column_as_text(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.to_string("iso:strict")
    if isinstance(column.dtype, pl.Duration):
        return column.dt.to_string("iso")
    if column.dtype == pl.Binary:
        texts = [None if value is None else base64.b64encode(value).decode() for value in column]
    elif column.dtype.is_nested():
        texts = [None if value is None else msgspec.json.encode(value).decode() for value in column.to_list()]
    else:
        return column
    return pl.Series(column.name, texts, dtype=pl.String)


@contextlib.contextmanager
def _replacing(name: str) -> Iterator[BinaryIO]:
    """Write a file beside the one that it will replace; a device or pipe is written as it is."""
    path = Path(name)
    is_special = path.exists() and not path.is_file()
    target = path if is_special else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with target.open("wb") as file:
            yield file
        if not is_special:
            target.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {name!r}: {error.strerror or error}", hint="choose another place") from error
    finally:
        if not is_special:
            target.unlink(missing_ok=True)
