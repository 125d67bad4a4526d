"""The log of one table: publishing a version, and knowing what each version holds.

Version *n* is the file ``_delta_log/n.json``, made by `publish` with a link that fails if the name is taken: of two
writers one wins, whichever machine, process or library they are. What has been replayed is kept in memory, and one
`stat` of the folder tells whether there is anything new.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tiffin.errors import CorruptData, InvalidInputError, StorageError, TableNotFound, VersionNotFound
from tiffin.files import FileSystem, Stat, publish, translated
from tiffin.locks import new_reentrant_lock
from tiffin.tables import checkpoint
from tiffin.tables.actions import Action, CommitInfo, Entry, decode_commit, encode_commit, is_torn
from tiffin.tables.state import State, replay

FOLDER = "_delta_log"
_COMMIT_LENGTH = len("00000000000000000000.json")
_SETTLED_NS = 20_000_000
"""A folder changed within this time may change again without a new mtime: file systems keep coarse time."""


_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}


def is_read_only(error: StorageError) -> bool:
    """Tell whether an error means that this process cannot write there, or not now: it can still read."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _READ_ONLY


class Log:
    """The log of the table in one folder.

    Parameters
    ----------
    fs : FileSystem
        Where the folder lies.
    folder : Path
        The table's folder; it need not exist yet.
    table : str
        The table's name, for messages.
    clock : callable, optional
        Nanoseconds since 1970-01-01 UTC.

    Attributes
    ----------
    set_aside : list of str
        Torn commits found at the end of the log when it was opened, by the names they were kept under.
    """

    def __init__(self, fs: FileSystem, folder: Path, table: str, clock: Callable[[], int] = time.time_ns) -> None:
        self.fs = fs
        self.table = table
        self.folder = folder / FOLDER
        self._commit_lock, self._write_lock = self.folder / ".commit.lock", self.folder / ".write.lock"
        self.set_aside: list[str] = []
        self._clock = clock
        self._lock = new_reentrant_lock()
        self._state: State | None = None
        self._mark = b""
        """The commit that `_state` ends with: tells whether the log still is the one that was replayed."""
        self._seen: tuple[Stat | None, bool] = (None, False)

    def latest(self) -> State | None:
        """Return the newest state, or None if there is no table; costs one `stat` when nothing is new."""
        with translated(self.folder, doing="look at"):
            found = self.fs.stat(self.folder)
        with self._lock:
            seen, settled = self._seen
            if settled and found == seen:
                return self._state
            if found is None:
                self._state = None
            elif seen is None or self._state is None:
                self._state = self._open()
            else:
                self._state = self._follow(self._state)
            self._seen = (found, found is not None and self._clock() - found.mtime_ns > _SETTLED_NS)
            return self._state

    def glance(self) -> State | None:
        """Return the newest state if one `stat` tells that it is known already; never waits for anybody."""
        seen, settled = self._seen
        state = self._state
        with translated(self.folder, doing="look at"):
            return state if settled and seen == self.fs.stat(self.folder) else None

    def require(self) -> State:
        """Return the newest state.

        Raises
        ------
        TableNotFound
            There is no such table.
        """
        state = self.latest()
        if state is None:
            raise TableNotFound(f"there is no table {self.table}", table=self.table)
        return state

    def at_least(self, version: int) -> State:
        """Return the newest state that is known here if it is that of a version or of one after it; else look.

        Raises
        ------
        TableNotFound
            There is no such table.
        """
        state = self._state
        return state if state is not None and state.version >= version else self.require()

    def publish(self, before: State | None, info: CommitInfo, actions: Sequence[Action]) -> State:
        """Make the next version of the table: this is the commit point.

        Parameters
        ----------
        before : State or None
            The version it follows; None makes version 0.
        info : CommitInfo
            Who does what.
        actions : sequence of Action
            What changes.

        Returns
        -------
        State
            The table as committed.

        Raises
        ------
        FileExistsError
            Another writer made this version first; nothing was changed.
        StorageError
            Nothing was changed.
        OutcomeUnknown
            The version is there; whether it survives a power loss is not known.
        """
        version = before.version + 1 if before else 0
        state = replay(self.table, version, info.timestamp, actions, before)
        data = encode_commit(info, actions)
        publish(self.fs, self.commit_path(version), data)
        with self._lock:
            if self._state is before:
                self._state, self._mark = state, data
        return state

    def next_timestamp(self, before: State | None) -> int:
        """Return the time for the next commit, in milliseconds: now, but after the commit before."""
        return max(self.now(), before.timestamp + 1) if before else self.now()

    def now(self) -> int:
        """Return the time by the table's clock, milliseconds since 1970-01-01 UTC."""
        return self._clock() // 1_000_000

    def at(self, version: int) -> State:
        """Return the state at a version.

        Raises
        ------
        VersionNotFound
            There is no such version yet, or no more.
        InvalidInputError
            It is not a whole number.
        """
        if isinstance(version, bool) or not isinstance(version, int):
            raise InvalidInputError(f"version is {version!r}", hint="a version is a whole number")
        latest = self.require()
        if version == latest.version:
            return latest
        while self.oldest() <= version < latest.version:
            names = _up_to(self._names(), version)
            try:
                return self._replayed(names, version)
            except CorruptData:
                # A vacuum may have come in between: it takes old versions, and makes checkpoints for those that stay.
                if _up_to(self._names(), version) == names:
                    raise
        oldest = self.oldest()
        gone = " (vacuumed)" if 0 <= version < oldest else ""
        raise VersionNotFound(
            f"table {self.table} has no version {version}{gone}",
            hint=f"it has the versions {oldest} to {latest.version}",
            table=self.table,
        )

    def at_time(self, moment_ms: int) -> State:
        """Return the state as of a time: the newest version committed at or before it.

        Raises
        ------
        VersionNotFound
            The table had no version yet, or it was vacuumed.
        """
        oldest = self.oldest()
        try:
            return self.at(self._version_at(moment_ms, oldest, self.require().version))
        except CorruptData:
            # A vacuum may have come in between: then look again in what is left.
            if self.oldest() == oldest:
                raise
            return self.at_time(moment_ms)

    def _version_at(self, moment_ms: int, low: int, high: int) -> int:
        first = self.read_commit(low).info.timestamp
        if moment_ms < first:
            raise VersionNotFound(
                f"table {self.table} has no version as of that time",
                hint=f"its oldest version, {low}, was committed at {_iso(first)}",
                table=self.table,
            )
        while low < high:
            middle = (low + high + 1) // 2
            if self.read_commit(middle).info.timestamp <= moment_ms:
                low = middle
            else:
                high = middle - 1
        return low

    def oldest(self) -> int:
        """Return the oldest version that can be read."""
        state = self.require()
        # Nearly always no version has been vacuumed, which needs no listing.
        if state.version == 0 or self.has(0):
            return 0
        commits, checkpoints = self._names()
        return _oldest(commits, checkpoints, self.table)

    def has(self, version: int) -> bool:
        """Tell whether a version is still in the log."""
        with translated(self.folder, doing="look at"):
            return self.fs.stat(self.commit_path(version)) is not None

    def commits(self, newest: int, oldest: int = 0) -> Iterator[tuple[int, Entry]]:
        """Read the commits of a range of versions, newest first."""
        for version in range(newest, max(oldest, self.oldest()) - 1, -1):
            try:
                entry = self.read_commit(version)
            except CorruptData:
                # A vacuum may have come in between.
                if version >= self.oldest():
                    raise
                return
            yield version, entry

    def read_commit(self, version: int) -> Entry:
        """Read the commit that made a version.

        Raises
        ------
        CorruptData
            It is not there, or not what was written.
        """
        return self._decoded(self._read(version), version)

    def _decoded(self, data: bytes, version: int) -> Entry:
        where = f"commit {version} of table {self.table}"
        entry = decode_commit(data, where)
        made = entry.info.tiffin.version if entry.info.tiffin else None
        if made not in {None, version}:
            raise CorruptData(
                f"{where} is not what was written: it is that of version {made}",
                hint="put it back from a copy of the store",
            )
        return entry

    def _read(self, version: int) -> bytes:
        path = self.commit_path(version)
        with translated(path, doing="read"):
            try:
                return bytes(self.fs.read(path))
            except FileNotFoundError as error:
                raise CorruptData(f"the log of table {self.table} lacks version {version}") from error

    def commit_path(self, version: int) -> Path:
        """Return the file of the commit that made a version."""
        return self.folder / f"{version:020}.json"

    def checkpoints(self) -> list[int]:
        """List the versions that have a checkpoint, oldest first."""
        return self._names()[1]

    def committing(self) -> AbstractContextManager[bool]:
        """Hold the lock under which versions are made: one writer at a time, in turn.

        Other libraries do not know it; against them the link decides.
        """
        return self.fs.lock(self._commit_lock)

    @contextlib.contextmanager
    def writing(self, *, shared: bool = True, wait: bool = True) -> Iterator[bool]:
        """Hold, shared, the lock that says "my files are not in the log yet"; vacuum takes it alone.

        Raises
        ------
        TableNotFound
            The table was dropped before the lock was free.
        """
        with contextlib.ExitStack() as held:
            try:
                alone = held.enter_context(self.fs.lock(self._write_lock, shared=shared, wait=wait))
            except StorageError as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    raise TableNotFound(f"table {self.table} was dropped meanwhile", table=self.table) from error
                raise
            yield alone

    def _names(self) -> tuple[list[int], list[int]]:
        """List the versions that have a commit, and those that have a checkpoint, each oldest first."""
        with translated(self.folder, doing="list"):
            try:
                names = self.fs.names(self.folder)
            except FileNotFoundError:
                # The table was dropped meanwhile.
                names = []
        # Ten thousand names are no rarity: no regular expressions here.
        commits = [name[:20] for name in names if len(name) == _COMMIT_LENGTH and name.endswith(".json")]
        checkpoints = [name[:20] for name in names if name.endswith(checkpoint.ENDING)]
        return _versions(commits), _versions(checkpoints)

    def _open(self) -> State | None:
        commits, checkpoints = self._names()
        while commits:
            try:
                self._mark = self._read(commits[-1])
                return self._replayed((commits, checkpoints), commits[-1])
            except CorruptData:
                names = self._names()
                if _up_to(names, commits[-1]) != _up_to((commits, checkpoints), commits[-1]):
                    # A vacuum shortened the log, or a drop ended it and perhaps another began, while it was replayed.
                    commits, checkpoints = names
                    continue
                if not is_torn(self._read(commits[-1])):
                    raise
                self._set_aside(commits.pop())
        return None

    def _follow(self, state: State) -> State | None:
        """Replay the commits that are new; all of them if the log is no longer the one that was replayed.

        Inodes and times do not tell: a table made in the place of a dropped one may be given the same.
        """
        if not self._is_still(state):
            return self._open()
        while self.has(state.version + 1):
            try:
                self._mark = self._read(state.version + 1)
            except CorruptData:
                # A vacuum has overtaken.
                return self._open()
            if is_torn(self._mark):
                return self._open()
            state = state.apply(state.version + 1, self._decoded(self._mark, state.version + 1))
        return state

    def _is_still(self, state: State) -> bool:
        try:
            return self._read(state.version) == self._mark
        except CorruptData:
            return False

    def _replayed(self, names: tuple[list[int], list[int]], version: int) -> State:
        commits, checkpoints = names
        state = self._from_checkpoint(commits, [known for known in checkpoints if known <= version])
        first = state.version + 1 if state else 0
        missing = set(range(first, version + 1)).difference(commits)
        if missing:
            raise CorruptData(
                f"the log of table {self.table} lacks version {min(missing)}",
                hint="put the missing file back from a copy of the store",
            )
        for number in range(first, version + 1):
            entry = self.read_commit(number)
            state = replay(self.table, number, entry.info.timestamp, entry.actions, state)
        if state is None:
            raise CorruptData(f"the log of table {self.table} is empty")
        return state

    def _from_checkpoint(self, commits: list[int], candidates: list[int]) -> State | None:
        """Start from the newest good checkpoint; a bad one is no loss while the log reaches further back."""
        for version in reversed(candidates):
            try:
                timestamp = self.read_commit(version).info.timestamp
                return checkpoint.read(self.fs, self.folder, version, timestamp, self.table)
            except CorruptData:
                if not commits or (commits[0] > 0 and version == candidates[0]):
                    raise
        return None

    def _set_aside(self, version: int) -> None:
        """Keep a torn last commit under another name, so that it no longer counts as a version.

        A commit of ours is synced before it gets its name, so one that is torn was never acknowledged. A process that
        may not write here leaves it where it is, and passes over it.
        """
        path = self.commit_path(version)
        kept = path.with_name(f"{path.name}.torn-{self._clock()}")
        try:
            with self.committing():
                # Another process may have opened the table at the same time, and written this version anew.
                if not self.has(version) or not is_torn(self._read(version)):
                    return
                with translated(path, doing="set aside"):
                    self.fs.rename(path, kept)
                    self.fs.sync_folder(self.folder)
        except StorageError as error:
            if not is_read_only(error):
                raise
            kept = path
        self.set_aside.append(kept.name)


def _versions(digits: Iterable[str]) -> list[int]:
    return [int(text) for text in sorted(digits) if text.isascii() and text.isdecimal()]


def _up_to(names: tuple[list[int], list[int]], version: int) -> tuple[list[int], list[int]]:
    """Leave out what writers have added after a version."""
    commits, checkpoints = ([known for known in each if known <= version] for each in names)
    return commits, checkpoints


def _oldest(commits: list[int], checkpoints: list[int], table: str) -> int:
    """Find the oldest version whose commit is there and that a checkpoint or version 0 leads to."""
    if not commits or commits[0] == 0:
        return 0
    # A power loss during a vacuum may have left some of the older commits: what can be read has no holes.
    start = commits[-1]
    for version in reversed(commits):
        if version < start - 1:
            break
        start = version
    reachable = [version for version in checkpoints if version >= start]
    if not reachable:
        raise CorruptData(f"the log of table {table} starts at version {start}, without a checkpoint")
    return reachable[0]


def _iso(moment_ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment_ms / 1000))
