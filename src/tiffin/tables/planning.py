"""Planning: what a save would do, found out the way a save does, and nothing changed."""

from __future__ import annotations

import contextlib
from typing import Literal

import msgspec

from tiffin.errors import ConflictError, InvalidInputError, TiffinError
from tiffin.schema.compatibility import Judged, Mode, weigh, widened
from tiffin.schema.rules import Rule
from tiffin.schema.table import TableSpec, check_declaration, to_metadata
from tiffin.tables import datafiles
from tiffin.tables.saving import Ready, Save, checked, declared, in_current_names, kept_rows, prepared
from tiffin.tables.state import State
from tiffin.tables.table import Table

Following = Literal["none", "leave", "follow", "rebuild"]
"""What the online index does: nothing, as the table is not online; forget the table; follow what changed in its rows;
or be filled with all rows anew."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a save would be refused."""

    code: str
    message: str
    hint: str


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Features that a service would lose."""

    service: str
    features: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a save would do."""

    table: str
    version: int | None
    """The newest version; None if there is no such table yet."""
    mode: Mode
    rule: Rule
    """What the table promises its readers."""
    refusal: Refusal | None = None
    """Why it would be refused; None if it would save."""
    changes: tuple[Judged, ...] = ()
    """Of the schema, each with whether it may be made."""
    major: int = 0
    """The major version of the schema afterwards."""
    rows: int | None = 0
    """Rows now; None if another writer did not count them."""
    rows_after: int | None = None
    """None if it would be refused, or the rows are not counted."""
    rows_added: int = 0
    rows_removed: int | None = 0
    """None if they are not counted."""
    rows_apart: int = 0
    """Rows that break a constraint and would be kept apart."""
    files: int = 0
    """Data files now."""
    files_rewritten: int = 0
    """Those of them that others take the place of."""
    loses: tuple[Lost, ...] = ()
    """Features that services would lose."""
    online: Following = "none"
    warnings: tuple[str, ...] = ()
    """Of constraints that only warn."""

    @property
    def ok(self) -> bool:
        """Whether it would save."""
        return self.refusal is None

    def refused(self, error: TiffinError) -> Plan:
        """Return the plan of a save that would be refused."""
        refusal = Refusal(code=error.code, message=error.message, hint=error.hint)
        return msgspec.structs.replace(self, refusal=refusal, rows_after=None)


def plan(table: Table, request: Save) -> tuple[Plan, TableSpec | None]:
    """Tell what a save would do.

    Parameters
    ----------
    table : Table
        The table; it need not exist yet.
    request : Save
        The save.

    Returns
    -------
    tuple of Plan and TableSpec
        With the plan, what the table would declare; None if the save would be refused.

    Raises
    ------
    StorageError
        The table cannot be read, or not be written to at all.
    """
    before = table.log.latest()
    begun = Plan(
        table=str(table.name),
        version=before.version if before else None,
        mode=request.mode,
        rule=before.spec.rule if before else request.declared.rule or "backward",
        major=before.spec.major if before else 0,
        rows=before.rows if before else 0,
        files=len(before.files) if before else 0,
    )
    try:
        check_declaration(request.declared, str(table.name))
        # What cannot even be compared is refused below, as the save would.
        with contextlib.suppress(InvalidInputError):
            begun = msgspec.structs.replace(begun, changes=_changes(table, before, request))
        ready = checked(table, before, *prepared(table, before, request))
        datafiles.check_partitions(ready.stored, ready.spec)
        to_metadata(ready.spec)
        files, gone = _replaced(table, ready)
    except (InvalidInputError, ConflictError) as error:
        return begun.refused(error), None
    if before is not None:
        before.protocol.check_writable(str(table.name))
        before.metadata.check_writable(str(table.name), removes_rows=bool(files))
    rows, added, judged = begun.rows, ready.stored.height, ready.judged
    planned = msgspec.structs.replace(
        begun,
        major=ready.spec.major,
        rows_added=added,
        rows_removed=gone,
        rows_after=None if rows is None or gone is None else rows + added - gone,
        rows_apart=judged.apart.height if judged and judged.apart is not None else 0,
        files_rewritten=files,
        warnings=judged.warnings if judged else (),
    )
    return planned, ready.spec


def _changes(table: Table, before: State | None, request: Save) -> tuple[Judged, ...]:
    if before is None:
        return ()
    request = in_current_names(table, before, request)
    return weigh(before.spec, declared(before, request), request.mode, evolve=request.evolve).changes


def _replaced(table: Table, ready: Ready) -> tuple[int, int | None]:
    """Count the files that others would take the place of, and the rows that would go; None if not counted."""
    before, mode = ready.before, ready.request.mode
    if before is None:
        return 0, 0
    if mode == "overwrite":
        return len(before.files), before.rows
    if mode == "append" and not widened(before.spec, ready.spec):
        return 0, 0
    _, files, gone = kept_rows(table, before, ready.spec, ready.stored, mode)
    return len(files), gone
