"""A cache of decoded frames on disk: uncompressed Arrow files, mapped into memory instead of read.

Each file's checksum is verified the first time a process opens it, so damage gives a miss, never wrong numbers.
Nothing here is the only copy of anything: the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import weakref
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypedDict

import xxhash

from tiffin.cache import sealed
from tiffin.errors import StorageError
from tiffin.files import LOCAL, FileSystem, make_folders, sweep, translated, write_unsynced
from tiffin.locks import new_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from tiffin.files import Stat

Key = tuple[str | int, ...]

TAG = "CACHEDIR.TAG"
"""Marks a folder as a cache for backup programs, and for us as one in which nothing else belongs."""
TAG_TEXT = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by Tiffin. This folder can be deleted at any time.\n"
LOCK = ".lock"

MOST_FRAMES = 2048
"""More frames than this are trimmed too: looking at each file must stay quick, however small they are."""
LOOK_AFTER = 128
"""Puts of this process after which the folder is looked at again, for what other processes put there."""
TRIM_TO = 0.8
"""Share of the bounds that is left after trimming, so that not every put has to trim."""
TOUCH_AFTER_NS = 60 * 10**9
"""A file's last use is noted at most this often: once a minute is enough to tell old from new."""
MOST_PENDING = 4
"""Frames waiting to be written; more are dropped, as they would only hold memory."""

_NAME = re.compile(r"[0-9a-f]{32}\.arrow")


class DiskStats(TypedDict):
    """Figures of a disk cache; the counts are this process's since the cache was opened."""

    size: int
    """Frames held."""
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    hit_rate: float
    """Share of look-ups that were hits, 0-1; 0 before the first."""
    evictions: int
    """Frames dropped, the least recently used first, to stay within the bound."""
    corrupt: int
    """Files dropped because they were not what was written."""
    failed: int
    """Frames not stored because the disk refused."""
    dropped: int
    """Frames not stored because too many were waiting."""


class DiskCache:
    """Keeps decoded frames in a folder, up to a number of bytes; shared by threads and processes.

    Parameters
    ----------
    folder : Path
        Where to keep them; made when first needed. Its parent may be missing too.
    max_bytes : int
        Most bytes held; beyond it, or beyond 2,048 frames, the least recently used go until 80 % are left. 0 keeps
        nothing.
    fs : FileSystem
        The file system that the folder is on.
    clock_ns : callable
        Returns nanoseconds since 1970-01-01 UTC.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, fs: FileSystem = LOCAL, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._fs = fs
        self._clock_ns = clock_ns
        self._counts: Counter[str] = Counter()
        self._verified: dict[str, Stat] = {}
        self._reset()
        _caches.add(self)

    def _reset(self) -> None:
        self._lock = new_lock()
        self._room = self._puts_left = 0
        self._writer: ThreadPoolExecutor | None = None
        self._pending: set[Future[bool]] = set()

    def get(self, key: Key) -> pl.DataFrame | None:
        """Return the frame kept under a key.

        Parameters
        ----------
        key : tuple of str and int
            What it was put under.

        Returns
        -------
        DataFrame or None
            Exactly as it was put; a large one shares the memory of the file. None if it is not there, cannot be
            read, or is not what was written; then it is removed.
        """
        frame = None
        if self._max_bytes:
            with contextlib.suppress(StorageError), translated(self._folder, doing="read from"):
                frame = self._open(_file_name(key))
        self._count("misses" if frame is None else "hits")
        return frame

    def put(self, key: Key, frame: pl.DataFrame) -> bool:
        """Keep a frame under a key, in place of the one it had.

        Parameters
        ----------
        key : tuple of str and int
            The table and the version, say.
        frame : DataFrame
            What to keep.

        Returns
        -------
        bool
            Whether it was stored: not if the disk refuses, if it is larger than the whole cache, or if it holds
            Python objects. A cache that cannot store is no error; `stats` tells.
        """
        if not self._max_bytes or frame.estimated_size() > self._max_bytes:
            return False
        name = _file_name(key)
        data = sealed.encode(name, frame)
        if data is None or len(data) > self._max_bytes:
            return False
        try:
            with translated(self._folder, doing="write to"):
                self._store(name, data)
                self._trim_if_due(len(data))
        except StorageError:
            self._count("failed")
            return False
        return True

    def put_later(self, key: Key, frame: pl.DataFrame) -> bool:
        """Do `put` in the background: one thread, begun when first needed.

        Parameters
        ----------
        key : tuple of str and int
            The table and the version, say.
        frame : DataFrame
            What to keep. The caller may change it in the meantime.

        Returns
        -------
        bool
            Whether it will be tried; not if too many frames are waiting already.
        """
        with self._lock:
            if len(self._pending) >= MOST_PENDING:
                self._counts["dropped"] += 1
                return False
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="tiffin-disk-cache")
            try:
                future = self._writer.submit(self.put, key, frame.clone())
            except RuntimeError:
                # The interpreter is shutting down and takes no more work.
                self._counts["dropped"] += 1
                return False
            self._pending.add(future)
        future.add_done_callback(self._forget)
        return True

    def _forget(self, future: Future[bool]) -> None:
        # One that ended in an error stays until `flush` raises it.
        if future.exception() is None:
            self._pending.discard(future)

    def flush(self) -> None:
        """Wait until every frame given to `put_later` so far is written or refused."""
        pending = set(self._pending)
        wait(pending)
        self._pending -= pending
        for future in pending:
            future.result()

    def close(self) -> None:
        """Write what is waiting and end the background thread."""
        self.flush()
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown()

    def delete(self, key: Key) -> None:
        """Drop one key, if it is there."""
        self._remove(_file_name(key))

    def clear(self) -> None:
        """Drop every frame; the figures go on."""
        for name in self._held():
            self._remove(name)

    def size_bytes(self) -> int:
        """Return the bytes that the frames take on disk."""
        return sum(found.size for found in self._held().values())

    def stats(self) -> DiskStats:
        """Return the figures: what lies on the disk now, and what this process did since it opened the cache."""
        held = self._held()
        with self._lock:
            counts = self._counts.copy()
        lookups = counts["hits"] + counts["misses"]
        return DiskStats(
            size=len(held),
            bytes=sum(found.size for found in held.values()),
            max_bytes=self._max_bytes,
            hits=counts["hits"],
            misses=counts["misses"],
            hit_rate=counts["hits"] / lookups if lookups else 0.0,
            evictions=counts["evictions"],
            corrupt=counts["corrupt"],
            failed=counts["failed"],
            dropped=counts["dropped"],
        )

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _open(self, name: str) -> pl.DataFrame | None:
        path = self._folder / name
        found = self._fs.stat(path)
        if found is None:
            return None
        data = memoryview(self._fs.read(path))
        frame = None
        if self._verified.get(name) == found or sealed.is_whole(name, data):
            frame = sealed.decode(data)
        if frame is None:
            self._count("corrupt")
            self._remove(name)
            return None
        self._verified[name] = self._touched(path, found)
        return frame

    def _touched(self, path: Path, found: Stat) -> Stat:
        """Note the use of a file, unless that was done a moment ago; a clock set back counts as long ago."""
        now = self._clock_ns()
        if abs(now - found.mtime_ns) < TOUCH_AFTER_NS:
            return found
        # Another process may have trimmed it away, or the folder may be read-only: the frame is good all the same.
        with contextlib.suppress(OSError):
            self._fs.touch(path, now)
        return self._fs.stat(path) or found

    def _store(self, name: str, data: memoryview) -> None:
        if self._fs.stat(self._folder) is None:
            make_folders(self._fs, self._folder)
            write_unsynced(self._fs, self._folder / TAG, TAG_TEXT)
        path = self._folder / name
        with self._fs.lock(self._folder / LOCK, shared=True):
            write_unsynced(self._fs, path, data)
        with contextlib.suppress(OSError):
            self._fs.touch(path, self._clock_ns())

    def _trim_if_due(self, put_bytes: int) -> None:
        """Trim if what was put since the last look may exceed a bound; looking costs a request for each file."""
        with self._lock:
            self._room -= put_bytes
            self._puts_left -= 1
            is_due = self._room < 0 or self._puts_left < 0
        if is_due:
            self._trim()

    def _trim(self) -> None:
        """Bring the folder back within its bound, and clear away what does not belong there."""
        names = self._fs.names(self._folder)
        others = [name for name in names if not _NAME.fullmatch(name) and name not in (TAG, LOCK)]
        if others:
            self._clear_away(others if TAG in names else [])
        held = self._held()
        total = sum(found.size for found in held.values())
        count = len(held)
        if total > self._max_bytes or count > MOST_FRAMES:
            for name in sorted(held, key=lambda name: held[name].mtime_ns):
                if total <= TRIM_TO * self._max_bytes and count <= TRIM_TO * MOST_FRAMES:
                    break
                self._remove(name)
                self._count("evictions")
                total -= held[name].size
                count -= 1
        with self._lock:
            self._room = self._max_bytes - total
            self._puts_left = min(MOST_FRAMES - count, LOOK_AFTER)

    def _clear_away(self, foreign: list[str]) -> None:
        """Remove what dead writers left, and files of others if the folder is surely ours: made by this class."""
        with self._fs.lock(self._folder / LOCK, wait=False) as is_alone:
            if is_alone:
                sweep(self._fs, self._folder)
                for name in foreign:
                    self._remove(name)

    def _held(self) -> dict[str, Stat]:
        """Look at every file that is a frame of this cache."""
        with translated(self._folder, doing="list"):
            folder = self._fs.stat(self._folder)
            if folder is None or not folder.is_folder:
                return {}
            names = [name for name in self._fs.names(self._folder) if _NAME.fullmatch(name)]
            found = {name: self._fs.stat(self._folder / name) for name in names}
        return {name: stat for name, stat in found.items() if stat is not None}

    def _remove(self, name: str) -> None:
        self._verified.pop(name, None)
        # Another process may be quicker; and what cannot be removed is found corrupt or too old again.
        with contextlib.suppress(OSError):
            self._fs.remove(self._folder / name)


def _file_name(key: Key) -> str:
    """Name a key's file by a hash of its parts, each with its type and length, so that no two keys look alike."""
    digest = xxhash.xxh3_128()
    for part in key:
        text = str(part).encode()
        digest.update(f"{type(part).__name__}:{len(text)}:".encode())
        digest.update(text)
    return f"{digest.hexdigest()}.arrow"


_caches: weakref.WeakSet[DiskCache] = weakref.WeakSet()


def _reset_after_fork() -> None:
    # The background thread does not exist in the child, and another thread may have held the lock.
    for cache in _caches:
        cache._reset()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_reset_after_fork)
