"""Exchanging rows: in one commit some rows of a table go and others come, as its maker worked them out.

For tables whose rows are made from others: their keys are unique, so it does not matter in which file a row lies. All
files are written before the commit's lock is taken; if the table has changed since it was looked at, nothing is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from tiffin.errors import OutcomeUnknown, TiffinError
from tiffin.schema import dtypes
from tiffin.schema.table import TableSpec, check
from tiffin.tables import datafiles
from tiffin.tables.actions import Add
from tiffin.tables.judging import hold, hold_number
from tiffin.tables.publishing import Change, Note, publish
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table


class Part(NamedTuple):
    """Rows that change places."""

    gone: pl.DataFrame
    """Keys of rows that go: the columns `spec.row_key`."""
    come: pl.DataFrame
    """Rows that come."""


def exchange(
    table: Table,
    before: State | None,
    spec: TableSpec,
    *,
    parts: Iterable[Part],
    all_go: bool,
    operation: str,
    note: Note,
) -> Commit | None:
    """Commit a version of a table without some rows and with others.

    Parameters
    ----------
    table : Table
        The table; it need not exist yet.
    before : State or None
        The version that was looked at; None if there was no table.
    spec : TableSpec
        What it declares from now on.
    parts : iterable of Part
        What goes and what comes, so that not all is in memory at once; what comes in a part becomes a file of its own.
    all_go : bool
        Whether all rows go that there were, whatever the parts say.
    operation : str
        What it is called in the history.
    note : Note
        What is to be remembered.

    Returns
    -------
    Commit or None
        None if the table has changed since: nothing was done.

    Raises
    ------
    InvalidInputError, SchemaMismatch
        The table cannot be so.
    ConstraintViolated
        A row that comes, or the number of rows, breaks a constraint of the table.
    StorageError
        The disk refused; the table is as it was.
    OutcomeUnknown
        The version is there, but whether it survives a power loss is not known.
    """
    check(spec, str(table.name))
    table.prepare(before)
    adds: list[Add] = []
    with table.log.writing():
        try:
            height, gone = 0, []
            for part in parts:
                hold(part.come, spec, str(table.name))
                height += part.come.height
                adds += _write(table, dtypes.to_stored(part.come), spec) if part.come.height else []
                gone.append(part.gone)
            removes, left = _all_of(before) if all_go or before is None else _without(table, before, gone, adds)
            if (rows := before.rows if before else 0) is not None and left is not None:
                hold_number(rows + height - left, rows, spec, str(table.name))
            change = Change(spec, adds, removes, height, left)
            with table.log.committing():
                now = table.log.latest()
                if _mark(now) == _mark(before):
                    return publish(table, now, change, operation, note)
        except FileExistsError:
            # A writer that does not know the lock was first.
            pass
        except OutcomeUnknown:
            raise
        except TiffinError:
            datafiles.discard(table.fs, table.folder, adds)
            raise
        datafiles.discard(table.fs, table.folder, adds)
        return None


def _mark(state: State | None) -> tuple[str, int, int] | None:
    return None if state is None else (state.metadata.id, state.version, state.timestamp)


def _write(table: Table, stored: pl.DataFrame, spec: TableSpec) -> list[Add]:
    return datafiles.write(
        table.fs, table.folder, stored.sort(spec.order, maintain_order=True), spec, table.options.encoding
    )


def _all_of(before: State | None) -> tuple[list[Add], int | None]:
    return (list(before.files.values()), before.rows) if before else ([], 0)


def _without(table: Table, before: State, gone: list[pl.DataFrame], adds: list[Add]) -> tuple[list[Add], int]:
    """Find the files that rows go from, and write what stays of them; return how many rows go, if that is known."""
    removes: list[Add] = []
    left = 0
    keys = dtypes.to_stored(pl.concat(gone)) if any(part.height for part in gone) else pl.DataFrame()
    for add in before.files.values() if keys.height else ():
        if not all(datafiles.may_hold(add, name, keys[name].min(), keys[name].max()) for name in keys.columns):
            continue
        rows = table.stored([add], before.spec)
        stay = rows.join(keys, on=keys.columns, how="anti", maintain_order="left")
        if stay.height < rows.height:
            adds += _write(table, stay, before.spec)
            removes.append(add)
            left += rows.height - stay.height
    return removes, left
