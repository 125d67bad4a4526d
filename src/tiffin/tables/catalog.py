"""Which tables there are, found by looking at the folder: there is no list that could disagree with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from tiffin.errors import Ambiguous, StorageError, TableNotFound, did_you_mean
from tiffin.files import FileSystem, Stat, contained, remove_tree, translated
from tiffin.locks import new_lock
from tiffin.schema.constraints.kinds import Constraint
from tiffin.schema.defaults import Default
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.derivation import Derivation
from tiffin.schema.names import Reference, TableName, check_part, is_part
from tiffin.schema.rules import Rule
from tiffin.schema.table import TableSpec
from tiffin.tables.freshness import is_stale, newest_event
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
    aliases: tuple[str, ...] = ()
    """Names that it had before; they still mean it."""
    deprecated: Deprecation | None = None
    unit: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    links: tuple[str, ...] = ()


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a table without reading its rows."""

    table: str
    version: int
    """Of a stage the version that it stands on; -1 for a table that cannot be read, as with the oldest version."""
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
    rule: Rule = "backward"
    """What it promises its readers, whatever is saved to it."""
    major: int = 0
    """How often that promise was broken."""
    columns: tuple[ColumnInfo, ...]
    path: str
    stage: str = ""
    """The stage that is described, if it is one."""
    constraints: tuple[Constraint, ...] = ()
    """What its rows must satisfy."""
    owner: str = ""
    labels: dict[str, str] = {}
    links: tuple[str, ...] = ()
    newest: datetime | None = None
    """The newest timestamp of a row, UTC; None where the statistics of the files do not tell."""
    is_stale: bool = False
    """Whether even the newest row is older than the ttl, or than a freshness constraint allows, at this moment."""
    derivation: Derivation | None = None
    """What its rows are made from, if it is derived."""
    behind: int | None = None
    """How many versions the source of a derived table has gone on since; None if it is another table now, or gone."""
    problem: str = ""
    """What is wrong with a table that cannot be read; then nothing else is known of it."""


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
        self._lock = new_lock()
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
        """Find the table a reference means, at the version, tag or stage it pins, else at the newest version.

        Raises
        ------
        TableNotFound
            There is no such table; the hint says which are close.
        Ambiguous
            The group was left out and several groups have a table of that name.
        VersionNotFound
            The pinned version is not there.
        CorruptData
            The pinned tag or stage cannot be read.
        """
        table = self.table(self.name_of(reference))
        state = table.log.latest()
        if state is None:
            raise self._not_found(str(table.name))
        return table, state if reference.version is None else table.at(reference.version)

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
        spec, newest = state.spec, newest_event(state)
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
            rule=spec.rule,
            major=spec.major,
            columns=tuple(_column_info(spec)),
            path=str(table.folder),
            stage=state.stage.name if state.stage else "",
            constraints=spec.constraints,
            owner=spec.about.owner,
            labels=spec.about.labels,
            links=spec.about.links,
            newest=newest,
            is_stale=is_stale(spec, newest, datetime.now(UTC)),
            derivation=spec.derivation,
            behind=self.behind(spec.derivation) if spec.derivation else None,
        )

    def behind(self, derivation: Derivation) -> int | None:
        """Count the versions that the source of a derived table has gone on since; None if it is not there any more."""
        source = self.readable(TableName(*derivation.definition.source.split("/")))
        is_same = source is not None and source.metadata.id == derivation.source_id
        return source.version - derivation.version if source and is_same else None

    def infos(self) -> Iterator[TableInfo]:
        """Describe the newest versions of all tables; of one that cannot be read, say why."""
        for name in self.names():
            table = self.table(name)
            try:
                state = table.log.latest()
                if state is not None:
                    yield self.info(table, state)
            except StorageError as error:
                yield _unreadable(table, error, self._fs.stat(table.log.folder))

    def readable(self, name: TableName) -> State | None:
        """Return the newest version of a table; None of one that is gone, or too damaged to be read."""
        try:
            return self.table(name).log.latest()
        except StorageError:
            return None

    def _names(self) -> Iterator[TableName]:
        for group in self._folders(self._folder):
            for name in self._folders(self._folder / group):
                table = TableName(group, name)
                if self._has_log(table) and self._exists(table):
                    yield table

    def _has_log(self, name: TableName) -> bool:
        log = self._folder / name.group / name.name / FOLDER
        with translated(log, doing="look at"):
            return self._fs.stat(log) is not None

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
            aliases=column.aliases,
            deprecated=column.deprecated,
            unit=column.about.unit,
            owner=column.about.owner,
            labels=column.about.labels,
            links=column.about.links,
        )


def _unreadable(table: Table, error: StorageError, log: Stat | None) -> TableInfo:
    """Describe a table of which only its folder is known."""
    return TableInfo(
        table=str(table.name),
        version=-1,
        oldest_version=-1,
        rows=None,
        size_bytes=0,
        files=0,
        updated=datetime.fromtimestamp(log.mtime_ns / 1e9 if log else 0, UTC),
        entity=(),
        timestamp=None,
        created=None,
        ttl=None,
        online=False,
        partition_by=(),
        description="",
        columns=(),
        path=str(table.folder),
        problem=error.message,
    )
