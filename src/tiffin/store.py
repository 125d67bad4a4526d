"""The face of Tiffin: `FeatureStore` wires the layers below together and decides nothing itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from tiffin import config, frames
from tiffin.cache import DiskCache, DiskStats, MemoryCache, MemoryStats
from tiffin.diff import Diff, diff
from tiffin.doctor import Finding, examine
from tiffin.errors import CorruptData, InvalidInputError, StorageError, TableNotFound, VersionNotFound
from tiffin.files import LOCAL, FileSystem, contained, make_folders, translated
from tiffin.frames import FeatureFrame
from tiffin.reading import Held, Question, Reader, not_negative
from tiffin.schema import filters
from tiffin.schema.compatibility import Mode
from tiffin.schema.names import Reference, TableName, parse_reference
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving, upkeep
from tiffin.tables.catalog import Catalog, TableInfo
from tiffin.tables.datafiles import Encoding
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Options, Selection, Table
from tiffin.tables.upkeep import Vacuumed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_READ_ATTEMPTS = 5


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a store."""

    path: str
    groups: int
    tables: int
    features: int
    rows: int
    """Rows of the newest versions, where they are counted."""
    size_bytes: int
    """Size of the newest versions' data files."""
    memory_cache: MemoryStats | None
    disk_cache: DiskStats | None


class FeatureStore:
    """A feature store in a folder.

    Parameters
    ----------
    path : str or Path
        The folder; made on the first save.
    **settings : object
        Settings for this store object, over those of the environment and of `config/tiffin.toml`:
        `compression="snappy"`, `memory_cache_bytes="1GiB"`, … (`tiffin.config.Settings` lists them).

    Raises
    ------
    StorageError
        The path is a file.
    InvalidInputError
        A setting is unknown or not allowed.

    Examples
    --------
    >>> import tiffin
    >>> store = tiffin.FeatureStore("feature_store")
    >>> commit = store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id")
    >>> store.read("user/ratings").to_polars()["mean"].to_list()
    [4.5]
    """

    def __init__(self, path: str | os.PathLike[str] = "feature_store", **settings: object) -> None:
        self.path = Path(path).absolute()
        self._fs: FileSystem = LOCAL
        found = self._fs.stat(self.path.resolve())
        if found is not None and not found.is_folder:
            raise StorageError(f"{self.path} is a file, not a folder", hint="choose another path for the store")
        self.settings = config.load(self.path, os.environ, settings)
        self._catalog = Catalog(self._fs, contained(self.path, "features"), _options(self.settings))
        self._reader = Reader(_memory_cache(self.settings), _disk_cache(self.settings, self.path, self._fs))

    def save(
        self,
        table: str,
        frame: Any,
        *,
        entity: str | Sequence[str] | None = None,
        timestamp: str | None = None,
        created: str | None = None,
        ttl: timedelta | None = None,
        partition_by: str | Sequence[str] | None = None,
        description: str | None = None,
        mode: Mode = "overwrite",
        evolve: bool = False,
        dtypes: Literal["exact", "compact"] = "exact",
        expected_version: int | None = None,
        message: str = "",
        inputs: Sequence[str] = (),
    ) -> Commit:
        """Save a frame as the next version of a table; when this returns, it survives a power loss.

        Parameters
        ----------
        table : str
            `group/name`.
        frame : frame
            pandas, Polars or PyArrow frame, anything with the Arrow C stream interface, or a list of dicts.
        entity : str or sequence of str, optional
            Key column or columns. Not said: as the table has it; for a new table `entity_id`, if there is one.
        timestamp : str, optional
            Column that says when a row became true. With an entity, rows are stored sorted by both.
        created : str, optional
            Column that says when a row was made; decides between rows of equal timestamps.
        ttl : timedelta, optional
            How long a row stays true after its timestamp.
        partition_by : str or sequence of str, optional
            Columns with few values, by which the files are kept apart.
        description : str, optional
            What the table is, for people.
        mode : {"overwrite", "append", "upsert"}
            Replace all rows, add to them, or replace those with the same entity and timestamp and add the others.
        evolve : bool
            Allow a change of schema that readers may notice: an overwrite takes the frame's schema, other modes
            fill columns that the frame lacks with nulls. New columns and wider types need no permission.
        dtypes : {"exact", "compact"}
            "compact" narrows 64-bit floats to 32 bits and says so in the history.
        expected_version : int, optional
            Save only if the table is at this version (-1: does not exist).
        message : str
            Why, for the history.
        inputs : sequence of str
            What the rows were made from, for the history.

        Returns
        -------
        Commit
            The version made, with row counts and the table's folder.

        Raises
        ------
        InvalidName, InvalidInputError, SchemaMismatch, ConstraintViolated
            The input cannot be saved; nothing was changed.
        CommitConflict
            The table is not at the expected version; nothing was changed.
        NoSpace, StorageError
            The disk refused; nothing was changed.
        OutcomeUnknown
            The version is there, but whether it survives a power loss is not known.
        """
        if mode not in {"overwrite", "append", "upsert"}:
            raise InvalidInputError(f"mode is {mode!r}", hint="choose overwrite, append or upsert")
        if dtypes not in {"exact", "compact"}:
            raise InvalidInputError(f"dtypes is {dtypes!r}", hint="choose exact or compact")
        target = self._catalog.table(_table_name(table))
        given = frames.ingest(frame)
        rows, narrowed = saving.narrow(given.frame) if dtypes == "compact" else (given.frame, ())
        origins = {name: origin for name, origin in given.origins.items() if name not in narrowed}
        request = saving.Save(
            frame=rows,
            columns=[Column(name, dtype, origins.get(name, "")) for name, dtype in rows.schema.items()],
            declared=Declaration(entity, timestamp, created, ttl, partition_by, description),
            mode=mode,
            evolve=evolve,
            expected_version=expected_version,
            note=saving.Note(message, config.author(os.environ), tuple(map(str, inputs)), narrowed),
        )
        return upkeep.after_commit(target, saving.save(target, request))

    def read(
        self,
        reference: str,
        *,
        columns: Sequence[str] | None = None,
        where: filters.Where | None = None,
        entities: Any = None,
        version: int | None = None,
        as_of: datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
        use_cache: bool = True,
    ) -> FeatureFrame:
        """Read a table, or some of its rows and columns, at any version.

        Parameters
        ----------
        reference : str
            `group/name`, `group/name@3`, `group/name:feature`; the group may be left out where the name is unique.
        columns : sequence of str, optional
            Which columns, in which order.
        where : Expr or comparisons, optional
            Which rows: a Polars expression, `("year", ">=", 1990)`, a list of comparisons that must all hold, or a
            list of such lists of which one must hold.
        entities : sequence or frame, optional
            Keys whose rows are wanted: values, tuples or dicts, or a frame with the entity columns.
        version : int, optional
            Which version; the newest if left out.
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
            selection = question.select(state)
            try:
                return self._reader.read(table, state, selection, use_cache=use_cache)
            except (VersionNotFound, TableNotFound, CorruptData):
                # The table may have been dropped, or its newest version replaced and vacuumed, between looking
                # and reading: then look again.
                now = self._at(parsed, version, as_of)[1]
                if (now.metadata.id, now.version) == (state.metadata.id, state.version):
                    raise
        raise VersionNotFound(
            f"table {reference} was replaced and vacuumed {_READ_ATTEMPTS} times while it was being read",
            hint="keep more versions: set keep_versions higher",
        )

    def tables(self) -> list[TableInfo]:
        """List the tables with what is known of them, by group and name."""
        return [self._info(name) for name in self._catalog.names()]

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
        table, _ = self._catalog.resolve(parse_reference(reference))
        return table.history(not_negative("limit", limit))

    def restore(self, reference: str, version: int, *, message: str = "") -> Commit:
        """Make an older version the newest again; this is itself a version, nothing is lost.

        Parameters
        ----------
        reference : str
            `group/name`.
        version : int
            The version to go back to.
        message : str
            Why, for the history.

        Returns
        -------
        Commit
        """
        table, _ = self._catalog.resolve(parse_reference(reference))
        note = saving.Note(message or f"restored version {version}", config.author(os.environ))
        return upkeep.after_commit(table, upkeep.restore(table, version, note))

    def drop(self, reference: str) -> None:
        """Remove a table with all its versions, for good.

        Parameters
        ----------
        reference : str
            `group/name`.
        """
        table, _ = self._catalog.resolve(_unpinned(reference))
        upkeep.drop(table)

    def diff(self, reference: str, old: int, new: int | None = None) -> Diff:
        """Tell what changed between two versions of a table.

        Parameters
        ----------
        reference : str
            `group/name`.
        old : int
            The version to compare with.
        new : int, optional
            The version to compare; the newest if left out.

        Returns
        -------
        Diff
        """
        table, latest = self._catalog.resolve(parse_reference(reference))
        before, after = table.log.at(old), latest if new is None else table.log.at(new)
        rows = [self._reader.read(table, state, Selection()).to_polars() for state in (before, after)]
        return diff(str(table.name), (before.version, after.version), (before.spec, after.spec), (rows[0], rows[1]))

    def stats(self) -> Stats:
        """Count what the store holds, and how its caches did in this process."""
        infos = self.tables()
        return Stats(
            path=str(self.path),
            groups=len({info.table.partition("/")[0] for info in infos}),
            tables=len(infos),
            features=sum(column.role == "feature" for info in infos for column in info.columns),
            rows=sum(info.rows or 0 for info in infos),
            size_bytes=sum(info.size_bytes for info in infos),
            memory_cache=self._reader.memory.stats() if self._reader.memory is not None else None,
            disk_cache=self._reader.disk.stats() if self._reader.disk is not None else None,
        )

    def vacuum(
        self,
        reference: str | None = None,
        *,
        keep_versions: int | None = None,
        older_than: timedelta | None = None,
        dry_run: bool = False,
    ) -> list[Vacuumed]:
        """Remove old versions and files that belong to no version; versions being read are kept.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables if left out.
        keep_versions : int, optional
            How many of the newest versions to keep. With neither this nor `older_than`, no version is removed.
        older_than : timedelta, optional
            Remove only versions that were replaced longer ago than this.
        dry_run : bool
            Whether only to tell what would be removed.

        Returns
        -------
        list of Vacuumed
            One for each table.
        """
        return [
            upkeep.vacuum(table, keep_versions=keep_versions, older_than=older_than, dry_run=dry_run)
            for table in self._named(reference)
        ]

    def compact(self, reference: str | None = None) -> list[Commit]:
        """Merge the small files of a table, or of all tables; rows and their order stay the same.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables if left out.

        Returns
        -------
        list of Commit
            One for each table in which there was something to merge.
        """
        return [commit for table in self._named(reference) if (commit := upkeep.compact(table)) is not None]

    def examine(self, reference: str | None = None) -> list[Finding]:
        """Check that every version can be read and every file is what was written.

        Parameters
        ----------
        reference : str, optional
            `group/name`; all tables if left out.

        Returns
        -------
        list of Finding
            What is wrong, or was repaired when the store was opened; empty if all is well.
        """
        return [finding for table in self._named(reference) for finding in examine(table)]

    def init(self) -> Path:
        """Make the store's folder with a settings file that explains every setting.

        Returns
        -------
        Path
            The settings file; one that is there already is left as it is.
        """
        folder = contained(self.path, "config")
        make_folders(self._fs, folder)
        make_folders(self._fs, contained(self.path, "features"))
        path = folder / "tiffin.toml"
        with translated(path, doing="write"):
            if self._fs.stat(path) is None:
                self._fs.create(path, config.default_toml().encode())
                self._fs.sync(path)
                self._fs.sync_folder(folder)
        return path

    def close(self) -> None:
        """Finish what is being written to the disk cache. The store can still be used."""
        if self._reader.disk is not None:
            self._reader.disk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r})"

    def _at(self, parsed: Reference, version: int | None, as_of: datetime | None) -> tuple[Table, State]:
        pins = [name for name, value in _pins(parsed, version, as_of).items() if value is not None]
        if len(pins) > 1:
            raise InvalidInputError(f"{' and '.join(pins)} both choose a version", hint="give one of them")
        table, state = self._catalog.resolve(parsed)
        if version is not None:
            state = table.log.at(version)
        elif as_of is not None:
            moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
            # Not through a float, which can miss the millisecond.
            state = table.log.at_time((moment - _EPOCH) // timedelta(milliseconds=1))
        return table, state

    def _named(self, reference: str | None) -> list[Table]:
        if reference is not None:
            return [self._catalog.resolve(_unpinned(reference))[0]]
        return [self._catalog.table(name) for name in self._catalog.names()]

    def _info(self, name: TableName) -> TableInfo:
        table = self._catalog.table(name)
        return self._catalog.info(table, table.log.require())


def _table_name(text: str) -> TableName:
    parsed = _unpinned(text)
    if parsed.group is None:
        raise InvalidInputError(
            f"{text!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{text}'"
        )
    return TableName(parsed.group, parsed.name)


def _unpinned(text: str) -> Reference:
    parsed = parse_reference(text)
    if parsed.version is not None or parsed.feature is not None:
        raise InvalidInputError(f"{text!r} names more than a table", hint="write group/name alone")
    return parsed


def _pins(parsed: Reference, version: int | None, as_of: datetime | None) -> Mapping[str, object]:
    return {f"the reference {parsed}": parsed.version, "version": version, "as_of": as_of}


def _options(settings: config.Settings) -> Options:
    return Options(
        encoding=Encoding(settings.compression, settings.compression_level, settings.row_group_rows),
        verify=settings.verify_checksums,
        checkpoint_every=settings.checkpoint_every,
        compact_files=settings.compact_files,
        target_file_bytes=settings.target_file_bytes,
        keep_versions=settings.keep_versions,
    )


def _memory_cache(settings: config.Settings) -> MemoryCache[Held] | None:
    if not (settings.memory_cache_bytes and settings.memory_cache_entries):
        return None
    return MemoryCache(
        max_bytes=settings.memory_cache_bytes, max_entries=settings.memory_cache_entries, ttl_s=settings.cache_ttl_s
    )


def _disk_cache(settings: config.Settings, path: Path, fs: FileSystem) -> DiskCache | None:
    if not settings.disk_cache_bytes:
        return None
    return DiskCache(contained(path, "cache", "frames"), max_bytes=settings.disk_cache_bytes, fs=fs)
