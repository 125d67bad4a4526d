"""Compressing answers piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterable
from typing import Protocol

_ZSTD_LEVEL = 3
_GZIP_LEVEL = 4


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def compress(pieces: Iterable[bytes], coding: str) -> Generator[bytes]:
    """Compress an answer.

    Parameters
    ----------
    pieces : iterable of bytes
        The answer.
    coding : str
        `zstd`, `gzip`, or empty for none.

    Yields
    ------
    bytes
        The answer as it is to be sent.
    """
    if not coding:
        yield from filter(None, pieces)
        return
    compressor = _compressor(coding)
    for piece in pieces:
        if made := compressor.compress(piece):
            yield made
    yield compressor.flush()


def _compressor(coding: str) -> _Compressor:
    if coding == "gzip":
        return zlib.compressobj(_GZIP_LEVEL, wbits=31)
    import zstandard  # noqa: PLC0415 - few requests need it

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
