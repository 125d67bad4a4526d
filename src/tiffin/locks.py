"""Locks for threads that a forked child finds open: the threads that held them are in its parent alone."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Lock = threading.Lock | threading.RLock

_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """Make a lock."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def new_reentrant_lock() -> threading.RLock:
    """Make a lock that the thread that holds it may take again."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _open_all() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # type: ignore[union-attr]  # noqa: SLF001 - the standard library's way for its own


os.register_at_fork(after_in_child=_open_all)
