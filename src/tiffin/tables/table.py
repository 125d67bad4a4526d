"""One table: its log and its data files, read at any version."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from tiffin.errors import (
    CorruptData,
    InvalidInputError,
    StorageError,
    TableNotFound,
    VersionNotFound,
    did_you_mean,
)
from tiffin.files import FileSystem, make_folders, sweep, translated
from tiffin.schema import dtypes
from tiffin.schema.names import TableName, check_pin
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add, Details, Entry, Input
from tiffin.tables.datafiles import DataFiles, Encoding, may_hold
from tiffin.tables.landed import Landed
from tiffin.tables.log import Log, is_read_only
from tiffin.tables.stages import Stages
from tiffin.tables.state import State
from tiffin.tables.tags import Tags

Needed = Callable[[TableName, str], Iterable[int]]
"""Lists the versions of a table, given its name and id, that something else in the store needs."""


def _nothing(_name: TableName, _table_id: str) -> Iterable[int]:
    return ()


@dataclass(frozen=True)
class Options:
    """How a table is kept."""

    encoding: Encoding = field(default_factory=Encoding)
    verify: bool = True
    checkpoint_every: int = 100
    compact_files: int = 16
    target_file_bytes: int = 128 << 20
    keep_versions: int | None = None
    needed: Needed = _nothing


@dataclass(frozen=True)
class Selection:
    """Which rows and columns of a table are wanted; by default all."""

    columns: Sequence[str] | None = None
    predicate: pl.Expr | None = None
    keys: pl.DataFrame | None = None
    """Entity keys, one column for each entity column."""
    limit: int | None = None
    offset: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row is wanted."""
        return self.predicate is None and self.keys is None and self.limit is None and not self.offset

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Select from a frame that has all rows and columns.

        Raises
        ------
        InvalidInputError
            The predicate fails on some value.
        """
        rows = frame.lazy()
        if self.keys is not None:
            rows = rows.join(self.keys.lazy(), on=self.keys.columns, how="semi", maintain_order="left")
        if self.predicate is not None:
            rows = rows.filter(self.predicate)
        if self.offset or self.limit is not None:
            rows = rows.slice(self.offset, self.limit)
        try:
            return (rows if self.columns is None else rows.select(self.columns)).collect()
        except pl.exceptions.PolarsError as error:
            raise InvalidInputError(
                f"the filter fails on the rows: {error}", hint="filter by what every row has"
            ) from error


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a table: what was done, by whom, when, and how much of it."""

    table: str
    version: int
    timestamp: datetime
    """When it was committed, UTC."""
    operation: str
    rows: int | None = None
    """Rows of the table at this version; None if another writer did not count them."""
    rows_added: int | None = None
    rows_removed: int | None = None
    message: str = ""
    author: str = ""
    inputs: tuple[str, ...] = ()
    """What the rows were made from, as the caller named it."""
    recognised: tuple[Input, ...] = ()
    """Those of the inputs that are tables of the store, with their versions, or files, with their hashes."""
    code: str = ""
    """The git commit of the code that saved; empty if there was none to be found."""
    narrowed: tuple[str, ...] = ()
    """Columns whose floats were narrowed to 32 bits, as the caller wished."""
    quarantined: int = 0
    """Rows that broke a constraint and were kept apart, as the caller wished."""
    major: int | None = None
    """The major version of the schema that begins with it, if one does."""
    path: str = ""
    """The table's folder."""
    online_version: int | None = None
    """The version up to which the online index has caught up; None for a table that is not online."""
    warnings: tuple[str, ...] = ()
    """What went wrong after the commit point: the version is there all the same."""


class Table:
    """A table in a folder of the store.

    Parameters
    ----------
    fs : FileSystem
        Where it lies.
    folder : Path
        Its folder; it need not exist.
    name : TableName
        Its name.
    options : Options
        How it is kept.
    clock : callable, optional
        Nanoseconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        fs: FileSystem,
        folder: Path,
        name: TableName,
        options: Options,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.fs = fs
        self.folder = folder
        self.name = name
        self.options = options
        self.log = Log(fs, folder, str(name), clock)
        self.landed = Landed(self.log)
        self.tags = Tags(self.log, folder)
        self.stages = Stages(self.log, folder)
        self.data = DataFiles(fs, folder, str(name), verify=options.verify)
        self._prepared = False

    def prepare(self, state: State | None) -> None:
        """Make the table's folders, durably, unless a version shows that they are; sweep up after dead writers.

        Parameters
        ----------
        state : State or None
            The newest version, if there is one.
        """
        if state is not None and self._prepared:
            return
        make_folders(self.fs, self.log.folder)
        with self.log.writing(shared=False, wait=False) as alone:
            if alone:
                sweep(self.fs, self.log.folder)
                sweep(self.fs, self.folder)
        self._prepared = True

    def at(self, version: int | str) -> State:
        """Return the state at a version, at the version that a tag names, or of a stage.

        Parameters
        ----------
        version : int or str
            A number, or a name.

        Raises
        ------
        VersionNotFound
            There is none; the hint says which are close.
        InvalidName, InvalidInputError
            It is neither a number nor a name.
        CorruptData
            What says which version is meant is damaged.
        """
        if not isinstance(version, str) or version.isdigit():
            return self.log.at(version)  # type: ignore[arg-type]  # which refuses a number in quotes
        check_pin(version, "tag or stage")
        tag = self.tags.find(version)
        if tag is not None:
            return self.tags.state(tag)
        stage = self.stages.find(version)
        if stage is not None:
            return self.stages.state(stage)
        known = [*(tag.name for tag in self.tags.all()), *self.stages.names()]
        raise VersionNotFound(
            f"table {self.name} has no tag and no stage {version!r}",
            hint=did_you_mean(version, known) or "it has neither tags nor stages: give a version by its number",
            table=str(self.name),
        )

    def read(self, state: State, selection: Selection = Selection()) -> pl.DataFrame:
        """Read rows of one version.

        Parameters
        ----------
        state : State
            The version.
        selection : Selection
            Which rows and columns; as little as possible is read to find them.

        Returns
        -------
        DataFrame
            In the dtypes that were saved.

        Raises
        ------
        TableNotFound, VersionNotFound
            The table was dropped, or the version vacuumed, in the meantime.
        CorruptData
            A file is missing, or is not what was written.
        InvalidInputError
            The predicate fails on some value.
        """
        try:
            return self._read(state, selection)
        except CorruptData as error:
            if selection.predicate is None or not isinstance(error.__cause__, pl.exceptions.PolarsError):
                raise
            # Polars does not say whether the file or the predicate failed: without the predicate only a file can.
            return selection.apply(self._read(state, Selection()))

    def _read(self, state: State, selection: Selection) -> pl.DataFrame:
        spec = state.spec
        adds = list(state.files.values())
        if selection.keys is not None:
            adds = _holding(adds, selection.keys)
        with self.reading(state):
            rows, rest = _narrow(self.data.scan(adds, spec), spec, selection)
            stored = self.data.collect(rows, adds)
        frame = dtypes.from_stored(stored, _wanted(spec, selection, rest))
        if rest is None:
            return frame
        # The predicate looks at columns whose stored form differs from what the caller sees.
        return replace(selection, predicate=rest, keys=None).apply(frame)

    def stored(self, adds: Sequence[Add], spec: TableSpec) -> pl.DataFrame:
        """Read whole files in their stored form."""
        return self.data.collect(self.data.scan(adds, spec), adds)

    @contextlib.contextmanager
    def reading(self, state: State, since: int | None = None) -> Iterator[None]:
        """Read files of a version, which no vacuum takes meanwhile.

        Parameters
        ----------
        state : State
            The version.
        since : int, optional
            An older version; files are read of those from there on.

        Raises
        ------
        TableNotFound, VersionNotFound
            The table was dropped, or the version vacuumed.
        """
        try:
            with self.leased(state.version if since is None else since):
                yield
        except StorageError as error:
            now = self.log.latest()
            if now is None or now.metadata.id != state.metadata.id:
                raise TableNotFound(f"table {self.name} was dropped while it was read", table=str(self.name)) from error
            if state.stage is not None and not self.stages.has(state.stage):
                raise VersionNotFound(
                    f"stage {state.stage.name!r} of table {self.name} was discarded or replaced while it was read",
                    table=str(self.name),
                ) from error
            raise

    @contextlib.contextmanager
    def leased(self, version: int) -> Iterator[None]:
        """Keep the files of a version from being vacuumed while they are read.

        Raises
        ------
        VersionNotFound
            They were vacuumed already.
        """
        with contextlib.ExitStack() as held:
            lease = self._lease(version, held)
            if not self.log.has(version):
                raise VersionNotFound(f"version {version} of table {self.name} was vacuumed", table=str(self.name))
            try:
                yield
            finally:
                held.close()
                self._end_lease(lease)

    def _lease(self, version: int, held: contextlib.ExitStack) -> Path | None:
        """Take a shared lock on the lease of a version; None where this process may not write."""
        leases = self.folder / ".leases"
        try:
            with translated(leases, doing="make"):
                if self.fs.stat(leases) is None:
                    # Not durable: after a power cut nobody reads any more.
                    with contextlib.suppress(FileExistsError):
                        self.fs.make_folder(leases)
            held.enter_context(self.fs.lock(leases / str(version), shared=True))
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise TableNotFound(f"table {self.name} was dropped meanwhile", table=str(self.name)) from error
            # Who may not write here can still read; a vacuum may then end the reading with an error.
            if not is_read_only(error):
                raise
            return None
        return leases / str(version)

    def _end_lease(self, lease: Path | None) -> None:
        """Remove the lease's file, unless someone else reads the version too.

        What cannot be removed now is removed by the next vacuum: it must not fail what was done under the lease.
        """
        if lease is not None:
            with contextlib.suppress(StorageError), self.fs.lock(lease, wait=False) as alone:
                if alone:
                    with translated(lease, doing="remove"):
                        self.fs.remove(lease)

    def history(self, limit: int | None = None) -> list[Commit]:
        """List the versions that can be read, newest first."""
        newest = self.log.require().version
        oldest = max(0, newest - limit + 1) if limit is not None else 0
        return [self.describe_entry(version, entry) for version, entry in self.log.commits(newest, oldest)]

    def describe_entry(self, version: int, entry: Entry) -> Commit:
        """Tell what a log entry says, whoever wrote it."""
        info = entry.info
        own = info.tiffin or Details()
        mode = info.operation_parameters.get("mode")
        return Commit(
            table=str(self.name),
            version=version,
            timestamp=datetime.fromtimestamp(info.timestamp / 1000, UTC),
            operation=str(mode or info.operation).lower(),
            rows=own.rows,
            rows_added=own.rows_added,
            rows_removed=own.rows_removed,
            message=info.message,
            author=own.author or info.engine_info,
            inputs=own.inputs,
            recognised=own.recognised,
            code=own.code,
            narrowed=own.narrowed,
            quarantined=own.quarantined,
            major=own.major,
            path=str(self.folder),
        )


def _holding(adds: Sequence[Add], keys: pl.DataFrame) -> list[Add]:
    """Keep the files that can hold one of the keys."""
    stored = dtypes.to_stored(keys)
    bounds = [(name, stored[name].min(), stored[name].max()) for name in stored.columns]
    if any(low is None for _, low, _ in bounds):
        return []
    return [add for add in adds if all(may_hold(add, name, low, high) for name, low, high in bounds)]


def _narrow(rows: pl.LazyFrame, spec: TableSpec, selection: Selection) -> tuple[pl.LazyFrame, pl.Expr | None]:
    """Push what the selection says into the scan; return with it the predicate if that has to wait.

    A predicate is about the values that people see: it can be asked of the files where those are stored as they are.
    """
    if selection.keys is not None:
        rows = _only(rows, dtypes.to_stored(selection.keys))
    predicate = selection.predicate
    if predicate is not None:
        stored, seen = spec.stored, spec.dtypes
        # Selectors and patterns, which choose columns by what people see, are not among the names.
        names = spec.names if "cs." in str(predicate) else predicate.meta.root_names()
        if any(stored[name] != seen[name] for name in names):
            return rows, predicate
        rows = rows.filter(predicate)
    if selection.offset or selection.limit is not None:
        rows = rows.slice(selection.offset, selection.limit)
    return (rows.select(selection.columns) if selection.columns is not None else rows), None


def _only(rows: pl.LazyFrame, keys: pl.DataFrame) -> pl.LazyFrame:
    """Keep the rows of some entities; bounds first, which let row groups be passed over."""
    names = keys.columns
    for name in names:
        rows = rows.filter(pl.col(name).is_between(pl.lit(keys[name].min()), pl.lit(keys[name].max())))
    if len(names) == 1:
        return rows.filter(pl.col(names[0]).is_in(keys[names[0]].unique().implode()))
    return rows.join(keys.lazy(), on=names, how="semi", maintain_order="left")


def _wanted(spec: TableSpec, selection: Selection, rest: pl.Expr | None) -> dict[str, pl.DataType]:
    if rest is not None or selection.columns is None:
        return spec.dtypes
    return {name: spec.dtypes[name] for name in selection.columns}
