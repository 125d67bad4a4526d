"""The file of API keys: whatever it holds, who has no key of it is not let in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from faults.simfs import SimulatedFiles
from fuzz.drawing import Draw
from fuzz.targets.requests import _sayable
from tiffin.access import SCOPES, Keys
from tiffin.errors import CorruptData

MOST_BYTES = 1024

_FILE = Path("/keys.json")
_SECRET = "tfn_secret"
_DIGEST = hashlib.sha256(_SECRET.encode()).hexdigest()
_MOMENTS = ["2024-05-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-05-01T00:00:00", "x", None]
_NAMES = ["keys", "key", "sha256", "name", "scopes", "groups", "created", "expires", "revoked"]


def check(data: bytes) -> None:
    draw = Draw(data)
    body = _body(draw)
    fs = SimulatedFiles()
    fs.create(_FILE, body)
    keys = Keys(fs, _FILE)
    try:
        listed = keys.keys()
        found = keys.verify(_SECRET)
        nobody = keys.verify(draw.text())
    except CorruptData:
        return
    assert nobody is None, body
    assert all({*key.scopes} <= {*SCOPES} for key in listed), body
    if found is not None:
        assert _DIGEST.encode() in body
        assert found in listed
        assert found.revoked is None


def _body(draw: Draw) -> bytes:
    kind = draw.byte() % 3
    if kind == 0:
        return draw.rest()
    if kind == 1:
        return msgspec.json.encode(_sayable(draw.value(_NAMES)))
    stored = draw.some(3, lambda: {"key": _key(draw), "sha256": draw.one_of([_DIGEST, "0" * 64, "", _DIGEST[:-1]])})
    return msgspec.json.encode(_sayable({"keys": stored}))


def _key(draw: Draw) -> dict[str, object]:
    key: dict[str, object] = {
        "name": "a",
        "scopes": draw.some(3, lambda: draw.one_of([*SCOPES, "root"])),
        "groups": draw.some(2, lambda: draw.one_of(["*", "user", "team_*", "["])),
        "created": draw.one_of(_MOMENTS),
    }
    for name in ("expires", "revoked"):
        if draw.byte() % 2:
            key[name] = draw.one_of(_MOMENTS)
    return key
