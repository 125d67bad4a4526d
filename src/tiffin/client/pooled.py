"""Calls from threads: the standard library's HTTP, over connections that are kept."""

from __future__ import annotations

import base64
import http.client
import os
import select
import ssl
import time
import weakref
from collections import deque
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from tiffin.client.attempts import Attempts
from tiffin.client.call import Call
from tiffin.client.exchange import Answer, Broken, Outcome, Request, settle, written
from tiffin.client.options import ClientOptions

T = TypeVar("T")

_Pool = deque[http.client.HTTPConnection]
"""Connections that are idle, the one used last at the end."""

_PIECE_BYTES = 1 << 20
_PORTS = {"http": 80, "https": 443}


class PooledTransport:
    """Sends calls, from any thread and also after a fork.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self._parts = urlsplit(options.url)
        self._proxy = None if options.proxy is None else urlsplit(options.proxy)
        self._proxy_headers = {} if self._proxy is None else _credentials(self._proxy)
        # A proxy of plain HTTP is told the whole address, and who asks, with each request.
        is_told = self._proxy is not None and self._parts.scheme == "http"
        self._before_path = (options.url if is_told else self._parts.path).rstrip("/")
        self._added = self._proxy_headers if is_told else {}
        self._idle: tuple[int, _Pool] = (os.getpid(), deque())
        weakref.finalize(self, _close_all, self._idle[1])

    def send(self, call: Call[T]) -> T:
        """Send a call, as often as it takes and may be; `settle` says what it gives and raises."""
        request = written(call, self.options)
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
        except (OSError, http.client.HTTPException) as error:
            return Broken(str(error), was_sent=False, was_slow=isinstance(error, TimeoutError))
        try:
            answer = self._exchange(connection, request, attempts)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            why = str(error) or type(error).__name__
            return Broken(why, was_sent=True, was_slow=isinstance(error, TimeoutError))
        except BaseException:
            # What is left of the answer must not be taken for the beginning of the next.
            connection.close()
            raise
        if connection.sock is not None and len(pool) < self.options.connections:
            pool.append(connection)
        else:
            connection.close()
        return answer

    def _exchange(self, connection: http.client.HTTPConnection, request: Request, attempts: Attempts) -> Answer:
        headers = {**request.headers, **self._added}
        connection.sock.settimeout(attempts.left_s())
        try:
            connection.request(request.method, self._before_path + request.path, request.body, headers)
        except ConnectionError:
            # It may have answered before it had read all, and closed: that what is sent is too large, for example.
            if not _is_readable(connection):
                raise
        connection.sock.settimeout(min(self.options.read_timeout_s, attempts.left_s()))
        response = connection.getresponse()
        return Answer(response.status, response.headers, _body(response, attempts))

    def _connect(self, attempts: Attempts) -> http.client.HTTPConnection:
        there, near = self._parts, self._proxy or self._parts
        # The port is of what is connected to, the scheme of what is spoken with the server.
        port = near.port or _PORTS[near.scheme]
        made: http.client.HTTPConnection
        if there.scheme == "https":
            made = http.client.HTTPSConnection(near.hostname or "", port, context=self._tls)
        else:
            made = http.client.HTTPConnection(near.hostname or "", port)
        if self._proxy and there.scheme == "https":
            made.set_tunnel(there.hostname or "", there.port or _PORTS[there.scheme], self._proxy_headers)
        made.timeout = min(self.options.connect_timeout_s, attempts.left_s())
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.options.ca_file)

    def _pool(self) -> _Pool:
        pid, pool = self._idle
        if pid != os.getpid():
            # Of a child of a fork: it must not write into the connections of its parent. Closing them here leaves
            # them open there.
            _close_all(pool)
            self._idle = (os.getpid(), deque())
        return self._idle[1]


def _kept(pool: _Pool) -> http.client.HTTPConnection | None:
    """Take a connection that is open; None if there is none."""
    with suppress(IndexError):
        while True:
            connection = pool.pop()
            if not _is_readable(connection):
                return connection
            # Nothing was asked: what can be read is that the server has closed it.
            connection.close()
    return None


def _is_readable(connection: http.client.HTTPConnection) -> bool:
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _body(response: http.client.HTTPResponse, attempts: Attempts) -> bytes:
    """Read the body of an answer as it comes, no longer than there is time."""
    pieces = []
    while piece := response.read1(_PIECE_BYTES):
        pieces.append(piece)
        if attempts.is_over:
            raise TimeoutError("the answer did not end in time")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    response.close()
    return b"".join(pieces)


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    said = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(said.encode()).decode()}"}


def _close_all(pool: _Pool) -> None:
    with suppress(IndexError):
        while True:
            pool.pop().close()
