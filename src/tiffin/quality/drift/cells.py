"""Cells in which the rows of two sides are counted side by side (pure)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import polars as pl

_PARTS = 10
_MOST_CATEGORIES = 20

Counts = tuple[list[int], list[int]]
"""Of the baseline and of the other side, cell by cell."""
Cut = tuple[float, Literal["left", "right"]]
"""Where a cell ends: before a value, or after it."""


def of_numbers(baseline: pl.Series, current: pl.Series) -> Counts:
    """Count by the deciles of the baseline; a value at which several deciles lie has a cell of its own.

    Parameters
    ----------
    baseline, current : Series of Float64
        Ascending, without nulls and NaN; each has at least one value.

    Returns
    -------
    Counts
    """
    cuts = _cuts(baseline)
    return _between(baseline, cuts), _between(current, cuts)


def _cuts(ordered: pl.Series) -> list[Cut]:
    edges = [ordered[-(-len(ordered) * part // _PARTS) - 1] for part in range(1, _PARTS)]
    cuts: list[Cut] = []
    for edge in dict.fromkeys(edges):
        # Many rows have exactly this value: rows beside it must not be taken for them.
        cuts += [(edge, "left")] if edges.count(edge) > 1 else []
        cuts.append((edge, "right"))
    return cuts


def _between(ordered: pl.Series, cuts: list[Cut]) -> list[int]:
    places = [int(ordered.search_sorted(value, side=side)) for value, side in cuts]
    return [after - before for before, after in pairwise([0, *places, len(ordered)])]


class Categories(NamedTuple):
    """Values of both sides, and how often each has them."""

    counts: pl.DataFrame
    """Columns `value`, `baseline` and `current`, the baseline's most frequent values first."""

    @classmethod
    def of(cls, baseline: pl.Series, current: pl.Series) -> Categories:
        """Count texts."""
        sides = [
            side.rename("value").to_frame().group_by("value").len(name)
            for side, name in ((baseline, "baseline"), (current, "current"))
        ]
        both = sides[0].join(sides[1], on="value", how="full", coalesce=True)
        both = both.with_columns(pl.col("baseline", "current").fill_null(0).cast(pl.Int64))
        return cls(both.sort(["baseline", "current", "value"], descending=[True, True, False]))

    @property
    def cells(self) -> Counts:
        """A cell for each of the baseline's twenty most frequent values, and one for all others."""
        frequent = self.counts.filter(pl.col("baseline") > 0).head(_MOST_CATEGORIES)
        counts = []
        for side in ("baseline", "current"):
            shown = frequent[side].to_list()
            counts.append([*shown, int(self.counts[side].sum()) - sum(shown)])
        return counts[0], counts[1]

    def only(self, side: Literal["baseline", "current"]) -> pl.DataFrame:
        """Return the values that one side alone has, the most frequent first: columns `value` and `rows`."""
        other = "current" if side == "baseline" else "baseline"
        return (
            self.counts.filter(pl.col(other) == 0)
            .select("value", rows=side)
            .sort(["rows", "value"], descending=[True, False])
        )

    def singles(self, side: Literal["baseline", "current"]) -> int:
        """Count the values that stand in one row only of a side."""
        return int((self.counts[side] == 1).sum())
