"""What changed between two versions of a table: columns, keys and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from tiffin.schema.compatibility import compare
from tiffin.schema.dtypes import python_values
from tiffin.schema.evolution import called
from tiffin.schema.table import TableSpec

_EXAMPLES = 5
_MOST_VALUES = 20
"""New and gone values of a column that are named."""
_SMALL_INTEGERS = frozenset([pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64])
_CATEGORIES = frozenset([pl.String, pl.Categorical, pl.Enum, pl.Boolean])
"""Types of whose values people speak one by one."""
_LEFT, _RIGHT = "tiffin.left", "tiffin.right"


class NumbersDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a column of numbers changed. Infinities and NaN count for none of these."""

    mean_old: float | None
    """Of all rows; None without a number."""
    mean_new: float | None
    mean_change: float | None
    """Mean of abs(new - old), over the rows of the same key whose number changed; None without any."""
    largest_change: float | None
    """Greatest abs(new - old) of them."""


class ValuesDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How the values of a column that holds no numbers changed. Null is no value."""

    distinct_old: int
    """Different values in all rows."""
    distinct_new: int
    come: tuple[str | bool, ...] = ()
    """Of texts, categories and booleans: values that only the new version has, the most frequent first, at most 20."""
    gone: tuple[str | bool, ...] = ()
    """Values that only the old version has."""
    come_count: int | None = None
    """How many different ones; None for values of other types."""
    gone_count: int | None = None


class ColumnDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How a column differs: between rows of the same key, and over all rows of each version."""

    name: str
    changed: int
    """Rows present in both versions whose value differs; null equals null, NaN equals NaN. 0 where whole rows are
    compared."""
    nulls_old: int
    nulls_new: int
    numbers: NumbersDiff | None = None
    """Of a column of numbers."""
    values: ValuesDiff | None = None
    """Of a column of anything else."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        if self.changed or self.nulls_old != self.nulls_new:
            return False
        numbers, values = self.numbers, self.values
        if numbers is not None:
            means = numbers.mean_old, numbers.mean_new
            # The same numbers in another order may have a sum that is rounded otherwise.
            return means[0] == means[1] or (None not in means and math.isclose(*means))  # type: ignore[arg-type]
        return values is None or not (
            values.distinct_old != values.distinct_new or values.come_count or values.gone_count
        )


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one version of a table to another."""

    table: str
    old: int | str
    """The version's number; of a stage its name."""
    new: int | str
    schema: tuple[str, ...]
    """Differences of the schemas, a line each."""
    rows_old: int
    rows_new: int
    key: tuple[str, ...]
    """What tells rows apart: entity and timestamp. Empty where whole rows are compared."""
    rows_added: int
    rows_removed: int
    rows_changed: int
    """Rows of the same key with another value in some shared feature; 0 where whole rows are compared."""
    columns: tuple[ColumnDiff, ...]
    """Shared columns that differ, keys apart, the most changed first; one that was renamed under its new name."""
    examples: tuple[dict[str, Any], ...]
    """A few of the changed rows: their key, and for each changed feature its old and new value."""

    @property
    def is_empty(self) -> bool:
        """Whether the versions hold the same."""
        return not (self.schema or self.rows_added or self.rows_removed or self.rows_changed)


def diff(
    table: str,
    versions: tuple[int | str, int | str],
    specs: tuple[TableSpec, TableSpec],
    frames: tuple[pl.DataFrame, pl.DataFrame],
) -> Diff:
    """Compare two versions.

    Rows are matched by entity and timestamp where both versions declare them and no two rows share a key; rows
    with the same key more than once, and tables without an entity, are compared as whole rows.

    Parameters
    ----------
    table : str
        The table's name.
    versions : tuple of int or str
        The old version and the new one; of a stage its name.
    specs : tuple of TableSpec
        What the table declares at each.
    frames : tuple of DataFrame
        The rows at each.

    Returns
    -------
    Diff
    """
    names = called(*specs)
    old, new = frames[0].rename(names), frames[1]
    shared = [names.get(name, name) for name in specs[0].names]
    shared = [name for name in shared if name in specs[1].dtypes and new.schema[name] == old.schema[name]]
    key = specs[0].row_key
    if specs[0].row_key != specs[1].row_key or not set(key) <= set(shared) or _repeats(old, key) or _repeats(new, key):
        key = []
    compared = [name for name in shared if name not in key]
    both = _matched(old.select(shared), new.select(shared), key) if key else None
    gone, come = _unmatched(old, new, key or shared)
    changed = _changed_rows(both, compared) if both is not None else None
    differs = gone or come or (changed is not None and changed.height)
    columns = _column_diffs(old, new, both, compared) if differs else ()
    return Diff(
        table=table,
        old=versions[0],
        new=versions[1],
        schema=tuple(map(str, compare(*specs))),
        rows_old=old.height,
        rows_new=new.height,
        key=tuple(key),
        rows_added=come,
        rows_removed=gone,
        rows_changed=changed.height if changed is not None else 0,
        columns=columns,
        examples=_examples(changed, key, columns) if changed is not None else (),
    )


def _repeats(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    return bool(key) and frame.select(pl.struct(key).is_duplicated().any()).item()


def _matched(old: pl.DataFrame, new: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    right = new.rename({name: f"{_RIGHT}.{name}" for name in new.columns if name not in key})
    return old.join(right, on=list(key), how="inner", nulls_equal=True, maintain_order="left")


def _unmatched(old: pl.DataFrame, new: pl.DataFrame, key: Sequence[str]) -> tuple[int, int]:
    """Count the rows that only one side has; repeated rows count as often as they are repeated."""
    if not key:
        return old.height, new.height
    counts = [frame.group_by(list(key)).len(side) for frame, side in ((old, _LEFT), (new, _RIGHT))]
    both = counts[0].join(counts[1], on=list(key), how="full", nulls_equal=True, coalesce=True)
    extra = pl.col(_LEFT).fill_null(0).cast(pl.Int64) - pl.col(_RIGHT).fill_null(0).cast(pl.Int64)
    gone, come = both.select(extra.clip(lower_bound=0).sum().alias("gone"), (-extra).clip(lower_bound=0).sum()).row(0)
    return int(gone), int(come)


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(f"{_RIGHT}.{name}"))


def _column_diffs(
    old: pl.DataFrame, new: pl.DataFrame, both: pl.DataFrame | None, compared: Sequence[str]
) -> tuple[ColumnDiff, ...]:
    found = []
    for name in compared:
        pairs = None
        if both is not None:
            pairs = both.filter(_differs(name)).select(old=pl.col(name), new=pl.col(f"{_RIGHT}.{name}"))
        column = _column_diff(old[name], new[name], pairs)
        if not column.is_empty:
            found.append(column)
    return tuple(sorted(found, key=lambda column: -column.changed))


def _column_diff(old: pl.Series, new: pl.Series, pairs: pl.DataFrame | None) -> ColumnDiff:
    """Compare a column; `pairs` are its values in the rows of the same key in which it changed."""
    is_number = old.dtype.is_numeric()
    return ColumnDiff(
        name=old.name,
        changed=pairs.height if pairs is not None else 0,
        nulls_old=old.null_count(),
        nulls_new=new.null_count(),
        numbers=_numbers_diff(old, new, pairs) if is_number else None,
        values=None if is_number else _values_diff(old.drop_nulls(), new.drop_nulls()),
    )


def _numbers_diff(old: pl.Series, new: pl.Series, pairs: pl.DataFrame | None) -> NumbersDiff:
    change = pl.Series([], dtype=pl.Float64)
    if pairs is not None:
        # 64 bits are too few for the difference of two whole numbers, and a float would round it.
        dtype = pl.Int128 if old.dtype.base_type() in _SMALL_INTEGERS else pl.Float64
        change = (pairs["new"].cast(dtype) - pairs["old"].cast(dtype)).abs().cast(pl.Float64)
    return NumbersDiff(
        mean_old=_mean(old),
        mean_new=_mean(new),
        mean_change=_mean(change),
        largest_change=_finite(change).max(),  # type: ignore[arg-type]  # the greatest of floats is one
    )


def _finite(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Float64)
    return numbers.filter(numbers.is_finite())


def _mean(values: pl.Series) -> float | None:
    return _finite(values).mean()  # type: ignore[return-value]  # of floats


def _values_diff(old: pl.Series, new: pl.Series) -> ValuesDiff:
    if old.dtype.base_type() not in _CATEGORIES:
        return ValuesDiff(distinct_old=old.n_unique(), distinct_new=new.n_unique())
    counts = [values.rename("value").value_counts(name="rows") for values in map(_spoken, (old, new))]
    come, gone = _only_in(counts[1], counts[0]), _only_in(counts[0], counts[1])
    return ValuesDiff(
        distinct_old=counts[0].height,
        distinct_new=counts[1].height,
        come=tuple(come.head(_MOST_VALUES)),
        gone=tuple(gone.head(_MOST_VALUES)),
        come_count=len(come),
        gone_count=len(gone),
    )


def _only_in(counts: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """List the values that others lack, the most frequent first."""
    only = counts.join(others, on="value", how="anti")
    return only.sort(["rows", "value"], descending=[True, False])["value"]


def _spoken(values: pl.Series) -> pl.Series:
    """Write categories as texts: two frames need not number them alike."""
    return values if values.dtype == pl.Boolean else values.cast(pl.String)


def _changed_rows(both: pl.DataFrame, compared: Sequence[str]) -> pl.DataFrame:
    return both.filter(pl.any_horizontal([_differs(name) for name in compared])) if compared else both.clear()


def _examples(
    changed: pl.DataFrame, key: Sequence[str], columns: Sequence[ColumnDiff]
) -> tuple[dict[str, object], ...]:
    shown = changed.head(_EXAMPLES)
    names = [column.name for column in columns]
    differs = shown.select(_differs(name).alias(name) for name in names)
    values = {name: python_values(column) for name, column in shown.to_dict().items()}
    return tuple(
        {name: values[name][row] for name in key}
        | {
            name: {"old": values[name][row], "new": values[f"{_RIGHT}.{name}"][row]}
            for name in names
            if differs[name][row]
        }
        for row in range(shown.height)
    )
