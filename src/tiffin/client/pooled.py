"""Calls from threads: each over a connection of its own, which is kept for the next."""

from __future__ import annotations

import os
import select
import socket
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from tiffin.client.attempts import Attempts
from tiffin.client.call import Call
from tiffin.client.exchange import Answer, Broken, Outcome, Request, broken_off, route, settle, written
from tiffin.client.options import ClientOptions
from tiffin.client.reader import AnswerReader

T = TypeVar("T")

_PIECE_BYTES = 1 << 18
_JOINED_BYTES = 1 << 16
"""Bodies up to this size are sent together with what stands before them."""


class _Connection(NamedTuple):
    """A socket, and what tells whether it can be read."""

    socket: socket.socket
    poll: select.poll

    def is_readable(self) -> bool:
        return bool(self.poll.poll(0))


_Pool = deque[_Connection]
"""Connections that are idle, the one used last at the end."""


class PooledTransport:
    """Sends calls, from any thread and also after a fork.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self._route = route(options)
        self._idle = self._begun()

    def send(self, call: Call[T]) -> T:
        """Send a call, as often as it takes and may be; `settle` says what it gives and raises."""
        request = written(call, self.options, self._route)
        attempts = Attempts(call, self.options)
        while True:
            outcome = self._attempt(request, attempts)
            pause_s = attempts.pause_s(outcome)
            if pause_s is None:
                return settle(call, outcome, self.options)
            time.sleep(pause_s)

    def close(self) -> None:
        """Close the connections that are idle; the next call opens new ones."""
        _close_all(self._pool())

    def __reduce__(self) -> tuple[Any, ...]:
        # What is sent to another process, as data loaders do, opens connections of its own there.
        return type(self), (self.options,)

    def _attempt(self, request: Request, attempts: Attempts) -> Outcome:
        pool = self._pool()
        try:
            connection = _kept(pool) or self._connect(attempts)
        except OSError as error:
            return Broken(str(error), was_sent=False, was_slow=isinstance(error, TimeoutError))
        try:
            return self._exchange(connection, request, attempts, pool)
        except OSError as error:
            connection.socket.close()
            return broken_off(error)
        except BaseException:
            # What is left of the answer must not be taken for the beginning of the next.
            connection.socket.close()
            raise

    def _exchange(self, connection: _Connection, request: Request, attempts: Attempts, pool: _Pool) -> Answer:
        at, reader = connection.socket, AnswerReader(self.options.answer_bytes)
        at.settimeout(attempts.left_s())
        try:
            _send(at, request)
        except ConnectionError:
            # It may have answered before it had read all, and closed: that what is sent is too large, for example.
            if not connection.is_readable():
                raise
        answer = _hear(at, reader, self.options.read_timeout_s, attempts)
        if reader.keeps_open and len(pool) < self.options.connections:
            pool.append(connection)
        else:
            at.close()
        return answer

    def _connect(self, attempts: Attempts) -> _Connection:
        way = self._route
        patience_s = min(self.options.connect_timeout_s, attempts.left_s())
        made = socket.create_connection((way.host, way.port), patience_s)
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if way.tunnel is not None:
                made.sendall(way.tunnel)
                reader = AnswerReader(self.options.answer_bytes, is_tunnel=True)
                way.check_tunnel(_hear(made, reader, patience_s, attempts).status)
            if way.tls is not None:
                made = way.tls.wrap_socket(made, server_hostname=way.tls_name)
        except BaseException:
            made.close()
            raise
        poll = select.poll()
        poll.register(made, select.POLLIN)
        return _Connection(made, poll)

    def _pool(self) -> _Pool:
        pid, pool = self._idle
        if pid != os.getpid():
            # Of a child of a fork: it must not write into the connections of its parent. Closing them here leaves
            # them open there.
            _close_all(pool)
            self._idle = self._begun()
        return self._idle[1]

    def _begun(self) -> tuple[int, _Pool]:
        """Begin with no connections; those to come are closed when this is forgotten."""
        pool: _Pool = deque()
        weakref.finalize(self, _close_all, pool)
        return os.getpid(), pool


def _send(at: socket.socket, request: Request) -> None:
    if len(request.body) <= _JOINED_BYTES:
        at.sendall(request.head + request.body)
    else:
        at.sendall(request.head)
        at.sendall(request.body)


def _hear(at: socket.socket, reader: AnswerReader, patience_s: float, attempts: Attempts) -> Answer:
    """Read an answer as it comes, no longer than there is time."""
    is_whole = False
    while not is_whole:
        if attempts.is_over:
            raise TimeoutError("the answer did not end in time")
        at.settimeout(min(patience_s, attempts.left_s()))
        is_whole = reader.feed(at.recv(_PIECE_BYTES))
    return reader.answer()


def _kept(pool: _Pool) -> _Connection | None:
    """Take a connection that is open; None if there is none."""
    with suppress(IndexError):
        while True:
            connection = pool.pop()
            if not connection.is_readable():
                return connection
            # Nothing was asked: what can be read is that the server has closed it.
            connection.socket.close()
    return None


def _close_all(pool: _Pool) -> None:
    with suppress(IndexError):
        while True:
            pool.pop().socket.close()
