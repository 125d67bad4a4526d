"""A file system in memory that can fail or crash at every single operation, and shows what a disk would then hold.

The model, on the harsh side of what POSIX allows:

- What a file holds is durable only after `sync` of the file. After a failed sync it never will be, though later
  syncs of the same file succeed (that is what Linux does).
- What a folder lists is durable only after `sync_folder` of that folder. Changes not yet synced survive a crash
  one by one, in any combination, and whether a file's name survives says nothing about its contents.
- A change of one folder is atomic (a rename within it too); a move between folders is two changes.
- A crash in the midst of `create` leaves half the file.

Two variants are negative controls, in which an oracle must find violations: `without_sync` (syncing does nothing)
and `in_place` (rename and link write the target bit by bit instead of switching names).
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tiffin.errors import TiffinError
from tiffin.files import Stat, translated

if TYPE_CHECKING:
    from tiffin.files.system import Content

Kind = Literal["crash", "EIO", "ENOSPC", "short"]
KINDS: tuple[Kind, ...] = ("crash", "EIO", "ENOSPC", "short")
"""A crash, a device error, a full disk before and in the midst of writing."""

WRITING = frozenset({"create", "sync", "sync_folder", "rename", "link", "make_folder", "copy", "lock"})
"""Operations that a full disk can fail; a sync too, because space may be found only then."""


class Crash(BaseException):
    """The process is dead: nothing after this has any effect on the files."""


class Fault(NamedTuple):
    """What happens at which operation, counted from 0."""

    at: int
    kind: Kind


@dataclass(eq=False)
class _File:
    inode: int
    data: bytes
    durable: bytes = b""
    is_synced: bool = False
    is_doomed: bool = False
    mtime_ns: int = 0

    def sync(self) -> None:
        if not self.is_doomed:
            self.durable, self.is_synced = self.data, True


@dataclass(eq=False)
class _Folder:
    inode: int
    entries: dict[str, _File | _Folder] = field(default_factory=dict)
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    pending: list[dict[str, _File | _Folder | None]] = field(default_factory=list)
    mtime_ns: int = 0

    def change(self, change: dict[str, _File | _Folder | None], now: int) -> None:
        """Make one atomic change of entries (None: removed); it waits for `sync`."""
        self.pending.append(change)
        self.entries = _changed(self.entries, change)
        self.mtime_ns = now

    def sync(self) -> None:
        self.durable = dict(self.entries)
        self.pending.clear()


_Entries = dict[str, _File | _Folder]


def _changed(entries: _Entries, change: dict[str, _File | _Folder | None]) -> _Entries:
    return {name: node for name, node in {**entries, **change}.items() if node is not None}


@dataclass(frozen=True)
class Outcome:
    """What of the page cache had reached the disk when the power went."""

    survives: Callable[[int], bool]
    """Whether the n-th unsynced change of a folder had."""
    contents: Callable[[_File], bytes]
    """What an unsynced file then holds."""


OUTCOMES: dict[str, Outcome] = {
    "lost": Outcome(lambda n: False, lambda file: file.durable),
    "kept": Outcome(lambda n: True, lambda file: file.data),
    "torn": Outcome(lambda n: True, lambda file: file.data[: len(file.data) // 2]),
    "empty": Outcome(lambda n: True, lambda file: b""),
    "entries lost": Outcome(lambda n: False, lambda file: file.data),
    "even entries": Outcome(lambda n: n % 2 == 0, lambda file: file.data),
    "odd entries": Outcome(lambda n: n % 2 == 1, lambda file: file.data),
    "odd entries, torn": Outcome(lambda n: n % 2 == 1, lambda file: file.data[: len(file.data) // 2]),
}


class SimulatedFiles:
    """A `tiffin.files.FileSystem` in memory.

    Parameters
    ----------
    without_sync, in_place : bool
        The negative controls, see the module's text.
    """

    def __init__(self, *, without_sync: bool = False, in_place: bool = False) -> None:
        self.without_sync = without_sync
        self.in_place = in_place
        self.operations: list[str] = []
        """What was asked for since the start or the last `plan`."""
        self.fault: Fault | None = None
        self.has_crashed = False
        self._clock = itertools.count(1)
        self._inodes = itertools.count(1)
        self._root = _Folder(next(self._inodes))
        self._locks: dict[Path, list[bool]] = {}
        self._lock_freed = threading.Condition()

    def plan(self, fault: Fault | None) -> None:
        """Let an operation fail, counted from this moment."""
        self.fault = fault
        self.operations.clear()

    def was_reached(self, fault: Fault) -> bool:
        """Whether there were enough operations for the fault."""
        return len(self.operations) > fault.at

    def after_crash(self, outcome: str) -> SimulatedFiles:
        """Return what the disk holds if the power went now, as a file system with nothing left to sync."""
        after = SimulatedFiles(without_sync=self.without_sync, in_place=self.in_place)
        after._clock = self._clock
        survived: dict[_File, _File] = {}
        after._root = _after_crash(self._root, OUTCOMES[outcome], after, survived)
        return after

    def create(self, path: Path, content: Content, *, is_private: bool = False) -> None:
        folder = self._folder(path.parent)
        buffer = io.BytesIO()
        if callable(content):
            content(buffer)
        else:
            buffer.write(content)
        contents = buffer.getvalue()
        if path.name in folder.entries:
            self._step("create")
            raise _error(errno.EEXIST)
        file = _File(next(self._inodes), contents[: len(contents) // 2], mtime_ns=next(self._clock))
        kind = self._fault_now("create")
        if kind in ("crash", "short"):
            folder.change({path.name: file}, file.mtime_ns)
        self._raise(kind)
        file.data = contents
        folder.change({path.name: file}, file.mtime_ns)

    def sync(self, path: Path) -> None:
        file = self._file(path)
        kind = self._fault_now("sync")
        if kind in ("EIO", "ENOSPC", "short"):
            file.is_doomed = True
        self._raise(kind)
        if not self.without_sync:
            file.sync()

    def sync_folder(self, path: Path) -> None:
        folder = self._folder(path)
        self._step("sync_folder")
        if not self.without_sync:
            folder.sync()

    def rename(self, source: Path, target: Path) -> None:
        node = self._node(source)
        here, there = self._folder(source.parent), self._folder(target.parent)
        replaced = there.entries.get(target.name)
        if isinstance(replaced, _Folder) and replaced.entries:
            raise _error(errno.ENOTEMPTY)
        self._step("rename")
        now = next(self._clock)
        if self.in_place and isinstance(node, _File):
            self._copy(node, there, target.name)
            here.change({source.name: None}, now)
        elif here is there:
            here.change({source.name: None, target.name: node}, now)
        else:
            there.change({target.name: node}, now)
            here.change({source.name: None}, now)

    def link(self, source: Path, target: Path) -> None:
        node = self._file(source)
        folder = self._folder(target.parent)
        self._step("link")
        if target.name in folder.entries:
            raise _error(errno.EEXIST)
        if self.in_place:
            self._copy(node, folder, target.name)
        else:
            folder.change({target.name: node}, next(self._clock))

    def remove(self, path: Path) -> None:
        self._file(path)
        self._step("remove")
        self._folder(path.parent).change({path.name: None}, next(self._clock))

    def make_folder(self, path: Path) -> None:
        parent = self._folder(path.parent)
        self._step("make_folder")
        if path.name in parent.entries:
            raise _error(errno.EEXIST)
        parent.change({path.name: _Folder(next(self._inodes))}, next(self._clock))

    def remove_folder(self, path: Path) -> None:
        folder = self._folder(path)
        self._step("remove_folder")
        if folder.entries:
            raise _error(errno.ENOTEMPTY)
        self._folder(path.parent).change({path.name: None}, next(self._clock))

    def read(self, path: Path) -> bytes:
        self._step("read")
        return self._file(path).data

    def pieces(self, path: Path) -> Iterator[bytes]:
        yield self.read(path)

    def source(self, path: Path) -> bytes:
        return self.read(path)

    def names(self, path: Path) -> list[str]:
        self._step("names")
        return list(self._folder(path).entries)

    def stat(self, path: Path) -> Stat | None:
        self._step("stat")
        try:
            node = self._node(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        size = len(node.data) if isinstance(node, _File) else 0
        return Stat(size, node.mtime_ns, node.inode, is_folder=isinstance(node, _Folder), is_link=False, device=0)

    def touch(self, path: Path, mtime_ns: int) -> None:
        self._step("touch")
        self._file(path).mtime_ns = mtime_ns

    @contextlib.contextmanager
    def lock(self, path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        with translated(path, doing="lock"):
            folder = self._folder(path.parent)
            self._step("lock")
        if path.name not in folder.entries:
            folder.change({path.name: _File(next(self._inodes), b"")}, next(self._clock))
        with self._lock_freed:
            holders = self._locks.setdefault(path, [])

            def is_free() -> bool:
                return not holders or (shared and all(holders))

            acquired = is_free() or (wait and self._lock_freed.wait_for(is_free))
            if acquired:
                holders.append(shared)
        try:
            yield acquired
        finally:
            if acquired:
                with self._lock_freed:
                    holders.remove(shared)
                    self._lock_freed.notify_all()

    def _copy(self, node: _File, folder: _Folder, name: str) -> None:
        """Write the target in place, in two halves that reach the disk at once."""
        target = folder.entries.get(name)
        if not isinstance(target, _File):
            target = _File(next(self._inodes), b"")
            folder.change({name: target}, next(self._clock))
        target.data = node.data[: len(node.data) // 2]
        target.sync()
        folder.sync()
        self._step("copy")
        target.data = node.data
        target.sync()

    def _step(self, operation: str) -> None:
        self._raise(self._fault_now(operation))

    def _fault_now(self, operation: str) -> Kind | None:
        """Count an operation, and say which fault strikes it."""
        if self.has_crashed:
            raise Crash
        self.operations.append(operation)
        if self.fault is None or len(self.operations) - 1 != self.fault.at:
            return None
        kind = self.fault.kind
        return None if kind in ("ENOSPC", "short") and operation not in WRITING else kind

    def _raise(self, kind: Kind | None) -> None:
        if kind == "crash":
            self.has_crashed = True
            raise Crash
        if kind is not None:
            raise _error(errno.EIO if kind == "EIO" else errno.ENOSPC)

    def _node(self, path: Path) -> _File | _Folder:
        node: _File | _Folder = self._root
        for part in path.parts[1:]:
            if not isinstance(node, _Folder):
                raise _error(errno.ENOTDIR)
            if part not in node.entries:
                raise _error(errno.ENOENT)
            node = node.entries[part]
        return node

    def _file(self, path: Path) -> _File:
        node = self._node(path)
        if isinstance(node, _Folder):
            raise _error(errno.EISDIR)
        return node

    def _folder(self, path: Path) -> _Folder:
        node = self._node(path)
        if isinstance(node, _File):
            raise _error(errno.ENOTDIR)
        return node


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _after_crash(folder: _Folder, outcome: Outcome, fs: SimulatedFiles, survived: dict[_File, _File]) -> _Folder:
    """Rebuild a folder from what was durable and what else survived; `survived` keeps hard links one file."""
    entries = dict(folder.durable)
    for n, change in enumerate(folder.pending):
        if outcome.survives(n):
            entries = _changed(entries, change)
    after = _Folder(next(fs._inodes), mtime_ns=folder.mtime_ns)
    for name, node in entries.items():
        if isinstance(node, _Folder):
            after.entries[name] = _after_crash(node, outcome, fs, survived)
        else:
            if node not in survived:
                data = node.durable if node.is_synced else outcome.contents(node)
                survived[node] = _File(next(fs._inodes), data, data, is_synced=True, mtime_ns=node.mtime_ns)
            after.entries[name] = survived[node]
    after.sync()
    return after


class Trial(NamedTuple):
    """One run of the work under one fault, followed by a loss of power with one outcome."""

    fault: Fault
    outcome: str
    acknowledged: list[object]
    """What the work said was stored."""
    disk: SimulatedFiles
    """What is there when the machine is up again."""


def trials(prepared: SimulatedFiles, work: Callable[[SimulatedFiles, list[object]], None]) -> Iterator[Trial]:
    """Run some work once for every fault at every operation, and cut the power after each with every outcome.

    Parameters
    ----------
    prepared : SimulatedFiles
        The state each run begins with; everything in it counts as durable.
    work : callable
        Called with a file system and a list to which it appends what has been stored, after each return. A
        `Crash` ends it, and so does an error of Tiffin's that it lets out.

    Yields
    ------
    Trial
        For the caller to look for violations.
    """
    for kind in KINDS:
        for at in itertools.count():
            fs = prepared.after_crash("kept")
            fault = Fault(at, kind)
            fs.plan(fault)
            acknowledged: list[object] = []
            with contextlib.suppress(Crash, TiffinError):
                work(fs, acknowledged)
            for outcome in OUTCOMES:
                yield Trial(fault, outcome, acknowledged, fs.after_crash(outcome))
            # Once the work is done before the fault comes, only the power cut was left to survive.
            if not fs.was_reached(fault):
                break
