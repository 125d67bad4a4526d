"""Comparing two sides column by column: what was, and what is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from tiffin.quality.drift.answer import ColumnDrift, ColumnSide, Drift, Measure, Side
from tiffin.quality.drift.columns import Comparison, Looked, measure
from tiffin.quality.drift.thresholds import Thresholds
from tiffin.quality.profiles.profiling import drawn

MOST_ROWS = 500_000
"""Rows of a side that are looked at; of more, so many are drawn by chance. Two samples of this size differ by less than
0.005 (Kolmogorov-Smirnov) where nothing has changed."""


@dataclass(frozen=True)
class Data:
    """Rows to compare."""

    name: str
    version: int | None
    rows: int
    dtypes: Mapping[str, pl.DataType]
    read: Callable[[str], pl.Series]
    """Reads a column."""
    is_whole: bool
    """Whether these are all rows and columns there are, so that fewer of them mean something."""

    @cached_property
    def places(self) -> pl.Series | None:
        """The rows that are looked at; None for all."""
        return drawn(self.rows, MOST_ROWS)

    @property
    def side(self) -> Side:
        """What it is, for the answer."""
        return Side(name=self.name, version=self.version, rows=self.rows)


def compare(table: str, baseline: Data, current: Data, columns: Sequence[str], thresholds: Thresholds) -> Drift:
    """Compare two sides; no more than one column of each is in memory.

    Parameters
    ----------
    table : str
        `group/name`.
    baseline, current : Data
        What was, and what is now.
    columns : sequence of str
        Which columns: each is one of either side.
    thresholds : Thresholds
        From where on it is drift.

    Returns
    -------
    Drift
    """
    found = tuple(_column(name, baseline, current, thresholds) for name in columns)
    volume = _volume(baseline, current, thresholds)
    reasons = [reason for column in found for reason in column.reasons]
    if volume.drifted if volume is not None else _is_emptied(baseline, current, thresholds):
        reasons.insert(0, f"rows: {baseline.rows:,} became {current.rows:,}")
    return Drift(
        table=table,
        baseline=baseline.side,
        current=current.side,
        drifted=bool(reasons),
        reasons=tuple(reasons),
        notes=tuple(_notes(baseline, current, found)),
        volume=volume,
        columns=found,
    )


def _notes(baseline: Data, current: Data, columns: Sequence[ColumnDrift]) -> Iterator[str]:
    new = [column.name for column in columns if column.baseline is None]
    if new:
        yield f"new columns, with nothing to compare them to: {', '.join(new)}"
    for data in (baseline, current):
        if data.places is not None:
            yield f"of {data.name}, {MOST_ROWS:,} of {data.rows:,} rows were drawn by chance and compared"


def _volume(baseline: Data, current: Data, thresholds: Thresholds) -> Measure | None:
    fewer, more = sorted((baseline.rows, current.rows))
    if not (fewer and baseline.is_whole and current.is_whole):
        return None
    return measure("volume", more / fewer, 0.0, thresholds.of("volume"))


def _is_emptied(baseline: Data, current: Data, thresholds: Thresholds) -> bool:
    """Tell whether one side alone has no rows: how many times as many the other has is no number."""
    is_watched = baseline.is_whole and current.is_whole and thresholds.of("volume") is not None
    return is_watched and bool(baseline.rows) != bool(current.rows)


def _column(name: str, baseline: Data, current: Data, thresholds: Thresholds) -> ColumnDrift:
    if name not in current.dtypes:
        return ColumnDrift(
            name=name,
            baseline=ColumnSide(dtype=str(baseline.dtypes[name]), values=0, missing=None),
            current=None,
            reasons=(f"{name}: the column is gone",),
        )
    if name not in baseline.dtypes:
        side = ColumnSide(dtype=str(current.dtypes[name]), values=0, missing=None)
        return ColumnDrift(name=name, baseline=None, current=side)
    sides = [Looked.at(data.read(name), data.places) for data in (baseline, current)]
    return Comparison(name, sides[0], sides[1], thresholds).run()
