"""What every request passes on its way to the routes, and every answer on its way back.

In this order: a request id; who may call at all (`Host`, `Origin`); how many at once; who it is (API key); how large
the body is, while it comes in; then the routes, for so many seconds at most. On the way back: headers that browsers
heed, the logs, the figures. Plain ASGI, because a framework's middleware would cost more than an online read; and for
small online reads past ASGI too (see `at_once`), by the same steps.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from typing import TYPE_CHECKING

from polars.exceptions import PanicException

from tiffin.errors import Busy, TiffinError, TimedOut, Unauthenticated
from tiffin.server.caller import KEY_HINT, Caller, anyone, nobody
from tiffin.server.edge.at_once import Route, Turn
from tiffin.server.edge.bodies import Budget, Receive
from tiffin.server.edge.connections import Connections
from tiffin.server.edge.hosts import Headers, Hosts
from tiffin.server.edge.logs import Journal
from tiffin.server.edge.metrics import Metrics
from tiffin.server.edge.passage import Given, Passage, Relay, Scope, Send
from tiffin.server.status import Malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tiffin.access import Keys
    from tiffin.server.options import ServerOptions

    App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json", "/docs", "/redoc"})
"""What is answered to those without a key too."""
OPEN_FOLDERS = ("/docs/", "/redoc/", "/assets/")

_ALWAYS = frozenset({"/health"})
"""What is answered however busy the server is, and whatever has become of its keys: who asks wants to know whether it
lives."""
_ONCE = (
    b"host", b"authorization", b"origin", b"content-length", b"content-encoding", b"content-type", b"idempotency-key",
)  # fmt: skip
"""Headers that mean two things if they stand twice."""
_NOT_AT_ONCE = frozenset({b"origin", b"expect", b"content-encoding"})
"""Headers of requests that take more than a look."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_MOST_SECRET_BYTES = 200
_TICK_S = 1.0


class Guard:
    """The app behind its guard; the outermost ASGI app of a server.

    Parameters
    ----------
    app : ASGI app
        Answers its own errors; finds `caller` and `request_id` in `request.state`, and may put `rows` there.
    options : ServerOptions
        Limits and hosts.
    keys : Keys
        The store's API keys. Where none was ever made, a server that only this machine reaches lets everyone do
        everything; any other does so if `options.insecure`.
    metrics : Metrics, optional
        Counts the requests.
    journal : Journal, optional
        Writes them down.
    at_once : iterable of Route
        Routes that can answer small requests past the app.
    """

    def __init__(
        self,
        app: App,
        options: ServerOptions,
        keys: Keys,
        *,
        metrics: Metrics | None = None,
        journal: Journal | None = None,
        at_once: Iterable[Route] = (),
    ) -> None:
        self.at_once = {f"{route.path}{route.query}".encode(): route for route in at_once}
        self.limits = options.limits
        self.connections = Connections(options.limits)
        self.turn = Turn()
        self._app = app
        self._keys = keys
        self._needs_no_keys = options.is_loopback or options.insecure
        self._hosts = Hosts(options)
        self._budget = Budget(options.limits)
        self._metrics = metrics or Metrics()
        self._journal = journal or Journal()
        self._under_way: dict[Relay, None] = {}
        self._ticks_in: asyncio.AbstractEventLoop | None = None
        self._process = os.urandom(4).hex()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = Relay(scope, send)
        self._enter(passage)
        try:
            if self._admit(passage, others=len(self._under_way) - 1):
                await self._app(scope, self._bounded(passage, scope, receive), passage.send)
            else:
                await passage.answer(self._hosts.preflight(passage.headers))
        except TiffinError as error:
            await passage.refuse(error)
        except asyncio.CancelledError:
            # What took too long was cancelled here, and is being answered; all else when the server stops.
            if passage.refusing is None and passage.status:
                raise
            if passage.refusing is None:
                await passage.refuse(_stopped())
        finally:
            if passage.refusing is not None:
                await asyncio.wait({passage.refusing})
            self._leave(passage)
            passage.settle()
            self._write_down(passage)

    def answer_at_once(self, route: Route, given: Given, client: str | None, body: bytes) -> bytes | None:
        """Answer a request if its route can do so without waiting for anything; see `AtOnce`.

        A request that is handed on meets again in `__call__` whatever stood against it here, and is answered there:
        nothing of it has been counted or written down yet.
        """
        passage = Passage("POST", route.path, route.path.encode(), given, client)
        headers = passage.headers
        if not (b"content-length" in headers and _NOT_AT_ONCE.isdisjoint(headers) and self._budget.has_room(len(body))):
            return None
        try:
            self._admit(passage, others=len(self._under_way))
            found = route(passage.caller, headers, body)
        except (Exception, PanicException):  # noqa: BLE001 - the app meets it again, and says so
            return None
        if found is None:
            return None
        answer, passage.rows = found
        passage.route = route.path
        passage.request_id = self._name(headers)
        written = passage.as_json(answer)
        self._see_to_ticks()
        self._write_down(passage)
        return written

    def _name(self, headers: Headers) -> str:
        given = headers.get(b"x-request-id")
        if given and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"{self._process}-{next(self._numbers):x}"

    def _enter(self, passage: Relay) -> None:
        passage.request_id = self._name(passage.headers)
        self._under_way[passage] = None
        self._metrics.in_flight += 1
        self._see_to_ticks()

    def _see_to_ticks(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ticks_in is not loop:
            self._ticks_in = loop
            loop.call_later(_TICK_S, self._tick, loop)

    def _admit(self, passage: Passage, *, others: int) -> bool:
        """Let a request in, or raise why not; False stands for a browser's question that the guard answers."""
        headers, path = passage.headers, passage.path
        if len(headers) != len(passage.given):
            _check_once(passage.given)
        self._hosts.check(headers)
        if b"origin" in headers:
            passage.allowance = self._hosts.allowance(headers)
            if self._hosts.is_preflight(passage.method, headers):
                passage.status = 204
                return False
        if others >= self.limits.concurrent_requests and path not in _ALWAYS:
            raise Busy("as many requests are under way as may be", hint="try again in a moment")
        passage.caller = self._caller(path, headers)
        return True

    def _caller(self, path: str, headers: Headers) -> Caller:
        shown = headers.get(b"authorization")
        if shown is None and path in _ALWAYS:
            return nobody()
        if self._needs_no_keys and not self._keys.exist():
            return anyone()
        if shown is None:
            if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
                return nobody()
            raise Unauthenticated("this server asks for an API key", hint=KEY_HINT)
        scheme, _, secret = shown[:_MOST_SECRET_BYTES].partition(b" ")
        key = self._keys.verify(secret.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
        if key is None:
            raise Unauthenticated("the API key is not valid: unknown, revoked or expired", hint=KEY_HINT)
        return Caller.of(key)

    def _bounded(self, passage: Relay, scope: Scope, receive: Receive) -> Receive:
        """Return what receives a request's body, bounded; the headers no longer tell of a compression undone."""
        headers = passage.headers
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            passage.introduce()
            return receive
        passage.body = body = self._budget.body(None if length is None else int(length))
        passage.introduce()
        encoding = headers.get(b"content-encoding", b"identity")
        if encoding.lower() != b"identity":
            gone = (b"content-encoding", b"content-length")
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in gone]
            return body.decompressed(receive, encoding, is_counted=length is not None)
        # The parser holds a body to the length that was said.
        return receive if length is not None else body.counted(receive)

    def _leave(self, passage: Relay) -> None:
        del self._under_way[passage]
        self._metrics.in_flight -= 1

    def _write_down(self, passage: Passage) -> None:
        """Count a request that has ended, and write it down."""
        took = time.monotonic() - passage.started
        route = passage.route
        self._metrics.observe(passage.method, route, passage.status, took, passage.rows)
        if passage.caller.asked not in {None, "read"} and passage.status < 300:
            self._metrics.observe_write(route, took)
        self._journal.write(passage, took)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer for what takes too long; once a second while anything is under way."""
        if self._under_way:
            loop.call_later(_TICK_S, self._tick, loop)
        else:
            self._ticks_in = None
        latest = time.monotonic() - self.limits.request_s
        for passage in list(self._under_way):
            if passage.started > latest:
                break
            if not passage.status and passage.refusing is None:
                self._end(passage, loop)
        self._metrics.refresh()

    def _end(self, passage: Relay, loop: asyncio.AbstractEventLoop) -> None:
        error = TimedOut(
            f"the request took longer than {self.limits.request_s:g} seconds",
            hint="ask for less at once; if it was to change something, look whether it has",
        )
        # A task of its own, because what works for the request may sit in a thread that cannot be cancelled.
        passage.refusing = loop.create_task(passage.refuse(error))
        if passage.task is not None:
            passage.task.cancel()


def _stopped() -> TimedOut:
    return TimedOut(
        "the server stopped before the request was done", hint="if it was to change something, look whether it has"
    )


def _check_once(given: Given) -> None:
    names = [name for name, _ in given]
    for name in _ONCE:
        if names.count(name) > 1:
            raise Malformed(f"the header {name.decode()!r} stands twice", hint="send it once")
