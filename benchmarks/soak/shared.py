"""What the processes of a soak share: what was acknowledged, when all rest, and where figures go."""

from __future__ import annotations

import heapq
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

from benchmarks.soak.measured import Taken, Window
from tiffin import TiffinError

TABLES = ("live/whole", "live/upserted", "live/appended", "live/pushed", "bulk/frame", "beside/table")
PATIENCE_S = 120
_MOST_FAULTS = 5


class Board:
    """The newest save of each table that was acknowledged, or seen, by any process: a later answer must know it.

    Rows and online rows are apart: a save can be seen in the table before the index has followed, as long as it has
    not been acknowledged.
    """

    def __init__(self) -> None:
        self._rows = multiprocessing.get_context("spawn").Array("q", len(TABLES))
        self._online = multiprocessing.get_context("spawn").Array("q", len(TABLES))

    def acknowledge(self, table: str, save: int) -> None:
        """Note that a save has returned."""
        for values in (self._rows, self._online):
            self._raise(values, table, save)

    def see(self, table: str, save: int, *, online: bool = False) -> None:
        """Note that an answer held a save."""
        self._raise(self._online if online else self._rows, table, save)

    def least(self, table: str, *, online: bool = False) -> int:
        """Give the oldest save that a question which is asked now may be answered with."""
        return int((self._online if online else self._rows)[TABLES.index(table)])

    def _raise(self, values: Any, table: str, save: int) -> None:
        with values.get_lock():
            place = TABLES.index(table)
            values[place] = max(values[place], save)


@dataclass
class Shared:
    """What each process is given. Made where processes are spawned."""

    store: Path
    url: str
    key: str
    pace: float
    window_s: float
    board: Board
    begin: Any
    """When the run began, by the monotonic clock, which all processes have in common."""
    stop: Event
    quiet: Event
    """Asks everyone to come to rest."""
    barrier: Barrier
    """Passed four times: at the start; and of a rest when all calls have ended, when they have been looked at, and when
    it is over."""
    out: Queue[Report]

    def rest(self) -> None:
        """Rest with the others."""
        for _ in range(3):
            self.barrier.wait(PATIENCE_S)


@dataclass
class Report:
    """What a process tells of a stretch of time."""

    window: Window
    wrong: dict[str, int]
    checked: int
    faults: list[str]


def schedule(rates: Sequence[float]) -> list[tuple[float, int]]:
    """Give the first moment of each kind of call: within its first interval, so that they do not all come at once.

    Parameters
    ----------
    rates : sequence of float
        Calls a second of each kind.

    Returns
    -------
    list of (float, int)
        A heap: when, by the monotonic clock, and which of the kinds.
    """
    now = time.monotonic()
    due = [(now + (number + 1) / len(rates) / rate, number) for number, rate in enumerate(rates)]
    heapq.heapify(due)
    return due


def later(due: Sequence[tuple[float, int]], wait_s: float) -> list[tuple[float, int]]:
    """Put off what is due by a rest; its order stays."""
    return [(at + wait_s, number) for at, number in due]


class WrongAnswerError(Exception):
    """An answer is not one of those that are right."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(f"{kind}: {said}")
        self.kind = kind


@dataclass
class _Calls:
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    errors: int = 0


class Recorder:
    """Counts and times a process's calls, and reports them stretch by stretch.

    Parameters
    ----------
    shared : Shared
        Its `out` gets the reports.
    name : str
        Of the process.
    """

    def __init__(self, shared: Shared, name: str) -> None:
        self._shared, self._name, self._number = shared, name, 0
        self._clear()

    def _clear(self) -> None:
        self._calls: dict[str, _Calls] = defaultdict(_Calls)
        self._wrong: dict[str, int] = defaultdict(int)
        self._faults: list[str] = []
        self._checked = 0

    @contextmanager
    def timed(self, kind: str, *, own_processor: bool = False) -> Iterator[None]:
        """Time a call; what goes wrong in it is counted, and the soak goes on."""
        calls, used, start = self._calls[kind], time.process_time(), time.perf_counter()
        try:
            yield
        except (WrongAnswerError, TiffinError, OSError, EOFError) as error:
            calls.errors += 1
            self._fault(error.kind if isinstance(error, WrongAnswerError) else "failed", kind, error)
        else:
            calls.wall.append(time.perf_counter() - start)
            calls.processor.append(time.process_time() - used if own_processor else 0.0)

    def check(self, *, is_right: bool, kind: str, said: str) -> None:
        """Count an answer that was checked.

        Raises
        ------
        WrongAnswerError
            It is not right.
        """
        self._checked += 1
        if not is_right:
            raise WrongAnswerError(kind, said)

    def left_out(self, kind: str) -> None:
        """Count a call that was due while too many of its kind were under way."""
        self._calls[kind].errors += 1
        self._fault("left out", kind, "too many of the kind were under way")

    def _fault(self, wrong: str, kind: str, said: object) -> None:
        self._wrong[wrong] += 1
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(f"{self._name}, {kind}: {type(said).__name__}: {said}"[:500])

    def tick(self, *, is_last: bool = False) -> None:
        """Report, if a stretch has ended."""
        number = int((time.monotonic() - self._shared.begin.value) / self._shared.window_s)
        if number == self._number and not is_last:
            return
        kinds = {kind: _taken(calls) for kind, calls in self._calls.items()}
        window = Window((self._number + 1) * self._shared.window_s, kinds)
        self._shared.out.put(Report(window, dict(self._wrong), self._checked, self._faults))
        self._number = number
        self._clear()


def _taken(calls: _Calls) -> Taken:
    wall, processor = sorted(calls.wall), sorted(calls.processor)
    p50, p95, p99 = (
        wall[min(int(share * len(wall)), len(wall) - 1)] * 1e3 if wall else 0.0 for share in (0.5, 0.95, 0.99)
    )
    return Taken(len(wall), calls.errors, p50, p95, p99, processor[len(processor) // 2] * 1e3 if processor else 0.0)
