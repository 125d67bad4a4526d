"""The backends that the conformance tests run on, one of them in memory; and processes that work on the others."""

from __future__ import annotations

import multiprocessing
import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import redis_server
from tiffin.files import LOCAL
from tiffin.online import Head, OnlineIndex, Rows, decode_head, encode_head, open_index
from tiffin.online.base import Batches, ascending

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tiffin.store", "polars"])
SHARED = ["lmdb", *(["redis"] if redis_server.IS_THERE else [])]
ALL = ["memory", *SHARED]
MAP_BYTES = 8 << 30

Row = tuple[bytes, bytes]


class Place(NamedTuple):
    """What another process needs to open the same index."""

    where: str
    folder: Path

    def open(self) -> OnlineIndex:
        return open_index(self.where, self.folder, LOCAL, MAP_BYTES)


class MemoryIndex:
    """The contract at its plainest."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[bytes, dict[bytes, bytes]]] = {}
        self._loads: dict[str, tuple[bytes, dict[bytes, bytes]]] = {}

    def head(self, table_id: str) -> Head | None:
        found = self._tables.get(table_id)
        return found and decode_head(found[0])

    def get_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[Rows]:
        answers = []
        for table_id, keys in wanted:
            head, rows = self._tables.get(table_id, (None, {}))
            answers.append(Rows(head, [rows.get(key) for key in keys]))
        return answers

    def load(self, table_id: str, head: Head, batches: Batches) -> bool:
        before = self._tables.get(table_id, (None, {}))[0]
        target, rows = self._loads.get(table_id, (b"", {}))
        if target != encode_head(head):
            target, rows = self._loads[table_id] = (encode_head(head), {})
        after = max(rows, default=None)
        for batch in ascending(batches(after), after):
            if self._loads.get(table_id, (b"", {}))[1] is rows:
                rows |= dict(batch)
        if self._loads.get(table_id, (b"", {}))[1] is rows:
            del self._loads[table_id]
            if before == self._tables.get(table_id, (None, {}))[0]:
                self._tables[table_id] = target, rows
        return self.head(table_id) == head

    def apply(self, table_id: str, before: Head, head: Head, puts: Sequence[Row], deletes: Sequence[bytes]) -> bool:
        if self.head(table_id) != before:
            return False
        rows = self._tables[table_id][1] | dict(puts)
        kept = {key: row for key, row in rows.items() if key not in set(deletes)}
        self._tables[table_id] = encode_head(head), kept
        return True

    def count(self, table_id: str) -> int:
        return len(self._tables.get(table_id, (None, {}))[1])

    def keys(self, table_id: str, limit: int) -> list[bytes]:
        keys = list(self._tables.get(table_id, (None, {}))[1])
        return random.sample(keys, min(limit, len(keys)))

    def drop(self, table_id: str) -> None:
        self._tables.pop(table_id, None)
        self._loads.pop(table_id, None)

    def tables(self) -> list[str]:
        return list(self._tables)

    def reset(self) -> None:
        self._tables.clear()
        self._loads.clear()

    def close(self) -> None:
        pass


def head_of(version: int) -> Head:
    return Head("group/name", version, 1_700_000_000_000 + version, ("a", "b"), "layout")


def key_of(number: int) -> bytes:
    return struct.pack(">Q", number)


def row_of(number: int, version: int) -> bytes:
    """A row that tells which entity and version it is of."""
    return struct.pack(">QQ", number, version) + bytes(number % 50)


def rows_of(count: int, version: int, after: bytes | None = None) -> list[Row]:
    start = 0 if after is None else struct.unpack(">Q", after)[0] + 1
    return [(key_of(number), row_of(number, version)) for number in range(start, count)]


def in_batches(rows: list[Row], size: int) -> Iterator[list[Row]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def contents(index: OnlineIndex, table_id: str, numbers: Sequence[int]) -> tuple[int | None, list[int | None]]:
    """The version of the head, and of each row; an error if a row is not of the entity asked for."""
    [(head, rows)] = index.get_many([(table_id, [key_of(number) for number in numbers])])
    versions = []
    for number, row in zip(numbers, rows, strict=True):
        version = None if row is None else struct.unpack_from(">Q", row, 8)[0]
        assert row is None or row == row_of(number, version), "a row of another entity"
        versions.append(version)
    return (None if head is None else decode_head(head).version), versions
