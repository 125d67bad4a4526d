"""Which tables there are, found by looking at the folder: there is no list that could disagree with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tiffin.errors import Ambiguous, StorageError, TableNotFound, did_you_mean
from tiffin.files import FileSystem, contained, remove_tree, translated
from tiffin.schema.defaults import Default
from tiffin.schema.names import Reference, TableName, check_part, is_part
from tiffin.schema.table import TableSpec
from tiffin.tables.log import FOLDER, is_read_only
from tiffin.tables.state import State
from tiffin.tables.table import Options, Table

_DROPPED = ".dropped-"


class ColumnInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a column without reading it."""

    name: str
    dtype: str
    role: str
    """`entity`, `timestamp`, `created`, `partition` or `feature`."""
    origin: str = ""
    description: str = ""
    default: Default | None = None


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table without reading its rows."""

    table: str
    version: int
    oldest_version: int
    rows: int | None
    """None if another writer did not count its rows."""
    size_bytes: int
    """Size of this version's data files."""
    files: int
    updated: datetime
    """When this version was committed, UTC."""
    entity: tuple[str, ...]
    timestamp: str | None
    created: str | None
    ttl: timedelta | None
    online: bool
    """Whether the online index holds its newest rows."""
    partition_by: tuple[str, ...]
    description: str
    columns: tuple[ColumnInfo, ...]
    path: str


class Catalog:
    """The tables below one folder.

    Parameters
    ----------
    fs : FileSystem
        Where the folder lies.
    folder : Path
        Holds a folder for each group, in which is one for each table.
    options : Options
        How tables are kept.
    """

    def __init__(self, fs: FileSystem, folder: Path, options: Options) -> None:
        self._fs = fs
        self._folder = folder
        self._options = options
        self._lock = threading.Lock()
        self._open: dict[TableName, Table] = {}
        self._sweep()

    def table(self, name: TableName) -> Table:
        """Return a table that may or may not exist."""
        known = self._open.get(name)
        if known is not None:
            return known
        check_part(name.group, "group")
        check_part(name.name, "table")
        folder = contained(self._folder, name.group, name.name)
        with self._lock:
            return self._open.setdefault(name, Table(self._fs, folder, name, self._options))

    def resolve(self, reference: Reference) -> tuple[Table, State]:
        """Find the table a reference means, at the version it pins, else the newest.

        Raises
        ------
        TableNotFound
            There is no such table; the hint says which are close.
        Ambiguous
            The group was left out and several groups have a table of that name.
        VersionNotFound
            The pinned version is not there.
        """
        table = self.table(self.name_of(reference))
        state = table.log.latest()
        if state is None:
            raise self._not_found(str(table.name))
        return table, state if reference.version is None else table.log.at(reference.version)

    def find(self, reference: Reference) -> Table:
        """Find the table a reference means, even if it is too damaged to be read.

        Raises
        ------
        TableNotFound, Ambiguous
            As for `resolve`.
        """
        name = self.name_of(reference)
        table = self.table(name)
        if not self._exists(name):
            raise self._not_found(str(name))
        return table

    def name_of(self, reference: Reference) -> TableName:
        """Find the full name of a table that is named with or without its group."""
        if reference.group is not None:
            return TableName(reference.group, reference.name)
        candidates = [name for name in self.names() if name.name == reference.name]
        if not candidates:
            raise self._not_found(reference.name)
        if len(candidates) > 1:
            listed = ", ".join(map(str, candidates))
            raise Ambiguous(
                f"several tables are called {reference.name!r}: {listed}",
                hint="write the group too",
                candidates=[str(name) for name in candidates],
            )
        return candidates[0]

    def names(self) -> list[TableName]:
        """List the tables, by group and name."""
        return sorted(self._names())

    def info(self, table: Table, state: State) -> TableInfo:
        """Describe a version of a table."""
        spec = state.spec
        return TableInfo(
            table=str(table.name),
            version=state.version,
            oldest_version=table.log.oldest(),
            rows=state.rows,
            size_bytes=state.size_bytes,
            files=len(state.files),
            updated=datetime.fromtimestamp(state.timestamp / 1000, UTC),
            entity=spec.entity,
            timestamp=spec.timestamp,
            created=spec.created,
            ttl=spec.ttl,
            online=spec.online,
            partition_by=spec.partition_by,
            description=spec.description,
            columns=tuple(_column_info(spec)),
            path=str(table.folder),
        )

    def _names(self) -> Iterator[TableName]:
        for group in self._folders(self._folder):
            for name in self._folders(self._folder / group):
                if self._fs.stat(self._folder / group / name / FOLDER) is None:
                    continue
                table = TableName(group, name)
                if self._exists(table):
                    yield table

    def _exists(self, name: TableName) -> bool:
        """Tell whether a log folder holds a commit; without one it is of a save that never came to its end."""
        try:
            return self.table(name).log.latest() is not None
        except StorageError:
            # There, and damaged: who asks for it is told. The other tables must be found all the same.
            return True

    def _folders(self, folder: Path) -> list[str]:
        with translated(folder, doing="list"):
            if self._fs.stat(folder) is None:
                return []
            names = self._fs.names(folder)
        return [name for name in names if is_part(name) and _is_folder(self._fs, folder / name)]

    def _not_found(self, name: str) -> TableNotFound:
        known = [str(table) for table in self.names()]
        hint = did_you_mean(name, known) or "the store is empty: save a table first"
        return TableNotFound(f"there is no table {name!r}", hint=hint, table=name)

    def _sweep(self) -> None:
        """Finish drops that were interrupted."""
        for group in self._folders(self._folder):
            with translated(self._folder / group, doing="list"):
                doomed = [name for name in self._fs.names(self._folder / group) if name.startswith(_DROPPED)]
            try:
                for name in doomed:
                    remove_tree(self._fs, self._folder / group / name)
            except StorageError as error:
                # Who may not write here can still read.
                if not is_read_only(error):
                    raise


def _is_folder(fs: FileSystem, path: Path) -> bool:
    found = fs.stat(path)
    return found is not None and found.is_folder


def _column_info(spec: TableSpec) -> Iterator[ColumnInfo]:
    defaults = spec.defaults
    for column in spec.columns:
        role = "feature"
        if column.name in spec.entity:
            role = "entity"
        elif column.name in {spec.timestamp, spec.created}:
            role = "timestamp" if column.name == spec.timestamp else "created"
        elif column.name in spec.partition_by:
            role = "partition"
        yield ColumnInfo(
            name=column.name,
            dtype=str(column.dtype),
            role=role,
            origin=column.origin,
            description=column.description,
            default=defaults.get(column.name),
        )
