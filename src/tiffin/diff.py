"""What changed between two versions of a table: columns, keys and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from tiffin.schema.compatibility import compare
from tiffin.schema.table import TableSpec

_EXAMPLES = 5
_LEFT, _RIGHT = "tiffin.left", "tiffin.right"


class ColumnDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How often a feature differs between rows of the same key."""

    name: str
    changed: int
    """Rows present in both versions whose value differs; null equals null, NaN equals NaN."""


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from one version of a table to another."""

    table: str
    old: int
    new: int
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
    """Shared features that differ, the most changed first."""
    examples: tuple[dict[str, Any], ...]
    """A few of the changed rows: their key, and for each changed feature its old and new value."""

    @property
    def is_empty(self) -> bool:
        """Whether the versions hold the same."""
        return not (self.schema or self.rows_added or self.rows_removed or self.rows_changed)


def diff(
    table: str, versions: tuple[int, int], specs: tuple[TableSpec, TableSpec], frames: tuple[pl.DataFrame, pl.DataFrame]
) -> Diff:
    """Compare two versions.

    Rows are matched by entity and timestamp where both versions declare them and no two rows share a key; rows
    with the same key more than once, and tables without an entity, are compared as whole rows.

    Parameters
    ----------
    table : str
        The table's name.
    versions : tuple of int
        The old version and the new one.
    specs : tuple of TableSpec
        What the table declares at each.
    frames : tuple of DataFrame
        The rows at each.

    Returns
    -------
    Diff
    """
    old, new = frames
    shared = [name for name in specs[0].names if specs[1].dtypes.get(name) == specs[0].dtypes[name]]
    key = specs[0].row_key
    if specs[0].row_key != specs[1].row_key or not set(key) <= set(shared) or _repeats(old, key) or _repeats(new, key):
        key = []
    compared = [name for name in shared if name not in key]
    both = _matched(old.select(shared), new.select(shared), key) if key else None
    gone, come = _unmatched(old, new, key or shared)
    columns = _column_diffs(both, compared) if both is not None else ()
    changed = _changed_rows(both, compared) if both is not None else None
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


def _column_diffs(both: pl.DataFrame, compared: Sequence[str]) -> tuple[ColumnDiff, ...]:
    if not compared:
        return ()
    counts = both.select(_differs(name).sum().alias(name) for name in compared).row(0, named=True)
    found = [ColumnDiff(name=name, changed=int(count)) for name, count in counts.items() if count]
    return tuple(sorted(found, key=lambda column: -column.changed))


def _changed_rows(both: pl.DataFrame, compared: Sequence[str]) -> pl.DataFrame:
    return both.filter(pl.any_horizontal([_differs(name) for name in compared])) if compared else both.clear()


def _examples(
    changed: pl.DataFrame, key: Sequence[str], columns: Sequence[ColumnDiff]
) -> tuple[dict[str, object], ...]:
    rows = changed.head(_EXAMPLES).to_dicts()
    examples = []
    for row in rows:
        example: dict[str, object] = {name: row[name] for name in key}
        for column in columns:
            before, after = row[column.name], row[f"{_RIGHT}.{column.name}"]
            # NaN differs from itself, but a NaN that stayed is no change.
            if before != after and (before == before or after == after):  # noqa: PLR0124 - as said
                example[column.name] = {"old": before, "new": after}
        examples.append(example)
    return tuple(examples)
