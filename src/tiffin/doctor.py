"""Examining a table: whether every version can be read, and every file is what was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from tiffin.errors import CorruptData, StorageError, VersionNotFound
from tiffin.tables.state import State
from tiffin.tables.table import Table


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to know about a table."""

    table: str
    kind: Literal["corrupt", "repaired"]
    """`corrupt`: a version or file is damaged. `repaired`: the remains of a crash were set aside; nothing is lost."""
    what: str
    hint: str = ""


def examine(table: Table) -> Iterator[Finding]:
    """Read the whole log and check every data file that a readable version needs against its checksum.

    Parameters
    ----------
    table : Table
        The table.

    Yields
    ------
    Finding
    """
    name = str(table.name)
    try:
        latest = table.log.require()
    except StorageError as error:
        yield Finding(table=name, kind="corrupt", what=error.message, hint=error.hint)
        return
    for kept in table.log.set_aside:
        what = f"the last commit was torn by a crash before it was acknowledged; it is kept as {kept}"
        yield Finding(table=name, kind="repaired", what=what)
    checked: set[str] = set()
    state = None
    for version in range(table.log.oldest(), latest.version + 1):
        try:
            # One commit further where that is possible: to look each version up would take a long log's length squared.
            state = state.apply(version, table.log.read_commit(version)) if state else table.log.at(version)
        except (CorruptData, VersionNotFound) as error:
            yield Finding(table=name, kind="corrupt", what=f"version {version}: {error.message}", hint=error.hint)
            state = None
            continue
        yield from _examine_files(table, state, checked)


def _examine_files(table: Table, state: State, checked: set[str]) -> Iterator[Finding]:
    for add in state.files.values():
        if add.path in checked:
            continue
        checked.add(add.path)
        try:
            table.data.check([add])
        except CorruptData as error:
            what = f"version {state.version}: {error.message}"
            yield Finding(table=str(table.name), kind="corrupt", what=what, hint=error.hint)
