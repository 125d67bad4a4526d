"""Definitions in TOML: refused with the place, or the same again after they were written."""

from __future__ import annotations

from fuzz.drawing import Draw
from tiffin import definitions
from tiffin.errors import TiffinError

MOST_BYTES = 2048

_LINES = [
    '[tables."user/ratings"]', "[tables]", '[tables."user/ratings".columns.mean]', "[services.ranker]",
    'description = "a"',
    'owner = "team"', 'entity = ["user_id"]', 'entity = "user_id"', 'timestamp = "at"', 'ttl = "30d"', 'ttl = ""',
    "online = true", 'rule = "full"', 'labels = {pii = "", "a b" = "c"}', 'links = ["https://a.example"]',
    "default = 0.0",
    "default = 2024-05-01", "default = 07:32:00", "default = inf",
    'deprecated = {message = "old", removal = 2026-01-01}',
    'features = ["user/ratings:mean"]', '[tables."user/ratings".constraints]', 'a = "mean between 0 and 5"',
    'a = {column = "mean", min = 0}', 'a = {sql = "mean > 0", severity = "warning"}', 'a = {unique = true}',
    'a.b.c = 1',
    'a = {column = "at", max_age = "7d"}', 'unit = "stars"', '[[tables]]', 'x = 1979-05-27T07:32:00Z', '"" = 1',
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    lines = draw.some(16, lambda: draw.one_of(_LINES))
    text = "\n".join([*lines, draw.rest().decode("utf-8", "surrogateescape")])
    try:
        found = definitions.read(text)
    except TiffinError:
        return
    written = definitions.write(found)
    assert definitions.read(written) == found, (text, written)
    assert definitions.write(definitions.read(written)) == written, text
