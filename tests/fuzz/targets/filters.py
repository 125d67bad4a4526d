"""Row filters and entity keys: what is let through gives the rows that a filter in plain Python gives."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from fuzz.drawing import Draw
from tiffin.errors import FeatureNotFound, InvalidInputError
from tiffin.schema.filters import keys, predicate

MOST_BYTES = 256

_DAYS = [datetime(2024, 5, 1, hour) for hour in (0, 5, 23)]
FRAME = pl.DataFrame({
    "number": pl.Series([1, None, 7, -1, 0], dtype=pl.Int64),
    "small": pl.Series([1, 7, None, -128, 127], dtype=pl.Int8),
    "real": pl.Series([0.5, None, -1.5, math.inf, 7.0], dtype=pl.Float64),
    "text": pl.Series(["a", "", None, "é", "7"], dtype=pl.String),
    "flag": pl.Series([True, False, None, True, False], dtype=pl.Boolean),
    "at": pl.Series([*_DAYS, None, _DAYS[0]], dtype=pl.Datetime("us")),
    "zoned": pl.Series([None, *_DAYS, _DAYS[1]], dtype=pl.Datetime("us")).dt.replace_time_zone("Asia/Seoul"),
    "day": pl.Series([date(2024, 5, 1), None, date(2024, 5, 2), date(2024, 4, 30), date(2024, 5, 31)], dtype=pl.Date),
})  # fmt: skip
_NAMES = [*FRAME.columns, "other"]
_ROWS = FRAME.to_dicts()
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ALL_SIGNS = [*_SIGNS, "in", "not in", "is null", "is not null", "like"]


class _NoOpinionError(Exception):
    """Python and Polars compare these two by rules of their own."""


def check(data: bytes) -> None:
    draw = Draw(data)
    if draw.byte() % 4 == 0:
        _check_keys(draw)
        return
    where = _where(draw)
    try:
        found = FRAME.with_row_index("#").filter(predicate(where, FRAME.schema, "t"))["#"].to_list()
    except (InvalidInputError, FeatureNotFound):
        return
    try:
        wanted = [place for place, row in enumerate(_ROWS) if _holds_any(where, row)]
    except _NoOpinionError:
        return
    assert found == wanted, (where, found, wanted)


def _where(draw: Draw) -> Any:
    match draw.byte() % 4:
        case 0:
            return _comparison(draw)
        case 1:
            return draw.some(3, lambda: _comparison(draw))
        case 2:
            return draw.some(3, lambda: draw.some(3, lambda: _comparison(draw)))
    return draw.value(_NAMES)


def _comparison(draw: Draw) -> tuple[Any, ...]:
    name, sign = draw.one_of(_NAMES), draw.one_of(_ALL_SIGNS)
    if "null" in sign:
        return (name, sign)
    if "in" in sign:
        return (name, sign, draw.some(3, lambda: _value(draw, name)))
    return (name, sign, _value(draw, name))


def _value(draw: Draw, name: str) -> Any:
    if draw.byte() % 4 == 0:
        return draw.one_of([draw.scalar, draw.moment])()
    if name in {"number", "small"}:
        return draw.number()
    if name in {"at", "zoned", "day"}:
        return draw.moment()
    return draw.one_of([row[name] for row in _ROWS]) if name in FRAME.columns else draw.scalar()


def _holds_any(where: Any, row: dict[str, Any]) -> bool:
    if isinstance(where, tuple):
        return _holds(where, row)
    if not isinstance(where, list) or not where:
        raise _NoOpinionError
    if all(isinstance(one, tuple) for one in where):
        return all(_holds(one, row) for one in where)
    return any(_holds_any(one, row) for one in where)


def _holds(comparison: tuple[Any, ...], row: dict[str, Any]) -> bool:
    name, sign, *rest = comparison
    value = row[name]
    if sign == "is null":
        return value is None
    if sign == "is not null":
        return value is not None
    if sign in {"in", "not in"}:
        wanted = [_as_kind(one, name) for one in rest[0]]
        if any(one is None for one in wanted):
            raise _NoOpinionError
        return value is not None and (sign == "in") == (_ordered(value) in map(_ordered, wanted))
    wanted = _as_kind(rest[0], name)
    return value is not None and _SIGNS[sign](_ordered(value), _ordered(wanted))


def _ordered(value: Any) -> Any:
    """Order NaN as Polars does: it equals itself, and is above all others."""
    return (math.isnan(value), 0 if math.isnan(value) else value) if isinstance(value, float) else (False, value)


def _as_kind(value: Any, name: str) -> Any:
    """Return a value that compares with a column's in Python as it has to; times in the column's zone."""
    kind = type(next(row[name] for row in _ROWS if row[name] is not None))
    if kind is datetime:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if type(moment) is not datetime:
            raise _NoOpinionError
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware if name == "zoned" else aware.astimezone(UTC).replace(tzinfo=None)
    same = (int, float) if kind in {int, float} else (kind,)
    if type(value) not in same or (isinstance(value, int) and abs(value) > 2**53):
        raise _NoOpinionError
    return value


def _check_keys(draw: Draw) -> None:
    name = draw.one_of(FRAME.columns)
    asked = draw.some(4, lambda: _value(draw, name))
    given = draw.one_of([asked, [(one,) for one in asked], [{name: one} for one in asked], draw.value(_NAMES)])
    try:
        found = keys(given, [name], FRAME.schema, "t")
    except InvalidInputError:
        return
    assert found.schema == {name: FRAME.schema[name]}, given
    assert found.height == len(given), given
    if given is not asked:
        return
    for key, value in zip(found[name].to_list(), asked, strict=True):
        if type(value) is int and name in {"number", "small", "real"}:
            assert key == value, (value, key)
        if type(value) is str and name == "text":
            assert key == value, (value, key)
