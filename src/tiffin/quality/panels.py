"""What is drawn of a column, in a picture or a terminal: shares of bars, and what each stands for (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tiffin.quality.drift.answer import ColumnDrift
from tiffin.quality.profiles.histogram import Histogram, label
from tiffin.quality.profiles.profile import ColumnProfile

_MOST_BARS = 6


class Panel(NamedTuple):
    """What is drawn of a column."""

    name: str
    about: str
    sides: tuple[Sequence[float], ...]
    """Of each side the share of its values in each bar; the side that is now last."""
    told: Sequence[str]
    """What each bar stands for."""
    ends: tuple[str, str] = ("", "")
    """What is written under the first and the last bar of a histogram; its bars stand, others lie."""
    is_histogram: bool = False
    drifted: bool = False


def of_values(column: ColumnProfile, rows: int) -> Panel:
    """Choose what is drawn of a column of a profile that has so many rows."""
    missing = column.nulls + (column.nans or 0)
    about = f"{column.dtype.partition('(')[0]}, {missing / rows if rows else 0:.1%} missing"
    if column.histogram is not None:
        return _standing(column.name, about, (column.histogram,), column.dtype)
    common = column.common[:_MOST_BARS]
    present = max(rows - missing, 1)
    told = [f"{each.value}: {each.rows:,}" for each in common]
    return Panel(column.name, about, ([each.rows / present for each in common],), told)


def of_sides(column: ColumnDrift) -> Panel:
    """Choose what is drawn of a column of two sides."""
    about = ", ".join(f"{one.name} {one.value:.3g}" for one in column.measures) or "not compared"
    if column.histograms is not None and column.current is not None:
        panel = _standing(column.name, about, column.histograms, column.current.dtype)
    else:
        shown = column.categories[:_MOST_BARS]
        sizes = [side.values if side else 0 for side in (column.baseline, column.current)]
        counts = [[each.baseline for each in shown], [each.current for each in shown]]
        sides = [[count / size if size else 0.0 for count in part] for part, size in zip(counts, sizes, strict=True)]
        told = [f"{each.value}: {each.baseline:,} → {each.current:,}" for each in shown]
        panel = Panel(column.name, about, (sides[0], sides[1]), told)
    return panel._replace(drifted=column.drifted)


def _standing(name: str, about: str, sides: tuple[Histogram, ...], dtype: str) -> Panel:
    first = sides[0]
    edges = [label(first.edge(number), dtype) for number in range(len(first.counts) + 1)]
    counts = [" → ".join(f"{side.counts[number]:,}" for side in sides) for number in range(len(first.counts))]
    told = [f"{edges[number]} to {edges[number + 1]}: {count}" for number, count in enumerate(counts)]
    shares = tuple([count / max(_size(side), 1) for count in side.counts] for side in sides)
    return Panel(name, about, shares, told, (edges[0], edges[-1]), is_histogram=True)


def _size(side: Histogram) -> int:
    return sum(side.counts) + side.below + side.above
