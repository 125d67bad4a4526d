"""Conditions as they are written on the command line: `year >= 1990`, `genre in drama,comedy`, `rating is null`."""

import re
from collections.abc import Mapping
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.cli.arguments.assignments import unquoted
from tiffin.errors import InvalidInputError
from tiffin.schema.durations import parse_duration

if TYPE_CHECKING:
    import polars as pl

_COLUMN = r'\s*("[^"]+"|[^\s=!<>]+)'
_FORMS = (
    re.compile(rf"{_COLUMN}\s+(is\s+not\s+null|is\s+null)\s*()", re.IGNORECASE),
    re.compile(rf"{_COLUMN}\s+(not\s+in|in)\s+(.+?)\s*", re.IGNORECASE | re.DOTALL),
    re.compile(rf"{_COLUMN}\s*(==|!=|<=|>=|=|<|>)\s*(?![=<>])(.+?)\s*", re.DOTALL),
)
_ITEM = re.compile(r"""\s*('[^']*'|"[^"]*"|[^,]+?)\s*(?:,|$)""")
_BOOLEANS = {"true": True, "false": False}
_HINT = 'write it like "year >= 1990", "genre in drama,comedy" or "rating is null"'


class Condition(NamedTuple):
    """A condition whose value is still text: what it means depends on the column."""

    column: str
    sign: str
    text: str


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Parameters
    ----------
    text : str
        Column, sign (`== = != < <= > >= in, not in, is null, is not null`) and value. A column whose name has
        spaces stands in double quotes. A value may stand in quotes of either kind; the values after `in` are
        separated by commas.

    Raises
    ------
    InvalidInputError
        It is no condition.
    """
    for form in _FORMS:
        found = form.fullmatch(text)
        if found:
            sign = " ".join(found[2].lower().split())
            return Condition(found[1].strip('"'), sign, found[3])
    raise InvalidInputError(f"{text!r} is not a condition", hint=_HINT)


def comparison(condition: Condition, schema: Mapping[str, "pl.DataType"]) -> tuple[Any, ...]:
    """Turn a condition into a comparison for `FeatureStore.read`, with a value of the column's type.

    Parameters
    ----------
    condition : Condition
        What was written.
    schema : mapping of str to DataType
        The table's columns. For a column that it lacks the text stays as it is: the store will say what is wrong.

    Raises
    ------
    InvalidInputError
        The text is no value of the column's type.
    """
    column, sign, text = condition
    if sign in {"is null", "is not null"}:
        return column, sign
    dtype = schema.get(column)
    if sign in {"in", "not in"}:
        inside = text[1:-1] if text[:1] + text[-1:] in {"()", "[]"} else text
        return column, sign, [_value(item[1], dtype, column) for item in _ITEM.finditer(inside)]
    return column, sign, _value(text, dtype, column)


def _value(text: str, dtype: "pl.DataType | None", column: str) -> Any:
    text = unquoted(text)
    if dtype is None:
        return text
    try:
        return _typed(text, dtype)
    except (ValueError, InvalidOperation):
        raise InvalidInputError(f"{text!r} is not a value of column {column!r}, which is {dtype}", hint=_HINT) from None


def _typed(text: str, dtype: "pl.DataType") -> Any:
    import polars as pl

    if dtype.is_integer():
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text)
    if dtype.is_float():
        return float(text)
    if dtype.is_decimal():
        return Decimal(text)
    if dtype == pl.Boolean:
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    if dtype == pl.Time:
        return time.fromisoformat(text)
    if isinstance(dtype, pl.Duration):
        return parse_duration(text)
    return text
