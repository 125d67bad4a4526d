"""Declaring: a version of a table with the same rows, and something else said about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tiffin.schema.table import TableSpec, check
from tiffin.tables.saving import Change, Note, publish
from tiffin.tables.table import Commit, Table

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
    """
    if (now := table.log.require()).spec == revise(now.spec):
        return None
    with table.log.writing(), table.log.committing():
        while (spec := revise((now := table.log.require()).spec)) != now.spec:
            check(spec, str(table.name))
            # A writer that does not know our lock may be first.
            with contextlib.suppress(FileExistsError):
                return publish(table, now, Change(spec, [], []), operation, note)
    return None
