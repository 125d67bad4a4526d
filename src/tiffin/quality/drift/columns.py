"""Comparing one column of two sides: which measures apply to its type, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import polars as pl

from tiffin.quality.drift import cells, measures
from tiffin.quality.drift.answer import Category, ColumnDrift, ColumnSide, Measure
from tiffin.quality.drift.thresholds import MEANINGS, MeasureName, Thresholds
from tiffin.quality.profiles import histogram as histograms
from tiffin.quality.profiles.profile import Common, shortened

_MOST_SHOWN = 10
_MOST_NAMED = 3

Kind = Literal["number", "moment", "duration", "time of day", "length", "category", "nothing"]
"""What is compared of a column; columns of different kinds have no measure in common."""

_KINDS: dict[type[pl.DataType], Kind] = {
    pl.String: "category",
    pl.Categorical: "category",
    pl.Enum: "category",
    pl.Boolean: "category",
    pl.Date: "moment",
    pl.Datetime: "moment",
    pl.Duration: "duration",
    pl.Time: "time of day",
    pl.List: "length",
    pl.Array: "length",
    pl.Binary: "length",
}


def measure(name: MeasureName, value: float, chance: float, threshold: float | None) -> Measure:
    """Hold a distance against what is allowed and what chance does."""
    drifted = threshold is not None and value > max(threshold, chance)
    return Measure(name=name, value=value, threshold=threshold, chance=chance, drifted=drifted)


@dataclass(frozen=True)
class Looked:
    """A column of one side, in the form in which it is compared."""

    dtype: pl.DataType
    rows: int
    missing: int
    kind: Kind
    values: pl.Series
    """Present ones, of the rows that are looked at: numbers in ascending order, or texts."""

    @classmethod
    def at(cls, values: pl.Series, places: pl.Series | None) -> Looked:
        """Bring a column into that form.

        Parameters
        ----------
        values : Series
            All rows.
        places : Series of int or None
            Which of them are looked at; None for all.
        """
        dtype = values.dtype
        present = values.fill_nan(None) if dtype.is_float() else values
        some = (present if places is None else present.gather(places)).drop_nulls()
        kind = "number" if dtype.is_numeric() else _KINDS.get(dtype.base_type(), "nothing")
        if kind == "category":
            some = some.cast(pl.String)
        elif (numbers := histograms.numbers_of(some)) is not None:
            some = numbers.sort()
        return cls(dtype, len(values), present.null_count(), kind, some)

    @property
    def side(self) -> ColumnSide:
        """What it is, for the answer."""
        share = self.missing / self.rows if self.rows else None
        return ColumnSide(dtype=str(self.dtype), values=len(self.values), missing=share)


@dataclass(frozen=True)
class Comparison:
    """One column of both sides."""

    name: str
    baseline: Looked
    current: Looked
    thresholds: Thresholds

    def run(self) -> ColumnDrift:
        """Compare them."""
        kinds = self.baseline.kind, self.current.kind
        found: dict[str, Any] = {"measures": tuple(self._missing())}
        reasons = []
        if kinds[0] != kinds[1]:
            # A column that is null throughout has no type to speak of.
            if pl.Null not in {self.baseline.dtype, self.current.dtype}:
                # Without what it is made of: an Enum may have thousands of categories.
                types = [looked.dtype.base_type() for looked in (self.baseline, self.current)]
                reasons.append(f"{self.name}: the type {types[0]} became {types[1]}")
        elif kinds[0] != "nothing" and len(self.baseline.values) and len(self.current.values):
            found = self._categories(found) if kinds[0] == "category" else self._numbers(found)
        found = {"baseline": self.baseline.side, "current": self.current.side} | found
        about = ColumnDrift(name=self.name, **found)
        told = (self._told(each, about) for each in about.measures if each.drifted)
        return msgspec.structs.replace(about, reasons=(*reasons, *told))

    def _missing(self) -> Iterator[Measure]:
        rows = self.baseline.rows, self.current.rows
        if all(rows):
            missing = self.baseline.missing, self.current.missing
            change = abs(missing[1] / rows[1] - missing[0] / rows[0])
            yield self._measure("missing", change, measures.chance_of_share(sum(missing) / sum(rows), rows))

    def _numbers(self, found: dict[str, Any]) -> dict[str, Any]:
        sides = self.baseline.values, self.current.values
        distance = measures.kolmogorov_smirnov(*sides)
        ks = self._measure("ks", distance, measures.chance_of_kolmogorov_smirnov(self._sizes))
        return {
            "measures": (*found["measures"], *self._distances(cells.of_numbers(*sides)), ks),
            "histograms": _histograms(*sides, is_whole=self._is_whole),
        }

    def _categories(self, found: dict[str, Any]) -> dict[str, Any]:
        both = cells.Categories.of(self.baseline.values, self.current.values)
        sizes = self._sizes
        new, gone = both.only("current"), both.only("baseline")
        shares = [int(rows["rows"].sum()) / size for rows, size in ((new, sizes[1]), (gone, sizes[0]))]
        unseen = [
            measures.chance_of_unseen(both.singles("baseline"), sizes[0], sizes[1]),
            measures.chance_of_unseen(both.singles("current"), sizes[1], sizes[0]),
        ]
        order = pl.max_horizontal(pl.col("baseline") / sizes[0], pl.col("current") / sizes[1])
        shown = both.counts.sort(order, descending=True, maintain_order=True).head(_MOST_SHOWN)
        return {
            "measures": (
                *found["measures"],
                *self._distances(both.cells),
                self._measure("new", shares[0], unseen[0]),
                self._measure("gone", shares[1], unseen[1]),
            ),
            "baseline": _only(self.baseline, gone),
            "current": _only(self.current, new),
            "categories": tuple(
                Category(value=shortened(value), baseline=before, current=now)
                for value, before, now in shown.iter_rows()
            ),
        }

    def _distances(self, counts: cells.Counts) -> Iterator[Measure]:
        filled = sum(bool(one or other) for one, other in zip(*counts, strict=True))
        yield self._measure("psi", measures.psi(*counts), measures.chance_of_psi(filled, self._sizes))
        distance = measures.jensen_shannon(*counts)
        yield self._measure("js", distance, measures.chance_of_jensen_shannon(filled, self._sizes))

    @property
    def _is_whole(self) -> bool:
        return self.baseline.kind == "length" or (self.baseline.dtype.is_integer() and self.current.dtype.is_integer())

    @property
    def _sizes(self) -> tuple[int, int]:
        return len(self.baseline.values), len(self.current.values)

    def _measure(self, name: MeasureName, value: float, chance: float) -> Measure:
        return measure(name, value, chance, self.thresholds.of(name, self.name))

    def _told(self, one: Measure, about: ColumnDrift) -> str:
        """Say in words what has drifted."""
        sides = about.baseline, about.current
        if one.name == "missing":
            shares = [f"{side.missing:.1%}" for side in sides if side is not None and side.missing is not None]
            return f"{self.name}: {shares[0]} missing became {shares[1]}"
        if one.name in {"new", "gone"}:
            side = sides[one.name == "new"]
            named = [f"{each.value!r} ({each.rows:,})" for each in (side.common if side else ())[:_MOST_NAMED]]
            return f"{self.name}: {MEANINGS[one.name]} {one.value:.1%}: {', '.join(named)}"
        return f"{self.name}: {MEANINGS[one.name]} {one.value:.3f}, above {one.threshold:g}"


def _only(looked: Looked, rows: pl.DataFrame) -> ColumnSide:
    common = tuple(Common(shortened(value), count) for value, count in rows.head(_MOST_SHOWN).iter_rows())
    return msgspec.structs.replace(looked.side, common=common)


def _histograms(
    baseline: pl.Series, current: pl.Series, *, is_whole: bool
) -> tuple[histograms.Histogram, histograms.Histogram] | None:
    """Count both in the same bins, which have room for both."""
    finite = [side.filter(side.is_finite()) for side in (baseline, current)]
    fences = [histograms.fence(side) for side in finite if len(side)]
    if not fences:
        return None
    bins = histograms.choose(min(low for low, _ in fences), max(high for _, high in fences), is_whole=is_whole)
    return histograms.histogram(finite[0], bins), histograms.histogram(finite[1], bins)
