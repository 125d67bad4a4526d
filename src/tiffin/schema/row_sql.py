"""SQL expressions over the columns of one row (pure).

Only words that are known to look at one row are let through: no aggregate, no window, no subquery, no clock, nothing
that reads a file. What is let through says the same in Polars as in Spark, or is not handed to Delta.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema.names import check_text

_TOKEN = re.compile(
    r"""\s+|(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+"|`(?:[^`]|``)+`)"""
    r"""|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)|(?P<word>[^\W\d]\w*)"""
    r"""|(?P<sign><=|>=|<>|!=|\|\||[-+*/%=<>(),])"""
)
_SAME_WORDS = frozenset(
    ["and", "or", "not", "is", "null", "true", "false", "in", "between", "like", "case", "when", "then", "else", "end"]
)
_OTHER_WORDS = frozenset([
    "as", "bigint", "boolean", "cast", "date", "day", "distinct", "double", "float", "from", "hour", "ilike", "int",
    "integer", "interval", "month", "precision", "real", "regexp", "rlike", "smallint", "string", "text", "timestamp",
    "tinyint", "try_cast", "varchar", "year",
])  # fmt: skip
_SAME_FUNCTIONS = frozenset(["abs", "coalesce", "length", "lower", "nullif", "upper"])
_OTHER_FUNCTIONS = frozenset([
    "ceil", "concat", "date_part", "ends_with", "exp", "extract", "floor", "greatest", "if", "ifnull", "least", "left",
    "ln", "log10", "ltrim", "mod", "pow", "power", "regexp_like", "replace", "right", "round", "rtrim", "sign", "sqrt",
    "starts_with", "strpos", "substr", "trim",
])  # fmt: skip
_GROWS = "replace"
"""One call of it in another, a few times over, makes a text longer than the memory."""
_OTHER_SIGNS = frozenset(["/", "%", "||"])
_LONGEST = 2_000
"""Characters. An endless one keeps Polars busy for minutes, or runs over the stack and ends the process."""
_HINT = 'compare the columns of a row, as in "votes = 0 OR mean <= 10"; which words there are: docs/constraints.md'


class RowSql(NamedTuple):
    """An SQL expression that was looked through."""

    expression: pl.Expr
    columns: tuple[str, ...]
    """The columns it looks at."""
    spark: str | None
    """The same for Spark and other engines of Delta; None if they may understand something else by it."""


def compile_sql(sql: str, dtypes: Mapping[str, pl.DataType], *, is_condition: bool = True) -> RowSql:
    """Look through an SQL expression and make a Polars expression of it.

    Parameters
    ----------
    sql : str
        As a user wrote it.
    dtypes : mapping of str to DataType
        The table's columns.
    is_condition : bool
        Whether it has to be true or false for a row; else it may give any value.

    Raises
    ------
    InvalidInputError
        It is none, is about more than one row, names no column or one that is not there, or is not true or false.
    """
    return _compiled(sql, tuple(dtypes.items()), is_condition=is_condition)


@lru_cache(maxsize=1024)
def _compiled(sql: str, schema: tuple[tuple[str, pl.DataType], ...], *, is_condition: bool) -> RowSql:
    """Do it once for a table: every save to it asks."""
    dtypes = dict(schema)
    if len(check_text(sql, "the expression")) > _LONGEST:
        raise InvalidInputError(f"{sql[:60]!r}… is longer than {_LONGEST:,} characters", hint=_HINT)
    written: list[str] = []
    columns: list[str] = []
    is_same = True
    tokens = _tokens(sql)
    if sum(is_call and token.lower() == _GROWS for _, token, is_call in tokens) > 1:
        raise InvalidInputError(f"{sql!r} replaces twice: one in the other, texts would grow without end", hint=_HINT)
    for kind, token, is_call in tokens:
        name = _unquoted(token) if kind == "quoted" else token
        is_name = kind == "quoted" or (kind == "word" and token.lower() not in _SAME_WORDS and not is_call)
        if is_name and name in dtypes:
            columns.append(name)
            written.append("`" + name.replace("`", "``") + "`")
            continue
        if kind == "quoted":
            raise InvalidInputError(f"{sql!r} names {name!r}, which is no column", hint=did_you_mean(name, dtypes))
        if kind == "word":
            is_same &= _check_word(token, sql, dtypes, is_call=is_call)
        elif kind == "sign":
            is_same &= token not in _OTHER_SIGNS
        elif kind == "text":
            # Spark takes a backslash for the beginning of an escape, and a doubled quote for the end of a text.
            is_same &= not set(token[1:-1]) & {"'", "\\"}
        written.append(token)
    if not columns:
        raise InvalidInputError(f"{sql!r} looks at no column", hint=_HINT)
    return RowSql(
        _expression(" ".join(written), sql, dtypes, is_condition=is_condition),
        tuple(dict.fromkeys(columns)),
        " ".join(written) if is_same else None,
    )


def _tokens(sql: str) -> list[tuple[str, str, bool]]:
    """Split an expression into tokens: kind, text, and whether a parenthesis follows."""
    found, place = [], 0
    while place < len(sql):
        match = _TOKEN.match(sql, place)
        if match is None:
            raise InvalidInputError(f"{sql!r} has {sql[place]!r}, which is not allowed there", hint=_HINT)
        if match.lastgroup:
            found.append((match.lastgroup, match[0]))
        place = match.end()
    following = [token for _, token in found[1:]] + [""]
    return [(kind, token, after == "(") for (kind, token), after in zip(found, following, strict=False)]


def _unquoted(token: str) -> str:
    return token[1:-1].replace(token[0] * 2, token[0])


def _check_word(token: str, sql: str, dtypes: Mapping[str, pl.DataType], *, is_call: bool) -> bool:
    """Refuse a word that is not known; tell whether all engines understand it alike."""
    word = token.lower()
    if word in _SAME_WORDS or (is_call and word in _SAME_FUNCTIONS):
        return True
    if word in _OTHER_WORDS or (is_call and word in _OTHER_FUNCTIONS):
        return False
    if is_call:
        raise InvalidInputError(f"{sql!r} calls {token!r}, which is not known to look at one row only", hint=_HINT)
    raise InvalidInputError(f"{sql!r} names {token!r}, which is no column", hint=did_you_mean(token, dtypes))


def _expression(written: str, sql: str, dtypes: Mapping[str, pl.DataType], *, is_condition: bool) -> pl.Expr:
    try:
        expression = pl.sql_expr(written)
        tried = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in dtypes.items()})
        given = tried.select(expression)
    except (pl.exceptions.PolarsError, TypeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidInputError(f"{sql!r} is no expression over the columns: {reason}", hint=_HINT) from error
    if given.shape != (2, 1) or (is_condition and given.dtypes[0] not in {pl.Boolean, pl.Null}):
        raise InvalidInputError(f"{sql!r} gives {given.dtypes[0]} for a row, not true or false", hint=_HINT)
    return expression
