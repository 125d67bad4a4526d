"""Frames as Arrow IPC streams: every reader of Arrow takes them, and ours gets back exactly what was sent.

What Arrow has no place for stands as JSON in the schema's metadata, under `tiffin`: where columns came from, the
dtypes that Arrow lacks, and the lock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, Lock, ingest
from tiffin.wire.bounds import Bounds, expanded_bytes
from tiffin.wire.results import read_lock
from tiffin.wire.untrusted import check_fields, reading

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536

_KEY = b"tiffin"
_WIDE = {"Int128": pl.Int128(), "UInt128": pl.UInt128()}
"""Dtypes of Polars that Arrow lacks; they travel as decimals."""

_DICTIONARY_BATCH = 2
"""Kind of a message, in the format's own numbering."""


class _About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the schema's metadata says."""

    origins: dict[str, str] = {}
    wide: dict[str, str] = {}
    lock: dict[str, Any] | None = None
    total_rows: int | None = None


class Received(NamedTuple):
    """A frame that came over the wire."""

    frame: FeatureFrame
    total_rows: int | None
    """How many rows there are where these came from, if that was said."""


class _Pieces:
    """Takes what Arrow writes, to be given on piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken

    def flush(self) -> None:
        """Do nothing: what was written is there."""


def to_stream(frame: FeatureFrame, *, total_rows: int | None = None) -> Iterator[bytes]:
    """Write a frame as an Arrow IPC stream.

    Parameters
    ----------
    frame : FeatureFrame, shape (n, k)
        The frame.
    total_rows : int, optional
        How many rows there are where these came from.

    Yields
    ------
    bytes
        The stream, piece by piece: the schema, then up to 65,536 rows each.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy

    values = frame.to_polars()
    wide = {name: str(dtype) for name, dtype in values.schema.items() if str(dtype) in _WIDE}
    values = values.with_columns(pl.col(list(wide)).cast(pl.Decimal(38, 0)))
    lock = frame.lock.to_dict() if frame.lock else None
    about = _About(origins=frame.origins, wide=wide, lock=lock, total_rows=total_rows)
    table = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    schema = table.schema.with_metadata({_KEY: msgspec.json.encode(about)})
    pieces = _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(pieces, "w"), schema) as writer:
        yield pieces.take()
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            writer.write_batch(batch.replace_schema_metadata(schema.metadata))
            yield pieces.take()
    yield pieces.take()


def from_stream(data: bytes | memoryview, bounds: Bounds | None = None) -> Received:
    """Read an Arrow IPC stream, of ours or of any other writer.

    Parameters
    ----------
    data : bytes
        The stream.
    bounds : Bounds, optional
        What it may hold; anything if left out, for one who knows where it comes from.

    Returns
    -------
    Received
        The frame, in the dtypes it was sent with.

    Raises
    ------
    InvalidInputError
        It is no valid stream.
    LimitError
        It holds more than it may.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy

    with reading("Arrow IPC stream"):
        table = pa.Table.from_batches(*_batches(pa.ipc.open_stream(_checked(data, bounds)), bounds))
        written = (table.schema.metadata or {}).get(_KEY)
        about = None if written is None else msgspec.json.decode(written, type=_About)
        lock = None if about is None or about.lock is None else read_lock(about.lock)
        frame = _foreign(table) if about is None else _ours(table, about, lock)
    return Received(frame, about.total_rows if about else None)


def _batches(reader: pa.RecordBatchStreamReader, bounds: Bounds | None) -> tuple[list[pa.RecordBatch], pa.Schema]:
    batches, rows, size_bytes = [], 0, 0
    check_fields(reader.schema)
    if bounds:
        bounds.check_columns(len(reader.schema))
    for batch in reader:
        # Before anything looks into it: what is not valid can lead outside of its memory.
        batch.validate(full=True)
        if bounds:
            rows += batch.num_rows
            bounds.check_rows(rows)
            size_bytes += sum(map(expanded_bytes, batch.columns))
            bounds.check_size(size_bytes)
        batches.append(batch)
    return batches, reader.schema


def _foreign(table: pa.Table) -> FeatureFrame:
    found = ingest(table)
    return FeatureFrame(found.frame, origins=found.origins)


def _ours(table: pa.Table, about: _About, lock: Lock | None) -> FeatureFrame:
    frame = pl.DataFrame(table)
    wide = {name: _WIDE[dtype] for name, dtype in about.wide.items() if name in frame.columns and dtype in _WIDE}
    return FeatureFrame(
        frame.with_columns(pl.col(name).cast(dtype) for name, dtype in wide.items()), origins=about.origins, lock=lock
    )


def _checked(data: bytes | memoryview, bounds: Bounds | None) -> bytes | memoryview:
    """Refuse compressed batches from who is not trusted: how large they become is seen only once it is too late."""
    import pyarrow as pa  # noqa: PLC0415 - heavy

    if bounds:
        for message in pa.ipc.MessageReader.open_stream(data):
            if message.type in {"record batch", "dictionary"} and _is_compressed(message.metadata.to_pybytes()):
                raise InvalidInputError(
                    "the body is an Arrow IPC stream of compressed batches",
                    hint="write it without compression, and compress the body as a whole: Content-Encoding: zstd",
                )
    return data


def _is_compressed(message: bytes) -> bool:
    """Look into the FlatBuffer of a message, as Message.fbs and Schema.fbs of the Arrow format lay it out."""
    root = struct.unpack_from("<I", message)[0]
    header = _field(message, root, 2)
    batch = header + struct.unpack_from("<I", message, header)[0]
    if _field(message, root, 1) and message[_field(message, root, 1)] == _DICTIONARY_BATCH:
        data = _field(message, batch, 1)
        batch = data + struct.unpack_from("<I", message, data)[0]
    return _field(message, batch, 3) != 0


def _field(message: bytes, table: int, number: int) -> int:
    """Return where a field of a table is; 0 if it was left out."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", message, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", message, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0
