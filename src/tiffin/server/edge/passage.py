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


class Passage:
    """One request on its way through the guard.

    Parameters
    ----------
    scope : dict
        ASGI's, of the request.
    send : callable
        Sends the answer.
    request_id : str
        Names the request in the answer and the logs.
    headers : dict of bytes to bytes
        Of the request, names in lower case.
    """

    __slots__ = (
        "_send", "allowance", "body", "caller", "headers", "refusing", "request_id", "scope", "started",
        "status", "task", "was_admitted",
    )  # fmt: skip

    def __init__(self, scope: Scope, send: Send, request_id: str, headers: Headers) -> None:
        self.scope = scope
        self.request_id = request_id
        self.headers = headers
        self.started = time.monotonic()
        self.task = asyncio.current_task()
        self.caller = _UNKNOWN
        self.body: Body | None = None
        self.allowance: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.was_admitted = False
        self.refusing: asyncio.Task[None] | None = None
        """Answers in the app's place, which took too long."""
        self._send = send

    @property
    def route(self) -> str:
        """The template of the request's route, of which there are only so many."""
        if not self.was_admitted:
            return REFUSED
        return getattr(self.scope.get("route"), "path", UNMATCHED)

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
        always = _PAGE_HEADERS if self.scope["path"].startswith(_PAGES) else _HEADERS
        complete = [*headers, *always, (b"x-request-id", self.request_id.encode()), *self.allowance]
        if b"cache-control" not in dict(headers):
            complete.append(_NO_STORE)
        return complete


_UNKNOWN: Caller = nobody()
"""The caller of a request that was refused before it was known; nothing is ever required of it."""


async def _nothing() -> None:
    """Stand for sending what nobody waits for any more."""
