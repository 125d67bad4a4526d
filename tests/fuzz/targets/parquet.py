"""Parquet files from who is not trusted: refused, or a frame that travels on unchanged."""

from __future__ import annotations

from fuzz.frame_checks import BOUNDS, check_frame
from tiffin.errors import TiffinError
from tiffin.wire import from_parquet

MOST_BYTES = 8192


def check(data: bytes) -> None:
    try:
        frame = from_parquet(data, BOUNDS)
    except TiffinError:
        return
    check_frame(frame)
