"""Reading a table stretch by stretch, its rows numbered through, so that never more than that of it is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import polars as pl

from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add
from tiffin.tables.table import Table
from tiffin.training.lifetimes import Era

_STRETCH_BYTES = 192 << 20
"""About the most that a stretch takes in memory, decoded."""
_KEY_BYTES = 32
"""What a key is taken for, with what is made of it on the way."""
_VALUE_BYTES = 16
"""What a feature's value is taken for, without the contents of a text or a list."""
LOOSE = (pl.String, pl.Binary, pl.List, pl.Struct, pl.Map)
"""Stored types whose values are of any size."""
_SAMPLE_ROWS = 1_000


@dataclass(frozen=True)
class File:
    """A file of a table, or the frame that stands for all of them, with its place among the table's rows."""

    add: Add | None
    """None for a frame."""
    versions: range
    """The versions that have it."""
    height: int
    first_row: int
    """Number of its first row."""

    @property
    def end(self) -> int:
        """Number of the row behind its last."""
        return self.first_row + self.height


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows that stand together: a piece of a file, or some small files."""

    rows: pl.LazyFrame
    """Of the files."""
    adds: Sequence[Add]
    offset: int
    height: int
    first_row: int
    """Number of the first row."""
    versions: range

    def narrowed(self, first: int, last: int) -> Stretch:
        """Cut out the rows from one number to another, both included, if most of them can be left out."""
        height, skipped = last - first + 1, first - self.first_row
        if 2 * height > self.height:
            return self
        return replace(self, offset=self.offset + skipped, height=height, first_row=first)

    def read(self, table: Table, columns: Sequence[str]) -> pl.DataFrame:
        """Read some columns, in their stored form if they come from files."""
        return table.data.collect(self.rows.select(columns).slice(self.offset, self.height), self.adds)


class Rows:
    """The rows of a table in one era, numbered through.

    Parameters
    ----------
    table : Table
        The table.
    era : Era
        Which of its files.
    held : DataFrame, optional
        The same rows, if they are in memory already.
    """

    def __init__(self, table: Table, era: Era, held: pl.DataFrame | None = None) -> None:
        self.table = table
        self.spec: TableSpec = era.spec
        self.versions = range(era.first, era.end)
        self.files: list[File] = []
        self._held = held
        if held is not None:
            self.files.append(File(None, self.versions, held.height, 0))
            return
        for life in era.lives:
            self.files.append(File(life.add, life.versions, self._count(life.add), self.height))

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.files[-1].end if self.files else 0

    def _scan(self, adds: Sequence[Add]) -> pl.LazyFrame:
        return self.table.data.scan(adds, self.spec) if self._held is None else self._held.lazy()

    def _count(self, add: Add) -> int:
        counted = add.known.num_records
        # Other writers' counts are not relied on: a row left out would be a wrong answer.
        if counted is not None and add.checksum is not None:
            return counted
        return int(self.table.data.collect(self._scan([add]).select(pl.len()), [add]).item())

    def key_stretches(self, files: Sequence[File], seekers: int) -> list[Stretch]:
        """Cut files for reading the key columns.

        Files that are small beside the spine are put together: to sort their rows anew takes less time than to search
        each of them for every row of the spine.

        Parameters
        ----------
        files : sequence of File
            Which.
        seekers : int
            Number of rows of the spine.
        """

        def joins(last: File, file: File) -> bool:
            return 2 * max(last.height, file.height) <= seekers and last.versions == file.versions

        return list(self._cut(files, _KEY_BYTES * len(key_columns(self.spec)), joins))

    def feature_stretches(self, columns: Sequence[str]) -> list[Stretch]:
        """Cut all files for reading some columns; small files are put together."""
        return list(self._cut(self.files, self._row_bytes(columns), lambda *_: True))

    def _row_bytes(self, columns: Sequence[str]) -> int:
        """Estimate what some columns of a row take in memory, from the first rows of the largest file."""
        size, stored = _VALUE_BYTES * len(columns), self.spec.stored
        loose = [name for name in columns if stored[name].base_type() in LOOSE]
        largest = max(self.files, key=lambda file: file.height, default=None)
        if not loose or largest is None or self.height <= self._row_group:
            return size
        adds = [] if largest.add is None else [largest.add]
        sample = self.table.data.collect(self._scan(adds).select(loose).head(_SAMPLE_ROWS), adds)
        return size + int(sample.estimated_size()) // max(sample.height, 1)

    @property
    def _row_group(self) -> int:
        return self.table.options.encoding.row_group_rows

    def _cut(self, files: Iterable[File], width: int, joins: Callable[[File, File], bool]) -> Iterator[Stretch]:
        """Cut large files into pieces at the ends of row groups, put small ones together as far as `joins` allows."""
        most = max(_STRETCH_BYTES // max(width, 1) // self._row_group, 1) * self._row_group
        for group in _grouped(files, most, joins):
            adds = [file.add for file in group if file.add is not None]
            rows, first = self._scan(adds), group[0].first_row
            for offset in range(0, group[-1].end - first, most):
                height = min(most, group[-1].end - first - offset)
                yield Stretch(rows, adds, offset, height, first + offset, group[0].versions)


def _grouped(files: Iterable[File], most: int, joins: Callable[[File, File], bool]) -> Iterator[list[File]]:
    """Put together files whose rows follow one another, as far as `joins` and the number of rows allow."""
    group: list[File] = []
    for file in files:
        follows = group and group[-1].end == file.first_row
        if group and not (follows and file.end - group[0].first_row <= most and joins(group[-1], file)):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


class Ahead:
    """Reads stretches of a table, each while the one before is worked on.

    Parameters
    ----------
    table : Table
        The table.
    pool : ThreadPoolExecutor
        Where it reads.
    """

    def __init__(self, table: Table, pool: ThreadPoolExecutor) -> None:
        self.table = table
        self._pool = pool
        self._begun: tuple[Stretch, Future[pl.DataFrame]] | None = None

    def frames(
        self, parts: Sequence[Stretch], columns: Sequence[str], then: tuple[Stretch, Sequence[str]] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Read columns of several stretches.

        Parameters
        ----------
        parts : sequence of Stretch
            Which, in this order.
        columns : sequence of str
            Which columns.
        then : tuple of Stretch and sequence of str, optional
            What will be asked for next, after the last of them.
        """
        following = [*((part, columns) for part in parts[1:]), then]
        for part, upcoming in zip(parts, following, strict=False):
            begun, self._begun = self._begun, None
            frame = begun[1].result() if begun and begun[0] is part else part.read(self.table, columns)
            if upcoming is not None:
                self._begun = upcoming[0], self._pool.submit(upcoming[0].read, self.table, upcoming[1])
            yield frame


def key_columns(spec: TableSpec) -> list[str]:
    """List the columns by which rows are chosen."""
    times = [name for name in (spec.timestamp, spec.created) if name]
    return list(dict.fromkeys([*spec.entity, *times]))
