"""Derived and on-demand features from documents: refused, or the same again, and computed row by row."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from fuzz.drawing import Draw
from fuzz.targets.constraints import _WORDS
from fuzz.targets.filters import FRAME
from tiffin.derived.on_demand import on_demand
from tiffin.errors import TiffinError
from tiffin.schema.derivation import Windowed, definition

MOST_BYTES = 512

_COLUMNS = ["number", "real", "text", "flag", "at", "*", "user_id"]
_AGGREGATIONS = ["mean", "count", "sum", "min", "max", "first", "last", "std", "distinct", "?"]
_WINDOWS = ["7d", "30m", "all", "0d", "1e9d", "12h", "4w", "-1d", "7 d", "99999999999d"]
_DTYPES = [pl.Float64(), pl.Int64(), pl.String(), pl.Boolean(), pl.Int8()]


def check(data: bytes) -> None:
    draw = Draw(data)
    if draw.byte() % 2:
        _check_windows(draw)
    else:
        _check_on_demand(draw)


def _check_windows(draw: Draw) -> None:
    given: dict[Any, Any] = {
        "source": draw.one_of(["user/ratings", "ratings", "a/b@1", "../x"]),
        "entity": draw.one_of([["user_id"], "user_id", [], ["a", "a"]]),
        "windows": draw.some(3, lambda: draw.one_of(_WINDOWS)),
        "aggregations": {
            name: draw.some(3, lambda: draw.one_of(_AGGREGATIONS))
            for name in draw.some(3, lambda: draw.one_of(_COLUMNS))
        },
    }
    for _ in range(draw.byte() % 3):
        given[draw.one_of([*Windowed.__struct_fields__, "x"])] = draw.value([*_COLUMNS, "source"])
    try:
        made = definition(given)
    except TiffinError:
        return
    assert definition(made) == made, given
    assert definition(msgspec.json.decode(msgspec.json.encode(made))) == made, given
    assert len(made.columns) <= len(made.aggregations)
    assert len({*made.features()}) == len(made.features()), given


def _check_on_demand(draw: Draw) -> None:
    inputs = [f"user/ratings:{name}" for name in draw.some(4, lambda: draw.one_of(["number", "real", "text", "small"]))]
    sql = " ".join([*draw.some(10, lambda: draw.one_of(_WORDS)), draw.rest().decode("utf-8", "replace")])
    try:
        made = on_demand(
            draw.one_of(["user/computed", "user", "a/b:c"]), inputs=inputs, outputs={"out": draw.one_of(_DTYPES)},
            request={"flag": pl.Boolean()}, sql={"out": sql},
        )  # fmt: skip
        found = made.compute(FRAME)
        alone = [made.compute(FRAME[place : place + 1]) for place in range(FRAME.height)]
    except TiffinError:
        return
    assert found.height == FRAME.height, sql
    assert found.equals(pl.concat(alone), null_equal=True), sql
