"""Arrow streams from who is not trusted: refused, or a frame that travels on unchanged."""

from __future__ import annotations

from fuzz.frame_checks import BOUNDS, check_frame
from tiffin.errors import TiffinError
from tiffin.wire import from_stream

MOST_BYTES = 8192


def check(data: bytes) -> None:
    try:
        received = from_stream(data, BOUNDS)
    except TiffinError:
        return
    check_frame(received.frame)
