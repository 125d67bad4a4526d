"""The newest rows of files, read with bounded memory: a whole version comes in chunks, each a range of entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import polars as pl

from tiffin.materialize.newest import newest, timed
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add
from tiffin.tables.datafiles import may_hold
from tiffin.tables.table import Table

CHUNK_BYTES = 64 << 20
"""Parquet bytes that are read for a chunk, about: in memory they may be a few times as many."""
_LONGEST_CUT = 200
"""Of a text between two chunks: the order of much longer ones is not that of their online keys."""

SUM = "\0sum"

T = TypeVar("T")


class Range(NamedTuple):
    """Values of the first entity column, as stored: from `low` up to, but without, `high`. None is unbounded."""

    low: Any
    high: Any
    rows: Mapping[str, tuple[int, int]]
    """Of sorted files, by path, where their rows of the range begin, and how many there are."""


ALL = Range(None, None, {})


class Chunk(NamedTuple):
    """The newest rows of some entities."""

    rows: pl.DataFrame
    """As `newest` makes them."""
    rows_read: int
    """How many rows they were chosen from."""


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Pass items on, fetching the next one in a thread while the last one is worked on."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiffin-materialize") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


@dataclass(frozen=True)
class Files:
    """Some files of a table, in its order, whose rows are read by ranges of entities."""

    table: Table
    spec: TableSpec
    adds: Sequence[Add]
    chunk_bytes: int

    def ranges(self) -> list[Range]:
        """Cut the entities into ranges, ascending, whose rows are about a chunk each.

        The cuts are quantiles of a sample: of every so many rows of each file, one key.
        """
        chunks = sum(add.size for add in self.adds) // self.chunk_bytes
        rows = sum(add.known.num_records or 0 for add in self.adds)
        if not (chunks and rows and self.spec.entity):
            return [ALL]
        step = max(rows // (4 * chunks), 1)
        keys = (self._scan(add).select(self.spec.entity[0]).gather_every(step, step // 2) for add in self.adds)
        parts = [self.table.data.collect(part, [add]) for part, add in zip(keys, self.adds, strict=True)]
        sample = pl.concat(parts).to_series().drop_nulls().sort()
        cuts = sample.gather_every(4, offset=4).unique(maintain_order=True).to_list()
        cuts = [cut for cut in cuts if not (isinstance(cut, str | bytes) and len(cut) > _LONGEST_CUT)]
        places = {add.path: self._places(add, cuts) for add in self.adds if self._is_sorted(add)}
        return [
            Range(
                low, high, {path: (found[number], found[number + 1] - found[number]) for path, found in places.items()}
            )
            for number, (low, high) in enumerate(pairwise([None, *cuts, None]))
        ]

    def newest(self, moment: int, within: Range = ALL) -> Chunk:
        """Read the newest rows of a range of entities, as of a moment in microseconds."""
        none = timed(self.table.data.scan([], self.spec), self.spec)
        parts, count = [self.table.data.collect(none, [])], 0
        for add in self.adds:
            is_sorted = self._is_sorted(add)
            for rows in self._pieces(add, within):
                count += rows.height
                parts.append(newest(rows, self.spec.entity, moment, is_sorted=is_sorted))
        filled = [part for part in parts if part.height] or parts
        return Chunk(filled[0] if len(filled) == 1 else newest(pl.concat(filled), self.spec.entity, moment), count)

    def sums(self, within: Range) -> pl.DataFrame:
        """Sum up, in the column `SUM`, the hashes of each entity's rows, whatever their order.

        The sums of rows that differ are equal by chance once in 2^64.
        """
        entity = list(self.spec.entity)
        rows = _inside(self.table.data.scan(self.adds, self.spec).drop_nulls(entity), entity[0], within)
        hashed = rows.select(*entity, pl.struct(pl.all()).hash().alias(SUM))
        return self.table.data.collect(hashed.group_by(entity).agg(pl.col(SUM).sum()), self.adds)

    def _scan(self, add: Add) -> pl.LazyFrame:
        return self.table.data.scan([add], self.spec)

    def _is_sorted(self, add: Add) -> bool:
        """Tell whether a file's rows are in the table's order; other writers may sort as they please."""
        return bool(self.spec.order) and add.checksum is not None

    def _places(self, add: Add, cuts: Sequence[Any]) -> list[int]:
        """Find where the ranges between some cuts begin in a sorted file, nulls first, and where the last one ends."""
        keys = self.table.data.collect(self._scan(add).select(self.spec.entity[0]), [add]).to_series()
        nulls = keys.null_count()
        found = keys.slice(nulls).search_sorted(pl.Series(cuts, dtype=keys.dtype), side="left")
        return [nulls, *(found + nulls).to_list(), len(keys)]

    def _pieces(self, add: Add, within: Range) -> Iterator[pl.DataFrame]:
        """Read a file's rows of a range at once; all rows of a table that is one series, piece by piece."""
        rows, count = timed(self._scan(add), self.spec), add.known.num_records
        if add.path in within.rows:
            # Cheaper than to compare each key again.
            yield self.table.data.collect(rows.slice(*within.rows[add.path]), [add])
        elif self.spec.entity:
            if may_hold(add, self.spec.entity[0], within.low, within.high):
                yield self.table.data.collect(_inside(rows, self.spec.entity[0], within), [add])
        elif count is None:
            yield self.table.data.collect(rows, [add])
        else:
            step = count // (add.size // self.chunk_bytes + 1) + 1
            pieces = (rows.slice(start, step) for start in range(0, count, step))
            yield from (self.table.data.collect(piece, [add]) for piece in pieces)


def _inside(rows: pl.LazyFrame, first: str, within: Range) -> pl.LazyFrame:
    if within.low is not None:
        rows = rows.filter(pl.col(first) >= pl.lit(within.low))
    return rows if within.high is None else rows.filter(pl.col(first) < pl.lit(within.high))
