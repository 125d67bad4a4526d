"""The Parquet files of a table: frames in their stored form, written whole and durable, read back and checked.

Reading verifies a file's checksum the first time this process reads it, so that a flipped bit is an error and never a
wrong number. The check runs beside the decoding.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast
from urllib.parse import quote, unquote

import msgspec
import polars as pl
import xxhash
from polars.io.plugins import register_io_source

from tiffin.errors import CorruptData, InvalidInputError, OutcomeUnknown, StorageError
from tiffin.files import Content, FileSystem, make_folders, not_written, translated, write_durably
from tiffin.frames.forked import check_threads
from tiffin.locks import new_lock
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import CHECKSUM, Add, Stats

Compression = Literal["zstd", "snappy", "lz4", "none"]

NAME = re.compile(r"part-[0-9a-f]{24}\.parquet")
"""Names of data files that Tiffin wrote; other writers' names differ."""

_MAX_FRAME_BYTES = 1 << 30
"""A frame larger than this in memory goes into several files, so that writing needs little more memory."""
_SMALL_FRAME_BYTES = 1 << 20
"""Up to this size a frame's Parquet is made in memory and written at once, which is quicker."""
_MAX_PARTITIONS = 10_000
_MAX_PARTITION_TEXT = 200
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_CHECK_BESIDE_BYTES = 4 << 20
"""From this size on it pays to check a file in a thread of its own while it is decoded."""
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises at a file that is not what it should be."""
_CASTS = pl.ScanCastOptions(
    integer_cast="upcast",
    float_cast="upcast",
    datetime_cast=["nanosecond-downcast", "microsecond-downcast", "convert-timezone"],
    missing_struct_fields="insert",
    extra_struct_fields="ignore",
    categorical_to_string="allow",
)


@dataclass(frozen=True)
class Encoding:
    """How Parquet files are written."""

    compression: Compression = "zstd"
    level: int = 1
    """Of zstd; the other codecs have none."""
    row_group_rows: int = 131_072


def write(fs: FileSystem, folder: Path, frame: pl.DataFrame, spec: TableSpec, encoding: Encoding) -> list[Add]:
    """Write a frame as data files of a table; they belong to it once their `add` actions are committed.

    Parameters
    ----------
    fs : FileSystem
        Where to write.
    folder : Path
        The table's folder.
    frame : DataFrame
        Rows in their stored form, in the order they are to have.
    spec : TableSpec
        What the table declares.
    encoding : Encoding
        How to write.

    Returns
    -------
    list of Add
        One for each file, in the order of the rows; none for a frame without rows.

    Raises
    ------
    InvalidInputError
        A partition value that cannot be one, or too many of them.
    StorageError
        The disk refused; files already written are removed.
    """
    written: list[Add] = []
    with _all_or_none(fs, folder, written):
        for values, part in _partitions(frame, spec):
            written.extend(
                _write_file(fs, folder, piece, values=values, spec=spec, encoding=encoding) for piece in _pieces(part)
            )
    return written


def write_stretches(
    fs: FileSystem, folder: Path, stretches: Iterable[pl.DataFrame], spec: TableSpec, encoding: Encoding
) -> list[Add]:
    """Write rows that come in stretches, so that memory holds few of them; else as `write`, without partitions."""
    written: list[Add] = []
    rest, held = iter(stretches), list[pl.DataFrame]()
    with _all_or_none(fs, folder, written):
        while held := [*held, *itertools.islice(rest, 2 - len(held))]:
            if len(held) == 1:
                written += write(fs, folder, held.pop(), spec, encoding)
            else:
                written.append(_write_together(fs, folder, _one_file(held, rest), spec, encoding))
    return written


@contextlib.contextmanager
def _all_or_none(fs: FileSystem, folder: Path, written: Sequence[Add]) -> Iterator[None]:
    """Remove the files that were written if not all are."""
    try:
        yield
    except OutcomeUnknown as error:
        # Without a commit a data file is nothing yet: here the outcome is known.
        discard(fs, folder, written)
        raise not_written(error) from error
    except BaseException:
        discard(fs, folder, written)
        raise


def _one_file(held: list[pl.DataFrame], rest: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Take as many stretches as a file should have, those first that are held already, which are let go."""
    size = 0
    while size < _MAX_FRAME_BYTES:
        stretch = held.pop(0) if held else next(rest, None)
        if stretch is None:
            return
        size += int(stretch.estimated_size())
        yield stretch


def discard(fs: FileSystem, folder: Path, adds: Sequence[Add]) -> None:
    """Remove files that will not be committed; vacuum gets those that cannot be removed now."""
    for add in adds:
        with contextlib.suppress(OSError):
            fs.remove(folder / unquote(add.path))


def _pieces(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if frame.height:
        count = int(frame.estimated_size()) // _MAX_FRAME_BYTES + 1
        yield from frame.iter_slices(-(-frame.height // count))


def _partitions(frame: pl.DataFrame, spec: TableSpec) -> Iterator[tuple[dict[str, str | None], pl.DataFrame]]:
    if not spec.partition_by:
        yield {}, frame
        return
    parts = frame.partition_by(spec.partition_by, maintain_order=True, include_key=False, as_dict=True)
    if len(parts) > _MAX_PARTITIONS:
        raise InvalidInputError(
            f"{' and '.join(spec.partition_by)} would make {len(parts):,} partitions; {_MAX_PARTITIONS:,} are allowed",
            hint="partition by a column with few values, such as a country or a month",
        )
    for key, part in parts.items():
        yield {name: _partition_text(name, value) for name, value in zip(spec.partition_by, key, strict=True)}, part


def check_partitions(frame: pl.DataFrame, spec: TableSpec) -> None:
    """Refuse a frame that `write` could not keep apart by its partition columns.

    Raises
    ------
    InvalidInputError
        A partition value that cannot be one, or too many of them.
    """
    for _ in _partitions(frame, spec):
        pass


def _partition_text(name: str, value: Any) -> str | None:
    """Write a partition value as Delta does; Delta has no empty text there, it would come back as null."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, date) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    if not text or len(quote(text, safe="")) > _MAX_PARTITION_TEXT:
        raise InvalidInputError(
            f"partition column {name!r} holds {text[:40]!r}, which cannot name a folder",
            hint=f"a partition value is a text of 1 to {_MAX_PARTITION_TEXT} plain characters",
        )
    return text


def _write_file(
    fs: FileSystem,
    folder: Path,
    frame: pl.DataFrame,
    *,
    values: Mapping[str, str | None],
    spec: TableSpec,
    encoding: Encoding,
) -> Add:
    levels = [
        f"{quote(name, safe='')}={_NO_VALUE if value is None else quote(value, safe='')}"
        for name, value in values.items()
    ]
    target = folder
    if levels:
        target = folder.joinpath(*levels)
        make_folders(fs, target)
    name, seal = _new_name(), _Seal()
    write_durably(fs, target / name, seal.content(frame, encoding))
    path = "/".join([*(quote(level, safe="=") for level in levels), name])
    return _add(path, values, seal, _stats(frame, spec))


def _write_together(
    fs: FileSystem, folder: Path, stretches: Iterator[pl.DataFrame], spec: TableSpec, encoding: Encoding
) -> Add:
    stats: list[Stats] = []

    def noted(*_asked: object) -> Iterator[pl.DataFrame]:
        for stretch in stretches:
            stats.append(_stats(stretch, spec))
            yield stretch

    rows = register_io_source(noted, schema=dict(spec.stored))
    name, seal = _new_name(), _Seal()
    write_durably(fs, folder / name, seal.passing_on(rows, encoding))
    return _add(name, {}, seal, _sum(stats))


def _new_name() -> str:
    return f"part-{os.urandom(12).hex()}.parquet"


def _add(path: str, values: Mapping[str, str | None], seal: _Seal, stats: Stats) -> Add:
    return Add(
        path=path,
        partition_values=dict(values),
        size=seal.size,
        modification_time=time.time_ns() // 1_000_000,
        stats=msgspec.json.encode(stats).decode(),
        tags={CHECKSUM: seal.checksum},
    )


class _Seal(io.RawIOBase):
    """Stands before a file while Parquet is written to it, to count and sum the bytes that go by."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._sum = xxhash.xxh3_64()
        self._file: io.RawIOBase | None = None
        self._error: OSError | None = None

    @property
    def checksum(self) -> str:
        """XXH3-64 of what was written, in hexadecimal."""
        return self._sum.hexdigest()

    def content(self, frame: pl.DataFrame, encoding: Encoding) -> Content:
        """Return what a file of the frame is to hold: a small one as bytes, a large one as what writes it."""
        if frame.estimated_size() > _SMALL_FRAME_BYTES:
            return self.passing_on(frame, encoding)
        buffer = io.BytesIO()
        _write_parquet(frame, buffer, encoding)
        self._count(buffer.getbuffer())
        return buffer.getbuffer()

    def passing_on(self, rows: pl.DataFrame | pl.LazyFrame, encoding: Encoding) -> Callable[[io.RawIOBase], None]:
        """Return what writes rows to a file as they come."""

        def write(file: io.RawIOBase) -> None:
            self._file = file
            try:
                _write_parquet(rows, cast("BinaryIO", self), encoding)
            except pl.exceptions.PolarsError:
                # Polars turns the system's error into one of its own, which does not say whether the disk is full.
                if self._error is not None:
                    raise self._error from None
                raise

        return write

    def _count(self, data: memoryview) -> None:
        self._sum.update(data)
        self.size += len(data)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        assert self._file is not None
        rest = whole = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
            raise
        self._count(whole)
        return len(whole)


def _write_parquet(rows: pl.DataFrame | pl.LazyFrame, file: BinaryIO, encoding: Encoding) -> None:
    check_threads()
    write = rows.write_parquet if isinstance(rows, pl.DataFrame) else rows.sink_parquet
    write(
        file,
        compression="uncompressed" if encoding.compression == "none" else encoding.compression,
        compression_level=encoding.level if encoding.compression == "zstd" else None,
        row_group_size=encoding.row_group_rows,
    )


def _stats(frame: pl.DataFrame, spec: TableSpec) -> Stats:
    """Count the rows and bound the key columns, so that files can be passed over without opening them."""
    names = [name for name in spec.row_key if name in frame.columns]
    if not names:
        return Stats(num_records=frame.height)
    bounds = frame.select(
        [pl.col(name).min().name.prefix("<") for name in names]
        + [pl.col(name).max().name.prefix(">") for name in names]
        + [pl.col(name).null_count().name.prefix("0") for name in names]
    ).row(0, named=True)
    low = {name: _bound(bounds["<" + name]) for name in names}
    high = {name: _bound(bounds[">" + name]) for name in names}
    usable = [name for name in names if low[name] is not None and high[name] is not None]
    return Stats(
        num_records=frame.height,
        min_values={name: low[name] for name in usable},
        max_values={name: high[name] for name in usable},
        null_count={name: bounds["0" + name] for name in names},
    )


def _sum(parts: Sequence[Stats]) -> Stats:
    """Say of rows what is known of their parts."""
    bounded = [name for name in parts[0].min_values if all(name in part.min_values for part in parts)]
    return Stats(
        num_records=sum(part.num_records or 0 for part in parts),
        min_values={name: min(part.min_values[name] for part in parts) for name in bounded},
        max_values={name: max(part.max_values[name] for part in parts) for name in bounded},
        null_count={name: sum(part.null_count[name] for part in parts) for name in parts[0].null_count},
    )


def _bound(value: Any) -> Any:
    """Write a bound as Delta does; None for one that would not be exact or not short."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value.year >= 1000 else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) and len(value) <= 64 and value.isprintable() else None


class DataFiles:
    """Reads the data files of one table.

    Parameters
    ----------
    fs : FileSystem
        Where they lie.
    folder : Path
        The table's folder.
    table : str
        Its name, for messages.
    verify : bool
        Whether to check each file against its checksum before its rows are used for the first time.
    """

    def __init__(self, fs: FileSystem, folder: Path, table: str, *, verify: bool = True) -> None:
        self._fs = fs
        self._folder = folder
        self._table = table
        self._verify = verify
        self._lock = new_lock()
        self._checked: set[str] = set()

    def paths(self, adds: Iterable[Add]) -> list[Path]:
        """Locate files on the disk."""
        return [self._folder / unquote(add.path) for add in adds]

    def scan(self, adds: Sequence[Add], spec: TableSpec) -> pl.LazyFrame:
        """Describe the rows of some files, in their stored form, without reading them."""
        stored = spec.stored
        if not adds:
            return pl.LazyFrame(schema=stored)
        inside = {name: dtype for name, dtype in stored.items() if name not in spec.partition_by}
        if not spec.partition_by:
            return self._scan(adds, inside)
        parts = [
            self._scan([add], inside).select(
                [
                    self._partition_value(add, name, dtype).alias(name) if name in spec.partition_by else pl.col(name)
                    for name, dtype in stored.items()
                ]
            )
            for add in adds
        ]
        return pl.concat(parts)

    def _partition_value(self, add: Add, name: str, dtype: pl.DataType) -> pl.Expr:
        text = add.partition_values.get(name)
        try:
            return _partition_value(text, dtype)
        except ValueError as error:
            raise CorruptData(
                f"the log of table {self._table} says of file {add.path} that {name!r} is {text!r}: {error}",
                hint="put the log back from a copy of the store",
            ) from error

    def _scan(self, adds: Sequence[Add], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        with translated(self._folder, doing="read"):
            sources = [self._fs.source(path) for path in self.paths(adds)]
        return pl.scan_parquet(
            cast("list[Path]", sources),
            schema=dict(schema),
            glob=False,
            hive_partitioning=False,
            missing_columns="insert",
            extra_columns="ignore",
            cast_options=_CASTS,
        )

    def collect(self, rows: pl.LazyFrame, adds: Sequence[Add]) -> pl.DataFrame:
        """Read what was described, having checked the files it comes from.

        Raises
        ------
        CorruptData
            A file is missing, or is not what was written.
        """
        unchecked = [add for add in adds if add.path not in self._checked]
        if sum(add.size for add in unchecked) < _CHECK_BESIDE_BYTES:
            self.check(unchecked, sums=self._verify)
            return self._collect(rows, adds)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiffin-check") as pool:
            checking = pool.submit(self.check, unchecked, sums=self._verify)
            try:
                frame = self._collect(rows, adds)
            finally:
                # What the check finds explains a failure to decode better than the decoder can.
                checking.result()
        return frame

    def _collect(self, rows: pl.LazyFrame, adds: Sequence[Add]) -> pl.DataFrame:
        check_threads()
        try:
            return rows.collect()
        except (*_UNREADABLE, FileNotFoundError) as error:
            raise CorruptData(
                f"{self._unreadable(adds)} of table {self._table} cannot be read: {error}",
                hint="run `tiffin doctor`; older versions may be whole: see `tiffin history`",
            ) from error
        except OSError as error:
            raise StorageError(
                f"cannot read a data file of table {self._table}: {error}",
                hint="the file may be whole: mend what the system complains of, and read again",
            ) from error

    def _unreadable(self, adds: Sequence[Add]) -> str:
        """Name the first file that cannot be decoded; where each can by itself, none of them."""
        for add, path in zip(adds, self.paths(adds), strict=True):
            try:
                pl.scan_parquet(self._fs.source(path), glob=False).collect()
            except (*_UNREADABLE, OSError):
                return f"data file {add.path}"
        return "a data file"

    def check(self, adds: Sequence[Add], *, sums: bool = True) -> None:
        """Check that files are there, in the table's folder and, if `sums`, what was written.

        Raises
        ------
        CorruptData
            A file is missing, or is not what was written.
        """
        for add in adds:
            path = self._folder / unquote(add.path)
            with translated(path, doing="read"):
                self._check_inside(path)
                if sums and add.checksum and xxhash.xxh3_64_hexdigest(self._fs.read(path)) != add.checksum:
                    raise CorruptData(
                        f"data file {add.path} of table {self._table} is not what was written: its checksum differs",
                        hint="put it back from a copy of the store, or restore an older version",
                    )
            with self._lock:
                self._checked.add(add.path)

    def locate(self, add: Add) -> Path:
        """Return where a file lies.

        Raises
        ------
        CorruptData
            It is missing, or a symbolic link leads to it.
        """
        path = self._folder / unquote(add.path)
        with translated(path, doing="look at"):
            self._check_inside(path)
        return path

    def _check_inside(self, path: Path) -> None:
        """Refuse a file that is missing or that a symbolic link puts somewhere else."""
        file = path
        while path != self._folder:
            found = self._fs.stat(path)
            if found is None or found.is_link or (found.is_folder and path == file):
                what = "is missing" if found is None else f"is a {'symbolic link' if found.is_link else 'folder'}"
                raise CorruptData(
                    f"data file {path.name} of table {self._table} {what}",
                    hint="put it back from a copy of the store, or restore an older version",
                )
            path = path.parent


def _partition_value(text: str | None, dtype: pl.DataType) -> pl.Expr:
    if text is None:
        return pl.lit(None, dtype)
    if dtype == pl.Boolean:
        return pl.lit(text == "true")
    if dtype == pl.Date:
        return pl.lit(date.fromisoformat(text))
    return pl.lit(text).cast(dtype)


def may_hold(add: Add, column: str, low: Any, high: Any) -> bool:
    """Tell whether a file can hold a value of a column between two bounds (inclusive), by its statistics."""
    known = add.known
    # Other writers may cut bounds short: texts to some length, times to the millisecond.
    if add.checksum is None or column not in known.min_values or column not in known.max_values:
        return True
    low, high = _bound(low), _bound(high)
    if low is None or high is None:
        return True
    try:
        return bool(known.min_values[column] <= high and low <= known.max_values[column])
    except TypeError:
        return True
