"""Bodies of requests: bounded while they come in, decompressed no further than they may."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from tiffin.errors import Busy, TooLarge
from tiffin.server.status import Malformed, UnsupportedMedia

if TYPE_CHECKING:
    from tiffin.server.options import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_PIECE = 1 << 20
_ZSTD_WINDOW = 1 << 23
"""Bytes of memory that a zstd stream may demand: what RFC 9659 lets senders use."""
_ZSTD_SLICE = 1 << 10
"""Bytes that are decompressed in one go, which cannot be told to stop: four bytes may stand for 128 KiB."""


class Budget:
    """What the bodies of all requests under way may take together.

    Parameters
    ----------
    limits : Limits
        For a single body, and for all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    def body(self, length: int | None) -> Body:
        """Begin a body.

        Parameters
        ----------
        length : int, optional
            Bytes, if the client has said how many.

        Raises
        ------
        TooLarge
            It would be larger than a body may be.
        Busy
            Together with the others it would be larger than they may be.
        """
        body = Body(self, self._limits)
        if length is not None:
            body.grow(length)
        return body

    def has_room(self, size: int) -> bool:
        """Tell whether a body of so many bytes could begin."""
        limits = self._limits
        return size <= limits.body_bytes and self._held + size <= limits.all_bodies_bytes

    def hold(self, size: int) -> None:
        """Count bytes that are to be held in memory.

        Raises
        ------
        Busy
            There are too many.
        """
        if self._held + size > self._limits.all_bodies_bytes:
            raise Busy("the bodies under way fill the memory set aside for them", hint="try again in a moment")
        self._held += size

    def release(self, size: int) -> None:
        """Stop counting bytes."""
        self._held -= size


class Body:
    """The body of one request; made by `Budget.body`."""

    __slots__ = ("_budget", "_limits", "_size")

    def __init__(self, budget: Budget, limits: Limits) -> None:
        self._budget = budget
        self._limits = limits
        self._size = 0

    def grow(self, size: int) -> None:
        """Count bytes; raises what `Budget.body` raises."""
        if self._size + size > self._limits.body_bytes:
            raise TooLarge(
                f"the body is larger than {self._limits.body_bytes:,} bytes", hint="send it in several parts"
            )
        self._budget.hold(size)
        self._size += size

    def release(self) -> None:
        """End it: what it took is free for others."""
        self._budget.release(self._size)
        self._size = 0

    def counted(self, receive: Receive) -> Receive:
        """Count a body of unsaid length as it comes in."""

        async def receive_counted() -> Message:
            message = await receive()
            self.grow(len(message.get("body", b"")))
            return message

        return receive_counted

    def decompressed(self, receive: Receive, encoding: bytes, *, is_counted: bool) -> Receive:
        """Undo the compression of a body when it is first asked for.

        Parameters
        ----------
        receive : callable
            Gives the compressed body.
        encoding : bytes
            What `Content-Encoding` says.
        is_counted : bool
            Whether the compressed bytes were counted when the request came in.
        """
        source = receive if is_counted else self.counted(receive)
        is_given = False

        async def receive_decompressed() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            pieces = []
            more = True
            while more:
                message = await source()
                if message["type"] != "http.request":
                    return message
                pieces.append(message.get("body", b""))
                more = message.get("more_body", False)
            return {"type": "http.request", "body": await self._decompress(pieces, encoding), "more_body": False}

        return receive_decompressed

    async def _decompress(self, pieces: list[bytes], encoding: bytes) -> bytes:
        plain = await asyncio.to_thread(decompress, b"".join(pieces), encoding, self._limits.decompressed_bytes)
        self._budget.hold(len(plain))
        self._size += len(plain)
        return plain


def decompress(data: bytes, encoding: bytes, most: int) -> bytes:
    """Undo the compression of a body.

    Parameters
    ----------
    data : bytes
        All of it.
    encoding : bytes
        `gzip` or `zstd`.
    most : int
        Bytes that may come out. Not many more are made before it is found to be too large.

    Raises
    ------
    UnsupportedMedia
        The encoding is another.
    Malformed
        It is not compressed so, or not whole.
    TooLarge
        More would come out.
    """
    pieces_of = {b"gzip": _gzip_pieces, b"x-gzip": _gzip_pieces, b"zstd": _zstd_pieces}.get(encoding.lower())
    if pieces_of is None:
        raise UnsupportedMedia(
            f"Content-Encoding {encoding.decode('latin-1')[:40]!r} is not understood",
            hint="send the body as it is, or as gzip or zstd",
        )
    plain = bytearray()
    for piece in pieces_of(data):
        plain += piece
        if len(plain) > most:
            raise TooLarge(f"the body decompresses to more than {most:,} bytes", hint="send it in several parts")
    return bytes(plain)


def _gzip_pieces(data: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits=31)
    rest = data
    try:
        while not stream.eof:
            piece = stream.decompress(rest, _PIECE)
            rest = stream.unconsumed_tail
            if not piece and not stream.eof:
                raise Malformed("the gzip body ends too early", hint="send it whole")
            yield piece
    except zlib.error as error:
        raise Malformed(f"the body is not valid gzip: {error}", hint="check Content-Encoding") from error
    if stream.unused_data:
        raise Malformed("something follows the gzip body", hint="send one gzip member")


def _zstd_pieces(data: bytes) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - few requests need it

    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    try:
        for start in range(0, len(data), _ZSTD_SLICE):
            if stream.eof:
                break
            yield stream.decompress(data[start : start + _ZSTD_SLICE])
    except zstandard.ZstdError as error:
        raise Malformed(f"the body is not valid zstd: {error}", hint="check Content-Encoding") from error
    if not stream.eof:
        raise Malformed("the zstd body ends too early", hint="send it whole")
    if start + _ZSTD_SLICE < len(data) or stream.unused_data:
        raise Malformed("something follows the zstd body", hint="send one zstd frame")
