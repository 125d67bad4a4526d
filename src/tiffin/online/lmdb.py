"""The online index in LMDB: a B-tree in one file, mapped into the memory of every process that uses it.

What lies in the tree, by the first byte of the key:

=======================  ===================================================================
key                      value
=======================  ===================================================================
`h` + table id           the table's entry: its slot, the number of its rows, its head
`l` + table id           a load that goes on, or was interrupted: its slot and how far it came
`g` + slot               b"": the rows of this slot are to be deleted
`n`                      the slot that was given out last
slot + entity's key      a packed row; a slot has four bytes, the first from 128 up
=======================  ===================================================================

Rows of a new slot lie behind all others, so that a load fills page after page. A head switches to them in one
transaction. (LMDB's own appending, measured, loads two thirds as many rows a second and saves 3 % of the space.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import xxhash

from tiffin.errors import IndexDamaged
from tiffin.online.base import REBUILD, Batch, Batches, Head, Rows, ascending, decode_head, encode_head
from tiffin.online.environment import Environment, Opened

if TYPE_CHECKING:
    import lmdb

    from tiffin.files import FileSystem

    Transaction = lmdb.Transaction[bytes]

BATCH_ROWS = 100_000
"""Most rows that one transaction loads or deletes: others can write in between."""

_FIRST_SLOT = 1 << 31
_ENTRY, _LOAD, _GARBAGE, _LAST = b"h", b"l", b"g", b"n"
_SUM_BYTES = 8


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """Where the rows of a table are."""

    slot: bytes
    rows: int
    head: bytes


class _Load(msgspec.Struct, frozen=True, array_like=True):
    """How far a load has come."""

    slot: bytes
    rows: int
    head: bytes
    after: bytes | None


R = TypeVar("R", _Entry, _Load)


class LmdbIndex:
    """An `OnlineIndex` in a folder; threads and processes share it.

    Parameters
    ----------
    folder : Path
        Where its files are; made when first needed.
    fs : FileSystem
        The file system that the folder is on. LMDB itself always writes to the machine's.
    map_bytes : int
        Most bytes that the data may take; they cost address space, not memory. The same in all processes.
    """

    def __init__(self, folder: Path, fs: FileSystem, map_bytes: int) -> None:
        self._environment = Environment(folder.resolve(), fs, map_bytes)

    def head(self, table_id: str) -> Head | None:
        """Return what the index knows of a table; None if it has never been filled."""
        entry = self._entry(table_id)
        return None if entry is None else decode_head(entry.head)

    def get_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[Rows]:
        """Return the rows of some entities of some tables, and their heads, all of one moment."""
        return self._environment.read(_get_many, wanted)

    def load(self, table_id: str, head: Head, batches: Batches) -> bool:
        """Replace all rows of a table, in transactions of up to 100,000 rows."""
        self._environment.clear_readers()
        before = self._entry(table_id)
        mark: _Load | None = self._environment.write(_begin, table_id, encode_head(head))
        is_filled = is_loaded = False
        while mark is not None and not is_filled:
            mark, is_filled = self._fill(table_id, mark, batches)
        if mark is not None:
            is_loaded = self._environment.write(_switch, table_id, before, mark)
        self._sweep()
        # If another process has loaded the same to the end, that is as good.
        return is_loaded or self.head(table_id) == head

    def _fill(self, table_id: str, mark: _Load, batches: Batches) -> tuple[_Load | None, bool]:
        """Write rows from a mark on; return how far the load has come, and whether that is the end.

        It is not if another process has begun to load the same; None if it loads something else.
        """
        for batch in ascending(batches(mark.after), mark.after):
            for first in range(0, len(batch), BATCH_ROWS):
                rows = batch[first : first + BATCH_ROWS]
                found = self._environment.write(_advance, table_id, mark, rows)
                if found is None or found.head != mark.head:
                    return None, False
                mark = found
                if found.after != rows[-1][0]:
                    return mark, False
        return mark, True

    def apply(
        self, table_id: str, before: Head, head: Head, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]
    ) -> bool:
        """Change some rows and the head in one transaction."""
        return self._environment.write(_apply, table_id, (encode_head(before), encode_head(head)), puts, deletes)

    def count(self, table_id: str) -> int:
        """Count the entities of a table."""
        entry = self._entry(table_id)
        return 0 if entry is None else entry.rows

    def keys(self, table_id: str, limit: int) -> list[bytes]:
        """Return every n-th key of a table."""
        return self._environment.write(_some_keys, table_id, limit)

    def drop(self, table_id: str) -> None:
        """Forget a table, and delete its rows in transactions of up to 100,000."""
        self._environment.write(_drop, table_id)
        self._sweep()

    def tables(self) -> list[str]:
        """List the ids of the tables that the index has a head of."""
        return self._environment.write(_tables)

    def reset(self) -> None:
        """Remove the files, whatever state they are in, unless another process has done so meanwhile."""
        self._environment.remove()

    def close(self) -> None:
        """Let go of the files; they are opened again when the index is next used."""
        self._environment.let_go()

    def _entry(self, table_id: str) -> _Entry | None:
        return self._environment.read(_get_entry, table_id)

    def _sweep(self) -> None:
        """Delete the rows of slots that are no longer used, those of loads and drops that were killed too."""
        while self._environment.write(_sweep_some):
            pass


def _get_many(opened: Opened, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[Rows]:
    transaction = opened.begin()
    try:
        get = transaction.get
        answers = []
        for table_id, keys in wanted:
            entry = _recall(transaction, opened, table_id)
            if entry is None:
                answers.append(Rows(None, [None] * len(keys)))
            else:
                slot = entry.slot
                answers.append(Rows(entry.head, [get(slot + key) for key in keys]))
        return answers
    finally:
        transaction.abort()


def _recall(transaction: Transaction, opened: Opened, table_id: str) -> _Entry | None:
    """Return a table's entry, which is decoded again only if its bytes are others than last time.

    That a transaction has the same number as an earlier one would tell nothing: LMDB takes the number first and the
    rows afterwards, so that now and then they are of a later one.
    """
    remembered = opened.remembered
    key, known, entry = remembered.get(table_id) or (_ENTRY + table_id.encode(), b"", None)
    data = transaction.get(key)
    if data is None:
        remembered.pop(table_id, None)
        return None
    if data != known:
        entry = _decoded(key, data, table_id, _Entry)
        remembered[table_id] = key, data, entry
    return entry


def _get_entry(opened: Opened, table_id: str) -> _Entry | None:
    with opened.begin() as transaction:
        return _read(transaction, _ENTRY, table_id, _Entry)


def _some_keys(transaction: Transaction, table_id: str, limit: int) -> list[bytes]:
    entry = _read(transaction, _ENTRY, table_id, _Entry)
    if entry is None or limit <= 0:
        return []
    cursor = transaction.cursor()
    cursor.set_range(entry.slot)
    step = max(1, entry.rows // limit)
    found = islice(cursor.iternext(keys=True, values=False), 0, min(entry.rows, step * limit), step)
    return [key[len(entry.slot) :] for key in found if key.startswith(entry.slot)]


def _tables(transaction: Transaction) -> list[str]:
    cursor = transaction.cursor()
    cursor.set_range(_ENTRY)
    found = takewhile(lambda key: key.startswith(_ENTRY), cursor.iternext(keys=True, values=False))
    return [key[len(_ENTRY) :].decode() for key in found]


def _apply(
    transaction: Transaction,
    table_id: str,
    heads: tuple[bytes, bytes],
    puts: Sequence[tuple[bytes, bytes]],
    deletes: Sequence[bytes],
) -> bool:
    before, head = heads
    entry = _read(transaction, _ENTRY, table_id, _Entry)
    if entry is None or entry.head != before:
        return False
    held = transaction.stat()["entries"]
    transaction.cursor().putmulti(_under(entry.slot, sorted(puts, key=itemgetter(0))))
    for key in deletes:
        transaction.delete(entry.slot + key)
    rows = entry.rows + transaction.stat()["entries"] - held
    _write(transaction, _ENTRY, table_id, _Entry(entry.slot, rows, head))
    return True


def _drop(transaction: Transaction, table_id: str) -> None:
    entry = _read(transaction, _ENTRY, table_id, _Entry)
    mark = _read(transaction, _LOAD, table_id, _Load)
    for kind, found in ((_ENTRY, entry), (_LOAD, mark)):
        if found is not None:
            transaction.put(_GARBAGE + found.slot, b"")
            transaction.delete(kind + table_id.encode())


def _begin(transaction: Transaction, table_id: str, head: bytes) -> _Load:
    """Take up a load where it was interrupted, or begin it in a new slot."""
    found = _read(transaction, _LOAD, table_id, _Load)
    if found is not None and found.head == head:
        return found
    if found is not None:
        transaction.put(_GARBAGE + found.slot, b"")
    last = transaction.get(_LAST)
    slot = ((_FIRST_SLOT if last is None else int.from_bytes(last, "big")) + 1).to_bytes(4, "big")
    transaction.put(_LAST, slot)
    begun = _Load(slot, 0, head, None)
    _write(transaction, _LOAD, table_id, begun)
    return begun


def _advance(transaction: Transaction, table_id: str, mark: _Load, rows: Batch) -> _Load | None:
    """Add rows to a load if it is where it was left; return where it is."""
    found = _read(transaction, _LOAD, table_id, _Load)
    if found != mark:
        return found
    transaction.cursor().putmulti(_under(mark.slot, rows))
    advanced = _Load(mark.slot, mark.rows + len(rows), mark.head, rows[-1][0])
    _write(transaction, _LOAD, table_id, advanced)
    return advanced


def _switch(transaction: Transaction, table_id: str, before: _Entry | None, mark: _Load) -> bool:
    """Let the head of a table speak of the rows that were loaded; throw them away if it is another than `before`."""
    if _read(transaction, _LOAD, table_id, _Load) != mark:
        return False
    entry = _read(transaction, _ENTRY, table_id, _Entry)
    transaction.delete(_LOAD + table_id.encode())
    if entry != before:
        transaction.put(_GARBAGE + mark.slot, b"")
        return False
    if entry is not None:
        transaction.put(_GARBAGE + entry.slot, b"")
    _write(transaction, _ENTRY, table_id, _Entry(mark.slot, mark.rows, mark.head))
    return True


def _sweep_some(transaction: Transaction) -> bool:
    """Delete some rows of the first slot that is garbage; False if there is none."""
    cursor = transaction.cursor()
    if not cursor.set_range(_GARBAGE) or not cursor.key().startswith(_GARBAGE):
        return False
    slot = cursor.key()[1:]
    cursor.set_range(slot)
    found = islice(cursor.iternext(keys=True, values=False), BATCH_ROWS)
    keys = list(takewhile(lambda key: key.startswith(slot), found))
    deleted = sum(map(transaction.delete, keys))
    if deleted < len(keys):
        raise IndexDamaged("the online index has rows that cannot be found", hint=REBUILD)
    if len(keys) < BATCH_ROWS:
        transaction.delete(_GARBAGE + slot)
    return True


def _under(slot: bytes, rows: Batch) -> Iterator[tuple[bytes, bytes]]:
    # One at a time: a list of a hundred thousand would be gone through by the garbage collector.
    return ((slot + key, row) for key, row in rows)


def _write(transaction: Transaction, kind: bytes, table_id: str, record: _Entry | _Load) -> None:
    key, body = kind + table_id.encode(), msgspec.msgpack.encode(record)
    transaction.put(key, xxhash.xxh3_64_digest(key + body) + body)


def _read(transaction: Transaction, kind: bytes, table_id: str, as_type: type[R]) -> R | None:
    key = kind + table_id.encode()
    data = transaction.get(key)
    return None if data is None else _decoded(key, data, table_id, as_type)


def _decoded(key: bytes, data: bytes, table_id: str, as_type: type[R]) -> R:
    body = data[_SUM_BYTES:]
    if data[:_SUM_BYTES] != xxhash.xxh3_64_digest(key + body):
        raise IndexDamaged(f"what the online index knows of table {table_id} is not what was written", hint=REBUILD)
    record: R = msgspec.msgpack.decode(body, type=as_type)
    return record
