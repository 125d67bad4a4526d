"""Frames as the bytes of a cache file: an uncompressed Arrow IPC file, followed by a seal.

The seal is a checksum over the contents and the file's name, so a flipped bit, a torn write or a file under
another's name is noticed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import xxhash

from tiffin.frames.forked import check_threads

MAGIC = b"tiffin-1"
SEAL_BYTES = 16 + len(MAGIC)
CHUNK_BYTES = 8 << 20
"""What one thread hashes at a time."""
MAP_WITH_PYARROW_FROM = 16 << 20
"""Importing PyArrow takes as long as copying some tens of megabytes; once imported, it is used for all sizes."""


def encode(name: str, frame: pl.DataFrame) -> memoryview | None:
    """Write a frame as an Arrow file of one record batch, and seal it.

    Parameters
    ----------
    name : str
        The name that the file will have.
    frame : DataFrame
        What to write.

    Returns
    -------
    memoryview or None
        None if Arrow cannot hold exactly this schema, as with Python objects.
    """
    buffer = io.BytesIO()
    try:
        frame.write_ipc(buffer, compression="uncompressed", record_batch_size=max(frame.height, 1))
        buffer.seek(0)
        if pl.read_ipc_schema(buffer) != frame.schema:
            return None
    except pl.exceptions.PolarsError:
        return None
    buffer.seek(0, io.SEEK_END)
    buffer.write(_seal(name, buffer.getbuffer()))
    return buffer.getbuffer()


def is_whole(name: str, data: memoryview) -> bool:
    """Tell whether these bytes are what `encode` made for this name."""
    return len(data) > SEAL_BYTES and data[-SEAL_BYTES:] == _seal(name, data[:-SEAL_BYTES])


def decode(data: memoryview) -> pl.DataFrame | None:
    """Read what `encode` made, without copying it if that is worth an import.

    Parameters
    ----------
    data : memoryview
        Found whole before. The frame may go on using this memory.

    Returns
    -------
    DataFrame or None
        None if this version of Polars cannot read it.

    Raises
    ------
    UnavailableError
        Polars lacks its threads. What the frame is read for would wait for them, if not the reading.
    """
    check_threads()
    frame = None
    if "pyarrow" in sys.modules or len(data) >= MAP_WITH_PYARROW_FROM:
        frame = _decode_in_place(data[:-SEAL_BYTES])
    if frame is None:
        with contextlib.suppress(pl.exceptions.PolarsError):
            frame = pl.read_ipc(bytes(data[:-SEAL_BYTES]))
    return frame


def _decode_in_place(data: memoryview) -> pl.DataFrame | None:
    """Let a frame share the memory of an Arrow file, which Polars cannot do by itself; None if PyArrow cannot."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and not always needed
        import pyarrow.ipc  # noqa: PLC0415
    except ImportError:
        return None
    try:
        return pl.DataFrame(pyarrow.ipc.open_file(pa.py_buffer(data)).read_all())
    except pa.ArrowException:
        # PyArrow has no integers of 128 bits.
        return None


def _seal(name: str, data: memoryview) -> bytes:
    """Make the last bytes of a file: a checksum over its name and contents, taken in chunks by several threads."""
    chunks = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
    if len(chunks) > 1:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
            digests = list(threads.map(xxhash.xxh3_128_digest, chunks))
    else:
        digests = [xxhash.xxh3_128_digest(chunk) for chunk in chunks]
    return xxhash.xxh3_128_digest(b"".join([name.encode(), *digests])) + MAGIC
