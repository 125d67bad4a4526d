"""Rewriting: a version of a table with the same rows under other columns, file by file.

Delta readers find a column in the files by the name that the schema gives it (column mapping, which would separate the
two, is not understood by all). So a column that is renamed, or dropped for good, is renamed or dropped in the files.
"""

from __future__ import annotations

import polars as pl

from tiffin.errors import CommitConflict, OutcomeUnknown, TiffinError
from tiffin.schema.evolution import column_of
from tiffin.schema.table import TableSpec, check
from tiffin.tables import datafiles
from tiffin.tables.actions import Add
from tiffin.tables.declaring import Revise
from tiffin.tables.publishing import Change, Note, publish
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table

_ATTEMPTS = 20


def rewrite(table: Table, revise: Revise, operation: str, note: Note, *, changes_data: bool) -> Commit:
    """Commit a table with columns that were renamed or dropped; other writers wait meanwhile.

    Parameters
    ----------
    table : Table
        The table.
    revise : callable
        The change of what it declares; the columns that stay keep their types, and a new name has the old as an alias.
    operation : str
        What it is called in the history.
    note : Note
        What the caller wants remembered.
    changes_data : bool
        Whether values are gone afterwards.

    Raises
    ------
    TableNotFound
        There is no such table.
    InvalidInputError, SchemaMismatch, FeatureNotFound
        It cannot be changed like this; nothing was.
    CommitConflict
        Writers that do not know the table's lock never let this one through.
    """
    # Before the lock is taken, and a file is read.
    check(revise(table.log.require().spec), str(table.name))
    with table.log.writing(), table.log.committing():
        for _ in range(_ATTEMPTS):
            now = table.log.require()
            spec = revise(now.spec)
            check(spec, str(table.name))
            adds = _written(table, now, spec)
            try:
                change = Change(spec, adds, list(now.files.values()), 0, 0, changes_data=changes_data)
                return publish(table, now, change, operation, note)
            except FileExistsError:
                datafiles.discard(table.fs, table.folder, adds)
            except OutcomeUnknown:
                raise
            except TiffinError:
                # Not for an interrupt: it may come after the commit, which needs these files.
                datafiles.discard(table.fs, table.folder, adds)
                raise
    raise CommitConflict(
        f"table {table.name} was changed by others {_ATTEMPTS} times while its files were written anew",
        hint="try again when it is quieter",
    )


def _written(table: Table, now: State, spec: TableSpec) -> list[Add]:
    """Write each file anew, one at a time, in their order."""
    adds: list[Add] = []
    try:
        for add in now.files.values():
            rows = table.stored([add], now.spec).select(_columns(now.spec, spec))
            adds += datafiles.write(table.fs, table.folder, rows, spec, table.options.encoding)
    except BaseException:
        datafiles.discard(table.fs, table.folder, adds)
        raise
    return adds


def _columns(old: TableSpec, new: TableSpec) -> list[pl.Expr]:
    return [pl.col(column_of(old, column.name, new) or column.name).alias(column.name) for column in new.columns]
