"""One LMDB environment for each folder and process: opened when needed, checked, shared, and followed when replaced.

LMDB asks for care that is all taken here. A file may be open only once in a process, and not be used in a forked
child. An environment is thrown away by removing its files; whoever has it open goes on with the removed files until
it looks again, and finds others in their place.

Damage: a look-up in a damaged file is refused by LMDB, or finds nothing, or a row whose checksum is wrong. But a file
that is shorter than it says, or a walk or write through a damaged page, can kill the process. So the length is checked
when a file is opened; what walks from page to page is done as a write; and a write that ended its process leaves a
mark, at which the next one examines every page before it begins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import lmdb

from tiffin.errors import IndexDamaged, NoSpace, OnlineUnavailable, StorageError
from tiffin.files import make_folders, publish, remove_tree, translated, write_unsynced
from tiffin.online import examination
from tiffin.online.base import REBUILD

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.files import FileSystem, Stat

    Transaction = lmdb.Transaction[bytes]

T = TypeVar("T")
P = ParamSpec("P")

DATA, LOCK = "data.mdb", "lock.mdb"
"""LMDB's files."""
USE, WRITE = "use.lock", "write.lock"
"""Ours: the first is held shared to open or write, and alone to remove LMDB's files; the second to write."""
NAME = "name"
"""Ours too: random bytes, which tell these files from those before and after them (inodes are used again), and the
inode of the folder: files that were copied from another may be torn, if somebody wrote to them meanwhile."""
NAME_BYTES = 16
UNFINISHED = "unfinished"
"""The mark of a write that goes on, or ended its process."""

EXAMINED_BYTES = 4 * 1024**3
"""The largest file that is examined, at some 40 MB/s; a larger one is taken as it is."""

READERS = 4096
"""Transactions that may read at once, in all processes; each takes 64 bytes of the lock file."""
LOCK_BYTES = READERS * 64 + 4096
"""LMDB takes a lock file that is longer than it needs as it is."""
LOOK_AFTER_S = 1.0
"""Readers look this often whether the files were replaced; writers always do."""

PAGE_BYTES = 64 * 1024
"""A multiple of every page size; a map is of whole pages."""
SLACK_BYTES = 256 * 1024
"""LMDB's offsets have 16 bits: in a damaged page they lead no further than this, so the file is kept longer by that
much. Reading a map beyond the end of its file would kill the process."""
GROW_BYTES = 1024 * 1024

START_BYTES = 2 * PAGE_BYTES
"""The first two pages of a file are within these."""

_META = struct.Struct("=8x2xHxxxx II 8x8x I44x48x QQ")
"""Of a meta page: flags, magic, version, page size, last page, transaction."""
_MAGIC, _VERSION, _IS_META = 0xBEEFC0DE, 1, 0x08

_DAMAGED = (
    lmdb.BadTxnError, lmdb.BadValsizeError, lmdb.CorruptedError, lmdb.CursorFullError, lmdb.IncompatibleError,
    lmdb.InvalidError, lmdb.PageFullError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.VersionMismatchError,
)  # fmt: skip
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""LMDB gives the last where only a part could be written; nothing is lost, the file's head still has the old pages."""
_MAKE_ROOM = "free some space, or check the disk if there is enough, and materialize again"


class Opened:
    """An open environment, and what is remembered of it."""

    def __init__(self, environment: lmdb.Environment, name: bytes, inode: int) -> None:
        self.begin = environment.begin
        self.environment = environment
        self.name = name
        self.inode = inode
        self.is_closed = False
        self.looked_at = time.monotonic()
        self.remembered: dict[str, tuple[bytes, bytes, Any]] = {}
        """Of each table the key of its entry, the entry as it was last read, and what that means."""

    def close(self) -> None:
        """Close it; threads that are reading find `is_closed` and begin anew."""
        self.is_closed = True
        self.environment.close()


_opened: weakref.WeakValueDictionary[Path, Opened] = weakref.WeakValueDictionary()
_guard = threading.RLock()


class Environment:
    """The environment in a folder, whichever files it consists of at the time.

    Parameters
    ----------
    folder : Path
        Where it is; made when first needed.
    fs : FileSystem
        What else is done to the files than LMDB does.
    map_bytes : int
        Most bytes that the data may take.
    """

    def __init__(self, folder: Path, fs: FileSystem, map_bytes: int) -> None:
        self.folder = folder
        self._fs = fs
        self._map_bytes = map_bytes // PAGE_BYTES * PAGE_BYTES
        self._current: Opened | None = None
        self._name: bytes | None = None
        """Name of the files that were last opened, or tried to."""

    def read(self, work: Callable[Concatenate[Opened, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do some reading; `work` is called again if the environment was closed meanwhile."""
        while True:
            opened = self._current
            if opened is None or opened.is_closed or time.monotonic() - opened.looked_at > LOOK_AFTER_S:
                opened = self._look()
            try:
                return work(opened, *args, **kwargs)
            except lmdb.Error as error:
                if not opened.is_closed:
                    raise self._translated(error) from error

    def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do some writing, or walking, in one transaction, which is on the disk when this returns."""
        self._look()
        with self._fs.lock(self.folder / USE, shared=True), self._fs.lock(self.folder / WRITE):
            self._mark()
            while True:
                opened = self._look()
                try:
                    with opened.begin(write=True) as transaction:
                        done = work(transaction, *args, **kwargs)
                    self._keep_slack(opened)
                except lmdb.Error as error:
                    if not opened.is_closed:
                        self._unmark()
                        raise self._translated(error) from error
                else:
                    self._unmark()
                    return done

    def clear_readers(self) -> None:
        """Let go of what dead processes were reading, so that its space can be used again."""
        self.read(lambda opened: opened.environment.reader_check())

    def remove(self) -> None:
        """Remove the files, unless another process has done so since this one opened them."""
        self._make_folder()
        with self._fs.lock(self.folder / USE):
            if self._name is None or self._stat(NAME) is None or self._name == self._read(NAME):
                for name in (NAME, DATA, LOCK, UNFINISHED):
                    remove_tree(self._fs, self.folder / name)
        self.let_go()

    def let_go(self) -> None:
        """Forget the environment; it is closed when nobody in this process uses it."""
        self._current = self._name = None

    def _look(self) -> Opened:
        """Return the environment that is in the folder now."""
        with _guard:
            opened = _opened.get(self.folder)
            found = self._stat(DATA)
            if opened is None or opened.is_closed or found is None or found.inode != opened.inode:
                opened = self._open()
            opened.looked_at = time.monotonic()
            self._current, self._name = opened, opened.name
        return opened

    def _open(self) -> Opened:
        self._make_folder()
        if self._stat(DATA) is None and self._stat(LOCK) is not None:
            self._remove_lock()
        with self._fs.lock(self.folder / USE, shared=True):
            if self._stat(NAME) is None:
                write_unsynced(self._fs, self.folder / NAME, os.urandom(NAME_BYTES) + self._place())
            name = self._name = bytes(self._read(NAME))
            if name[NAME_BYTES:] != self._place():
                raise self._damaged("its files are those of another folder")
            self._make_lock()
            self._check()
            try:
                environment = lmdb.open(
                    str(self.folder),
                    map_size=self._map_bytes,
                    max_readers=READERS,
                    max_spare_txns=1,
                    mode=0o777,
                    create=False,
                    lib_version=0,
                )
                environment.reader_check()
                found = self._stat(DATA)
                opened = Opened(environment, name, found.inode if found else 0)
                with self._fs.lock(self.folder / WRITE, wait=False) as is_alone:
                    if is_alone:
                        self._keep_slack(opened)
            except lmdb.Error as error:
                raise self._translated(error) from error
        _opened[self.folder] = opened
        return opened

    def _make_lock(self) -> None:
        """Make LMDB's lock file, with room for all of it: a full disk that cannot fill a hole there kills a writer."""
        found = self._stat(LOCK)
        if found is None:
            with contextlib.suppress(FileExistsError):
                publish(self._fs, self.folder / LOCK, bytes(LOCK_BYTES))
        elif found.is_link:
            raise self._damaged("its lock file is a symbolic link")

    def _remove_lock(self) -> None:
        """Remove LMDB's lock file if that is all that is left: it belongs to a file that is gone."""
        with self._fs.lock(self.folder / USE, wait=False) as is_alone:
            # What looked lost may have been about to be made.
            if is_alone and self._stat(DATA) is None:
                remove_tree(self._fs, self.folder / LOCK)

    def _mark(self) -> None:
        """Mark that a write has begun; if the last one ended its process, examine every page first."""
        if self._stat(UNFINISHED) is not None:
            if problem := self._problem():
                raise self._damaged(problem)
            return
        with translated(self.folder, doing="write to"):
            self._fs.create(self.folder / UNFINISHED, b"")

    def _unmark(self) -> None:
        with translated(self.folder, doing="write to"):
            self._fs.remove(self.folder / UNFINISHED)

    def _problem(self) -> str:
        """Examine every page; return what is wrong with the first, if anything. Nobody may be writing."""
        found = self._stat(DATA)
        # An empty one is about to be made.
        if found is None or found.size == 0 or found.size > EXAMINED_BYTES:
            return ""
        return examination.problem(self.folder, self._read(DATA))

    def _check(self) -> None:
        """See that the file is one of LMDB's and as long as it says: LMDB would find that out too late."""
        found = self._stat(DATA)
        if found is None or (found.size == 0 and not found.is_folder):
            return
        start = b"" if found.is_folder or found.is_link else bytes(self._read(DATA)[:START_BYTES])
        if not all(_is_meta_page(start, number, found.size) for number in (0, 1)):
            raise self._damaged("it is cut off, or not an index")

    def _keep_slack(self, opened: Opened) -> None:
        """Lengthen the file if there is too little after its last page; the caller alone may write."""
        last_page, page_bytes = opened.environment.info()["last_pgno"], opened.environment.stat()["psize"]
        least = (last_page + 1) * page_bytes + SLACK_BYTES
        found = self._stat(DATA)
        if found is not None and found.size < least:
            with translated(self.folder / DATA, doing="lengthen"):
                self._fs.extend(self.folder / DATA, least + GROW_BYTES)

    def _place(self) -> bytes:
        """Tell this folder from its copies."""
        found = self._stat("")
        return str(found.inode if found else 0).encode()

    def _read(self, name: str) -> bytes | memoryview:
        with translated(self.folder / name, doing="read"):
            return self._fs.read(self.folder / name)

    def _stat(self, name: str) -> Stat | None:
        with translated(self.folder / name, doing="look at"):
            return self._fs.stat(self.folder / name)

    def _make_folder(self) -> None:
        if self._stat("") is None:
            make_folders(self._fs, self.folder)

    def _damaged(self, problem: str) -> IndexDamaged:
        return IndexDamaged(f"the online index in {str(self.folder)!r} is damaged: {problem}", hint=REBUILD)

    def _translated(self, error: lmdb.Error) -> StorageError:
        where = f"the online index in {str(self.folder)!r}"
        is_full = isinstance(error, lmdb.MapFullError)
        # If what the file says of its free pages is wrong, this is how that shows.
        if (is_full or error.code == errno.EIO) and (problem := self._problem()):
            return self._damaged(problem)
        if is_full:
            return NoSpace(f"{where} has reached its most bytes, {self._map_bytes:,}", hint="raise online_map_bytes")
        if error.code in _FULL:
            return NoSpace(f"no space is left for {where}: {error}", hint=_MAKE_ROOM)
        if isinstance(error, _DAMAGED) or error.code == errno.EINVAL:
            return self._damaged(str(error))
        if isinstance(error, lmdb.MapResizedError):
            return OnlineUnavailable(
                f"{where} has grown beyond {self._map_bytes:,} bytes in another process",
                hint="give online_map_bytes the same value everywhere, and open the store again",
            )
        return OnlineUnavailable(f"{where} cannot be used: {error}", hint="check the folder and its permissions")


def _is_meta_page(start: bytes, number: int, size: int) -> bool:
    if len(start) < _META.size:
        return False
    page_bytes = _META.unpack_from(start)[3]
    if len(start) < number * page_bytes + _META.size:
        return False
    flags, magic, version, page_bytes, last_page, _ = _META.unpack_from(start, number * page_bytes)
    return bool(
        flags & _IS_META
        and (magic, version) == (_MAGIC, _VERSION)
        and page_bytes == _META.unpack_from(start)[3]
        and (last_page + 1) * page_bytes <= size
    )


def _close_all() -> None:
    """Close every environment before a fork: a child can neither use nor close them, a parent can open them again."""
    _guard.acquire()
    for opened in list(_opened.values()):
        opened.close()
    _opened.clear()


os.register_at_fork(before=_close_all, after_in_parent=_guard.release, after_in_child=_guard.release)
