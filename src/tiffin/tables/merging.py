"""The rows of several files in the order of one, a stretch of them at a time, so that memory never holds them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from tiffin.errors import CorruptData
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add
from tiffin.tables.table import Table

_STRETCH_BYTES = 128 << 20
"""About how much of the rows is in memory at once; to sort and write it takes a few times as much."""
_SAMPLE_ROWS = 1000
_FEW_VALUES = 1_000_000
"""Rows times columns that are read at once, without a look at how much they take: most merges are that small."""


def stretches(table: Table, adds: Sequence[Add], spec: TableSpec) -> Iterator[pl.DataFrame]:
    """Read files in their stored form, in the order in which one file of all their rows has them.

    Parameters
    ----------
    table : Table
        Whose files they are.
    adds : sequence of Add
        The files, in the order of their rows.
    spec : TableSpec
        What the table declares. If rows are sorted, all those of one first key come in one stretch.

    Yields
    ------
    DataFrame
        Some of the rows.

    Raises
    ------
    CorruptData
        A file is missing, or is not what was written.
    """
    rows = table.data.scan(adds, spec)
    if _are_few(adds, spec):
        yield _in_order(table.data.collect(rows, adds), spec)
        return
    sample = table.data.collect(rows.head(_SAMPLE_ROWS), adds)
    most = _STRETCH_BYTES * max(1, sample.height) // max(1, int(sample.estimated_size())) + 1
    count = int(table.data.collect(rows.select(pl.len()), adds).item())
    if count <= most:
        parts: Iterable[pl.LazyFrame] = [rows]
    elif spec.order:
        parts = _by_key(rows, table.data.collect(rows.select(spec.order[0]), adds).to_series().sort(), most)
    else:
        parts = (rows.slice(start, most) for start in range(0, count, most))
    done = 0
    for part in parts:
        stretch = table.data.collect(part, adds)
        done += stretch.height
        if stretch.height:
            yield _in_order(stretch, spec)
    if done != count:
        raise CorruptData(
            f"the files of table {table.name} have {count:,} rows, of which {done:,} are found by their keys",
            hint="save the table anew: another writer's files may have wrong statistics",
        )


def _are_few(adds: Sequence[Add], spec: TableSpec) -> bool:
    counts = [add.known.num_records for add in adds]
    rows = sum(count or 0 for count in counts)
    size_bytes = sum(add.size for add in adds)
    return None not in counts and rows * len(spec.stored) <= _FEW_VALUES and 16 * size_bytes <= _STRETCH_BYTES


def _in_order(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    return rows.sort(spec.order, maintain_order=True) if spec.order else rows


def _by_key(rows: pl.LazyFrame, keys: pl.Series, most: int) -> Iterator[pl.LazyFrame]:
    """Take rows apart, about `most` each, at some of their keys, which are sorted."""
    ends = keys.gather_every(most, most - 1).drop_nulls().unique(maintain_order=True)
    for low, high in pairwise([None, *ends, None]):
        yield rows.filter(_between(pl.col(keys.name), low, high, keys.dtype))


def _between(key: pl.Expr, low: Any, high: Any, dtype: pl.DataType) -> pl.Expr:
    """Choose rows behind one key and up to another; nulls stand before all."""
    if high is None:
        return pl.lit(value=True) if low is None else key > pl.lit(low, dtype)
    upto = key <= pl.lit(high, dtype)
    return upto | key.is_null() if low is None else upto & (key > pl.lit(low, dtype))
