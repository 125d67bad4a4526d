"""An opened store: its settings, its tables and its caches, wired together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from tiffin import config
from tiffin.backup import check_finished
from tiffin.cache import DiskCache, MemoryCache
from tiffin.derived.demand import OnDemands
from tiffin.derived.kept import KeptOnDemand
from tiffin.errors import InvalidInputError, StorageError
from tiffin.files import LOCAL, FileSystem, contained, translated
from tiffin.materialize import Materializer
from tiffin.online import open_index
from tiffin.quality.profiles.kept import KeptProfiles
from tiffin.reading import Held, Reader
from tiffin.registry import Registry
from tiffin.schema.names import Reference, TableName, check_text, parse_reference
from tiffin.serving import Plans
from tiffin.tables.actions import Once
from tiffin.tables.catalog import Catalog
from tiffin.tables.datafiles import Encoding
from tiffin.tables.publishing import Note
from tiffin.tables.state import State
from tiffin.tables.table import Options, Table
from tiffin.training.sets import TrainingSets

_LONGEST_MESSAGE = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Opened:
    """What the methods of a store have in common; see `FeatureStore`."""

    def __init__(self, path: str | os.PathLike[str] = "feature_store", **settings: object) -> None:
        if "\0" in os.fspath(path):
            raise InvalidInputError(f"the path {path!r} holds a NUL", hint="choose another path for the store")
        self.path = Path(path).absolute()
        self._fs: FileSystem = LOCAL
        with translated(self.path, doing="open"):
            found = self._fs.stat(self.path.resolve())
        if found is not None and not found.is_folder:
            raise StorageError(f"{self.path} is a file, not a folder", hint="choose another path for the store")
        check_finished(self._fs, self.path)
        self.settings = config.load(self.path, os.environ, settings)
        options = _options(self.settings)
        self._sets = TrainingSets(self._fs, contained(self.path, "registry"), options)
        self._catalog = Catalog(self._fs, contained(self.path, "features"), replace(options, needed=self._needed))
        self._registry = Registry(self._fs, contained(self.path, "registry", "services"))
        self._on_demands = OnDemands(KeptOnDemand(self._fs, contained(self.path, "registry", "on_demand")))
        self._reader = Reader(_memory_cache(self.settings), _disk_cache(self.settings, self.path, self._fs))
        self._materializer = _materializer(self.settings, self.path, self._fs)
        self._plans = Plans(self._catalog, self._registry, self._materializer)
        self._profiles = KeptProfiles(self._fs, contained(self.path, "metadata", "profiles"))

    def close(self) -> None:
        """Finish what is being written to the disk cache, let go of the online index. The store can still be used."""
        if self._reader.disk is not None:
            self._reader.disk.close()
        self._materializer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.path)!r})"

    def _at(self, parsed: Reference, version: int | str | None, as_of: datetime | None) -> tuple[Table, State]:
        pins = [name for name, value in _pins(parsed, version, as_of).items() if value is not None]
        if len(pins) > 1:
            raise InvalidInputError(f"{' and '.join(pins)} both choose a version", hint="give one of them")
        if not isinstance(as_of, datetime | None):
            raise InvalidInputError(f"as_of is {as_of!r}", hint="give a datetime; one without a zone is UTC")
        table, state = self._catalog.resolve(parsed)
        if version is not None:
            state = table.at(version)
        elif as_of is not None:
            moment = as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
            # Not through a float, which can miss the millisecond.
            state = table.log.at_time((moment - _EPOCH) // timedelta(milliseconds=1))
        return table, state

    def _needed(self, name: TableName, table_id: str) -> list[int]:
        """List the versions of a table that no vacuum may take: of training sets and of pinned references."""
        return [*self._registry.pinned(name), *self._sets.needed(table_id)]

    def _named(self, reference: str | None) -> list[Table]:
        if reference is not None:
            return [self._catalog.find(unpinned(reference))]
        return [self._catalog.table(name) for name in self._catalog.names()]


def unpinned(text: str) -> Reference:
    """Parse a reference to a table alone, without a version or a feature."""
    parsed = parse_reference(text)
    if parsed.version is not None or parsed.feature is not None:
        raise InvalidInputError(f"{text!r} names more than a table", hint="write group/name alone")
    return parsed


def note_of(
    message: str = "", inputs: Sequence[str] = (), narrowed: Sequence[str] = (), once: Once | None = None
) -> Note:
    """Take what the caller wants remembered about a commit.

    Raises
    ------
    InvalidInputError
        The message is no text, or a very long one.
    """
    if len(check_text(message, "message")) > _LONGEST_MESSAGE:
        raise InvalidInputError(
            f"message is no text of at most {_LONGEST_MESSAGE:,} characters", hint="say in a few words why"
        )
    return Note(message, config.author(os.environ), tuple(inputs), tuple(narrowed), once)


def _pins(parsed: Reference, version: int | str | None, as_of: datetime | None) -> Mapping[str, object]:
    return {f"the reference {parsed}": parsed.version, "version": version, "as_of": as_of}


def _options(settings: config.Settings) -> Options:
    return Options(
        encoding=Encoding(settings.compression, settings.compression_level or Encoding.level, settings.row_group_rows),
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


def _materializer(settings: config.Settings, path: Path, fs: FileSystem) -> Materializer:
    folder = contained(path, "online")
    return Materializer(lambda: open_index(settings.online_index, folder, fs, settings.online_map_bytes), fs, folder)
