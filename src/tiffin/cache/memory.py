"""A cache in memory, bounded by bytes and by entries; keys contain the version, so nothing in it is ever stale."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Value = TypeVar("Value")


class MemoryStats(TypedDict):
    """Figures of a memory cache since it was made."""

    size: int
    """Entries held."""
    max_size: int
    bytes: int
    """Bytes held, by the callers' account."""
    max_bytes: int
    ttl_seconds: float | None
    """None: entries do not expire."""
    hits: int
    """Look-ups answered without loading, those that waited for another caller's load among them."""
    misses: int
    hit_rate: float
    """Share of look-ups that were hits, 0-1; 0 before the first."""
    expired: int
    """Entries dropped because their time was up."""
    evictions: int
    """Entries dropped, the least recently used first, to stay within the bounds."""


class _Entry(NamedTuple, Generic[Value]):
    value: Value
    size_bytes: int
    expires: float


class _Flight(Generic[Value]):
    """One load under way, and the callers that wait for it."""

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.landed = threading.Event()
        self.value: Value
        self.error: BaseException | None = None


def _same(value: Value) -> Value:
    return value


class MemoryCache(Generic[Value]):
    """Keeps the values used last, up to a number of bytes and of entries, each for a limited time.

    Safe to share between threads. A forked child starts with an empty cache.

    Parameters
    ----------
    max_bytes : int
        Most bytes held; 0 keeps nothing.
    max_entries : int
        Most entries held; 0 keeps nothing.
    ttl_s : float or None
        Seconds that an entry is served after it was put in; None for as long as there is room.
    copy : callable
        Applied to a value each time it is handed out, so that no caller holds the one that is kept.
    clock : callable
        Returns seconds; only differences count.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entries: int,
        ttl_s: float | None = None,
        copy: Callable[[Value], Value] = _same,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._ttl_s = ttl_s
        self._copy = copy
        self._clock = clock
        self._hits = self._misses = self._expired = self._evictions = 0
        self._reset()
        _caches.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry[Value]] = OrderedDict()
        self._bytes = 0
        self._flights: dict[Hashable, _Flight[Value]] = {}
        self._waiting: dict[int, _Flight[Value]] = {}

    def get(self, key: Hashable) -> Value | None:
        """Return the value of a key, or None.

        Parameters
        ----------
        key : hashable
            A tuple; never parts joined into a string, which collide.

        Returns
        -------
        Value or None
            None if it was never put in, was dropped or has expired.
        """
        with self._lock:
            entry = self._find(key)
            if entry is None:
                self._misses += 1
                return None
            self._hits += 1
        return self._copy(entry.value)

    def peek(self, key: Hashable) -> Value | None:
        """Return the value of a key, or None, without counting the look-up.

        Parameters
        ----------
        key : hashable
            As for `get`.

        Returns
        -------
        Value or None
            None if it was never put in, was dropped or has expired.
        """
        with self._lock:
            entry = self._find(key)
        return None if entry is None else self._copy(entry.value)

    def get_or_load(self, key: Hashable, load: Callable[[], Value], size_of: Callable[[Value], int]) -> Value:
        """Return the value of a key, loading it if it is not there; callers at the same time load it once.

        Parameters
        ----------
        key : hashable
            A tuple; never parts joined into a string, which collide.
        load : callable
            Makes the value. It may use this cache itself.
        size_of : callable
            Tells how many bytes a value takes.

        Returns
        -------
        Value
            Kept for the next caller unless it is larger than the whole cache.

        Raises
        ------
        Exception
            What `load` raised, in each caller that waited for it; nothing is kept, and the next caller tries again.
        """
        while True:
            with self._lock:
                entry = self._find(key)
                if entry is not None:
                    self._hits += 1
                    break
                flight, is_mine = self._join(key)
            if is_mine:
                return self._copy(self._load(key, flight, load, size_of))
            self._await(flight)
            if flight.error is None:
                return self._copy(flight.value)
            if isinstance(flight.error, Exception):
                raise flight.error
            # The loader was interrupted, by its user or its thread's end: that is no answer for this caller.
        return self._copy(entry.value)

    def put(self, key: Hashable, value: Value, size_bytes: int) -> None:
        """Keep a value under a key, in place of the one it had.

        Parameters
        ----------
        key : hashable
            A tuple; never parts joined into a string, which collide.
        value : Value
            Not copied: the caller must not change it any more.
        size_bytes : int
            What it takes. Larger than the whole cache: it is not kept.
        """
        with self._lock:
            self._drop(key)
            self._keep(key, value, size_bytes)

    def kept_keys(self) -> list[Any]:
        """Return the keys of what is held."""
        with self._lock:
            return list(self._entries)

    def discard(self, key: Hashable) -> None:
        """Drop one key, if it is there; a load of it that is under way will not be kept."""
        with self._lock:
            self._drop(key)
            self._flights.pop(key, None)

    def discard_where(self, predicate: Callable[[Any], bool]) -> None:
        """Drop the keys for which the predicate holds.

        Parameters
        ----------
        predicate : callable
            Called with a key. It must not use this cache.
        """
        with self._lock:
            for key in [key for key in {**self._entries, **self._flights} if predicate(key)]:
                self._drop(key)
                self._flights.pop(key, None)

    def clear(self) -> None:
        """Drop everything; the figures go on."""
        self.discard_where(lambda _: True)

    def stats(self) -> MemoryStats:
        """Return the figures since the cache was made."""
        with self._lock:
            lookups = self._hits + self._misses
            return MemoryStats(
                size=len(self._entries),
                max_size=self._max_entries,
                bytes=self._bytes,
                max_bytes=self._max_bytes,
                ttl_seconds=self._ttl_s,
                hits=self._hits,
                misses=self._misses,
                hit_rate=self._hits / lookups if lookups else 0.0,
                expired=self._expired,
                evictions=self._evictions,
            )

    def _await(self, flight: _Flight[Value]) -> None:
        try:
            flight.landed.wait()
        finally:
            with self._lock:
                self._waiting.pop(threading.get_ident(), None)
                self._hits += flight.landed.is_set() and flight.error is None

    def _load(
        self, key: Hashable, flight: _Flight[Value], load: Callable[[], Value], size_of: Callable[[Value], int]
    ) -> Value:
        try:
            flight.value = load()
            size_bytes = size_of(flight.value)
        except BaseException as error:
            flight.error = error
            raise
        else:
            with self._lock:
                # Not the one registered: a discard came in between, or this thread loads the key a second time.
                if self._flights.get(key) is flight:
                    self._drop(key)
                    self._keep(key, flight.value, size_bytes)
            return flight.value
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.landed.set()

    # What follows is called with the lock held.

    def _find(self, key: Hashable) -> _Entry[Value] | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self._drop(key)
            self._expired += 1
            return None
        self._entries.move_to_end(key)
        return entry

    def _keep(self, key: Hashable, value: Value, size_bytes: int) -> None:
        if size_bytes > self._max_bytes or not self._max_bytes or not self._max_entries:
            return
        expires = math.inf if self._ttl_s is None else self._clock() + self._ttl_s
        self._entries[key] = _Entry(value, size_bytes, expires)
        self._bytes += size_bytes
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))
            self._evictions += 1

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes

    def _join(self, key: Hashable) -> tuple[_Flight[Value], bool]:
        """Wait for the load of this key that is under way (False), or begin one (True)."""
        under_way = self._flights.get(key)
        if under_way is not None and not self._waits_for_me(under_way):
            self._waiting[threading.get_ident()] = under_way
            return under_way, False
        self._misses += 1
        flight = _Flight[Value]()
        self._flights.setdefault(key, flight)
        return flight, True

    def _waits_for_me(self, flight: _Flight[Value] | None) -> bool:
        """Tell whether waiting for this flight would never end, because its owner waits for this very thread."""
        while flight is not None:
            if flight.owner == threading.get_ident():
                return True
            flight = self._waiting.get(flight.owner)
        return False


_caches: weakref.WeakSet[MemoryCache[Any]] = weakref.WeakSet()


def _reset_after_fork() -> None:
    # Another thread of the parent may have held the lock or been loading: it does not exist in the child.
    for cache in _caches:
        cache._reset()  # noqa: SLF001 - the same module


os.register_at_fork(after_in_child=_reset_after_fork)
