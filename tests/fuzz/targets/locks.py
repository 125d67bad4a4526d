"""Locks of training sets: refused, or the same again."""

from __future__ import annotations

import msgspec

from fuzz.drawing import Draw
from fuzz.targets.requests import _sayable
from tiffin.errors import StorageError
from tiffin.frames import Lock, Recipe, Source
from tiffin.wire import decode, encode

MOST_BYTES = 1024

_NAMES = [
    *Recipe.__struct_fields__, *Source.__struct_fields__, "versions", "column_hashes", "spine_hash", "result_hash",
    "user/ratings", "user_id", "columns", "definitions", "names",
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    body = draw.rest() if draw.byte() % 2 else msgspec.json.encode(_sayable(draw.value(_NAMES)))
    try:
        lock = decode(body, Lock)
    except StorageError:
        return
    written = lock.to_dict()
    assert str(lock) is not None
    again = decode(encode(lock), Lock)
    assert again == lock, body
    assert again.to_dict() == written, body
    assert again.recipe == lock.recipe, body
    assert all(type(version) is int for version in lock.values()), body
