"""Constraints of a table that is there: declared and taken away, checked at a version, kept when one is restored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tiffin.schema.constraints.kinds import Constraint, merged, renamed, without
from tiffin.schema.table import TableSpec, check
from tiffin.tables.declaring import declare
from tiffin.tables.judging import existing, newly_broken
from tiffin.tables.publishing import Note
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table
from tiffin.tables.violations import CheckReport, refuse


def constrain(table: Table, constraints: Sequence[Constraint], note: Note) -> Commit | None:
    """Declare constraints of a table whose rows satisfy them; None if it declares them already.

    Parameters
    ----------
    table : Table
        The table.
    constraints : sequence of Constraint
        One of the same name takes another's place.
    note : Note
        What the caller wants remembered.

    Raises
    ------
    ConstraintViolated
        Rows that are there break one; nothing was changed.
    SchemaMismatch, InvalidInputError
        One does not fit the table.
    """

    def revise(spec: TableSpec) -> TableSpec:
        declared = renamed(constraints, spec.aliases, str(table.name))
        return msgspec.structs.replace(spec, constraints=merged(spec.constraints, declared))

    return declare(table, revise, "constrain", note)


def unconstrain(table: Table, names: Sequence[str], note: Note) -> Commit:
    """Take constraints away, also such as other writers declared.

    Raises
    ------
    InvalidInputError
        The table has none of this name.
    """

    def revise(spec: TableSpec) -> TableSpec:
        constraints = spec.constraints
        for name in names:
            constraints = without(constraints, name, str(table.name))
        return msgspec.structs.replace(spec, constraints=constraints)

    return declare(table, revise, "unconstrain", note) or table.history(1)[0]


def check_version(table: Table, state: State) -> CheckReport:
    """Ask all constraints of the rows of a version.

    Parameters
    ----------
    table : Table
        The table.
    state : State
        The version.
    """
    before = None
    if state.version and table.log.has(state.version - 1):
        before = table.log.at(state.version - 1).rows
    with table.reading(state):
        broken = existing(table, state, state.spec, state.spec.constraints, before)
    return CheckReport(
        table=str(table.name),
        version=state.version,
        rows=state.rows,
        constraints=len(state.spec.constraints),
        violations=tuple(broken),
    )


def bound(table: Table, old: State, spec: TableSpec, now: State) -> TableSpec:
    """Hold an older version, which is to be the newest again, to the constraints that the table declares by now.

    Parameters
    ----------
    table : Table
        The table.
    old : State
        The older version.
    spec : TableSpec
        What the table is to declare again.
    now : State
        The newest version.

    Raises
    ------
    ConstraintViolated
        Its rows break one.
    SchemaMismatch, InvalidInputError
        One does not fit it.
    """
    kept = renamed(now.spec.constraints, spec.aliases, str(table.name))
    wanted = msgspec.structs.replace(spec, constraints=kept)
    check(wanted, str(table.name))
    refuse(
        newly_broken(table, old, wanted),
        str(table.name),
        hint="restore it with the constraints that it had (force=True, --force)",
    )
    return wanted
