"""Tell growth and slowing from noise: the second tenth of a run beside its last (pure)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

SLOWER = 0.10
"""Share by which what is done may become slower."""
MEMORY_SHARE, MEMORY_MB = 0.05, 50.0
"""What memory may grow by, as a share or in MB, whichever is more."""
DISK_SHARE, DISK_MB = 0.05, 5.0
"""The same of a part of the disk."""
_RESAMPLES = 1000


class Point(NamedTuple):
    """A figure, and when it was taken."""

    at_s: float
    value: float


Series = Sequence[Point]


@dataclass(frozen=True)
class Judgement:
    """One figure at both ends of the run."""

    what: str
    """The kind of figure, such as "memory"."""
    of: str
    """Whose it is."""
    unit: str
    before: float
    """In the second tenth of the run."""
    after: float
    """In its last tenth."""
    told: str
    """The change, in words."""
    bound: str
    holds: bool


def tenth(series: Series, length_s: float, number: int) -> list[float]:
    """Give the values of one tenth of the run, the first being 0."""
    begin, end = number * length_s / 10, (number + 1) * length_s / 10
    return [value for at, value in series if begin < at and (at <= end or number == 9)]


def slope(series: Series) -> float:
    """Fit a line by least squares.

    Parameters
    ----------
    series : sequence of Point, shape (n,)

    Returns
    -------
    float
        What the value grows by in a second; 0 of fewer than two moments.
    """
    if len({at for at, _ in series}) < 2:
        return 0.0
    middle = sum(at for at, _ in series) / len(series)
    level = sum(value for _, value in series) / len(series)
    above = sum((at - middle) * (value - level) for at, value in series)
    return above / sum((at - middle) ** 2 for at, _ in series)


def counted(what: str, of: str, series: Series, length_s: float) -> Judgement:
    """Judge what must not grow at all but comes and goes, such as open files and the threads of pools.

    It has grown if there are never as few in the last tenth as at most in the second: what leaks never comes back.
    """
    before, after = (tenth(series, length_s, number) or [0.0] for number in (1, 9))
    told = f"{min(before):g} to {max(before):g}, then {min(after):g} to {max(after):g}"
    return Judgement(what, of, "", median(before), median(after), told, "0", min(after) <= max(before))


def bounded(what: str, of: str, series: Series, length_s: float, *, most: float, unit: str = "") -> Judgement:
    """Judge what may grow up to a most that is known, such as a log that is rotated."""
    before, after = _ends(series, length_s)
    highest = max((value for _, value in series), default=0.0)
    told = f"{highest:,.4g} {unit}".rstrip() + " at most"
    return Judgement(what, of, unit, before, after, told, f"≤ {most:,.4g} {unit}".rstrip(), highest <= most)


def grown(
    what: str, of: str, series: Series, length_s: float, *, share: float, least: float, unit: str = "MB"
) -> Judgement:
    """Judge what may only waver: by the line through it all after the first tenth, times that time.

    Parameters
    ----------
    what, of : str
        The kind of figure, and whose it is.
    series : sequence of Point
    length_s : float
        Of the run.
    share, least : float
        It may grow by this share of what it was in the second tenth, or by this much, whichever is more.
    unit : str
        Of the values.
    """
    before, after = _ends(series, length_s)
    settled = [point for point in series if point.at_s >= length_s / 10]
    growth = slope(settled) * 0.9 * length_s
    told = f"{growth:+,.1f} {unit} by the line, {growth / (0.9 * length_s) * 3600:+,.1f} an hour"
    most = max(share * before, least)
    return Judgement(what, of, unit, before, after, told, f"< {share:.0%} or < {least:g} {unit}", growth < most)


def slowed(what: str, of: str, series: Series, reference: Series, length_s: float) -> Judgement | None:
    """Judge what may not become slower, in milliseconds, beside a reference that was timed at the same moments.

    It holds if it is within the bound either raw or as a ratio to the reference: a busy neighbour makes the first
    worse and not the second. And what chance alone explains, by the 95 % bootstrap interval of the ratio of medians, is
    no slowing.

    Returns
    -------
    Judgement or None
        None if one of the tenths has no figures.
    """
    steady = {at: value for at, value in reference if value > 0}
    relative = [Point(at, value / steady[at]) for at, value in series if at in steady]
    tenths = [(tenth(each, length_s, 1), tenth(each, length_s, 9)) for each in (series, relative)]
    if not all(before and after for before, after in tenths):
        return None
    changes = [median(after) / median(before) - 1 for before, after in tenths]
    surely = [_least_change(before, after) > 0 for before, after in tenths]
    holds = any(change <= SLOWER or not sure for change, sure in zip(changes, surely, strict=True))
    raw, beside = changes
    told = f"{raw:+.1%} raw, {beside:+.1%} beside the reference{'' if any(surely) else ' (within chance)'}"
    before, after = (median(values) for values in tenths[0])
    return Judgement(what, of, "ms", before, after, told, f"≤ {SLOWER:+.0%}", holds)


def _ends(series: Series, length_s: float) -> tuple[float, float]:
    return tuple(median(tenth(series, length_s, number) or [0.0]) for number in (1, 9))  # type: ignore[return-value]


def _least_change(before: Sequence[float], after: Sequence[float]) -> float:
    """Give the lower end of the interval that holds the change of the median with 95 %.

    Efron's percentile bootstrap, with a fixed seed: the same figures are judged alike each time.
    """
    chance = random.Random(0)
    changes = sorted(
        median(chance.choices(after, k=len(after))) / median(chance.choices(before, k=len(before))) - 1
        for _ in range(_RESAMPLES)
    )
    return changes[int(0.025 * _RESAMPLES)]


def zero(what: str, counts: Mapping[str, int]) -> Iterator[Judgement]:
    """Judge what must not have happened once."""
    for of, count in counts.items():
        yield Judgement(what, of, "", 0, count, f"{count}", "0", count == 0)
