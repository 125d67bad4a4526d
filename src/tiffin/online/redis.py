"""The online index on a Redis or Valkey server (6.2 or newer), for serving from several machines.

For each table there are, all keys beginning with `tiffin:{table id}:`,

============  =====================================================================
`head`        a string: the slot of the rows (8 characters), then the head
`rows:slot`   a hash: packed rows by key; and an empty field, which tells it is whole
`load`        a string: where a load is that goes on, or was interrupted
============  =====================================================================

A server that is full and may evict drops whole keys: rows that are gone are noticed by the empty field that is missing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from tiffin.errors import IndexDamaged, InvalidInputError, NoSpace, OnlineUnavailable
from tiffin.online.base import REBUILD, Batch, Batches, Head, Rows, ascending, decode_head, encode_head

T = TypeVar("T")

BATCH_ROWS = 10_000
"""Most rows that are written in one transaction: the server does nothing else meanwhile."""
COMMAND_ROWS = 1_000
"""Most rows in one command."""
_SLOT_BYTES = 8
_WHOLE = b""
"""The field of a hash of rows that no entity has."""

_READ = """
local answer, at = {}, 1
for number, head_key in ipairs(KEYS) do
    local rows_key, count = ARGV[at], tonumber(ARGV[at + 1])
    local first, last = at + 2, at + 1 + count
    at = last + 1
    local head, rows = redis.call('GET', head_key), {}
    if head then
        -- Lua passes on no more than some thousand arguments at a time.
        for from = first, last, 5000 do
            local slot, upto = string.sub(head, 1, 8), math.min(from + 4999, last)
            local some = redis.call('HMGET', rows_key .. slot, unpack(ARGV, from, upto))
            for i = 1, #some do rows[#rows + 1] = some[i] end
        end
    end
    answer[2 * number - 1], answer[2 * number] = head, rows
end
return answer
"""
"""Of each table: its head, and the fields of its rows; all of one moment, in one round trip."""


class _Load(msgspec.Struct, frozen=True, array_like=True):
    """How far a load has come."""

    slot: bytes
    head: bytes
    after: bytes | None


_FORKED: list[object] = []
"""What parent processes were using, kept from being finalized."""


class RedisIndex:
    """An `OnlineIndex` on a server.

    Parameters
    ----------
    url : str
        `redis://user:password@host:port/database`, or `rediss://` for TLS.
    timeout_s : float
        Seconds to wait for the server, to connect and for each answer.

    Raises
    ------
    InvalidInputError
        The URL cannot be read.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        try:
            parts = urlsplit(url)
            self._where = f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
            self._connect: Callable[[], redis.Redis] = partial(
                redis.Redis.from_url,
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # A server that was started anew is noticed by its connections being dead. One that does not answer is
                # not asked again: the caller has waited long enough.
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
            self._renew()
        except ValueError:
            # Its text may hold the password.
            message = "the URL of the online index cannot be read"
            raise InvalidInputError(message, hint="write it like redis://user:password@host:6379/0") from None

    def _renew(self) -> None:
        """Make a client of this process; no connection is made before it is used."""
        self._made, self._made_by = self._connect(), os.getpid()
        self._read = self._made.register_script(_READ)

    @property
    def _client(self) -> redis.Redis:
        if self._made_by != os.getpid():
            # What was forked may hold locks of threads that are no more, and would wait for them even to be let go of.
            self._made.auto_close_connection_pool = False
            _FORKED.append(self._read)
            self._renew()
        return self._made

    def head(self, table_id: str) -> Head | None:
        """Return what the index knows of a table; None if it has never been filled."""
        with self._translated():
            found: Any = self._client.get(_key(table_id, "head"))
        return None if found is None else decode_head(found[_SLOT_BYTES:])

    def get_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[Rows]:
        """Return the rows of some entities of some tables, and their heads, all of one moment, in one round trip."""
        asked: list[str | int | bytes] = []
        for table_id, keys in wanted:
            asked += [_key(table_id, "rows:"), len(keys) + 1, _WHOLE, *keys]
        with self._translated():
            heads = [_key(table_id, "head") for table_id, _ in wanted]
            found: Any = self._read(keys=heads, args=asked, client=self._client)
        answers = []
        for (_, keys), head, rows in zip(wanted, found[::2], found[1::2], strict=True):
            if head is None:
                answers.append(Rows(None, [None] * len(keys)))
            elif rows[0] is None:
                raise self._lost()
            else:
                answers.append(Rows(head[_SLOT_BYTES:], rows[1:]))
        return answers

    def load(self, table_id: str, head: Head, batches: Batches) -> bool:
        """Replace all rows of a table, in transactions of up to 10,000 rows."""
        with self._translated():
            before: Any = self._client.get(_key(table_id, "head"))
            mark: _Load | None = self._begin(table_id, encode_head(head))
            is_filled = False
            while mark is not None and not is_filled:
                mark, is_filled = self._fill(table_id, mark, batches)
            is_loaded = mark is not None and self._switch(table_id, before, mark)
        # If another process has loaded the same to the end, that is as good.
        return is_loaded or self.head(table_id) == head

    def apply(
        self, table_id: str, before: Head, head: Head, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]
    ) -> bool:
        """Change some rows and the head in one transaction."""
        known = encode_head(before)

        def work(asked: Pipeline) -> bool:
            found = _get(asked, _key(table_id, "head"))
            if found is None or found[_SLOT_BYTES:] != known:
                return False
            slot = found[:_SLOT_BYTES]
            asked.multi()
            _put(asked, _rows(table_id, slot), puts)
            if deletes:
                asked.hdel(_rows(table_id, slot), *deletes)
            asked.set(_key(table_id, "head"), slot + encode_head(head))
            return True

        with self._translated():
            return self._change(work, _key(table_id, "head"))

    def count(self, table_id: str) -> int:
        """Count the entities of a table."""
        fields: int | None = self._of_rows(table_id, self._client.hlen)
        if fields == 0:
            raise self._lost()
        return 0 if fields is None else fields - 1

    def keys(self, table_id: str, limit: int) -> list[bytes]:
        """Return keys chosen at random."""
        fields: list[bytes] | None = self._of_rows(table_id, lambda rows: self._client.hrandfield(rows, limit + 1))
        return [field for field in fields or [] if field != _WHOLE][:limit]

    def drop(self, table_id: str) -> None:
        """Forget a table."""

        def work(asked: Pipeline) -> None:
            head, load = _get(asked, _key(table_id, "head")), _get_load(asked, table_id)
            asked.multi()
            if head is not None:
                asked.unlink(_rows(table_id, head[:_SLOT_BYTES]))
            if load is not None:
                asked.unlink(_rows(table_id, load.slot))
            asked.delete(_key(table_id, "head"), _key(table_id, "load"))

        with self._translated():
            self._change(work, _key(table_id, "head"), _key(table_id, "load"))

    def tables(self) -> list[str]:
        """List the ids of the tables that the index has a head of."""
        with self._translated():
            found = list(self._client.scan_iter(match="tiffin:{*}:head", count=1000))
        # What others have put there may be no text; it has no head, then.
        return [key.decode(errors="replace").removeprefix("tiffin:{").removesuffix("}:head") for key in found]

    def reset(self) -> None:
        """Remove what Tiffin keeps in this database of the server, other stores' tables too: they fill it again."""
        with self._translated():
            for key in self._client.scan_iter(match="tiffin:{*}:*", count=1000):
                self._client.unlink(key)

    def close(self) -> None:
        """Close the connections; new ones are made when the index is next used."""
        self._client.close()

    def _of_rows(self, table_id: str, ask: Callable[[str], Any]) -> Any:
        """Ask something of a table's rows; None if it has none. Again if they are others by then."""
        with self._translated():
            head: Any = self._client.get(_key(table_id, "head"))
            while head is not None:
                slot = head[:_SLOT_BYTES]
                answer = ask(_rows(table_id, slot))
                head = self._client.get(_key(table_id, "head"))
                if head is not None and head.startswith(slot):
                    return answer
        return None

    def _begin(self, table_id: str, head: bytes) -> _Load:
        """Take up a load where it was interrupted, or begin it in a new slot."""

        def work(asked: Pipeline) -> _Load:
            mark = _get_load(asked, table_id)
            if mark is not None and mark.head == head and asked.hexists(_rows(table_id, mark.slot), _WHOLE):
                return mark
            begun = _Load(os.urandom(_SLOT_BYTES // 2).hex().encode(), head, None)
            asked.multi()
            if mark is not None:
                asked.unlink(_rows(table_id, mark.slot))
            asked.hset(_rows(table_id, begun.slot), _WHOLE, b"")
            _set_load(asked, table_id, begun)
            return begun

        return self._change(work, _key(table_id, "load"))

    def _fill(self, table_id: str, mark: _Load, batches: Batches) -> tuple[_Load | None, bool]:
        """Write rows from a mark on; return how far the load has come, and whether that is the end.

        It is not if another process has begun to load the same; None if it loads something else.
        """
        for batch in ascending(batches(mark.after), mark.after):
            for first in range(0, len(batch), BATCH_ROWS):
                rows = batch[first : first + BATCH_ROWS]
                found = self._advance(table_id, mark, rows)
                if found is None or found.head != mark.head:
                    return None, False
                mark = found
                if found.after != rows[-1][0]:
                    return mark, False
        return mark, True

    def _advance(self, table_id: str, mark: _Load, rows: Batch) -> _Load | None:
        """Add rows to a load if it is where it was left; return where it is."""

        def work(asked: Pipeline) -> _Load | None:
            found = _get_load(asked, table_id)
            if found != mark:
                return found
            advanced = _Load(mark.slot, mark.head, rows[-1][0])
            asked.multi()
            _put(asked, _rows(table_id, mark.slot), rows)
            _set_load(asked, table_id, advanced)
            return advanced

        return self._change(work, _key(table_id, "load"))

    def _switch(self, table_id: str, before: bytes | None, mark: _Load) -> bool:
        """Let a table's head speak of the rows that were loaded; throw them away if it is another than `before`."""

        def work(asked: Pipeline) -> bool:
            head, load = _get(asked, _key(table_id, "head")), _get_load(asked, table_id)
            if load != mark:
                return False
            asked.multi()
            asked.delete(_key(table_id, "load"))
            if head != before:
                asked.unlink(_rows(table_id, mark.slot))
                return False
            asked.set(_key(table_id, "head"), mark.slot + mark.head)
            if head is not None:
                asked.unlink(_rows(table_id, head[:_SLOT_BYTES]))
            return True

        return self._change(work, _key(table_id, "head"), _key(table_id, "load"))

    def _change(self, work: Callable[[Pipeline], T], *watched: str) -> T:
        """Read some keys, and write what depends on them if nobody changed them meanwhile; else begin again.

        `work` reads, calls `multi` and then writes.
        """
        while True:
            with contextlib.suppress(redis.WatchError), self._client.pipeline(transaction=True) as asked:
                asked.watch(*watched)  # type: ignore[no-untyped-call]  # redis has no types for it
                done = work(asked)
                asked.execute()
                return done

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.exceptions.OutOfMemoryError as error:
            raise NoSpace(
                f"the server of the online index, {self._where}, is full: {_said(error)}",
                hint="raise its maxmemory, or keep fewer tables online",
            ) from error
        except redis.RedisError as error:
            if _said(error).startswith("WRONGTYPE"):
                raise IndexDamaged(
                    f"the online index at {self._where} is not Tiffin's: {_said(error)}", hint=REBUILD
                ) from error
            raise OnlineUnavailable(
                f"the online index at {self._where} cannot be used: {_said(error)}",
                hint="check that the server runs, and the user and password in online_index",
            ) from error

    def _lost(self) -> IndexDamaged:
        return IndexDamaged(f"the server at {self._where} has dropped rows of the online index", hint=REBUILD)


def _said(error: redis.RedisError) -> str:
    """Return what the server said; the client puts the command before it, with rows that are nobody's business."""
    return str(error).rpartition(" of pipeline caused error: ")[2]


def _key(table_id: str, name: str) -> str:
    return f"tiffin:{{{table_id}}}:{name}"


def _rows(table_id: str, slot: bytes) -> str:
    return _key(table_id, f"rows:{slot.decode()}")


def _get(asked: Pipeline, key: str) -> bytes | None:
    return cast("bytes | None", asked.get(key))


def _get_load(asked: Pipeline, table_id: str) -> _Load | None:
    data = _get(asked, _key(table_id, "load"))
    try:
        return None if data is None else msgspec.msgpack.decode(data, type=_Load)
    except msgspec.MsgspecError as error:
        raise IndexDamaged(f"the online index holds a load that cannot be read: {error}", hint=REBUILD) from error


def _set_load(asked: Pipeline, table_id: str, load: _Load) -> None:
    asked.set(_key(table_id, "load"), msgspec.msgpack.encode(load))


def _put(asked: Pipeline, rows: str, puts: Sequence[tuple[bytes, bytes]]) -> None:
    for first in range(0, len(puts), COMMAND_ROWS):
        asked.hset(rows, items=[*chain.from_iterable(puts[first : first + COMMAND_ROWS])])
