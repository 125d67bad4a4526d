"""Whether what a table holds now is still like what it held: the answer."""

from __future__ import annotations

import msgspec

from tiffin.quality.drift.thresholds import MeasureName
from tiffin.quality.profiles.histogram import Histogram
from tiffin.quality.profiles.profile import Common


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How far both sides are apart, by one measure."""

    name: MeasureName
    value: float
    threshold: float | None
    """From where on it is drift; None if nobody watches it."""
    chance: float
    """What it exceeds in one case of a thousand where nothing has changed, because the rows are so few."""
    drifted: bool
    """Whether it is above both."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared."""

    name: str
    """For people: `version 3`, `the frame`, `the online index at version 3`."""
    version: int | None
    """None for a frame."""
    rows: int


class ColumnSide(msgspec.Struct, frozen=True, kw_only=True):
    """A column of one side."""

    dtype: str
    values: int
    """Values that were compared: present, and of the rows that were looked at."""
    missing: float | None
    """Share of all rows that is null or NaN; None of no rows."""
    common: tuple[Common, ...] = ()
    """The most frequent values of a category that the other side does not have."""


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A value and how often each side has it, among the rows that were looked at."""

    value: str
    baseline: int
    current: int


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How a column changed."""

    name: str
    baseline: ColumnSide | None
    """None if the baseline does not have the column."""
    current: ColumnSide | None
    measures: tuple[Measure, ...] = ()
    """Those that apply to its type, of sides that have values."""
    histograms: tuple[Histogram, Histogram] | None = None
    """Of numbers, times and lengths: both in the same bins."""
    categories: tuple[Category, ...] = ()
    """Of texts, categories and bools: the most frequent ones of either side."""
    reasons: tuple[str, ...] = ()
    """Why it is drift, in words; empty if it is not."""

    @property
    def drifted(self) -> bool:
        """Whether it has drifted."""
        return bool(self.reasons)


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How one version of a table differs from another, or from what was served."""

    table: str
    baseline: Side
    current: Side
    drifted: bool
    """The verdict: whether any measure is above its threshold, a column has gone or has another type."""
    reasons: tuple[str, ...]
    """Why, in words; empty if it is not."""
    notes: tuple[str, ...]
    """What else there is to know: new columns, rows that were drawn by chance."""
    volume: Measure | None
    """Of rows; None where they are not all there are, as in a frame, or one side has none."""
    columns: tuple[ColumnDrift, ...]

    def column(self, name: str) -> ColumnDrift:
        """Return one column; KeyError if it was not compared."""
        return {each.name: each for each in self.columns}[name]

    def __str__(self) -> str:
        about = f"{self.table}, {self.baseline.name} → {self.current.name}: "
        lines = [about + ("drifted" if self.drifted else "no drift"), *(f"  {reason}" for reason in self.reasons)]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])
