"""Compressed bodies: what comes out is what the library for it gives, and never more than may."""

from __future__ import annotations

import gzip

import zstandard

from fuzz.drawing import Draw
from tiffin.errors import TooLarge
from tiffin.server.edge.bodies import decompress
from tiffin.server.status import Malformed, UnsupportedMedia

MOST_BYTES = 4096
_MOST = 1 << 20


def check(data: bytes) -> None:
    draw = Draw(data)
    encoding = draw.one_of([b"gzip", b"zstd", b"x-gzip", b"br"])
    is_packed, body = draw.byte() % 2, draw.rest()
    if is_packed:
        packed = zstandard.compress(body) if encoding == b"zstd" else gzip.compress(body)
        assert encoding == b"br" or decompress(packed, encoding, _MOST) == body
        return
    try:
        plain = decompress(body, encoding, _MOST)
    except (Malformed, TooLarge, UnsupportedMedia):
        return
    assert len(plain) <= _MOST
    if encoding == b"zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(body) == plain
    else:
        assert gzip.decompress(body) == plain
