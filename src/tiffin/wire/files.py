"""Frames as files: Parquet and CSV, as any other program writes and reads them."""

from __future__ import annotations

import csv
import io
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from tiffin.errors import InvalidInputError, LimitError
from tiffin.frames import FeatureFrame, check_names, ingest
from tiffin.wire.bounds import Bounds, expanded_bytes
from tiffin.wire.untrusted import check_fields, reading

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 65_536
_MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
_LARGEST_CSV = (1 << 31) - 4
"""Bytes; PyArrow counts those of a block with 32 bits."""
_CELL_BYTES = 8
_LONGEST_IN_LISTS = 16
"""Bytes of a value of fixed length; decimals have as many."""


def to_parquet(frame: FeatureFrame) -> bytes:
    """Write a frame as a Parquet file.

    Parameters
    ----------
    frame : FeatureFrame, shape (n, k)
        The frame.

    Returns
    -------
    bytes
        The file, compressed with zstd.
    """
    stream = io.BytesIO()
    frame.to_polars().write_parquet(stream, compression="zstd", compression_level=1)
    return stream.getvalue()


def from_parquet(data: bytes | memoryview, bounds: Bounds) -> FeatureFrame:
    """Read a Parquet file from who is not trusted.

    Parameters
    ----------
    data : bytes
        The file.
    bounds : Bounds
        What it may hold.

    Returns
    -------
    FeatureFrame, shape (n, k)
        Its rows.

    Raises
    ------
    InvalidInputError
        It is no valid Parquet file.
    LimitError
        It holds more than it may.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    with reading("Parquet file"):
        opened = pq.ParquetFile(pa.BufferReader(data))
        bounds.check_columns(opened.metadata.num_columns)
        bounds.check_rows(opened.metadata.num_rows)
        # Pages are decompressed whole, and bytes of fixed length filled in, before they can be counted.
        bounds.check_size(_least_bytes(opened))
        check_fields(opened.schema_arrow)
        # As dictionaries, so that a value which stands in very many places is held once until it is counted.
        counted = _bounded(pq.ParquetFile(pa.BufferReader(data), read_dictionary=_texts(opened)), bounds)
        if any(pa.types.is_nested(field.type) for field in opened.schema_arrow):
            # What is a dictionary inside of a list cannot be undone; by now it is known how much is read.
            table = opened.read()
        else:
            table = counted.cast(opened.schema_arrow)
        found = ingest(table.replace_schema_metadata(None))
        return FeatureFrame(found.frame, origins=found.origins)


def _least_bytes(opened: pq.ParquetFile) -> int:
    """Tell how much is read at least, as far as the file says so.

    Of the single parts of columns nothing is asked: PyArrow ends the process at some that make no sense.

    Raises
    ------
    InvalidInputError
        There are long values of fixed length in lists, of which a few bytes stand for any number.
    """
    columns = map(opened.schema.column, range(len(opened.schema.names)))
    fixed = [column for column in columns if column.physical_type == "FIXED_LEN_BYTE_ARRAY"]
    if any(column.max_repetition_level and column.length > _LONGEST_IN_LISTS for column in fixed):
        raise InvalidInputError(
            "the file has long bytes of fixed length in lists", hint="write them as bytes of any length"
        )
    groups = map(opened.metadata.row_group, range(opened.num_row_groups))
    return sum(max(group.total_byte_size, group.num_rows * sum(column.length for column in fixed)) for group in groups)


def _texts(opened: pq.ParquetFile) -> list[str]:
    """List the paths of what can be read as a dictionary, inside of lists and structs too."""
    columns = map(opened.schema.column, range(len(opened.schema.names)))
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
    ]


def _bounded(opened: pq.ParquetFile, bounds: Bounds) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    batches, rows, size_bytes = [], 0, 0
    # Each row group for itself: a dictionary inside of a list cannot go over the edge of one.
    groups = range(opened.num_row_groups)
    for batch in chain.from_iterable(opened.iter_batches(_BATCH_ROWS, row_groups=[group]) for group in groups):
        batch.validate(full=True)
        rows += batch.num_rows
        bounds.check_rows(rows)
        size_bytes += sum(map(expanded_bytes, batch.columns))
        bounds.check_size(size_bytes)
        batches.append(batch)
    schema = batches[0].schema if batches else opened.schema_arrow
    return pa.Table.from_batches(batches, schema).unify_dictionaries()


def to_csv(frame: FeatureFrame) -> bytes:
    """Write a frame as CSV.

    Parameters
    ----------
    frame : FeatureFrame, shape (n, k)
        The frame.

    Returns
    -------
    bytes
        A line of names, then one a row; null as nothing, times and durations in ISO 8601.

    Raises
    ------
    InvalidInputError
        A column holds lists, structs or bytes, which CSV has no form for.
    """
    values = frame.to_polars()
    for name, dtype in values.schema.items():
        if dtype.is_nested() or dtype in {pl.Binary, pl.Object}:
            raise InvalidInputError(
                f"column {name!r} is of type {dtype}, which CSV has no form for", hint="take Arrow, Parquet or JSON"
            )
    texts = values.with_columns(pl.selectors.duration().dt.to_string("iso"))
    return texts.write_csv(datetime_format=None).encode()


def from_csv(data: bytes | memoryview, bounds: Bounds) -> FeatureFrame:
    """Read CSV, every column as text: what it is, only the table knows.

    Parameters
    ----------
    data : bytes
        A line of names, then one a row; UTF-8.
    bounds : Bounds
        What it may hold.

    Returns
    -------
    FeatureFrame, shape (n, k)
        Text; null where nothing stands.

    Raises
    ------
    InvalidInputError
        It is no CSV.
    LimitError
        It holds more than it may.
    """
    # Commas inside of names count too; it takes long to find out that there are as many columns.
    bounds.check_columns(1 + bytes(data).partition(b"\n")[0].count(b","))
    text = bytes(data).removeprefix(_MARK)
    names = _header(text)
    check_names(names)
    # Each cell takes that many bytes at least, were it empty.
    bounds.check_size(_CELL_BYTES * (text.count(b",") + text.count(b"\n")))
    if len(text) > _LARGEST_CSV:
        raise LimitError(
            f"the CSV holds {len(text):,} bytes; at most {_LARGEST_CSV:,} can be read at once",
            hint="send it in parts, or as Parquet",
        )
    table = _csv_table(text, names)
    if table.column_names != names:
        raise InvalidInputError(
            "the body is no CSV: its first line has other columns", hint="begin with a line of names"
        )
    bounds.check_rows(table.num_rows)
    return FeatureFrame(pl.DataFrame(table))


def _csv_table(text: bytes, names: list[str]) -> pa.Table:
    """Read CSV as PyArrow does, which refuses lines with too few fields; Polars fills them up with nulls."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import csv as arrow_csv  # noqa: PLC0415 - heavy

    try:
        return arrow_csv.read_csv(
            # It takes a line of names for one only if it ends.
            pa.BufferReader(text + b"\n" * (not text.endswith(b"\n"))),
            read_options=arrow_csv.ReadOptions(block_size=len(text) + 2),
            # An empty line is a null where there is one column, and nothing where there are more.
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(names) > 1),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        reason = f"{error}".partition("\n")[0]
        raise InvalidInputError(
            f"the body is no CSV: {reason}", hint="begin with a line of names; all lines have as many fields"
        ) from error


def _header(text: bytes) -> list[str]:
    """Read the names, before all that stands under them."""
    line = text.partition(b"\n")[0].removesuffix(b"\r")
    try:
        return next(csv.reader([line.decode()]), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the body is no CSV: {error}", hint="begin with a line of names") from error
