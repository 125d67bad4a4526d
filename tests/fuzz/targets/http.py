"""Bytes sent to a server that are to be HTTP: answers in HTTP, none of which blames the server."""

from __future__ import annotations

import asyncio
import re

from fuzz.drawing import Draw
from fuzz.small_store import run, server
from wire_server import until

MOST_BYTES = 1024

_PIECES = [
    b"GET ", b"POST ", b"OPTIONS ", b"/tables", b"/features/user/ratings", b"/online", b"/metrics", b"?where=",
    b"%2e%2e/",
    b"%00", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: localhost\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Type: application/json\r\n", b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"Origin: http://evil.example\r\n",
    b"If-None-Match: *\r\n", b"Range: bytes=0-1\r\n", b"Accept: ", b"text/csv", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n",
    b"5\r\n[1,2]",
    b"{}", b'{"features":[]}', b"/historical", b"/docs", b"HEAD ", b"DELETE ", b"PUT ", b"/training-sets/a",
    b"Idempotency-Key: a\r\n",
]  # fmt: skip
_HEAD = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
_BUSY = b"503"


def check(data: bytes) -> None:
    draw = Draw(data)
    if draw.byte() % 2:
        head = draw.one_of([b"GET ", b"POST "]) + draw.one_of([b"/tables", b"/online", b"/features/user/ratings"])
        pieces = [head, b" HTTP/1.1\r\nHost: localhost\r\n", *draw.some(20, lambda: draw.one_of(_PIECES))]
    else:
        pieces = draw.some(20, lambda: draw.one_of(_PIECES))
    pieces.append(draw.rest())
    sent = run(_ask(b"".join(pieces), draw.byte()))
    # An answer's own body cannot begin a line like a head: bodies are JSON, or follow their length.
    for status in _HEAD.findall(sent):
        assert status < b"500" or status == _BUSY, (pieces, sent)
    assert not sent or _HEAD.match(sent), (pieces, sent)


async def _ask(sent: bytes, cut: int) -> bytes:
    protocol, wire = server().connect()
    for piece in (sent[:cut], sent[cut:]):
        if piece and not wire.closed:
            protocol.data_received(piece)
    for _ in range(3):
        await asyncio.sleep(0)
    is_waiting = protocol.is_at_work() and protocol._reading.name == "BODY"
    if not is_waiting:
        await until(lambda: not protocol.is_at_work() or wire.closed or protocol._reading.name == "BODY")
    protocol.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    return wire.sent
