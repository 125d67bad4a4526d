"""Measuring things alternately, so that a noisy machine disturbs both sides alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Result:
    """One case: our figure, what it is compared with, and the goal."""

    group: str
    case: str
    ours: str
    beside: str
    ratio: str
    goal: str
    met: bool

    def as_dict(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)


def alternately(rounds: int, *actions: Callable[[], object], settle: bool = False) -> list[list[float]]:
    """Time several actions in turn.

    Parameters
    ----------
    rounds : int
        How often each is timed.
    *actions : callable
        What is timed.
    settle : bool
        Whether to sync the disk before each: an action that syncs would otherwise pay for what the one before
        left unsynced.

    Returns
    -------
    list of list of float
        Seconds of each round, for each action; the first round warms up and is not counted.
    """
    taken: list[list[float]] = [[] for _ in actions]
    for number in range(rounds + 1):
        for action, times in zip(actions, taken, strict=True):
            if settle:
                os.sync()
            start = time.perf_counter()
            action()
            if number:
                times.append(time.perf_counter() - start)
    return taken


def ratio(ours: list[float], other: list[float]) -> float:
    """Return the median of the rounds' ratios: both sides of a round had the same neighbours."""
    return median(a / b for a, b in zip(ours, other, strict=True))


def shown(seconds: float) -> str:
    """Write a duration with three figures."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
