"""How well one feature alone tells a label (pure): statistics on ranks, and on groups that were not looked at before.

The rows are split into folds, and what a group says of a row comes from the other folds only. So a feature that names
each row, such as an id, tells nothing; leaving out only the row itself would make it tell the label exactly, inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import polars as pl

Statistic = Literal["auc", "correlation", "errors_avoided"]

_LEAST_ROWS = 30
"""Of fewer rows a statistic says too little."""
_LEAST_OF_EACH = 5
"""Rows that each of two labels needs."""
_GROUPED = (pl.String, pl.Categorical, pl.Enum)
_MOST_BINS, _LEAST_IN_BIN = 200, 5


class Told(NamedTuple):
    """What a feature tells of the label."""

    statistic: Statistic
    value: float
    """`auc`: 0.5 nothing to 1 all. `correlation` and `errors_avoided`: 0 nothing to 1 all."""
    rows: int


@dataclass(frozen=True)
class Label:
    """The values to be told, without nulls, and what kind they are of."""

    kind: Literal["two", "number", "classes"]
    values: pl.Series
    """Of two values whether it is the greater, else numbers or classes."""

    @property
    def is_telling(self) -> bool:
        """Whether there is enough to be told."""
        if self.kind != "two":
            return len(self.values) >= _LEAST_ROWS and self.values.n_unique() > 1
        positive = int(self.values.sum())
        return len(self.values) >= _LEAST_ROWS and min(positive, len(self.values) - positive) >= _LEAST_OF_EACH

    def where(self, mask: pl.Series) -> Label:
        """Keep some of the rows."""
        return Label(self.kind, self.values.filter(mask))


def label_of(values: pl.Series) -> Label | None:
    """Tell what kind of label a column is.

    Parameters
    ----------
    values : Series, shape (n,)
        Without nulls; NaN counts as a value.

    Returns
    -------
    Label or None
        None for lists and other values that cannot be told apart by order or by name.
    """
    if is_group(values.dtype):
        values = values.cast(pl.String)
    elif (ordered := as_numbers(values)) is not None:
        values = ordered
    else:
        return None
    if values.n_unique() == 2:
        return Label("two", values == values.max())
    return Label("classes" if values.dtype == pl.String else "number", values)


def is_group(dtype: pl.DataType) -> bool:
    """Tell whether values are names, without an order that means anything."""
    return isinstance(dtype, _GROUPED)


def as_numbers(values: pl.Series) -> pl.Series | None:
    """Give values that have an order as numbers, NaN as null; None if they have none."""
    dtype = values.dtype
    if dtype == pl.Boolean:
        return values.cast(pl.UInt8)
    if dtype.is_temporal():
        return values.to_physical()
    if dtype.is_float() or isinstance(dtype, pl.Decimal):
        return values.cast(pl.Float64).fill_nan(None)
    return values if dtype.is_integer() else None


def tell(feature: pl.Series, label: Label, folds: pl.Series) -> Told | None:
    """Measure how well a feature alone tells the label.

    Parameters
    ----------
    feature : Series, shape (n,)
        Names, or values with an order; a missing name is a name too, other rows without a value are left out.
    label : Label, shape (n,)
        What is to be told.
    folds : Series of whole numbers, shape (n,)
        Which fold each row is in; there are at least two.

    Returns
    -------
    Told or None
        None if the values are of neither kind or too few to say anything.
    """
    if is_group(feature.dtype):
        return _by_group(feature.cast(pl.String), label, folds)
    numbers = as_numbers(feature)
    if numbers is None:
        return None
    known = numbers.is_not_null()
    numbers, label, folds = numbers.filter(known), label.where(known), folds.filter(known)
    if label.kind == "classes":
        return _by_group(_binned(numbers), label, folds)
    if not label.is_telling or numbers.n_unique() < 2:
        return None
    if label.kind == "two":
        area = auc(numbers, label.values)
        return Told("auc", max(area, 1 - area), len(numbers))
    return Told("correlation", abs(spearman(numbers, label.values)), len(numbers))


def _by_group(groups: pl.Series, label: Label, folds: pl.Series) -> Told | None:
    if not label.is_telling or groups.n_unique() < 2 or folds.n_unique() < 2:
        return None
    if label.kind == "classes":
        return Told("errors_avoided", errors_avoided(groups, label.values, folds), len(groups))
    means = group_means(groups, label.values, folds)
    if label.kind == "two":
        return Told("auc", auc(means, label.values), len(groups))
    return Told("correlation", spearman(means, label.values) if means.n_unique() > 1 else 0.0, len(groups))


def auc(scores: pl.Series, positive: pl.Series) -> float:
    """Compute the area under the ROC curve.

    Parameters
    ----------
    scores : Series, shape (n,)
        Numbers without nulls.
    positive : Series of bool, shape (n,)
        Without nulls, and of both kinds.

    Returns
    -------
    float
        The probability that a random positive row has a higher score than a random negative one, a tie counting half:
        0 to 1.

    Notes
    -----
    (R - p (p + 1) / 2) / (p q), where R is the sum of the ranks of the p positive rows, q the number of negative ones,
    and ties have their mean rank. Source: Hanley and McNeil, Radiology 143 (1982), which rests on Mann and Whitney's U.
    """
    positives = int(positive.sum())
    ranks = float(scores.rank("average").filter(positive).sum())
    return (ranks - positives * (positives + 1) / 2) / (positives * (len(scores) - positives))


def spearman(first: pl.Series, second: pl.Series) -> float:
    """Compute the rank correlation of two columns of numbers.

    Parameters
    ----------
    first, second : Series, shape (n,)
        Without nulls, each with at least two different values.

    Returns
    -------
    float
        -1 to 1.

    Notes
    -----
    Pearson's correlation of the ranks, mean ranks for ties. Source: Spearman, American Journal of Psychology 15 (1904).
    """
    ranks = pl.DataFrame({"first": first.rank("average"), "second": second.rank("average")})
    return float(ranks.select(pl.corr("first", "second")).item())


def group_means(groups: pl.Series, values: pl.Series, folds: pl.Series) -> pl.Series:
    """Give each row the mean value of its group in the other folds.

    Parameters
    ----------
    groups : Series, shape (n,)
        Null is a group too.
    values : Series of numbers or bool, shape (n,)
        Without nulls.
    folds : Series, shape (n,)
        At least two different ones.

    Returns
    -------
    Series of float, shape (n,)
        Of a group that is in no other fold, the mean of all rows in other folds.

    Notes
    -----
    Known as out-of-fold target encoding. Source: Micci-Barreca, SIGKDD Explorations 3 (2001), for the encoding.
    """
    rows = pl.DataFrame({"group": groups, "value": values.cast(pl.Float64), "fold": folds})
    value, all_rows = pl.col("value"), pl.len()
    own = all_rows.over("group") - all_rows.over("group", "fold")
    of_group = (value.sum().over("group") - value.sum().over("group", "fold")) / own
    of_all = (value.sum() - value.sum().over("fold")) / (all_rows - all_rows.over("fold"))
    return rows.select(pl.when(own > 0).then(of_group).otherwise(of_all).alias("mean")).to_series()


def errors_avoided(groups: pl.Series, classes: pl.Series, folds: pl.Series) -> float:
    """Measure which share of the errors of always naming the commonest class a feature avoids.

    Each row is given the commonest class of its group in the other folds, or of all rows in the other folds if they do
    not have its group; of several the first by name.

    Parameters
    ----------
    groups, classes, folds : Series, shape (n,)
        As for `group_means`; at least two different classes.

    Returns
    -------
    float
        1 if every row is named right, 0 if no more than by the commonest class; below that if fewer.

    Notes
    -----
    (accuracy - m) / (1 - m), with the share m of the commonest class. Source: the lambda of Goodman and Kruskal,
    Journal of the American Statistical Association 49 (1954), here out of fold.
    """
    rows = pl.DataFrame({"group": groups, "class": classes, "fold": folds})
    by_group = _commonest_elsewhere(rows, ["group"])
    by_all = _commonest_elsewhere(rows, [])
    named = rows.join(by_group, on=["group", "fold"], how="left", nulls_equal=True).join(
        by_all, on="fold", how="left", suffix="_of_all"
    )
    right = pl.coalesce("named", "named_of_all") == pl.col("class")
    accuracy = float(named.select(right.mean()).item())
    commonest = int(rows.group_by("class").len().select(pl.max("len")).item()) / rows.height
    return (accuracy - commonest) / (1 - commonest)


def _commonest_elsewhere(rows: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Find, for each fold (and group), the commonest class in the other folds."""
    everywhere = rows.group_by(*by, "class").agg(pl.len().alias("everywhere"))
    here = rows.group_by(*by, "class", "fold").agg(pl.len().alias("here"))
    pairs = rows.select(*by, "fold").unique()
    counts = pairs.join(everywhere, on=by, how="left", nulls_equal=True) if by else pairs.join(everywhere, how="cross")
    elsewhere = pl.col("everywhere") - pl.col("here").fill_null(0)
    return (
        counts.join(here, on=[*by, "class", "fold"], how="left", nulls_equal=True)
        .with_columns(elsewhere.alias("elsewhere"))
        .filter(pl.col("elsewhere") > 0)
        .sort("elsewhere", "class", descending=[True, False])
        .group_by(*by, "fold", maintain_order=True)
        .agg(pl.first("class").alias("named"))
    )


def _binned(numbers: pl.Series) -> pl.Series:
    """Take numbers for groups: equal numbers, or where they are many, neighbours by rank."""
    bins = max(2, min(_MOST_BINS, len(numbers) // _LEAST_IN_BIN))
    if numbers.n_unique() <= bins:
        return numbers
    return (numbers.rank("average") * bins / (len(numbers) + 1)).floor()
