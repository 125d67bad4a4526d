"""HTTP off a socket, with patience that ends: uvicorn's own protocol waits for slow clients for ever.

A client has so many seconds for the head of a request, and must send a body and fetch an answer at a certain pace:
each byte earns it time, up to a few seconds' worth. Reading on is not its fault when the server has paused it.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sized
from enum import Enum
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl

from tiffin.errors import TiffinError, TooSlow
from tiffin.server.edge.at_once import AtOnceProtocol
from tiffin.server.problems import answer_of
from tiffin.server.status import HeadTooLarge, Malformed, headers_of
from tiffin.wire.media import PROBLEM

if TYPE_CHECKING:
    from tiffin.server.edge.guard import Guard

_NEVER = math.inf
MOST_AHEAD = 128
"""Requests that a client may send before the one under way is answered; each takes memory."""
_ACKNOWLEDGED_AT = 120
"""Where `tcpi_bytes_acked` stands in Linux's `tcp_info`."""
_OF_BODIES = (b"content-length", b"transfer-encoding")
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
}


class _Reading(Enum):
    NOTHING = 0
    HEAD = 1
    BODY = 2


class _Flow(FlowControl):
    """Reads no more while requests wait for others to be answered: uvicorn reads on with every answer."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class GuardedProtocol(AtOnceProtocol):
    """A connection whose app is a `Guard`, which has the limits and the list of connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        guard: Guard = self.config.loaded_app
        self._limits = guard.limits
        self._open = guard.connections
        self._reading = _Reading.NOTHING
        self._is_refused = False
        self._is_new = True
        self._is_idle = False
        self._head_bytes = 0
        self._unheard_bytes = 0
        self._read_by = _NEVER
        self._fetched_by = _NEVER
        self._fetched = 0
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Count the connection in, or refuse it."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self.address = self.client[0] if self.client else ""
        refusal = self._open.admit(self, self.loop)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._read_by = self.loop.time() + self._limits.head_s

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        self._open.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see how long the client may take for the rest."""
        if self._is_refused:
            return
        if self._is_idle:
            self._is_idle = False
            self._read_by = _NEVER
        self._head_bytes += len(data)
        super().data_received(data)
        is_whole = self._reading is _Reading.NOTHING
        if is_whole and self.is_at_work():
            self._read_by = _NEVER
            self._head_bytes = 0
        elif is_whole and self._unsent:
            # After the app's answers uvicorn sets a timer for this, which takes longer.
            self._is_idle = True
            self._read_by = self.loop.time() + self._limits.idle_s
        elif not self.transport.is_closing():
            self._wait_on(len(data))

    def _wait_on(self, size: int) -> None:
        """Count bytes of a request that is not whole yet."""
        now = self.loop.time()
        if self._reading is _Reading.HEAD and self._head_bytes > self._limits.header_bytes:
            self._refuse(self._head_too_large())
        elif self._reading is _Reading.BODY:
            earned = self._read_by + size / self._limits.bytes_per_s if self._read_by < _NEVER else _NEVER
            self._read_by = min(earned, now + self._limits.stall_s)
            if not self.is_at_work():
                # It was answered before it was whole. Clients that send all before they read get to see the answer.
                self._unheard_bytes += size
                if self._unheard_bytes > self._limits.body_bytes:
                    self._cut_off()
        elif self._read_by == _NEVER:
            self._read_by = now + self._limits.head_s

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reading = _Reading.HEAD
        self._unheard_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request to the app, unless its head is too large."""
        if self._is_refused:
            return
        self._reading = _Reading.BODY
        self._read_by = _NEVER
        self._is_new = False
        if len(self.pipeline) == MOST_AHEAD:
            # To say why would be to answer another request.
            self._is_refused = True
            self._cut_off()
            return
        if self._head_bytes > self._limits.header_bytes and self._size_of_head() > self._limits.header_bytes:
            self._refuse(self._head_too_large())
            return
        version = self.parser.get_http_version()
        if version != "1.1" and (version != "1.0" or any(name == b"transfer-encoding" for name, _ in self.headers)):
            # The old version has no chunks: somebody between here and the client may see other requests than this.
            self._refuse(Malformed(f"the request is not valid HTTP/{version}", hint="speak HTTP/1.1"))
            return
        if self.parser.should_upgrade() and any(name in _OF_BODIES for name, _ in self.headers):
            # The parser takes what follows for the other protocol: the body would be lost, or be the next request.
            self._refuse(
                Malformed("a request that has a body cannot ask for another protocol", hint="leave out Upgrade")
            )
            return
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # It drops what came with this, and so may be in the middle of the next request.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._reading = _Reading.NOTHING
        self._head_bytes = 0
        if not self._is_refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - as uvicorn has it
        """Answer what is not HTTP."""
        self._refuse(Malformed("the request is not valid HTTP", hint="speak HTTP/1.1"))

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: who asks for WebSockets here gets an ordinary answer."""

    def is_waiting(self, *, for_first: bool) -> bool:
        """Tell whether this waits for its client to send a request, the first one or any."""
        return self._reading is not _Reading.BODY and (self._is_new if for_first else not self.is_at_work())

    def dismiss(self) -> None:
        """Close this for the sake of another connection."""
        self._is_refused = True
        self.send_answer()
        self.transport.close()

    def check(self, now: float) -> None:
        """Close the connection if the client is too slow; called every half second."""
        if self.transport.get_write_buffer_size() == 0:
            self._fetched_by = _NEVER
        elif self._is_fetched_too_slowly(now):
            self._cut_off()
            return
        if now > self._read_by:
            self._end_patience(now)

    def _is_fetched_too_slowly(self, now: float) -> bool:
        fetched = _acknowledged_bytes(self.transport)
        earned = self._fetched_by + (fetched - self._fetched) / self._limits.bytes_per_s
        self._fetched_by = min(earned, now + self._limits.stall_s)
        self._fetched = fetched
        return now > self._fetched_by

    def _end_patience(self, now: float) -> None:
        if self.flow.read_paused or (self._reading is _Reading.HEAD and self.is_at_work()):
            # The server makes it wait, with the body or with the next request.
            self._read_by = now + self._limits.stall_s
        elif self._reading is _Reading.NOTHING or (self._reading is _Reading.BODY and not self.is_at_work()):
            self.transport.close()
        else:
            self._refuse(TooSlow("the request did not come in time", hint="send it in one go, or faster"))

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"the address and headers are longer than {self._limits.header_bytes:,} bytes",
            hint="send long lists in a body",
        )

    def _cut_off(self) -> None:
        """Close at once, and let the system forget what it still has for the client, who may never fetch it."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, error: TiffinError) -> None:
        """Answer past the app, and close."""
        self._is_refused = True
        self.send_answer()
        if self.cycle is not None:
            # The app must not answer too.
            is_owed = bool(self.pipeline) or (self.is_at_work() and self.cycle.response_started)
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if is_owed:
                # What came before has not been answered, or not to the end: this would be taken for a part of that.
                self._cut_off()
                return
        self.transport.write(_answer(error))
        self.transport.close()


def _acknowledged_bytes(transport: asyncio.Transport) -> int:
    """Count what the client's machine has got so far; how full our buffer is would not tell, as the system has more."""
    told = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED_AT + 8)
    return int(struct.unpack_from("Q", told, _ACKNOWLEDGED_AT)[0])


def _answer(error: TiffinError) -> bytes:
    status, body = answer_of(error, "")
    headers = {"Content-Type": PROBLEM, "Content-Length": str(len(body)), "Connection": "close", **headers_of(error)}
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
