"""How a raw column of any type is read as a number, a text, a flag, a day or a list of genres.

Each reader takes a column and its type, and gives null for what it cannot read.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

_TEXTUAL = (pl.String, pl.Categorical, pl.Enum)


def number(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read finite numbers, also written as text ("7.5"), as Float64; a flag counts as 0 or 1."""
    if dtype in _TEXTUAL:
        value = text(column, dtype).cast(pl.Float64, strict=False)
    elif dtype.is_numeric() or dtype == pl.Boolean:
        value = column.cast(pl.Float64)
    else:
        return pl.lit(None, dtype=pl.Float64)
    return pl.when(value.is_finite()).then(value)


def whole(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read whole numbers as Int64; 7.0 and "7" are whole, 7.5 is not."""
    if dtype.is_integer() or dtype == pl.Boolean:
        return column.cast(pl.Int64, strict=False)
    value = number(column, dtype)
    rounded = value.cast(pl.Int64, strict=False)
    from_number = pl.when(rounded == value).then(rounded)
    if dtype in _TEXTUAL:  # digits beyond 2**53 survive only when read directly
        return pl.coalesce(text(column, dtype).cast(pl.Int64, strict=False), from_number)
    return from_number


def text(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read text without surrounding whitespace; empty text is missing. A number becomes its digits."""
    if dtype not in _TEXTUAL and not dtype.is_numeric():
        return pl.lit(None, dtype=pl.String)
    return column.cast(pl.String).str.strip_chars().replace("", None)


def flag(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read flags: Boolean, 0 and 1, or the words true and false in any case."""
    if dtype == pl.Boolean:
        return column
    if dtype in _TEXTUAL:
        value = text(column, dtype).str.to_lowercase()
        yes, no = value.is_in(["true", "1", "1.0"]), value.is_in(["false", "0", "0.0"])
    else:
        value = number(column, dtype)
        yes, no = value == 1, value == 0
    return pl.when(yes).then(pl.lit(value=True)).when(no).then(pl.lit(value=False))


def day(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read days: Date, the date of a Datetime, or text of the form YYYY-MM-DD, years 1 to 9999."""
    if dtype in _TEXTUAL:
        # The parser alone would also take inner spaces, signs and one-digit months; ten digits and dashes leave it no
        # choice but YYYY-MM-DD. Year 0 is a date to Polars but not to Python: taken away, it leaves no date.
        written = column.cast(pl.String)
        exact = pl.when(written.str.contains(r"^\s*[0-9][0-9-]{9}\s*$")).then(written).str.strip_chars()
        return exact.str.strip_prefix("0000").str.to_date("%Y-%m-%d", strict=False, cache=False)
    if dtype != pl.Date and not isinstance(dtype, pl.Datetime):
        return pl.lit(None, dtype=pl.Date)
    value = column if dtype == pl.Date else column.dt.date()
    return pl.when(value.is_between(date.min, date.max)).then(value)


def genre_list(column: pl.Expr, dtype: PolarsDataType) -> pl.Expr:
    """Read lists of genre ids, of `{id, name}`, one id alone, or any of these written as text, as lists of Int64.

    An entry without a readable id is null; an empty list stays empty.
    """
    if isinstance(dtype, pl.Array):
        column, dtype = column.arr.to_list(), pl.List(dtype.inner)
    if isinstance(dtype, pl.List):
        return column if dtype.inner == pl.Int64 else column.list.eval(_genre_id(dtype.inner))
    if dtype in _TEXTUAL or dtype.is_numeric():
        return _ids_in_text(column.cast(pl.String))
    return pl.lit(None, dtype=pl.List(pl.Int64))


def _genre_id(dtype: PolarsDataType) -> pl.Expr:
    entry = pl.element()
    if not isinstance(dtype, pl.Struct):
        return whole(entry, dtype)
    for field in dtype.fields:
        if field.name == "id":
            return whole(entry.struct.field("id"), field.dtype)
    return pl.lit(None, dtype=pl.Int64)


def _ids_in_text(column: pl.Expr) -> pl.Expr:
    """Find ids in `[28, 12]`, `28|12` or `[{"id": 28, "name": "Action"}]`, in JSON's or Python's quotes."""
    value = column.str.strip_chars()
    labelled = value.str.extract_all(r"""["']id["']\s*:\s*["']?-?[0-9.]+\b""").list.eval(
        pl.element().str.extract(r"(-?[0-9.]+)$")
    )
    plain = value.str.extract_all(r"-?\b[0-9]+(?:\.[0-9]+)?\b")
    found = pl.when(value.str.contains("{", literal=True)).then(labelled).otherwise(plain)
    return pl.when(value != "").then(found.list.eval(whole(pl.element(), pl.String())))
