"""Frames out: CSV, Parquet, JSON and JSON lines, each also compressed with gzip, to a file or standard output."""

import base64
import contextlib
import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import polars as pl

from tiffin.cli.files.formats import Format
from tiffin.cli.run import make_interruptible, standard_output, to_json
from tiffin.errors import StorageError

_ROWS_AT_ONCE = 10_000


def to_standard_output(frame: pl.DataFrame, form: Format) -> None:
    """Write a frame to standard output.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    make_interruptible()
    with standard_output() as stream:
        _write(frame, stream, form)
        stream.flush()


@contextlib.contextmanager
def written(frame: pl.DataFrame, name: str, form: Format) -> Iterator[None]:
    """Write a frame to a file, which takes its place when the body is done; if that fails, all is as it was.

    Parameters
    ----------
    frame : DataFrame
        What to write.
    name : str
        The file, compressed if it ends with `.gz`. A device or pipe is written at once.
    form : Format
        How.

    Raises
    ------
    StorageError
        It cannot be written.
    """

    def fill(file: BinaryIO) -> None:
        if not name.endswith(".gz"):
            _write(frame, file, form)
            return
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as packed:
            _write(frame, cast("BinaryIO", packed), form)

    with _replacing(name, fill):
        yield


@contextlib.contextmanager
def written_json(document: object, name: str) -> Iterator[None]:
    """Write a document as indented JSON to a file, which takes its place when the body is done.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    with _replacing(name, lambda file: file.write(to_json(document))):
        yield


def write_bytes(data: bytes, name: str) -> None:
    """Write a file in one step.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    with _replacing(name, lambda file: file.write(data)):
        pass


def _write(frame: pl.DataFrame, file: BinaryIO, form: Format) -> None:
    """Write piece by piece in Python: what Polars writes itself ends a closed pipe with an error of its own."""
    if form is Format.PARQUET:
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        file.write(buffer.getbuffer())
        return
    pieces = {Format.CSV: _csv, Format.JSON: _json, Format.JSONL: _json_lines}[form](frame)
    file.writelines(pieces)


def _csv(frame: pl.DataFrame) -> Iterator[bytes]:
    yield as_text(frame.clear()).write_csv().encode()
    for part in frame.iter_slices(_ROWS_AT_ONCE):
        yield as_text(part).write_csv(include_header=False).encode()


def _json(frame: pl.DataFrame) -> Iterator[bytes]:
    opening = b"["
    for part in frame.iter_slices(_ROWS_AT_ONCE):
        yield opening + msgspec.json.encode(part.to_dicts())[1:-1]
        opening = b",\n"
    yield b"]\n" if frame.height else b"[]\n"


def _json_lines(frame: pl.DataFrame) -> Iterator[bytes]:
    for part in frame.iter_slices(_ROWS_AT_ONCE):
        yield msgspec.json.Encoder().encode_lines(part.to_dicts())


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
def _replacing(name: str, fill: Callable[[BinaryIO], object]) -> Iterator[None]:
    """Write a file beside the one that it replaces after the body; a device or pipe is written as it is, before."""
    in_place = is_special(name)
    # The file that a link leads to is replaced, not the link.
    path = Path(name if in_place else os.path.realpath(name))
    target = path if in_place else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _told(name), target.open("wb") as file:
            fill(file)
        yield
        if not in_place:
            with _told(name):
                target.replace(path)
    finally:
        if not in_place:
            # What went wrong before is what to tell.
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {name!r}: {error.strerror or error}", hint="choose another place") from error


def is_special(name: str) -> bool:
    """Tell whether a name stands for a device, a pipe or an open file, which cannot be replaced."""
    path = Path(name)
    is_open_file = path.is_absolute() and path.parts[1:2] in {("dev",), ("proc",)}
    try:
        return path.exists() and (is_open_file or not path.is_file())
    except OSError:
        # No name of a file: that is told when it is opened.
        return False
