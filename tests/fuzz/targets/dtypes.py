"""Dtypes as tables' metadata and answers name them: refused, or the same again."""

from __future__ import annotations

from fuzz.drawing import Draw
from tiffin.errors import CorruptData, InvalidInputError
from tiffin.schema import dtypes

MOST_BYTES = 256

_PARTS = [
    "Int64", "Float32", "List(", "Array(", "Struct(", "Map(", '"a": ', ", ", ")", "Datetime(us", "Datetime(ns, UTC)",
    "ms", "7",
    "Duration(us)", "Decimal(10, 2)", "Decimal(", "Enum(", '["a", "b"]', "Categorical", "Categorical(",
    '["t", "n", "UInt8"]',
    "String", "Binary", "Time", "Null", "99999999999999999999", "Asia/Seoul", '"', "\\ud800", "Int128", "Object", "0",
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    parts = draw.some(12, lambda: draw.one_of(_PARTS))
    text = "".join(parts) + draw.rest().decode("utf-8", "surrogateescape")
    try:
        dtype = dtypes.decode(text)
        written = dtypes.encode(dtype)
    except (CorruptData, InvalidInputError):
        return
    assert dtypes.decode(written) == dtype, text
    assert dtypes.encode(dtypes.decode(written)) == written, text
