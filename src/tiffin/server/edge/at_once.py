"""Requests that are answered while they are read: no task, no queue, no wait.

To hand a request to an ASGI app takes as long as to look up a row. So where a small request of a known route is all
there in one read, its answer is made before the next request is looked at. Whatever is not as plain as that, is
refused, or goes wrong is handed on to the app as if nobody had looked at it: so there is one place where errors are
answered, and this one only ever says 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from tiffin.server.caller import Caller
    from tiffin.server.edge.hosts import Headers
    from tiffin.server.edge.passage import Given

MOST_BYTES = 32 << 10
"""Bytes of a body that is looked at while all others wait."""


class Route(Protocol):
    """A POST route that can answer at once."""

    path: str
    """Without parameters in it."""
    query: str
    """What may follow it: the one query that is known beforehand, or none."""

    def __call__(self, caller: Caller, headers: Headers, body: bytes) -> tuple[bytes, int] | None:
        """Return the JSON of an answer and how many rows it has; None, or any error, if it needs more than this."""


class Turn:
    """The answers of one turn of the event loop, which are sent together at its end.

    To wake another process takes as long as a quarter of a small request. A client on this machine that gets several
    answers in a row is woken once.
    """

    def __init__(self) -> None:
        self._protocols: list[AtOnceProtocol] = []

    def add(self, protocol: AtOnceProtocol) -> None:
        """Let a connection send its answer at the end of the turn."""
        if not self._protocols:
            protocol.loop.call_soon(self._end)
        self._protocols.append(protocol)

    def _end(self) -> None:
        protocols, self._protocols = self._protocols, []
        for protocol in protocols:
            protocol.send_answer()


class AtOnce(Protocol):
    """An app that can answer some requests at once."""

    turn: Turn
    at_once: Mapping[bytes, Route]
    """The routes that can, by what stands in the first line of a request."""

    def answer_at_once(self, route: Route, given: Given, client: str | None, body: bytes) -> bytes | None:
        """Return the answer to a request from its headers on, but for the server's own; None if it must be handed on.

        Parameters
        ----------
        route : Route
            What it is sent to.
        given : list of (bytes, bytes)
            Its headers, names in lower case.
        client : str or None
            The address that it comes from.
        body : bytes
            All of its body.
        """


class AtOnceProtocol(HttpToolsProtocol):
    """A connection that answers small requests at once if its app can, which is an `AtOnce`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._app: AtOnce = self.config.loaded_app
        self._route: Route | None = None
        self._held = b""
        self._unsent = b""
        """The answer to a request of this turn, if one was answered at once."""

    def data_received(self, data: bytes) -> None:
        """Parse what came; a request that is not all there is handed on."""
        super().data_received(data)
        if self._route is not None:
            # Its end has not come yet.
            if self.transport.is_closing():
                self._route = None
            else:
                self._hand_on()

    def on_message_begin(self) -> None:
        """Begin a request, without the scope that only an app needs."""
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Wait for the body, if the request may be answered at once; else hand it on."""
        route = self._app.at_once.get(self.url)
        if route is not None and self._is_plain():
            self._route, self._held = route, b""
        else:
            self._hand_on_head()

    def on_body(self, body: bytes) -> None:
        """Keep the body, if it is of one piece."""
        if self._route is not None and self._held:
            self._hand_on()
        if self._route is None:
            super().on_body(body)
        else:
            self._held = body

    def on_message_complete(self) -> None:
        """Answer a request that is all there."""
        if self._route is not None:
            if self._answer(self._route):
                return
            self._hand_on()
        super().on_message_complete()

    def send_answer(self) -> None:
        """Send what waits for the end of the turn; before anything else is sent, or the connection is closed."""
        if self._unsent and not self.transport.is_closing():
            self.transport.write(self._unsent)
        self._unsent = b""

    def eof_received(self) -> None:
        """Answer a client that hangs up for its part."""
        self.send_answer()
        super().eof_received()

    def shutdown(self) -> None:
        """Finish what is under way, as the server stops."""
        self.send_answer()
        super().shutdown()

    def is_at_work(self) -> bool:
        """Tell whether the app has a request that it has not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_plain(self) -> bool:
        # One in each turn, so that a client that sends a thousand in one go waits for the others too.
        return not (
            self._unsent
            or self.is_at_work()
            or self.flow.write_paused
            or (parser := self.parser).get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or not parser.should_keep_alive()
        )

    def _answer(self, route: Route) -> bool:
        if len(self._held) > MOST_BYTES:
            return False
        client = self.client[0] if self.client else None
        answer = self._app.answer_at_once(route, self.headers, client, self._held)
        if answer is None:
            return False
        self._unsent = _start(*self.server_state.default_headers) + answer
        self._app.turn.add(self)
        self.server_state.total_requests += 1
        self._route = None
        return True

    def _hand_on(self) -> None:
        """Go on as if the body had just begun to come."""
        self._route = None
        self._hand_on_head()
        if self._held:
            super().on_body(self._held)

    def _hand_on_head(self) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()


@lru_cache(maxsize=8)
def _start(*headers: tuple[bytes, bytes]) -> bytes:
    """Write how an answer begins, down to the headers that the server itself adds: one of them is the date."""
    return b"".join([b"HTTP/1.1 200 OK\r\n", *(b"%b: %b\r\n" % header for header in headers)])
