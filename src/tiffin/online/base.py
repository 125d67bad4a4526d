"""What an online index is: for each table a head and one packed row per entity.

The index is a function of a table's version: everything in it can be made again from the table. So a backend that finds
itself lost or damaged says so (`IndexDamaged`) and is emptied and filled again; nothing is ever repaired in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter, lt
from typing import NamedTuple, Protocol

import msgspec

from tiffin.errors import IndexDamaged, InvalidInputError

MAX_KEY_BYTES = 480
"""Most bytes of an entity's key. (LMDB takes 511, of which a backend needs some for itself.)"""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What the index knows of a table; written in one step with the rows that it speaks of."""

    table: str
    """`group/name`."""
    version: int
    """The watermark: the version of the table that the rows are of."""
    timestamp: int
    """When that version was committed, milliseconds since 1970-01-01 UTC."""
    columns: tuple[str, ...]
    """The features of a row, in the order of its values."""
    layout: str
    """Fingerprint of the schema that the rows were packed by: entity, times and feature dtypes."""


_read_head = msgspec.msgpack.Decoder(Head)


def encode_head(head: Head) -> bytes:
    """Write a head as bytes; equal heads give equal bytes."""
    return msgspec.msgpack.encode(head)


def decode_head(data: bytes | memoryview) -> Head:
    """Read a head from what `encode_head` wrote, such as the `head` of `Rows`.

    Raises
    ------
    IndexDamaged
        It is not a head.
    """
    try:
        return _read_head.decode(data)
    except msgspec.MsgspecError as error:
        raise IndexDamaged(f"the online index holds a head that cannot be read: {error}", hint=REBUILD) from error


REBUILD = "the index is made again from the tables when they are next materialized"
"""What to say in the hint of an `IndexDamaged`."""


class Rows(NamedTuple):
    """Answer of an index for one table."""

    head: bytes | None
    """As `decode_head` reads it: other bytes whenever the head is another. None if the table has none."""
    rows: Sequence[bytes | None]
    """The packed row of each key; None where there is none."""


Batch = Sequence[tuple[bytes, bytes]]
Batches = Callable[[bytes | None], Iterable[Batch]]


class OnlineIndex(Protocol):
    """Keeps packed rows by table and key. Tables are named by the id in their metadata, which no two tables share.

    A key has 1 to `MAX_KEY_BYTES` bytes. Every method raises `OnlineUnavailable` if the index cannot be reached and
    `IndexDamaged` if it is not what was written; those that write raise `NoSpace` if it is full. All are safe to call
    from several threads and processes, and after a fork.
    """

    def head(self, table_id: str) -> Head | None:
        """Return what the index knows of a table; None if it has never been filled."""

    def get_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[Rows]:
        """Return the rows of some entities of some tables; head and rows of a table are of one moment.

        Parameters
        ----------
        wanted : sequence of (table id, keys)
            Which.

        Returns
        -------
        list of Rows
            One for each table, with a row or None for each of its keys.
        """

    def load(self, table_id: str, head: Head, batches: Batches) -> bool:
        """Replace all rows of a table; readers see the old rows until the last batch is in, then the new ones.

        A load that was interrupted goes on where it stopped, if it is begun again with an equal head.

        Parameters
        ----------
        table_id : str
            The table.
        head : Head
            What is to be known of it afterwards.
        batches : callable
            `batches(after)` yields sequences of (key, packed row): the rows whose keys come after `after` (all rows
            for None), in ascending order of their keys. It is called again if another process loads the same.

        Returns
        -------
        bool
            Whether the head is now this one. False, and readers saw no change, if meanwhile others changed the table's
            head to another, or began to load another.

        Raises
        ------
        InvalidInputError
            The keys are not in ascending order.
        """

    def apply(
        self, table_id: str, before: Head, head: Head, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]
    ) -> bool:
        """Change some rows and the head in one step; False, and nothing done, if the head is not `before`."""

    def count(self, table_id: str) -> int:
        """Count the entities of a table."""

    def keys(self, table_id: str, limit: int) -> list[bytes]:
        """Return the keys of `limit` entities spread over the table, or of all if it has no more; in no order."""

    def drop(self, table_id: str) -> None:
        """Forget a table."""

    def tables(self) -> list[str]:
        """List the ids of the tables that the index has a head of."""

    def reset(self) -> None:
        """Throw everything away, whatever state it is in, also while other processes use it: they see it empty."""

    def close(self) -> None:
        """Let go of the index; it opens again when it is next used."""


def ascending(batches: Iterable[Batch], after: bytes | None) -> Iterator[Batch]:
    """Pass batches on, and see to it that their keys ascend, on which resuming a load relies.

    Parameters
    ----------
    batches : iterable of sequences of (key, packed row)
        What `batches(after)` yields; empty ones are left out.
    after : bytes or None
        What the first key must come after.

    Raises
    ------
    InvalidInputError
        A key does not come after the one before it.
    """
    last = after or b""
    for batch in batches:
        keys = [last, *map(itemgetter(0), batch)]
        if not all(map(lt, keys, keys[1:])):
            raise InvalidInputError("the keys of a load do not ascend", hint="sort the rows by the bytes of their keys")
        last = keys[-1]
        if batch:
            yield batch
