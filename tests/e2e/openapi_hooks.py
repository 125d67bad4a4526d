"""What schemathesis has to know beside the OpenAPI document: how bodies of rows look that it cannot make itself."""

from __future__ import annotations

from typing import Any

import polars as pl
import schemathesis
from hypothesis import strategies as st

from tiffin.frames import FeatureFrame
from tiffin.wire import to_parquet, to_stream
from tiffin.wire.media import ARROW, PARQUET, TOML

ROWS = FeatureFrame(pl.DataFrame({"user_id": [7], "mean": [4.5]}))


def as_bytes(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


for media, body in ((ARROW, b"".join(to_stream(ROWS))), (PARQUET, to_parquet(ROWS))):
    schemathesis.openapi.media_type(media, st.one_of(st.just(body), st.binary(max_size=40)))
    schemathesis.serializer(media)(as_bytes)

schemathesis.serializer(TOML)(as_bytes)
