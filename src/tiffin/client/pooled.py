"""Calls from threads: the standard library's HTTP, over connections that are kept."""

from __future__ import annotations

import http.client
import os
import select
import ssl
import time
from collections import deque
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from tiffin.client.attempts import Attempts
from tiffin.client.call import Call
from tiffin.client.exchange import Answer, Broken, Outcome, Request, settle, written
from tiffin.client.options import ClientOptions

T = TypeVar("T")

_PIECE_BYTES = 1 << 20


class PooledTransport:
    """Sends calls, from any thread and also after a fork.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        parts = urlsplit(options.url)
        through_proxy = options.proxy is not None and parts.scheme == "http"
        self._before_path = (options.url if through_proxy else parts.path).rstrip("/")
        self._parts = parts
        self._idle: tuple[int, deque[http.client.HTTPConnection]] = (os.getpid(), deque())

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
        pool = self._pool()
        while pool:
            pool.pop().close()

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
        if len(pool) < self.options.connections:
            pool.append(connection)
        else:
            connection.close()
        return answer

    def _exchange(self, connection: http.client.HTTPConnection, request: Request, attempts: Attempts) -> Answer:
        connection.sock.settimeout(min(self.options.read_timeout_s, attempts.left_s()))
        try:
            connection.request(request.method, self._before_path + request.path, request.body, request.headers)
        except ConnectionError:
            # It may have answered before it had read all, and closed: that what is sent is too large, for example.
            if not _is_readable(connection):
                raise
        response = connection.getresponse()
        return Answer(response.status, response.headers, _body(response, attempts))

    def _connect(self, attempts: Attempts) -> http.client.HTTPConnection:
        timeout_s = min(self.options.connect_timeout_s, attempts.left_s())
        near = self._parts if self.options.proxy is None else urlsplit(self.options.proxy)
        made = self._connection(near, timeout_s)
        if self.options.proxy and self._parts.scheme == "https":
            made.set_tunnel(self._parts.hostname or "", self._parts.port or https_port)
        made.connect()
        return made

    def _pool(self) -> deque[http.client.HTTPConnection]:
        # A child of a fork must not write into the connections of its parent.
        if self._idle[0] != os.getpid():
            self._idle = (os.getpid(), deque())
        return self._idle[1]
