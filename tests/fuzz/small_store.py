"""A small store, and a server of it, that targets share; made when a target first asks, gone with the process."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import tiffin
from wire_server import Server

_DAY = datetime(2024, 5, 1, tzinfo=UTC)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tiffin-fuzz-")


@cache
def store() -> tiffin.FeatureStore:
    """Return a store with a table that is online, and a service."""
    made = tiffin.FeatureStore(Path(_folder().name) / "store", record_code=False)
    rows = [
        {
            "user_id": number,
            "event_timestamp": _DAY,
            "created": _DAY,
            "mean": number / 2,
            "city": "Seoul",
            "day": date(2024, 5, 1),
            "tags": ["a"],
        }
        for number in range(5)
    ]
    made.save("user/ratings", rows, entity="user_id", timestamp="event_timestamp", created="created", online=True)
    made.create_service("ranker", ["user/ratings:mean"])
    return made


@cache
def server() -> Server:
    """Return a server of the store, behind connections without sockets, with the plans of what is asked for made."""
    made = Server(store(), limits={"body_bytes": 1 << 16, "decompressed_bytes": 1 << 18})
    for features in ("ranker", ["user/ratings:mean"], ["user/ratings:mean", "user/ratings:city"], ["ratings:mean"]):
        # What is answered at once is what was asked for before.
        store().recall(features)
    return made


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop in which the server is."""
    return asyncio.new_event_loop()


def run(coroutine: Any) -> Any:
    """Wait for what is to be done in the server's loop."""
    return loop().run_until_complete(coroutine)
