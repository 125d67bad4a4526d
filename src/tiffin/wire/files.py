"""Frames as files: Parquet and CSV, as any other program writes and reads them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest
from tiffin.wire.bounds import Bounds, expanded_bytes
from tiffin.wire.untrusted import reading

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_BATCH_ROWS = 65_536


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
        bounds.check_rows(opened.metadata.num_rows)
        texts = [field.name for field in opened.schema_arrow if _is_text(field.type)]
        # As dictionaries, so that a value which stands in very many rows is held once until it is counted.
        opened = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        table = _bounded(opened, bounds)
        plain = pa.schema(
            [field.with_type(field.type.value_type) if field.name in texts else field for field in table.schema]
        )
        found = ingest(table.cast(plain).replace_schema_metadata(None))
        return FeatureFrame(found.frame, origins=found.origins)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def _bounded(opened: pq.ParquetFile, bounds: Bounds) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    batches, rows, size_bytes = [], 0, 0
    for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
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
        A line of names, then one a row; null as nothing, times in ISO 8601.

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
    return values.write_csv(datetime_format=None).encode()


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
    try:
        frame = pl.read_csv(bytes(data), infer_schema=False, truncate_ragged_lines=False)
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(
            f"the body is no CSV: {error}", hint="begin with a line of names; all lines have as many fields"
        ) from error
    bounds.check_rows(frame.height)
    return FeatureFrame(frame)
