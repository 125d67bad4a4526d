"""Requests without a client: over connections of their own, wrong ones, and such that nobody waits for."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from urllib.parse import urlsplit

_AT_ONCE = struct.pack("ii", 1, 0)
"""`SO_LINGER`: closing resets the connection."""


async def ask(
    url: str, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, length: int | None = None
) -> tuple[int, bytes]:
    """Send a request over a connection of its own and read the answer to its end.

    Parameters
    ----------
    url : str
        Of the server.
    length : int, optional
        What is said of the body's length, if that is not the truth.

    Returns
    -------
    status : int
    body : bytes
    """
    reader, writer = await _connected(url)
    try:
        writer.write(_head(url, method, path, headers, len(body) if length is None else length) + body)
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return int(head.split(maxsplit=2)[1]) if head else 0, rest


async def hang_up(url: str, path: str, headers: Mapping[str, str], *, after: int, resets: bool) -> None:
    """Ask, and go away: in the midst of the head, or after so many bytes of the answer.

    Parameters
    ----------
    after : int
        Bytes of the answer that are waited for; 0 leaves with half a head.
    resets : bool
        Whether the connection is reset, not closed.
    """
    reader, writer = await _connected(url)
    head = _head(url, "GET", path, headers, 0)
    writer.write(head if after else head[: len(head) // 2])
    await writer.drain()
    if after:
        await reader.readexactly(after)
    if resets:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        writer.transport.abort()
    else:
        writer.close()


def as_json(said: object) -> bytes:
    """Write a body."""
    return json.dumps(said).encode()


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def _head(url: str, method: str, path: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()
