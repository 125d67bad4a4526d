"""Quarantine: rows that broke a constraint, kept apart from the table that they were saved to.

They lie in the table's own folder, one file for each save, and are gone when the table is dropped. A file is written
before the commit of its save, so that no row is lost: one whose save then did not land (the process was killed in
between) is told from the others by the commit, which names the file. Arrow files keep every type as it is.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import polars as pl
import xxhash

from tiffin.errors import CorruptData, OutcomeUnknown, StorageError
from tiffin.files import make_folders, not_written, sweep, translated, write_durably
from tiffin.tables.judging import LANDED, REASON, TIME, VERSION
from tiffin.tables.table import Table

FOLDER = "_quarantine"
_NAME = re.compile(r"\d{20}-(?:[0-9a-f]{32}|[0-9a-f]{16})\.arrow")
"""The version, and the file's XXH3-128; in the shorter form, which was once used, digits that say nothing."""
_CHECKSUM_DIGITS = 32


def write(table: Table, version: int, rows: pl.DataFrame) -> str:
    """Keep rows apart; when this returns, they survive a power loss.

    Parameters
    ----------
    table : Table
        The table.
    version : int
        The version that the save is about to make; the caller holds the table's commit lock.
    rows : DataFrame
        The rows, with the reason of each.

    Returns
    -------
    str
        Names the file, for the commit.

    Raises
    ------
    StorageError
        The disk refused.
    """
    told = rows.with_columns(
        pl.lit(table.log.now()).cast(pl.Datetime("ms", "UTC")).alias(TIME),
        pl.lit(version, dtype=pl.Int64).alias(VERSION),
    )
    data = io.BytesIO()
    told.write_ipc(data, compression="zstd")
    folder = table.folder / FOLDER
    name = f"{version:020}-{xxhash.xxh3_128_hexdigest(data.getbuffer())}.arrow"
    try:
        make_folders(table.fs, folder)
        write_durably(table.fs, folder / name, data.getbuffer())
    except OutcomeUnknown as error:
        # Without a commit it is nothing yet: here the outcome is known.
        discard(table, name)
        raise not_written(error) from error
    return name


def discard(table: Table, name: str) -> None:
    """Remove what was kept apart for a save that was refused after all; nothing is called by the empty name."""
    with contextlib.suppress(OSError):
        if name:
            table.fs.remove(table.folder / FOLDER / name)


def read(table: Table) -> pl.DataFrame:
    """Read all rows that are kept apart, oldest first.

    Returns
    -------
    DataFrame
        The table's columns as they were then, with `quarantine_reason`, the constraints that the row broke,
        `quarantine_time`, `quarantine_version`, the version that its save was to make, and `quarantine_landed`: whether
        it did; null if that version was vacuumed.

    Raises
    ------
    CorruptData
        A file is damaged.
    """
    table.log.require()
    parts = [_read(table, name) for name in file_names(table)]
    if not parts:
        own = {REASON: pl.String(), TIME: pl.Datetime("ms", "UTC"), VERSION: pl.Int64(), LANDED: pl.Boolean()}
        return pl.DataFrame(schema={**table.log.require().spec.dtypes, **own})
    try:
        return pl.concat(parts, how="diagonal_relaxed")
    except pl.exceptions.PolarsError:
        # The table's columns have become of another kind meanwhile: texts can hold both.
        kinds: dict[str, set[str]] = {}
        for part in parts:
            for name, dtype in part.schema.items():
                kinds.setdefault(name, set()).add(str(dtype))
        mixed = [name for name, found in kinds.items() if len(found) > 1]
        return pl.concat(
            [part.with_columns(pl.col(*({*mixed} & {*part.columns})).cast(pl.String)) for part in parts],
            how="diagonal_relaxed",
        )


def damaged(table: Table) -> list[StorageError]:
    """Say of each file that cannot be read what is wrong with it."""
    found = []
    for name in file_names(table):
        try:
            _read(table, name)
        except StorageError as error:
            found.append(error)
    return found


def check(table: Table, name: str) -> None:
    """Raise `CorruptData` if a file is not what was written."""
    _read(table, name)


def clear(table: Table) -> int:
    """Remove all rows that are kept apart; return how many they were."""
    table.log.require()
    folder = table.folder / FOLDER
    # Under the lock: a save that is about to land has its file here already.
    with table.log.writing(), table.log.committing():
        names = file_names(table)
        rows = 0
        for name in names:
            # A damaged one goes with the others.
            with contextlib.suppress(CorruptData):
                rows += _read(table, name).height
        with translated(folder, doing="clear"):
            for name in names:
                table.fs.remove(folder / name)
            if names:
                table.fs.sync_folder(folder)
                sweep(table.fs, folder)
    return rows


def file_names(table: Table) -> list[str]:
    """List the files, oldest first."""
    folder = table.folder / FOLDER
    with translated(folder, doing="list"):
        found = table.fs.names(folder) if table.fs.stat(folder) else []
    return sorted(name for name in found if _NAME.fullmatch(name))


def _read(table: Table, name: str) -> pl.DataFrame:
    path = table.folder / FOLDER / name
    with translated(path, doing="read"):
        data = table.fs.read(path)
    checksum = path.stem.partition("-")[2]
    if len(checksum) == _CHECKSUM_DIGITS and xxhash.xxh3_128_hexdigest(data) != checksum:
        raise _damaged(path, "its checksum differs")
    try:
        rows = pl.read_ipc(bytes(data))
    except pl.exceptions.PolarsError as error:
        raise _damaged(path, str(error)) from error
    return rows.with_columns(pl.lit(_landed(table, name), dtype=pl.Boolean).alias(LANDED))


def _damaged(path: Path, problem: str) -> CorruptData:
    return CorruptData(
        f"{path} is not what was written: {problem}",
        hint="put it back from a copy of the store, or clear the quarantine: store.clear_quarantine",
    )


def _landed(table: Table, name: str) -> bool | None:
    """Tell whether the save landed that rows were kept apart of; None if its version was vacuumed."""
    version = int(name.partition("-")[0])
    if version > table.log.require().version:
        return False
    if not table.log.has(version):
        return None
    details = table.log.read_commit(version).info.tiffin
    return details is not None and details.quarantine == name
