"""Measuring things alternately, so that a noisy machine disturbs both sides alike."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

SLOWER = "slower"
"""Ends the ratio of a comparison that we lose."""


@dataclass(frozen=True)
class Growth:
    """How a cost grows with the size of something."""

    over: str
    """What grows, such as "rows"."""
    points: Sequence[tuple[float, float]]
    """Sizes, and the seconds that each took."""

    @property
    def exponent(self) -> float:
        """The power of the size that the cost follows: 1 is in step with it, 0 not at all."""
        return exponent(self.points)


@dataclass(frozen=True)
class Result:
    """One case: our figure, what it is compared with, and the goal (empty: there is none)."""

    what: str
    """What was done, such as "save"."""
    case: str
    ours: str
    beside: str
    ratio: str
    goal: str
    met: bool
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What each side took, ours and the other, where they are drawn beside each other."""
    growth: Growth | None = None

    @property
    def measured(self) -> str:
        """Our figure, and its ratio to the other if there is one."""
        return ", ".join(text for text in (self.ours, self.ratio) if text)

    def title(self, part: str) -> str:
        """Name the case as it stands in its part of the benchmarks."""
        return self.case if self.what == part else f"{self.what}: {self.case}"


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Fit `cost = a * size ** exponent` by least squares on the logarithms of both.

    Parameters
    ----------
    points : sequence of (float, float)
        Size and cost, all above 0, of at least two different sizes.

    Returns
    -------
    float
        The exponent: the slope of the line through the points where both axes are logarithmic.

    Raises
    ------
    ValueError
        There are fewer than two sizes.
    """
    if len({size for size, _ in points}) < 2:
        raise ValueError(f"a line takes two sizes or more: {list(points)}")
    x = [math.log(size) for size, _ in points]
    y = [math.log(cost) for _, cost in points]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - middle_x) ** 2 for a in x)


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
