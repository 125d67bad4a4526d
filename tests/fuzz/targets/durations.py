"""Durations, sizes, and what command lines say of limits."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from tiffin.config import parse_size
from tiffin.errors import InvalidInputError
from tiffin.schema.durations import parse_duration, write_duration
from tiffin.server.options import limits_of

MOST_BYTES = 256


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        duration = parse_duration(text)
        assert duration >= timedelta(0), text
        assert parse_duration(write_duration(duration)) == duration, text
    except InvalidInputError:
        pass
    with contextlib.suppress(InvalidInputError):
        assert parse_size(text) >= 0, text
    with contextlib.suppress(InvalidInputError):
        limits_of([text])
