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

_STRETCH_BYTES = 256 << 20
"""About the most that a stretch takes in memory, decoded."""
_KEY_BYTES = 32
"""What a key is taken for, with what is made of it on the way."""
_VALUE_BYTES = 16
"""What a feature's value is taken for, unless its file is too large for that."""
_UNPACKED = 3
"""How much larger rows are taken to be in memory than in their compressed file."""


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

    @property
    def row_bytes(self) -> int:
        """About what a whole row takes in memory, by the size of the file."""
        return _UNPACKED * self.add.size // max(self.height, 1) if self.add else 0


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
        rows = self.rows.select(columns).slice(self.offset, self.height)
        # One piece of memory for each column: gathering from the many that row groups make takes four times as long.
        return table.data.collect(rows, self.adds).rechunk()


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
        width = _KEY_BYTES * len(key_columns(self.spec))

        def joins(last: File, file: File) -> bool:
            return 2 * max(last.height, file.height) <= seekers and last.versions == file.versions

        return list(self._cut(_grouped(files, lambda _: width, joins), lambda _: width))

    def feature_stretches(self, columns: int) -> list[Stretch]:
        """Cut all files for reading a number of columns; small files are put together."""

        def width(file: File) -> int:
            return max(_VALUE_BYTES * columns, file.row_bytes)

        return list(self._cut(_grouped(self.files, width, lambda *_: True), width))

    def _cut(self, groups: Iterable[Sequence[File]], width: Callable[[File], int]) -> Iterator[Stretch]:
        """Cut groups of files into stretches, if one is too large at the ends of row groups."""
        row_group = self.table.options.encoding.row_group_rows
        for group in groups:
            most = max(_STRETCH_BYTES // max(map(width, group)) // row_group, 1) * row_group
            adds = [file.add for file in group if file.add is not None]
            rows, first = self._scan(adds), group[0].first_row
            for offset in range(0, group[-1].end - first, most):
                height = min(most, group[-1].end - first - offset)
                yield Stretch(rows, adds, offset, height, first + offset, group[0].versions)


def _grouped(
    files: Iterable[File], width: Callable[[File], int], joins: Callable[[File, File], bool]
) -> Iterator[list[File]]:
    """Put together files whose rows follow one another, as far as `joins` and their size allow."""
    group: list[File] = []
    size = 0
    for file in files:
        bytes_ = file.height * width(file)
        if group and not (
            group[-1].end == file.first_row and size + bytes_ <= _STRETCH_BYTES and joins(group[-1], file)
        ):
            yield group
            group, size = [], 0
        group.append(file)
        size += bytes_
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
