"""Calls on an event loop: many at once, over connections that are kept."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from functools import partial
from typing import Any, TypeVar

from tiffin.client.attempts import Attempts
from tiffin.client.call import Call
from tiffin.client.connection import Connection
from tiffin.client.exchange import Answer, Broken, Outcome, Request, broken_off, route, settle, written
from tiffin.client.options import ClientOptions
from tiffin.client.route import Route
from tiffin.frames import FeatureFrame

T = TypeVar("T")

_LARGE_BYTES = 1 << 20
"""Frames from this size on are written and read in a thread, so that the event loop is not held up."""


class _Pool:
    """The connections on one event loop: those that are idle, the one used last at the end, and turns for all."""

    def __init__(self, connections: int) -> None:
        self.turns = asyncio.Semaphore(connections)
        self._idle: deque[Connection] = deque()
        self._is_closed = False

    def take(self) -> Connection | None:
        """Take a connection that is open; None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    def keep(self, connection: Connection) -> None:
        if self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()


class ConcurrentTransport:
    """Sends calls on the event loop that runs.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self._route = route(options)
        self._pid = os.getpid()
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}

    async def send(self, call: Call[T]) -> T:
        """Send a call, as often as it takes and may be; `settle` says what it gives and raises."""
        is_large = isinstance(call.body, FeatureFrame) and call.body.to_polars().estimated_size() >= _LARGE_BYTES
        write = partial(written, call, self.options, self._route)
        request = await asyncio.to_thread(write) if is_large else write()
        attempts = Attempts(call, self.options)
        while True:
            outcome = await self._attempt(request, attempts)
            pause_s = attempts.pause_s(outcome)
            if pause_s is None:
                if isinstance(outcome, Answer) and len(outcome.body) >= _LARGE_BYTES:
                    return await asyncio.to_thread(settle, call, outcome, self.options)
                return settle(call, outcome, self.options)
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Close the connections, those under way after their answers; the next call opens new ones."""
        here, pools = asyncio.get_running_loop(), self._pools_here()
        for loop, pool in list(pools.items()):
            pools.pop(loop, None)
            if loop is here:
                pool.close()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(pool.close)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is sent to another process, as data loaders do, opens connections of its own there.
        return type(self), (self.options,)

    async def _attempt(self, request: Request, attempts: Attempts) -> Outcome:
        pool = self._pool()
        try:
            if pool.turns.locked():
                async with asyncio.timeout(attempts.left_s()):
                    await pool.turns.acquire()
            else:
                await pool.turns.acquire()
        except TimeoutError:
            return Broken("no connection became free in time", was_sent=False, was_slow=True)
        try:
            return await self._exchange(pool, request, attempts)
        finally:
            pool.turns.release()

    async def _exchange(self, pool: _Pool, request: Request, attempts: Attempts) -> Outcome:
        try:
            connection = pool.take() or await self._connect(attempts)
        except OSError as error:
            was_slow = isinstance(error, TimeoutError)
            return Broken(str(error) or "it took too long", was_sent=False, was_slow=was_slow)
        try:
            answer = await connection.exchange(request, attempts.left_s())
        except OSError as error:
            return broken_off(error)
        pool.keep(connection)
        return answer

    async def _connect(self, attempts: Attempts) -> Connection:
        way, loop = self._route, asyncio.get_running_loop()
        patience_s = min(self.options.connect_timeout_s, attempts.left_s())
        tls: dict[str, Any] = {} if way.tunnel or not way.tls else {"ssl": way.tls, "server_hostname": way.tls_name}
        async with asyncio.timeout(patience_s):
            _, connection = await loop.create_connection(
                lambda: Connection(loop, self.options), way.host, way.port, **tls
            )
            if way.tunnel:
                await _lead_through(connection, way, way.tunnel, patience_s)
        return connection

    def _pool(self) -> _Pool:
        pools, loop = self._pools_here(), asyncio.get_running_loop()
        if loop not in pools:
            for gone in [loop for loop in list(pools) if loop.is_closed()]:
                pools.pop(gone, None)
            pools[loop] = _Pool(self.options.connections)
        return pools[loop]

    def _pools_here(self) -> dict[asyncio.AbstractEventLoop, _Pool]:
        if self._pid != os.getpid():
            # Of a child of a fork: the connections are its parent's, which would hear no more if they were closed here.
            self._pid, self._pools = os.getpid(), {}
        return self._pools


async def _lead_through(connection: Connection, way: Route, tunnel: bytes, patience_s: float) -> None:
    """Have a proxy lead a connection through to the server, and speak TLS there."""
    try:
        answer = await connection.exchange(Request(tunnel, b""), patience_s, is_tunnel=True)
        way.check_tunnel(answer.status)
        await connection.start_tls(way)
    except BaseException:
        connection.close()
        raise
