"""One request on its way through the guard, and its answer on the way back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tiffin.errors import TiffinError
from tiffin.server.caller import Caller, nobody
from tiffin.server.edge.bodies import Body, Message
from tiffin.server.edge.hosts import Headers
from tiffin.server.problems import answer_of
from tiffin.server.status import headers_of
from tiffin.wire.media import PROBLEM

Scope = MutableMapping[str, Any]
Given = list[tuple[bytes, bytes]]
"""Headers as they came, names in lower case."""
Send = Callable[[Message], Awaitable[None]]

CLIENT_GONE = 499
"""Stands in logs and figures for the status of a request whose client hung up before the answer."""

REFUSED = "refused"
UNMATCHED = "unmatched"
"""Stand for the route of a request that the guard refused, or that the routes have no place for."""

_PAGES = ("/docs", "/redoc")
_PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"worker-src 'self' blob:; frame-ancestors 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_PAGE_HEADERS = (*_HEADERS[:2], (b"content-security-policy", _PAGE_POLICY), (b"referrer-policy", b"no-referrer"))
_NO_STORE = (b"cache-control", b"no-store")

_AS_JSON = (
    b"content-type: application/json\r\ncontent-length: %d\r\n"
    + b"".join(b"%b: %b\r\n" % header for header in _HEADERS)
    + b"x-request-id: %b\r\n"
    + b"%b: %b\r\n\r\n%%b" % _NO_STORE
)
"""An answer that is JSON and goes past ASGI: the headers, given its length and the request's id, and the body."""


class Passage:
    """What is known of one request on its way through the guard.

    Parameters
    ----------
    method, path : str
        Of the request; the path as it is understood.
    raw_path : bytes
        As it came.
    given : list of (bytes, bytes)
        The headers, names in lower case.
    client : str or None
        The address that it comes from.
    """

    __slots__ = (
        "allowance", "caller", "client", "given", "headers", "method", "path", "raw_path", "request_id", "route",
        "rows", "started", "status",
    )  # fmt: skip

    def __init__(self, method: str, path: str, raw_path: bytes, given: Given, client: str | None) -> None:
        self.method = method
        self.path = path
        self.raw_path = raw_path
        self.given = given
        self.headers: Headers = dict(given)
        self.client = client
        self.started = time.monotonic()
        self.request_id = ""
        """Names the request in the answer and the logs."""
        self.caller = _UNKNOWN
        self.allowance: list[tuple[bytes, bytes]] = []
        """Headers that let pages of the request's origin see the answer."""
        self.route = REFUSED
        """The template of the request's route, of which there are only so many."""
        self.rows = 0
        """Rows that were answered."""
        self.status = 0
        """Of the answer, once it has begun."""

    def as_json(self, body: bytes) -> bytes:
        """Write an answer that is JSON past ASGI, from its own headers on: what `Relay.send` would make of it."""
        self.status = 200
        return _AS_JSON % (len(body), self.request_id.encode(), body)


class Relay(Passage):
    """A request that is answered by an ASGI app.

    Parameters
    ----------
    scope : dict
        ASGI's, of the request.
    send : callable
        Sends the answer.
    """

    __slots__ = ("_scope", "_send", "body", "refusing", "task")

    def __init__(self, scope: Scope, send: Send) -> None:
        client = scope.get("client")
        super().__init__(
            scope["method"],
            scope["path"],
            scope.get("raw_path", b""),
            scope["headers"],
            client[0] if client else None,
        )
        self.body: Body | None = None
        self.task = asyncio.current_task()
        """Works for the request."""
        self.refusing: asyncio.Task[None] | None = None
        """Answers in the app's place, which took too long."""
        self._scope = scope
        self._send = send

    def introduce(self) -> None:
        """Tell the app who asks; it may find a route from now on."""
        self._scope.setdefault("state", {}).update(caller=self.caller, request_id=self.request_id)
        self.route = UNMATCHED

    def settle(self) -> None:
        """Take over what the app has found out; the answer is sent."""
        # The tasks hold this: without that, each request would leave a circle to the garbage collector.
        self.task = self.refusing = None
        if self.body is not None:
            self.body.release()
        if self.route is UNMATCHED:
            self.route = getattr(self._scope.get("route"), "path", UNMATCHED)
            self.rows = self._scope["state"].get("rows", 0)
        self.status = self.status or CLIENT_GONE

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message of the app's answer on, with the guard's headers."""
        if self.refusing is not None:
            return _nothing()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._complete(message.get("headers", ()))
        return self._send(message)

    async def refuse(self, error: TiffinError) -> None:
        """Answer with an error, unless an answer has begun."""
        if self.status:
            raise error
        self.status, body = answer_of(error, self.request_id)
        own = {"content-type": PROBLEM, "content-length": str(len(body)), **headers_of(error)}
        headers = self._complete([(name.lower().encode(), value.encode()) for name, value in own.items()])
        await self.answer(headers, body)

    async def answer(self, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        """Answer past the app, with `status`."""
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _complete(self, headers: Any) -> list[tuple[bytes, bytes]]:
        always = _PAGE_HEADERS if self.path.startswith(_PAGES) else _HEADERS
        complete = [*headers, *always, (b"x-request-id", self.request_id.encode()), *self.allowance]
        if b"cache-control" not in dict(headers):
            complete.append(_NO_STORE)
        return complete


_UNKNOWN: Caller = nobody()
"""The caller of a request that was refused before it was known; nothing is ever required of it."""


async def _nothing() -> None:
    """Stand for sending what nobody waits for any more."""
