"""Requests that are answered at once: byte for byte what the app says to the same request."""

from __future__ import annotations

import msgspec

from fuzz.drawing import Draw
from fuzz.small_store import run, server
from fuzz.targets.requests import _sayable
from wire_server import request

MOST_BYTES = 512

_PATHS = ["/online", "/online?nan=text", "/get-online-features"]
_HEADERS = ["Accept: text/csv", "X-A: b", "Content-Type: text/plain", "Content-Type: application/json; charset=utf-8"]
_FEATURES = ["user/ratings:mean", "user/ratings:city", "user/ratings", "ratings:mean", "user/none:mean", "ranker"]
_NAMES = [
    "features", "entity_rows", "entities", "full_feature_names", "at", "feature_service", "user_id", "mean", "x",
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    path = draw.one_of(_PATHS)
    headers = draw.some(1, lambda: draw.one_of(_HEADERS))
    sent = request(_body(draw, path), path, *headers)
    quick, usual = run(server().both_ways(sent))
    assert quick == usual, sent
    assert b"HTTP/1.1 5" not in quick, sent
    assert quick.startswith(b"HTTP/1.1 "), sent


def _body(draw: Draw, path: str) -> bytes:
    kind = draw.byte() % 4
    if kind == 0:
        return draw.rest()
    if kind == 1:
        return msgspec.json.encode(_sayable(draw.value(_NAMES)))
    features = draw.some(3, lambda: draw.one_of(_FEATURES) if draw.byte() % 4 else draw.text())
    keys = draw.some(4, lambda: draw.byte() % 8 if draw.byte() % 4 else draw.value())
    body: dict[str, object] = {"features": features}
    if path == "/get-online-features" or draw.byte() % 2:
        body["entities"] = {"user_id": keys}
    else:
        body["entity_rows"] = [{"user_id": key} for key in keys]
    if draw.byte() % 4 == 0:
        body[draw.one_of(_NAMES)] = draw.value(_NAMES)
    return msgspec.json.encode(_sayable(body))
