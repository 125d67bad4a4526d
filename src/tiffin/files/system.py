"""What is asked of a file system, and this machine's answer.

`FileSystem` has one method per request to the system, which raises the system's own `OSError`;
`translated` turns that into Tiffin's errors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import stat as modes
from collections.abc import Callable
from io import RawIOBase
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tiffin.errors import NoSpace, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType


Content = bytes | bytearray | memoryview | Callable[[RawIOBase], object]
"""What a new file is to hold: bytes, or a function that writes them to the open file. That file is unbuffered: a
`write` may take only a part."""

MAP_FROM_BYTES = 1 << 20
"""Files of at least this size are mapped instead of copied: below it, copying is quicker."""
_PIECE_BYTES = 1 << 20


class Stat(NamedTuple):
    """What the system knows about one directory entry, symbolic links not followed."""

    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, nanoseconds since 1970-01-01 UTC."""
    inode: int
    is_folder: bool
    is_link: bool
    device: int
    """The file system that it is on: inodes are told apart within one."""


class FileSystem(Protocol):
    """The file operations that Tiffin uses; each is one request to the system and may fail with `OSError`."""

    def create(self, path: Path, content: Content, *, is_private: bool = False) -> None:
        """Make a new file holding `content`; `FileExistsError` if the name is taken. A failure may leave part of it.

        A private file is its owner's alone to read and write.
        """

    def sync(self, path: Path) -> None:
        """Wait until the contents of a file are on the disk. A failed sync must never be repeated on that file."""

    def sync_folder(self, path: Path) -> None:
        """Wait until the entries of a folder (creations, renames, links, removals) are on the disk."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name, replacing in one step what had that name."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; `FileExistsError` if that name is taken."""

    def remove(self, path: Path) -> None:
        """Remove one name of a file."""

    def make_folder(self, path: Path) -> None:
        """Make one folder in an existing one; `FileExistsError` if the name is taken."""

    def remove_folder(self, path: Path) -> None:
        """Remove one empty folder."""

    def read(self, path: Path) -> bytes | memoryview:
        """Return the bytes of a file. They stay readable after the file has been removed."""

    def pieces(self, path: Path) -> Iterator[bytes]:
        """Read a file piece by piece, never mapped: a disk that fails in the midst of it is then an error."""

    def source(self, path: Path) -> Path | bytes:
        """Return what Polars' `scan_*` functions can be given to read this file."""

    def names(self, path: Path) -> list[str]:
        """List a folder, in no particular order."""

    def stat(self, path: Path) -> Stat | None:
        """Look at one entry, not following a symbolic link; None if there is none."""

    def touch(self, path: Path, mtime_ns: int) -> None:
        """Set the time of a file's last change, nanoseconds since 1970-01-01 UTC."""

    def extend(self, path: Path, size: int) -> None:
        """Make a file at least `size` bytes long; what is added reads as zeros and takes no space."""

    def lock(self, path: Path, *, shared: bool = False, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold an advisory lock between threads and processes, on a file made for the purpose.

        Parameters
        ----------
        path : Path
            The lock file; made if missing, in an existing folder.
        shared : bool
            Whether other shared holders are let in too.
        wait : bool
            Whether to wait for holders that are in the way.

        Returns
        -------
        context manager of bool
            Whether the lock is held; always True when `wait`.

        Raises
        ------
        StorageError
            The lock file cannot be opened.
        """


class LocalFiles:
    """The file system of this machine; it has no state."""

    def create(self, path: Path, content: Content, *, is_private: bool = False) -> None:
        """Open exclusively, and write all of it or let it write itself."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if is_private else 0o666)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            if callable(content):
                content(file)
                return
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]

    def sync(self, path: Path) -> None:
        """`fsync` the file."""
        _sync(path, os.O_NOFOLLOW)

    def sync_folder(self, path: Path) -> None:
        """`fsync` the folder."""
        try:
            _sync(path, os.O_DIRECTORY)
        except OSError as error:
            # Some network and shared-folder file systems cannot sync a folder and say so with this code.
            if error.errno != errno.EINVAL:
                raise

    def rename(self, source: Path, target: Path) -> None:
        """`rename`, atomic within one file system."""
        os.replace(source, target)  # noqa: PTH105 - `Path.replace` also makes a `Path` to answer with

    def link(self, source: Path, target: Path) -> None:
        """`link`: of many at once, one succeeds."""
        target.hardlink_to(source)

    def remove(self, path: Path) -> None:
        """`unlink`."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """`mkdir`."""
        path.mkdir()

    def remove_folder(self, path: Path) -> None:
        """`rmdir`."""
        path.rmdir()

    def read(self, path: Path) -> bytes | memoryview:
        """Map a large file, copy a small one; nothing is changed in place, so a mapped file cannot shrink."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            size = os.fstat(descriptor).st_size
            if size >= MAP_FROM_BYTES:
                return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
            # A byte more: some file systems say of a file that it is empty, and it is not.
            return b"".join(iter(lambda: os.read(descriptor, size + 1), b""))
        finally:
            os.close(descriptor)

    def pieces(self, path: Path) -> Iterator[bytes]:
        """Read a mebibyte at a time."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def source(self, path: Path) -> Path | bytes:
        """Polars opens the file itself, and reads the parts it needs."""
        return path

    def names(self, path: Path) -> list[str]:
        """List without making a `Path` of each of perhaps ten thousand entries."""
        return os.listdir(path)  # noqa: PTH208 - see above

    def stat(self, path: Path) -> Stat | None:
        """`lstat`."""
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            inode=found.st_ino,
            is_folder=modes.S_ISDIR(found.st_mode),
            is_link=modes.S_ISLNK(found.st_mode),
            device=found.st_dev,
        )

    def append(self, path: Path, data: bytes) -> None:
        """Add to the end of a log, its owner's alone; made if missing. Lines of several processes do not mix."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            while data:
                # A disk that fills takes a part, and refuses the rest.
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def touch(self, path: Path, mtime_ns: int) -> None:
        """`utimensat`; the time of the last access is set too."""
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def extend(self, path: Path, size: int) -> None:
        """`ftruncate` a file that is shorter."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def lock(self, path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
        """`flock`, which the system lets go of when the holder dies."""
        with translated(path, doing="lock"):
            descriptor = _locked(path, shared=shared, wait=wait)
        if descriptor is None:
            yield False
            return
        owner = os.getpid()
        try:
            yield True
        finally:
            # A forked child shares the parent's lock: only the process that took it may let it go. A failure must not
            # hide that the work is done; closing lets go of it too, unless a child has it open.
            with contextlib.suppress(OSError):
                if os.getpid() == owner:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):
                os.close(descriptor)


LOCAL = LocalFiles()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path, *, shared: bool, wait: bool) -> int | None:
    """Open and lock the lock file; None if it is held by others and `wait` is False."""
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, how)
            # While this one waited, the holder may have removed the file and someone else made a new one.
            if _is_open_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


class translated:  # noqa: N801 - it is called as `contextlib.suppress` is
    """Turn the system's errors into Tiffin's.

    Parameters
    ----------
    path : Path
        The file or folder the work is on, for the message.
    doing : str
        A verb for the message: "cannot <doing> <path>: …".

    Raises
    ------
    NoSpace
        The disk, a quota or the largest file size is exhausted.
    StorageError
        Any other `OSError`.
    """

    __slots__ = ("_doing", "_path")

    def __init__(self, path: Path, *, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise storage_error(error, self._path, self._doing) from error


_HINTS = {
    errno.EROFS: "the file system is read-only: choose another folder or mount it writable",
    errno.EACCES: "check the permissions of this path and of the folders above it",
    errno.EPERM: "check the permissions of this path and of the folders above it",
    errno.EMFILE: "this process has too many open files: raise the limit (ulimit -n) or close some",
    errno.ENFILE: "the system has too many open files: close some",
    errno.ENOLCK: "the system has no more locks, or none for this file system: choose another folder",
    errno.EIO: "the disk reported a fault: check it before writing again",
    errno.ELOOP: "symbolic links are not followed inside a store: put the file itself there",
    errno.ENAMETOOLONG: "choose a shorter name or a folder nearer to the root",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away or choose another folder",
}


def storage_error(error: OSError, path: Path, doing: str) -> StorageError:
    """Say in Tiffin's words what the system said while `doing` something to `path`."""
    message = f"cannot {doing} {str(path)!r}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "free some space, or raise the quota or file-size limit, and try again; nothing stored was changed"
        return NoSpace(message, hint=hint, path=str(path))
    return StorageError(message, hint=_HINTS.get(error.errno or 0, ""), path=str(path))
