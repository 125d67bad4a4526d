"""Settings in TOML and in the environment: refused with the place, or the same again in another process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fuzz.drawing import Draw
from tiffin import config
from tiffin.errors import InvalidInputError

MOST_BYTES = 512

_NAMES = [*config.Settings.__dataclass_fields__]
_VALUES = [
    '"zstd"', '"none"', '"default"', '"never"', '"all"', "0", "1", "-1", "1.5", "true", '"512MiB"', '"1e9GB"', "22",
    "[]",
    '"redis://a:b@c:1/0"', '"lmdb"', '"1h"', "inf", "nan", "9999999999999999999", "2024-05-01", '"0.0000001s"', '""',
    "{}",
]  # fmt: skip


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tiffin-fuzz-")


def check(data: bytes) -> None:
    draw = Draw(data)
    base = Path(_folder().name)
    lines = draw.some(6, lambda: f"{draw.one_of(_NAMES)} = {draw.one_of(_VALUES)}\n")
    environment = {f"TIFFIN_{draw.one_of(_NAMES).upper()}": draw.text() for _ in range(draw.byte() % 3)}
    (base / "config").mkdir(exist_ok=True)
    (base / "config" / "tiffin.toml").write_bytes("".join(lines).encode() + draw.rest())
    try:
        settings = config.load(base, environment, {})
    except InvalidInputError:
        return
    assert config.load(base / "none", config.to_environment(settings), {}) == settings, lines
