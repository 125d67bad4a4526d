"""What a server sends in the place of HTTP: an answer or a ConnectionError, wherever it is cut into pieces."""

from __future__ import annotations

from fuzz.drawing import Draw
from tiffin.client.exchange import Answer
from tiffin.client.reader import AnswerReader

MOST_BYTES = 1024
_MOST = 600

_PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"Content-Length: 5\r\n", b"\r\n",
    b"hello",
    b"Content-Length: 99999999999999999999\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"0\r\nTrailer: x\r\n\r\n", b"ffffffffffffffff\r\n",
    b"A: \xff\r\n",
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    pieces = draw.some(12, lambda: draw.one_of(_PIECES))
    sent = b"".join(pieces) + draw.rest()
    at_once = _read([sent])
    bytewise = _read([sent[place : place + 1] for place in range(len(sent))])
    assert isinstance(at_once, Answer) <= isinstance(bytewise, Answer), (sent, at_once, bytewise)
    if isinstance(at_once, Answer):
        assert len(at_once.body) <= _MOST
        assert at_once == bytewise, (sent, at_once, bytewise)


def _read(pieces: list[bytes]) -> Answer | ConnectionError:
    reader = AnswerReader(_MOST)
    try:
        for piece in pieces:
            if piece and reader.feed(piece):
                return reader.answer()
        reader.feed(b"")
    except ConnectionError as error:
        return error
    return reader.answer()
