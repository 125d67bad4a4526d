"""The verbs that look: read, tables, describe, files, history, diff."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from tiffin.diff import Diff, diff
from tiffin.errors import CorruptData, TableNotFound, VersionNotFound
from tiffin.frames import FeatureFrame
from tiffin.reading import Question, not_negative
from tiffin.schema import filters
from tiffin.schema.names import TableName, parse_reference
from tiffin.store.opened import Opened, unpinned
from tiffin.tables.catalog import TableInfo
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Selection, Table

_READ_ATTEMPTS = 5


class Snapshot(NamedTuple):
    """A version of a table, found but not read."""

    table: str
    id: str
    """The table's identity, or the stage's: one of the same name that is made later has another."""
    version: int
    """Of a stage the version that it stands on."""
    timestamp_ms: int
    """When the version was committed, milliseconds since 1970-01-01 UTC."""
    rows: int | None
    """None if another writer did not count its rows."""
    dtypes: dict[str, pl.DataType]
    """Column to dtype."""
    known: dict[str, pl.DataType]
    """Column to dtype, also under the names that columns had before."""
    entity: tuple[str, ...]
    """The key columns."""
    timestamp: str | None
    """The column of times."""
    stage: str = ""
    """The stage that it is, if it is one."""

    @property
    def mark(self) -> tuple[str, int, int]:
        """What is of no other rows, ever: id, version and time."""
        return self.id, self.version, self.timestamp_ms

    @property
    def reference(self) -> str:
        """The version as a reference."""
        return f"{self.table}@{self.stage or self.version}"


class Reading(Opened):
    """Methods of `FeatureStore` that read tables and what is known of them."""

    def read(
        self,
        reference: str,
        *,
        columns: Sequence[str] | None = None,
        where: filters.Where | None = None,
        entities: Any = None,
        version: int | str | None = None,
        as_of: datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
        use_cache: bool = True,
    ) -> FeatureFrame:
        """Read a table, or some of its rows and columns, at any version.

        Parameters
        ----------
        reference : str
            `group/name`, `group/name@3`, `group/name@tag`, `group/name:feature`; the group may be left out where the
            name is unique.
        columns : sequence of str, optional
            Which columns, in which order.
        where : Expr or comparisons, optional
            Which rows: a Polars expression, `("year", ">=", 1990)`, a list of comparisons that must all hold, or a
            list of such lists of which one must hold.
        entities : sequence or frame, optional
            Keys whose rows are wanted: values, tuples or dicts, or a frame with the entity columns.
        version : int or str, optional
            Which version, by its number or a tag, or which stage; the newest if left out.
        as_of : datetime, optional
            The version that was the newest at this time; without a zone, UTC.
        limit : int, optional
            At most this many rows.
        offset : int
            Pass over this many rows first.
        use_cache : bool
            Whether a cached copy may answer.

        Returns
        -------
        FeatureFrame
            The values as they were saved; `.to_pandas()`, `.to_polars()`, `.to_arrow()`.

        Raises
        ------
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What was asked for is not there.
        InvalidInputError
            The question makes no sense.
        CorruptData
            What is stored is not what was written.
        """
        parsed = parse_reference(reference)
        question = Question(columns, parsed.feature, where, entities, not_negative("limit", limit), offset)
        for _ in range(_READ_ATTEMPTS):
            table, state = self._at(parsed, version, as_of)
            # A version that was not chosen is the newest: to look again would take longer than many a read.
            newest = state if (parsed.version, version, as_of) == (None, None, None) else table.log.require()
            selection, called = question.select(state, newest.spec)
            try:
                return self._reader.read(
                    table, state, selection, called=called, use_cache=use_cache, is_newest=state.mark == newest.mark
                )
            except (VersionNotFound, TableNotFound, CorruptData):
                # The table may have been dropped, or its newest version replaced and vacuumed, between looking
                # and reading: then look again.
                if self._at(parsed, version, as_of)[1].mark == state.mark:
                    raise
        raise VersionNotFound(
            f"table {reference} was replaced and vacuumed {_READ_ATTEMPTS} times while it was being read",
            hint="keep more versions: set keep_versions higher",
        )

    def snapshot(self, reference: str, *, version: int | str | None = None, as_of: datetime | None = None) -> Snapshot:
        """Find the version of a table that a read of it would answer from.

        Parameters
        ----------
        reference, version, as_of
            As for `read`.

        Returns
        -------
        Snapshot
            The same table, id, version and time mean the same rows for ever.

        Raises
        ------
        TableNotFound, VersionNotFound, Ambiguous, InvalidInputError
            As for `read`.
        """
        return _snapshot(*self._at(parse_reference(reference), version, as_of))

    def glance(self, table: str) -> Snapshot | None:
        """Find the newest version of a table if that takes no reading and no waiting.

        Parameters
        ----------
        table : str
            `group/name`.

        Returns
        -------
        Snapshot or None
            None if it is not known, or there is something new: then ask for a `snapshot`.
        """
        name = unpinned(table)
        found = None if name.group is None else self._catalog.table(TableName(name.group, name.name))
        state = found and found.log.glance()
        return _snapshot(found, state) if found and state else None

    def tables(self) -> list[TableInfo]:
        """List the tables with what is known of them, by group and name; of one that cannot be read its `problem`."""
        return list(self._catalog.infos())

    def describe(self, reference: str) -> TableInfo:
        """Describe a table: its columns, keys, size and versions.

        Parameters
        ----------
        reference : str
            `group/name` or `group/name@3`.

        Returns
        -------
        TableInfo
        """
        return self._catalog.info(*self._catalog.resolve(parse_reference(reference)))

    def files(self, reference: str) -> list[str]:
        """List the Parquet files that make up a table, for engines that read files: DuckDB, PyArrow, Spark.

        The folder holds files of older versions too: never let an engine read all that it finds there. Values of
        partition columns are in the folders' names, not in the files.

        Parameters
        ----------
        reference : str
            `group/name` or `group/name@3`.

        Returns
        -------
        list of str
            Absolute paths, in the order of the rows.
        """
        table, state = self._catalog.resolve(parse_reference(reference))
        return [str(path) for path in table.data.paths(state.files.values())]

    def history(self, reference: str, *, limit: int | None = None) -> list[Commit]:
        """List the versions of a table that can be read, newest first.

        Parameters
        ----------
        reference : str
            `group/name`.
        limit : int, optional
            At most this many.

        Returns
        -------
        list of Commit
        """
        table, _ = self._catalog.resolve(unpinned(reference))
        return table.history(not_negative("limit", limit))

    def diff(self, reference: str, old: int | str, new: int | str | None = None) -> Diff:
        """Tell what changed between two versions of a table.

        Parameters
        ----------
        reference : str
            `group/name`.
        old : int or str
            The version to compare with, by its number or a tag, or a stage.
        new : int or str, optional
            What to compare; the newest version if left out.

        Returns
        -------
        Diff
        """
        table, latest = self._catalog.resolve(unpinned(reference))
        before, after = table.at(old), latest if new is None else table.at(new)
        rows = [self._reader.read(table, state, Selection()).to_polars() for state in (before, after)]
        return diff(str(table.name), (before.pin, after.pin), (before.spec, after.spec), (rows[0], rows[1]))


def _snapshot(table: Table, state: State) -> Snapshot:
    spec = state.spec
    identity, version, timestamp_ms = state.mark
    return Snapshot(
        table=str(table.name),
        id=identity,
        version=version,
        timestamp_ms=timestamp_ms,
        rows=state.rows,
        dtypes=dict(spec.dtypes),
        known={**{old: spec.dtypes[name] for old, name in spec.aliases.items()}, **spec.dtypes},
        entity=spec.entity,
        timestamp=spec.timestamp,
        stage=state.stage.name if state.stage else "",
    )
