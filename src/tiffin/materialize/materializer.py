"""Keeping the online index up to the newest versions of the tables that are online."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path

import msgspec

from tiffin.errors import CommitConflict, IndexDamaged, NotOnline, StorageError, TiffinError
from tiffin.files import FileSystem, make_folders, translated
from tiffin.materialize import layout as layouts
from tiffin.materialize.chunks import CHUNK_BYTES
from tiffin.materialize.filling import Done, Filling, Progress
from tiffin.online.base import Head, OnlineIndex
from tiffin.schema.names import TableName
from tiffin.tables.catalog import Catalog
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table

_ATTEMPTS = 20


class Materialized(msgspec.Struct, frozen=True, kw_only=True):
    """What it took to bring the online index up to a version of a table."""

    table: str
    version: int
    """The watermark: the version that the index has caught up with."""
    entities_written: int
    entities_removed: int
    """Entities that were taken out one by one; filling from scratch counts none."""
    rows_read: int
    from_scratch: bool
    """Whether all rows were filled in anew."""
    seconds: float


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the online index is behind a table."""

    table: str
    version: int
    """The newest version of the table."""
    online_version: int
    """The version that the index has caught up with; -1 if it has nothing of the table."""

    @property
    def versions(self) -> int:
        """How many versions the index is behind."""
        return self.version - self.online_version


class Materializer:
    """Fills the online index of a store.

    Parameters
    ----------
    open_index : callable
        Returns the index; called when it is first needed, which it never is in many a store.
    fs : FileSystem
        Where the lock files lie.
    folder : Path
        Holds the lock files, by which processes take turns.
    clock : callable, optional
        Nanoseconds since 1970-01-01 UTC.
    chunk_bytes : int
        Parquet bytes that are read at once, about; memory follows it, not the size of a table.
    """

    def __init__(
        self,
        open_index: Callable[[], OnlineIndex],
        fs: FileSystem,
        folder: Path,
        clock: Callable[[], int] = time.time_ns,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._open_index = open_index
        self._fs = fs
        self._folder = folder
        self._clock = clock
        self._chunk_bytes = chunk_bytes

    @cached_property
    def index(self) -> OnlineIndex:
        """The index."""
        return self._open_index()

    def close(self) -> None:
        """Let go of the index; it opens again when it is next used."""
        if "index" in self.__dict__:
            self.index.close()

    def catch_up(self, table: Table, progress: Progress | None = None, *, from_scratch: bool = False) -> Materialized:
        """Bring the index up to the newest version of a table.

        Parameters
        ----------
        table : Table
            It is online.
        progress : callable, optional
            Is told how far it is.
        from_scratch : bool
            Whether to fill in all rows anew, whatever the index has.

        Returns
        -------
        Materialized

        Raises
        ------
        NotOnline
            The table is not declared online.
        OnlineUnavailable, NoSpace
            The index refused; it is as it was.
        CommitConflict
            Others, who do not know the lock, never let this one through.
        """
        start = time.perf_counter()
        for _ in range(_ATTEMPTS):
            state = self._online_state(table)
            if not from_scratch and self.is_caught_up(state):
                return _report(state, Done(), start)
            with self._alone(state.metadata.id):
                done = self._fill(table, progress, from_scratch=from_scratch)
            if done is not None:
                return _report(*done, start)
        raise CommitConflict(
            f"the online rows of table {table.name} were changed by others {_ATTEMPTS} times while they were caught up",
            hint="let one machine at a time materialize a table",
        )

    def catch_up_if_free(self, table: Table) -> None:
        """Bring the index up to the newest version of a table, unless somebody does so at this moment.

        Raises
        ------
        NotOnline, OnlineUnavailable, NoSpace
            As for `catch_up`.
        """
        state = self._online_state(table)
        with self._alone(state.metadata.id, wait=False) as is_free:
            if is_free:
                self._fill(table, None, from_scratch=False)

    def after_commit(self, table: Table, commit: Commit, *, was_online: bool) -> Commit:
        """Catch up after a commit; what fails becomes a warning, because the commit stands.

        Parameters
        ----------
        table : Table
            The table.
        commit : Commit
            What was committed.
        was_online : bool
            Whether the version before was online.

        Returns
        -------
        Commit
            The same one, with the version that the index has caught up with.
        """
        try:
            state = table.log.at_least(commit.version)
            if state.spec.online:
                return msgspec.structs.replace(commit, online_version=self.catch_up(table).version)
            if was_online:
                self.forget(state.metadata.id)
        except TiffinError as error:
            warning = f"the online index has not caught up with table {table.name}: {error.message}"
            return msgspec.structs.replace(
                commit, online_version=self._reached(table), warnings=(*commit.warnings, warning)
            )
        return commit

    def head(self, state: State) -> Head | None:
        """Return what the index knows of a table; None if it has nothing of it, or is damaged."""
        try:
            return self.index.head(state.metadata.id)
        except IndexDamaged:
            # What is in it is as good as nothing: it is made again when it is next filled.
            return None

    def watermark(self, state: State) -> int:
        """Return the version that the index has caught up with; -1 if it has nothing of the table, or is damaged."""
        head = self.head(state)
        return head.version if head else -1

    def lag(self, state: State) -> Lag:
        """Tell how far the index is behind a version of a table; this reads one small record."""
        return Lag(table=state.table, version=state.version, online_version=self.watermark(state))

    def is_caught_up(self, state: State) -> bool:
        """Tell whether the index has caught up with this version; one that is damaged, or of another form, has not."""
        head = self.head(state)
        if head is None or layouts.after(head, state) is None:
            return False
        return (head.version, head.timestamp) == (state.version, state.timestamp)

    def forget(self, table_id: str) -> None:
        """Take a table out of the index."""
        with self._alone(table_id):
            # A damaged index answers for no table, and is emptied before it is filled again.
            with suppress(IndexDamaged):
                self.index.drop(table_id)
            with translated(self._lock_file(table_id), doing="remove"):
                self._fs.remove(self._lock_file(table_id))

    def sweep(self, catalog: Catalog) -> list[str]:
        """Take out of the index what is of no table any more, or of one that is not online.

        Only what this store put there: a server may hold the rows of other stores too.

        Returns
        -------
        list of str
            Names of the tables.
        """
        swept = []
        try:
            heads = {table_id: self.index.head(table_id) for table_id in self.index.tables() if self._is_ours(table_id)}
        except IndexDamaged:
            # What is of no table goes with the rest.
            self.index.reset()
            return []
        for table_id, head in heads.items():
            if head is not None and not _is_of(head, table_id, catalog):
                self.forget(table_id)
                swept.append(head.table)
        return swept

    def _online_state(self, table: Table) -> State:
        state = table.log.require()
        if not state.spec.online:
            raise NotOnline(
                f"table {table.name} is not online",
                hint=f"put it there: store.materialize({str(table.name)!r}), tiffin materialize {table.name}",
                table=str(table.name),
            )
        return state

    def _fill(self, table: Table, progress: Progress | None, *, from_scratch: bool) -> tuple[State, Done] | None:
        """Fill the index with the version that is the newest now that nobody else fills it; None if they did."""
        state = self._online_state(table)
        moment = self._clock() // 1000

        def filling() -> Filling:
            return Filling(self.index, table, state, moment, progress, self._chunk_bytes)

        try:
            done = filling().run(from_scratch=from_scratch)
        except IndexDamaged:
            # Everything in it can be made again; the other tables are, when they are next read or materialized.
            self.index.reset()
            done = filling().run()
        return None if done is None else (state, done)

    def _reached(self, table: Table) -> int:
        """Return the watermark of a table as far as the index can be asked."""
        try:
            return self.watermark(table.log.require())
        except TiffinError:
            return -1

    def _is_ours(self, table_id: str) -> bool:
        """Tell whether this store has filled a table: its lock file is there until it is forgotten."""
        with translated(self._folder, doing="look at"):
            return self._fs.stat(self._lock_file(table_id)) is not None

    def _alone(self, table_id: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold the lock under which one process at a time fills a table."""
        with translated(self._folder, doing="look at"):
            is_missing = self._fs.stat(self._folder) is None
        if is_missing:
            make_folders(self._fs, self._folder)
        return self._fs.lock(self._lock_file(table_id), wait=wait)

    def _lock_file(self, table_id: str) -> Path:
        # Another writer may have put anything into its table's id.
        return self._folder / f"{hashlib.blake2b(table_id.encode(), digest_size=12).hexdigest()}.lock"


def _is_of(head: Head, table_id: str, catalog: Catalog) -> bool:
    """Tell whether a head is of a table that is there and online."""
    try:
        state = catalog.table(TableName(*head.table.split("/", 1))).log.latest()
    except StorageError:
        # There, and damaged: it may be put back.
        return True
    return state is not None and state.metadata.id == table_id and state.spec.online


def _report(state: State, done: Done, start: float) -> Materialized:
    return Materialized(
        table=state.table,
        version=state.version,
        entities_written=done.written,
        entities_removed=done.removed,
        rows_read=done.rows_read,
        from_scratch=done.from_scratch,
        seconds=time.perf_counter() - start,
    )
