"""Provenance: which commit first brought a row into a table, though its file may have been written anew since.

A merge of small files, an upsert that leaves a row as it is, or a column that becomes wider puts old rows into new
files. Such a commit says which files it took away; the row is looked for in those, and so on down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import polars as pl

from tiffin.schema.compatibility import align
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Entry
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Selection, Table


class Provenance:
    """Finds the rows of one entity in a table's files, and the commits that brought them.

    Parameters
    ----------
    table : Table
        The table.
    state : State
        The newest version that matters.
    keys : DataFrame or None
        The entity, one row; None for a table without one.
    """

    def __init__(self, table: Table, state: State, keys: pl.DataFrame | None) -> None:
        self._table = table
        self._state = state
        self._selection = Selection(keys=keys)
        self._read: dict[tuple[int, str], pl.DataFrame] = {}

    def rows(self, state: State, path: str) -> pl.DataFrame:
        """Read the entity's rows in one file of a version, in their order and with all columns."""
        rows = self._read.get((state.version, path))
        if rows is None:
            alone = replace(state, files={path: state.files[path]})
            alone.know(state.spec)
            rows = self._read[state.version, path] = self._table.read(alone, self._selection)
        return rows

    def commit(self, state: State, path: str, row: int) -> Commit | None:
        """Find the commit that first brought a row into the table.

        Parameters
        ----------
        state : State
            A version that has the file.
        path : str
            The file the row is in.
        row : int
            Its number among the entity's rows there.

        Returns
        -------
        Commit or None
            None if that version was vacuumed.
        """
        version = self._added.get(path)
        if version is None:
            return None
        entry = self._entries[version]
        taken = {action.remove.path for action in entry.actions if action.remove}
        commit = self._table.describe_entry(version, entry)
        if not taken or commit.operation == "overwrite":
            return commit
        if version - 1 not in self._entries:
            return None
        before = self._table.log.at(version - 1)
        wanted = self.rows(state, path)[row]
        place = self._place(state, path, row, [action.add.path for action in entry.actions if action.add])
        for old in (path for path in before.files if path in taken):
            same = _equal(self._aligned(before, old, state.spec), wanted)
            if place < len(same):
                return self.commit(before, old, same[place])
            place -= len(same)
        return commit

    def _place(self, state: State, path: str, row: int, written: Sequence[str]) -> int:
        """Count the rows equal to this one that come before it among those that a commit wrote."""
        rows = self.rows(state, path)
        earlier = [name for name in written[: written.index(path)] if name in state.files]
        within = _equal(rows, rows[row]).index(row)
        return within + sum(len(_equal(self.rows(state, name), rows[row])) for name in earlier)

    def _aligned(self, state: State, path: str, spec: TableSpec) -> pl.DataFrame:
        rows = self.rows(state, path)
        if state.spec.dtypes == spec.dtypes:
            return rows
        renamed = {name: spec.aliases[name] for name in rows.columns if name in spec.aliases}
        return align(rows.rename(renamed), spec, str(self._table.name))

    @cached_property
    def _entries(self) -> dict[int, Entry]:
        """The commits that can be read, by version, newest first."""
        return dict(self._table.log.commits(self._state.version))

    @cached_property
    def _added(self) -> dict[str, int]:
        """The version that first had each file."""
        first: dict[str, int] = {}
        for version, entry in self._entries.items():
            first.update((action.add.path, version) for action in entry.actions if action.add)
        return first


def _equal(rows: pl.DataFrame, wanted: pl.DataFrame) -> list[int]:
    """Find the numbers of the rows that equal one: null equals null, and NaN NaN."""
    flat = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
    same = rows.select(pl.all_horizontal(pl.col(name).eq_missing(wanted[name].first()) for name in flat))
    numbers = same.to_series().arg_true().to_list()
    nested = [name for name in rows.columns if name not in flat]
    if not nested:
        return numbers
    text = repr(wanted.select(nested).rows())
    return [number for number in numbers if repr(rows[number].select(nested).rows()) == text]
