"""Constraints and SQL over rows: what is said in words means the same again, and each row is judged by itself."""

from __future__ import annotations

import polars as pl

from fuzz.drawing import Draw
from fuzz.targets.filters import FRAME
from tiffin.errors import TiffinError
from tiffin.schema.constraints import rows, texts
from tiffin.schema.constraints.kinds import RowConstraint
from tiffin.schema.row_sql import compile_sql

MOST_BYTES = 256

_WORDS = [
    "number", "small", "real", "text", "flag", "at", "day", "`text`", '"real"', "other", "is not null", "is null",
    "between",
    "and", "or", "not", "in", "(", ")", ",", "0", "7", "-1", "0.5", "1e300", "'a'", "''", "'2024-05-01'", "[", "]",
    ">=", "<",
    "=", "<>", "+", "-", "*", "/", "%", "||", "matches", "has", "to", "characters", "rows", "unique", "case", "when",
    "then",
    "else", "end", "cast", "as", "int", "double", "date", "like", "abs", "coalesce", "length", "lower", "upper",
    "nullif",
    "substr", "round", "greatest", "least", "concat", "replace", "pow", "mod", "sign", "ln", "sqrt", "extract", "year",
    "from", "interval", "'1 day'", "null", "true", "if", "left", "right", "date_part", "regexp_like",
    "not older than", "7d",
    "at most", "%", "fewer", "starts_with", "strpos", "floor", "try_cast", "tinyint", "rlike", "ilike", "distinct",
]  # fmt: skip
_SCHEMA = dict(FRAME.schema)


def check(data: bytes) -> None:
    draw = Draw(data)
    words = draw.some(24, lambda: draw.one_of(_WORDS))
    text = " ".join([*words, draw.rest().decode("utf-8", "surrogateescape")]).strip()
    _check_words(text)
    _check_sql(text)


def _check_words(text: str) -> None:
    try:
        constraint = texts.read(text)
    except TiffinError:
        return
    again = texts.read(texts.text(constraint))
    assert again == constraint, (text, constraint, again)
    if not isinstance(constraint, RowConstraint):
        return
    try:
        breaks = rows.breaks(constraint, _SCHEMA)
    except TiffinError:
        return
    _check_each_row(breaks, text)


def _check_sql(text: str) -> None:
    try:
        compiled = compile_sql(text, _SCHEMA, is_condition=False)
    except TiffinError:
        return
    assert {*compiled.columns} <= {*FRAME.columns}
    _check_each_row(compiled.expression, text)


def _check_each_row(expression: pl.Expr, text: str) -> None:
    """Hold an expression to giving for each row, seen alone, what it gives among the others."""
    try:
        together = FRAME.select(found=expression)["found"]
        alone = [FRAME[place : place + 1].select(found=expression)["found"] for place in range(FRAME.height)]
    except pl.exceptions.PolarsError:
        return
    assert len(together) == FRAME.height, text
    assert all(len(one) == 1 for one in alone), text
    for place, one in enumerate(alone):
        assert together[place : place + 1].equals(one, null_equal=True), (text, place, together, one)
