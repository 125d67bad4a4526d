"""One connection on an event loop."""

from __future__ import annotations

import asyncio
import math
import select
from typing import cast

from tiffin.client.exchange import Answer, Request
from tiffin.client.options import ClientOptions
from tiffin.client.reader import AnswerReader
from tiffin.client.route import Route

_JOINED_BYTES = 1 << 16
"""Bodies up to this size are sent together with what stands before them."""
_PIECE_BYTES = 1 << 18
"""Larger ones are sent so much at a time, and others have their turn in between."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time.

    After an exchange that failed or was cancelled it is closed: what is left of the answer must not be taken for the
    beginning of the next.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The one that runs.
    options : ClientOptions
        How much patience there is, and how long an answer may be.
    """

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, options: ClientOptions) -> None:
        self._is_open = True
        self._loop = loop
        self._read_timeout_s = options.read_timeout_s
        self._answer_bytes = options.answer_bytes
        self._reader: AnswerReader | None = None
        self._over: asyncio.Future[OSError | None] = loop.create_future()
        self._ends = self._heard = math.inf
        self._watch: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._poll = select.poll()

    def is_usable(self) -> bool:
        """Tell whether it can carry an exchange; the server may have closed it, and the loop not seen that yet."""
        return self._is_open and not self._transport.is_closing() and not self._poll.poll(0)

    async def exchange(self, request: Request, left_s: float, *, is_tunnel: bool = False) -> Answer:
        """Send a request; return its answer.

        Parameters
        ----------
        request : Request
            What is sent.
        left_s : float
            Seconds in which all must be over.
        is_tunnel : bool
            Whether a tunnel is asked for.

        Raises
        ------
        OSError
            The connection broke, what came is no answer, or time ran out.
        """
        reader = self._reader = AnswerReader(self._answer_bytes, is_tunnel=is_tunnel)
        over = self._over = self._loop.create_future()
        now = self._loop.time()
        self._ends, self._heard = now + left_s, math.inf
        try:
            is_sent = await self._send(request)
            self._heard = self._loop.time()
            self._watch_on()
            error = await over
        except BaseException:
            self.close()
            raise
        finally:
            self._reader = None
        if not (is_sent and (reader.keeps_open or is_tunnel)):
            self.close()
        if error:
            raise error
        return reader.answer()

    async def start_tls(self, way: Route) -> None:
        """Speak TLS from now on, with whom a tunnel leads to."""
        assert way.tls
        self._transport = cast(
            "asyncio.Transport",
            await self._loop.start_tls(self._transport, self, way.tls, server_hostname=way.tls_name),
        )

    def close(self) -> None:
        """Close it at once."""
        self._is_open = False
        self._transport.abort()

    async def _send(self, request: Request) -> bool:
        """Send a request, unless the answer comes before its end; tell whether all is sent."""
        if len(request.body) <= _JOINED_BYTES:
            self._transport.write(request.head + request.body)
            return True
        self._watch_on()
        self._transport.write(request.head)
        body = memoryview(request.body)
        for start in range(0, len(body), _PIECE_BYTES):
            if self._over.done():
                return False
            self._transport.write(body[start : start + _PIECE_BYTES])
            await self._writable.wait()
        return True

    def _due(self) -> float:
        """Return when the time for what is under way is over."""
        return min(self._ends, self._heard + self._read_timeout_s)

    def _watch_on(self) -> None:
        """Look again no later than when time is over. The watch outlives an exchange: it costs more than it takes."""
        due = self._due()
        if self._watch is not None:
            if self._watch.when() <= due:
                return
            self._watch.cancel()
        self._watch = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._loop.time() < self._due():
            self._watch_on()
        else:
            self._end(TimeoutError("no answer came in time"))

    def _end(self, error: OSError | None) -> None:
        if not self._over.done():
            self._over.set_result(error)
        # Whoever is still sending need not go on.
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._reader is None:
            # Nobody asked.
            self.close()
            return
        self._heard = self._loop.time()
        self._read(data)

    def eof_received(self) -> None:
        """Read that there is no more."""
        self._is_open = False
        if self._reader is not None:
            self._read(b"")

    def connection_lost(self, error: Exception | None) -> None:
        """End what is under way."""
        self._is_open = False
        if self._watch is not None:
            self._watch.cancel()
        self._end(ConnectionError(str(error or "the connection was closed without an answer")))

    def pause_writing(self) -> None:
        """Send no more for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Send on."""
        self._writable.set()

    def _read(self, data: bytes) -> None:
        assert self._reader is not None
        try:
            if self._reader.feed(data):
                self._end(None)
        except ConnectionError as error:
            self._end(error)
