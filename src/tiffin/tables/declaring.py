"""Declaring: a version of a table with the same rows, and something else said about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from tiffin.schema.table import TableSpec, check
from tiffin.tables.judging import newly_broken
from tiffin.tables.publishing import Change, Note, publish
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table
from tiffin.tables.violations import refuse, warnings

_HINT = "mend the rows first, or let the constraint warn to begin with (severity='warn', --warn)"

Revise = Callable[[TableSpec], TableSpec]
"""Makes of what a table declares what it is to declare; raises if that cannot be. Called again if overtaken."""


def declare(table: Table, revise: Revise, operation: str, note: Note) -> Commit | None:
    """Commit what a table declares from now on, as a version with the same rows; None if that is nothing new.

    Parameters
    ----------
    table : Table
        The table.
    revise : callable
        The change. The columns keep their stored types, so that no file need be written anew.
    operation : str
        What it is called in the history.
    note : Note
        What the caller wants remembered.

    Raises
    ------
    TableNotFound
        There is no such table.
    InvalidInputError, SchemaMismatch
        It cannot declare this; nothing was changed.
    ConstraintViolated
        Its rows break a constraint that it was to declare; nothing was changed.
    """
    now = table.log.require()
    if (spec := revise(now.spec)) == now.spec:
        return None
    # Rows are read before the lock is taken, and under it only if a version came in between.
    warned = {now.timestamp: check_declared(table, now, spec)}
    with table.log.writing(), table.log.committing():
        while (spec := revise((now := table.log.require()).spec)) != now.spec:
            if now.timestamp not in warned:
                warned[now.timestamp] = check_declared(table, now, spec)
            # A writer that does not know our lock may be first.
            with contextlib.suppress(FileExistsError):
                commit = publish(table, now, Change(spec, [], []), operation, note)
                return msgspec.structs.replace(commit, warnings=(*commit.warnings, *warned[now.timestamp]))
    return None


def check_declared(table: Table, now: State, spec: TableSpec) -> tuple[str, ...]:
    """Check what a table is to declare, and its rows by what is new of it; return what only warns.

    Rows are read a stretch at a time, only the columns that matter; for a key that is to be unique, the key columns of
    all rows together.

    Raises
    ------
    ConstraintViolated, InvalidInputError, SchemaMismatch
        As for `declare`.
    """
    check(spec, str(table.name))
    if set(spec.constraints) <= set(now.spec.constraints):
        return ()
    with table.reading(now):
        broken = newly_broken(table, now, spec)
    refuse(broken, str(table.name), hint=_HINT)
    return warnings(broken)
