"""What must hold of every frame that was let in."""

from __future__ import annotations

from tiffin.frames import FeatureFrame
from tiffin.wire import Bounds, from_stream, to_stream

BOUNDS = Bounds(rows=1000, size_bytes=1 << 20, columns=50)


def check_frame(frame: FeatureFrame) -> None:
    """Hold a frame to its bounds, and to being the same after it was sent on."""
    rows, columns = frame.shape
    assert rows <= BOUNDS.rows
    assert columns <= BOUNDS.columns
    again = from_stream(b"".join(to_stream(frame))).frame
    assert again.schema == frame.schema
    assert again.to_polars().equals(frame.to_polars(), null_equal=True)
    assert again.origins == frame.origins
