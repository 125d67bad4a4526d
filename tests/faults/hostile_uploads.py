"""Reads bodies that mean harm as the server reads them; in a process that may crash, and has little memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import struct
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tiffin.errors import TiffinError
from tiffin.frames import FeatureFrame
from tiffin.server.edge.bodies import decompress
from tiffin.server.options import Limits
from tiffin.wire import Bounds, arrow_stream, from_csv, from_parquet, from_stream, to_stream

LIMITS = Limits()
BOUNDS = Bounds(rows=LIMITS.rows_per_request, size_bytes=LIMITS.decompressed_bytes, columns=LIMITS.columns_per_request)
MOST_MEMORY = 1 << 30
"""Bytes of address space that reading a body may take: the bound of what is decoded, with its copies."""
_ROWS = 50

Bodies = Iterator[tuple[str, bytes]]
"""Each with how it is to be read: `arrow`, `parquet`, `csv`, `gzip`, `zstd`."""


def frame() -> pl.DataFrame:
    """Rows of many types."""
    numbers = range(_ROWS)
    return pl.DataFrame(
        {
            "id": [*numbers],
            "small": pl.Series([number % 100 for number in numbers], dtype=pl.Int8),
            "value": [number / 7 for number in numbers],
            "text": [f"text {number} ä" if number % 5 else None for number in numbers],
            "raw": [bytes([number]) * (number % 7) for number in numbers],
            "yes": [number % 3 == 0 for number in numbers],
            "at": [datetime(2024, 1, 1 + number % 28, tzinfo=UTC) for number in numbers],
            "day": [date(2024, 1, 1 + number % 28) for number in numbers],
            "price": [Decimal(number) / 4 for number in numbers],
            "kind": pl.Series(["a" if number % 2 else "b" for number in numbers], dtype=pl.Categorical),
            "list": [[number, None] if number % 4 else [] for number in numbers],
            "deep": [{"a": number, "b": [f"x{number}"]} for number in numbers],
        }
    )


def _stream(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def _parquet(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def mutated(data: bytes, chosen: random.Random) -> bytes:
    """Change some bytes, at random or to what numbers are at their edges; or cut, repeat or leave out a part."""
    made = bytearray(data)
    for _ in range(chosen.choice([1, 1, 2, 4, 16])):
        at = chosen.randrange(len(made))
        way = chosen.randrange(6)
        if way < 2:
            made[at] ^= 1 << chosen.randrange(8)
        elif way == 2:
            made[at] = chosen.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif way == 3:
            at -= at % 8
            edge = chosen.choice([2**31 - 1, 2**31, 2**62, 2**63 - 1, -1, -(2**63), len(data) + 1])
            made[at : at + 8] = (edge % 2**64).to_bytes(8, "little")
        elif way == 4:
            made[at : at + 4] = chosen.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\0\x80", b"\1\0\0\0"])
        else:
            other, size = chosen.randrange(len(made)), chosen.randrange(1, 64)
            made[at : at + size] = made[other : other + size]
    return bytes(made if chosen.random() < 0.95 else made[: chosen.randrange(len(made))])


def mutated_arrow(seed: int, count: int) -> Bodies:
    """Streams of ours and of PyArrow, changed."""
    chosen = random.Random(seed)
    rows = frame()
    wholes = [b"".join(to_stream(FeatureFrame(rows)))]
    wholes += [_stream(rows.select(some).to_arrow()) for some in (["id", "text"], ["kind", "list"], ["deep", "raw"])]
    for _ in range(count):
        yield "arrow", mutated(chosen.choice(wholes), chosen)


def mutated_parquet(seed: int, count: int) -> Bodies:
    """Files of PyArrow and of Polars, in all compressions, changed."""
    chosen = random.Random(seed)
    table = frame().to_arrow()
    ours = io.BytesIO()
    frame().write_parquet(ours)
    wholes = [ours.getvalue(), _parquet(table, use_dictionary=False, data_page_version="2.0")]
    wholes += [
        _parquet(table.select(some), compression=one)
        for one in ("none", "snappy", "zstd", "gzip", "lz4")
        for some in (["id", "text"], ["price", "kind", "at"], ["list", "deep"])
    ]
    for _ in range(count):
        yield "parquet", mutated(chosen.choice(wholes), chosen)


def mutated_others(seed: int, count: int) -> Bodies:
    """CSV, and bodies in gzip and zstd, changed."""
    chosen = random.Random(seed)
    text = frame().select("id", "text", "value", "yes").write_csv().encode()
    wholes = [("csv", text), ("gzip", gzip.compress(text)), ("zstd", zstandard.compress(text))]
    for _ in range(count):
        kind, whole = chosen.choice(wholes)
        yield kind, mutated(whole, chosen)


def crafted(seed: int, count: int) -> Bodies:
    """What does not come by chance: bombs, numbers that lead outside, names and types beyond reason."""
    yield from _bombs()
    yield from _invalid()
    yield from _beyond_reason()


def _bombs() -> Bodies:
    zeros = zlib.compressobj(9, wbits=31)
    yield "gzip", b"".join([zeros.compress(bytes(1 << 20)) for _ in range(280)] + [zeros.flush()])
    yield "zstd", zstandard.ZstdCompressor(level=3).compress(bytes(280 << 20))
    yield "zstd", zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(280 << 20))
    long = pa.array(["x" * 1000])
    many = pa.DictionaryArray.from_arrays(pa.array(bytes(1_000_000), pa.int8()), long)
    yield "arrow", _stream(pa.table({f"c{column}": many for column in range(5)}))
    # Within the bound of rows, some 100 GB: a hundred columns, each of a million times the same kilobyte.
    yield "parquet", _parquet(pa.table({f"c{column}": many for column in range(100)}))
    wide = pa.array([bytes(100_000)] * 4000, pa.binary(100_000))
    yield "parquet", _parquet(pa.table({"a": wide}))
    texts = [number.to_bytes(4, "big") + bytes(500_000) for number in range(560)]
    yield "parquet", _parquet(pa.table({"a": texts}), compression="zstd", use_dictionary=False)
    yield "parquet", _parquet(pa.table({"a": [[text] for text in texts]}), compression="zstd", use_dictionary=False)
    yield "parquet", _parquet(pa.table({"a": pa.nulls(10_000_000)}))
    yield "arrow", _stream(pa.table({"a": pa.nulls(2**31 - 1)}))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 1], pa.int32()), long)
    yield "arrow", _stream(pa.table({"a": runs}))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, pa.schema({"a": pa.int64()}), options=options) as writer:
        writer.write_batch(pa.record_batch({"a": pa.array([0] * 1_000_000)}))
    yield "arrow", stream.getvalue()


def _forged(array: pa.Array, old: bytes, new: bytes) -> tuple[str, bytes]:
    """Write an array, and then other bytes in the place of some of its own."""
    whole = _stream(pa.table({"a": array}))
    at = whole.rindex(old)
    return "arrow", whole[:at] + new + whole[at + len(new) :]


def _invalid() -> Bodies:
    """Arrays whose numbers lead outside of their memory, or whose texts are none."""
    words = pa.array(["a", "b"])
    for index in (2, -1, 2**31 - 1, -(2**31)):
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), words)
        yield _forged(column, struct.pack("<ii", 0, 1), struct.pack("<ii", 0, index))
    for offsets in ([0, 2**31 - 1], [3, 0], [-1, 3], [0, -(2**31)], [2, 2**30], [0, 4], [2**31 - 1, 2**31 - 1]):
        old, new = struct.pack("<ii", 0, 3), struct.pack("<ii", *offsets)
        for column in (pa.array(["abc"]), pa.array([b"abc"]), pa.array([[1, 2, 3]], pa.list_(pa.int8()))):
            yield _forged(column, old, new)
        yield _forged(pa.array([[(1, 2), (3, 4), (5, 6)]], pa.map_(pa.int8(), pa.int8())), old, new)
    for offsets in ([0, 2**62], [0, -1], [2**63 - 1, 2**63 - 1]):
        yield _forged(pa.array(["abc"], pa.large_utf8()), struct.pack("<qq", 0, 3), struct.pack("<qq", *offsets))
    for raw in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"a\xe4"):
        for kind in (pa.utf8(), pa.large_utf8()):
            yield _forged(pa.array(["~" * len(raw)], kind), b"~" * len(raw), raw)
    view = pa.array(["x" * 20], pa.string_view())
    old = struct.pack("<i4sii", 20, b"xxxx", 0, 0)
    for length, index, offset in ((20, 7, 0), (20, 0, 2**30), (2**31 - 1, 0, 0), (-1, 0, 0), (20, -1, 0), (20, 0, -1)):
        yield _forged(view, old, struct.pack("<i4sii", length, b"xxxx", index, offset))
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([2, 5], pa.int32()), words)
    for forged in ([5, 2], [-1, 5], [0, 5], [2, 2**31 - 1], [2, 3]):
        yield _forged(ends, struct.pack("<ii", 2, 5), struct.pack("<ii", *forged))
    price = pa.array([Decimal(1)], pa.decimal128(3, 0))
    yield _forged(price, struct.pack("<qq", 1, 0), struct.pack("<qq", -1, 2**62))
    yield _forged(pa.array([77], pa.int32()).cast(pa.time32("s")), struct.pack("<i", 77), struct.pack("<i", 2**31 - 1))


def _beyond_reason() -> Bodies:
    for depth in (10, 100, 500):
        kind: pa.DataType = pa.int8()
        for level in range(depth):
            kind = pa.list_(kind) if level % 2 else pa.struct({"a": kind})
        schema = pa.schema({"a": kind})
        stream = io.BytesIO()
        pa.ipc.new_stream(stream, schema).close()
        yield "arrow", stream.getvalue()
        yield "parquet", _parquet(schema.empty_table())
    for names in (["a", "a"], ["", "b"], ["\0", "b"], ["../x", "b"], ["a" * 100_000, "b"], ["a\n", "\u202eb"]):
        table = pa.table([pa.array([1]), pa.array([2])], names=names)
        yield "arrow", _stream(table)
        yield "parquet", _parquet(table)
    many = pa.table({f"c{column}": [1] for column in range(12_000)})
    yield "arrow", _stream(many)
    yield "parquet", _parquet(many)
    yield "csv", b",".join([b"c"] * 100_000) + b"\n"
    yield "csv", b"a,b\n" + b'"' * 1_000_001
    yield "csv", b"\xff\xfe,b\n1,2\n"
    for size in (2**31 - 1, -1, 2**30):
        yield "arrow", b"\xff\xff\xff\xff" + struct.pack("<i", size) + b"\0" * 64
    for size in (2**31 - 1, 2**32 - 1, 12):
        yield "parquet", b"PAR1" + b"\0" * 8 + struct.pack("<I", size) + b"PAR1"


BODIES: dict[str, Callable[[int, int], Bodies]] = {
    "mutated Arrow": mutated_arrow,
    "mutated Parquet": mutated_parquet,
    "mutated CSV, gzip and zstd": mutated_others,
    "bombs and forgeries": crafted,
}


def bounded(kind: str, data: bytes) -> pl.DataFrame | None:
    """Read a body with little memory."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY, resource.RLIM_INFINITY))
    try:
        return received(kind, data)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def received(kind: str, data: bytes) -> pl.DataFrame | None:
    """Read a body as the server does; None of one that is only decompressed."""
    if kind in {"gzip", "zstd"}:
        plain = decompress(data, kind.encode(), LIMITS.decompressed_bytes)
        assert len(plain) <= LIMITS.decompressed_bytes
        return None
    if kind == "arrow":
        return from_stream(data, BOUNDS).frame.to_polars()
    return (from_parquet if kind == "parquet" else from_csv)(data, BOUNDS).to_polars()


def outcome(kind: str, data: bytes) -> str:
    """Say what came of a body: refused, or accepted and then, by another library, found valid and within bounds."""
    try:
        found = bounded(kind, data)
    except TiffinError as error:
        # What no bound of ours has stopped ends where the memory does.
        return "out of memory" if "alloc" in error.message else "refused"
    except BaseException:  # noqa: BLE001 - whatever it is, it is one of ours that is missing
        return f"WRONG: {traceback.format_exc(limit=-4)}"
    if found is None:
        return "accepted"
    table = found.to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        return f"WRONG: invalid rows were accepted: {error}"
    if table.num_rows > BOUNDS.rows or table.nbytes > 2 * BOUNDS.size_bytes:
        return f"WRONG: {table.num_rows:,} rows, {table.nbytes:,} bytes were accepted"
    found.write_parquet(io.BytesIO())
    return "accepted"


def unvalidated(kind: str, data: bytes) -> str:
    """The same without the look at what has come; whether it is valid, PyArrow says of the stream itself."""

    def batches(reader: pa.RecordBatchStreamReader, bounds: Bounds | None) -> tuple[list[pa.RecordBatch], pa.Schema]:
        return list(reader), reader.schema

    try:
        with mock.patch.object(arrow_stream, "_batches", batches):
            bounded(kind, data)
    except BaseException:  # noqa: BLE001 - it was refused, by whoever
        return "refused"
    try:
        pa.ipc.open_stream(data).read_all().validate(full=True)
    except pa.ArrowException:
        return "invalid and accepted"
    return "accepted"


def main(name: str, seed: int, count: int, report: Path, first: int, judge: Callable[[str, bytes], str]) -> None:
    """Read the bodies from the `first` on; report each before it is read, and what came of it."""
    rows = frame().select("id", "text")
    for kind, data in (("csv", rows.write_csv().encode()), ("arrow", _stream(rows.to_arrow()))):
        # So that the threads, and what is kept for each, are there before they are counted.
        received(kind, data)
    with report.open("a") as lines:
        for number, (kind, data) in enumerate(BODIES[name](seed, count)):
            if number < first:
                continue
            print(json.dumps({"begin": number, "kind": kind, "bytes": len(data)}), file=lines, flush=True)
            print(json.dumps({"end": number, "outcome": judge(kind, data)}), file=lines, flush=True)


if __name__ == "__main__":
    task, called, begin, size, path, start = sys.argv[1:]
    main(called, int(begin), int(size), Path(path), int(start), {"read": outcome, "blind": unvalidated}[task])
    os._exit(0)
