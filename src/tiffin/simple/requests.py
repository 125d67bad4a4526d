"""What became of the requests to a store: how many, how quick, how many failed."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

from tiffin.locks import new_lock

REMEMBERED = 10_000
"""The newest latencies, from which percentiles are taken; older ones only count for the mean."""


class RequestStats(TypedDict):
    """Figures of the requests since the store was opened; times in seconds, 0 before the first."""

    total_requests: int
    """Answered or failed."""
    error_count: int
    avg_response_time: float
    """Mean over every answered request."""
    p50_response_time: float
    """Half of the newest answered requests (10,000 at most) took no longer."""
    p95_response_time: float
    p99_response_time: float


class Requests:
    """Counts requests and times them, in memory that does not grow with their number; safe to share.

    Parameters
    ----------
    clock : callable
        Returns seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = new_lock()
        self._newest: deque[float] = deque(maxlen=REMEMBERED)
        self._seconds = 0.0
        self._answered = self._failed = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time what runs inside, as one request; an error counts and goes on."""
        start = self._clock()
        try:
            yield
        except BaseException:
            with self._lock:
                self._failed += 1
            raise
        taken = self._clock() - start
        with self._lock:
            self._answered += 1
            self._seconds += taken
            self._newest.append(taken)

    def stats(self) -> RequestStats:
        """Return the figures."""
        with self._lock:
            ordered = sorted(self._newest)
            return RequestStats(
                total_requests=self._answered + self._failed,
                error_count=self._failed,
                avg_response_time=self._seconds / self._answered if self._answered else 0.0,
                p50_response_time=_percentile(ordered, 50),
                p95_response_time=_percentile(ordered, 95),
                p99_response_time=_percentile(ordered, 99),
            )


def _percentile(ordered: list[float], percent: int) -> float:
    """Return the smallest value that so many percent do not exceed (nearest rank); 0 of nothing."""
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else 0.0
