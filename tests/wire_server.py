"""The whole server behind connections without sockets: what it makes of bytes, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.server import ServerState

import tiffin
from tiffin.server.app import create_app
from tiffin.server.edge.protocol import GuardedProtocol
from tiffin.server.options import Limits, ServerOptions
from tiffin.server.run import _config

PATIENCE_S = 20


class Wire:
    """A socket's place: what was sent, and whether it was closed."""

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self}.get(name, default)

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 50_000

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 8001

    def setsockopt(self, *_args: Any) -> None:
        """A socket is told what to do with what it still has."""

    def write(self, data: bytes) -> None:
        assert not self.closed, "it was closed before the answer was sent"
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Server:
    """The whole app behind a connection without a socket."""

    def __init__(self, store: tiffin.FeatureStore, **options: Any) -> None:
        self.options = ServerOptions(limits=Limits(**options.pop("limits", {})), **options)
        self.guard = create_app(store, self.options)
        self.handed_on = 0
        app = self.guard._app

        async def counted(*arguments: Any) -> None:
            self.handed_on += 1
            await app(*arguments)

        self.guard._app = counted

    def connect(self) -> tuple[GuardedProtocol, Wire]:
        config = _config(self.guard, self.options)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Mon, 01 Jan 2024 00:00:00 GMT")]
        wire = Wire()
        protocol = GuardedProtocol(config, state, {}, _loop=asyncio.get_running_loop())
        protocol.connection_made(wire)
        return protocol, wire

    async def ask(self, *pieces: bytes, answers: int = 1) -> bytes:
        """Send pieces; return what is sent back until there are so many answers."""
        protocol, wire = self.connect()
        for piece in pieces:
            protocol.data_received(piece)
        await until(lambda: wire.sent.count(b"HTTP/1.1 ") >= answers and not protocol.is_at_work())
        protocol.connection_lost(None)
        return wire.sent

    async def both_ways(self, *pieces: bytes, answers: int = 1) -> tuple[bytes, bytes]:
        """Send the same with and without answering at once."""
        quick = await self.ask(*pieces, answers=answers)
        routes, self.guard.at_once = self.guard.at_once, {}
        usual = await self.ask(*pieces, answers=answers)
        self.guard.at_once = routes
        return quick, usual


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


def request(body: object, path: str = "/online", *headers: str, method: str = "POST", version: str = "1.1") -> bytes:
    """Write a request; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = [f"{method} {path} HTTP/{version}", "Host: localhost", "X-Request-ID: me", *headers]
    if not any(header.startswith(("Content-Length", "Transfer-Encoding")) for header in headers):
        given.append(f"Content-Length: {len(data)}")
    if not any(header.startswith("Content-Type") for header in headers):
        given.append("Content-Type: application/json")
    return "\r\n".join([*given, "", ""]).encode() + data
