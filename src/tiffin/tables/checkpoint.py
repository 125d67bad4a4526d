"""Checkpoints: the state of a table in one Parquet file, so that a long log need not be replayed.

A checkpoint holds the same actions as a commit, one a row. Removed files are left out: Tiffin's vacuum finds what
no version needs by itself. Beside each lies a file with its checksum, written first; a checkpoint that does not match
it is not used, and the log is replayed from an older one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import xxhash

from tiffin.errors import CorruptData, StorageError
from tiffin.files import FileSystem, translated, write_durably
from tiffin.frames.forked import check_threads
from tiffin.tables.actions import Action, Add, Metadata, Protocol, encode_lines
from tiffin.tables.state import State, replay

ENDING = ".checkpoint.parquet"
HINT = "_last_checkpoint"

_TEXTS = pl.Map(pl.String, pl.String)
_SCHEMA: dict[str, pl.DataType] = {
    "protocol": pl.Struct(
        {
            "minReaderVersion": pl.Int32,
            "minWriterVersion": pl.Int32,
            "readerFeatures": pl.List(pl.String),
            "writerFeatures": pl.List(pl.String),
        }
    ),
    "metaData": pl.Struct(
        {
            "id": pl.String,
            "name": pl.String,
            "description": pl.String,
            "format": pl.Struct({"provider": pl.String, "options": _TEXTS}),
            "schemaString": pl.String,
            "partitionColumns": pl.List(pl.String),
            "configuration": _TEXTS,
            "createdTime": pl.Int64,
        }
    ),
    "add": pl.Struct(
        {
            "path": pl.String,
            "partitionValues": _TEXTS,
            "size": pl.Int64,
            "modificationTime": pl.Int64,
            "dataChange": pl.Boolean,
            "stats": pl.String,
            "tags": _TEXTS,
        }
    ),
}


def checkpoint_name(version: int) -> str:
    """Return the file name of the checkpoint at a version."""
    return f"{version:020}{ENDING}"


def checksum_name(version: int) -> str:
    """Return the file name of the checksum that belongs to the checkpoint at a version."""
    return f".{version:020}.checkpoint.xxh3"


def write(fs: FileSystem, folder: Path, state: State) -> None:
    """Write the checkpoint of a state, durably; a reader sees a whole one or none.

    Parameters
    ----------
    fs : FileSystem
        Where to write.
    folder : Path
        The table's log folder.
    state : State
        What to write.

    Raises
    ------
    StorageError
        The disk refused; the table is as it was.
    """
    actions = [
        Action(protocol=state.protocol),
        Action(meta_data=state.metadata),
        *(Action(add=add) for add in state.files.values()),
    ]
    buffer = io.BytesIO()
    check_threads()
    pl.read_ndjson(encode_lines(actions), schema=_SCHEMA).write_parquet(buffer)
    data = buffer.getvalue()
    write_durably(fs, folder / checksum_name(state.version), xxhash.xxh3_64_hexdigest(data).encode())
    write_durably(fs, folder / checkpoint_name(state.version), data)
    hint = {"version": state.version, "size": len(actions)}
    write_durably(fs, folder / HINT, msgspec.json.encode(hint))


def read(fs: FileSystem, folder: Path, version: int, timestamp: int, table: str) -> State:
    """Read the checkpoint at a version.

    Parameters
    ----------
    fs : FileSystem
        Where to read.
    folder : Path
        The table's log folder.
    version : int
        A version that has a checkpoint.
    timestamp : int
        When the version was committed, milliseconds since 1970-01-01 UTC; a checkpoint does not say.
    table : str
        Name of the table, for messages.

    Raises
    ------
    CorruptData
        The checkpoint is not there, not what was written, or not in a form that Tiffin reads.
    """
    path, beside = folder / checkpoint_name(version), folder / checksum_name(version)
    try:
        with translated(path, doing="read"):
            data = bytes(fs.read(path))
        with translated(beside, doing="read"):
            written = bytes(fs.read(beside)) if fs.stat(beside) else None
    except StorageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise CorruptData(f"checkpoint {path.name} of table {table} is missing") from error
    if written is not None and xxhash.xxh3_64_hexdigest(data).encode() != written:
        raise CorruptData(f"checkpoint {path.name} of table {table} is not what was written: its checksum differs")
    check_threads()
    try:
        frame = pl.read_parquet(data, columns=list(_SCHEMA))
        actions = list(_actions(frame))
    except (pl.exceptions.PolarsError, msgspec.MsgspecError) as error:
        raise CorruptData(f"checkpoint {path.name} of table {table} cannot be read: {error}") from error
    return replay(table, version, timestamp, actions)


def damaged(fs: FileSystem, folder: Path, versions: Iterable[int], table: str) -> list[StorageError]:
    """Say of each checkpoint that cannot be read what is wrong with it; parameters as for `read`."""
    found = []
    for version in versions:
        try:
            read(fs, folder, version, 0, table)
        except StorageError as error:
            found.append(error)
    return found


def _actions(frame: pl.DataFrame) -> Iterator[Action]:
    for row in _rows(frame, "protocol"):
        yield Action(protocol=msgspec.convert(row, Protocol))
    for row in _rows(frame, "metaData"):
        yield Action(meta_data=msgspec.convert(row, Metadata))
    for row in _rows(frame, "add"):
        yield Action(add=msgspec.convert(row, Add))


def _rows(frame: pl.DataFrame, kind: str) -> list[Any]:
    return [row for row in frame[kind].to_list() if row is not None]
