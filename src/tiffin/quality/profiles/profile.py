"""What the values of a version look like, column by column: the answer."""

from __future__ import annotations

from typing import Any

import msgspec

from tiffin.quality.profiles.histogram import Histogram

LONGEST_TEXT = 200
"""Characters of a text that are told; of a longer one, the beginning."""


class Common(msgspec.Struct, frozen=True):
    """A value that stands in many rows."""

    value: Any
    rows: int


class Lengths(msgspec.Struct, frozen=True):
    """How long texts (in characters), lists or binaries (in bytes) are."""

    min: int
    mean: float
    max: int


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of a column look like. What does not apply to its type is None."""

    name: str
    dtype: str
    nulls: int
    nans: int | None = None
    """Values that are NaN; they are left out of all that follows."""
    infinities: int | None = None
    """Values that are infinite; they are left out of all that follows."""
    zeros: int | None = None
    distinct: int | None = None
    """Different values, null not counted."""
    is_exact: bool = True
    """Whether all was counted; else `distinct` is an estimate (HyperLogLog, to about 1 %), and quantiles, histogram and
    common values are those of `sampled` rows, with counts scaled up to all."""
    sampled: int | None = None
    """Rows that were drawn by chance, the same ones each time; None if all were looked at."""
    min: Any = None
    """Of times that Python has not, outside the years 1 to 9999, a text that says so. Of long texts the beginning."""
    max: Any = None
    mean: float | None = None
    """Of a bool: the share that is true. Of a text: of its characters."""
    std: float | None = None
    """Of a sample: divided by n - 1."""
    quantiles: dict[str, Any] = {}
    """`0.01` to `0.99`: of numbers, interpolated linearly; of times, the last value that is not above."""
    histogram: Histogram | None = None
    """Of numbers, times, and the lengths of lists and binaries."""
    common: tuple[Common, ...] = ()
    """The ten most frequent values of a text, category, bool or whole number; of equally frequent ones the lesser."""
    lengths: Lengths | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the values of a version look like."""

    table: str
    version: int
    """Of a stage the version that it stands on."""
    rows: int
    columns: tuple[ColumnProfile, ...]
    stage: str = ""
    """The stage that it is of, if it is one."""

    @property
    def name(self) -> str:
        """What it is of, for people."""
        on = f"stage {self.stage} on " if self.stage else ""
        return f"{self.table} {on}version {self.version}"


def shortened(text: str) -> str:
    """Return a text, or the beginning of a long one."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
