"""Constraints of rows as expressions: of Polars, to check rows by, and of Delta's SQL, for other writers (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import polars as pl

from tiffin.errors import FeatureNotFound, InvalidInputError, did_you_mean
from tiffin.schema import dtypes as types
from tiffin.schema.constraints.kinds import Length, NotNull, Pattern, Range, RowConstraint, Sql, Value, Values
from tiffin.schema.filters import literal
from tiffin.schema.row_sql import compile_sql

_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_FEW = 8
"""As many values are compared with one by one."""
_LARGEST = 2**127 - 1
"""Whole number that Polars has a type for."""
_MOST_DIGITS = 38
"""Of a decimal, before and behind its point."""
_MOST_TO_ALL = 2**63
"""Below it every engine has a type for a whole number."""

Dtypes = Mapping[str, pl.DataType]


def columns(constraint: RowConstraint, dtypes: Dtypes) -> tuple[str, ...]:
    """Name the columns that a constraint looks at."""
    if isinstance(constraint, Sql):
        return compile_sql(constraint.sql, dtypes).columns
    return (constraint.column,)


def breaks(constraint: RowConstraint, dtypes: Dtypes) -> pl.Expr:
    """Write a constraint as an expression that is true for the rows that break it, false for all others.

    Parameters
    ----------
    constraint : RowConstraint
        It may name only columns that are there.
    dtypes : mapping of str to DataType
        The table's columns, as people see them.

    Raises
    ------
    FeatureNotFound
        It names a column that is not there.
    InvalidInputError
        It makes no sense for the column.
    """
    return ~_holds(constraint, dtypes).fill_null(not (isinstance(constraint, Sql) and constraint.strict))


def _holds(constraint: RowConstraint, dtypes: Dtypes) -> pl.Expr:
    """Write a constraint as an expression that is true, false or null for a row."""
    if isinstance(constraint, Sql):
        return compile_sql(constraint.sql, dtypes).expression
    column, dtype = pl.col(constraint.column), _dtype(constraint.column, dtypes)
    match constraint:
        case NotNull():
            return column.is_not_null()
        case Range():
            return _within(constraint, column, dtype)
        case Values():
            return _is_one_of(_as_text(column, dtype), _allowed(constraint, dtype))
        case Pattern(pattern=pattern):
            return _text(constraint, dtypes).str.contains(_checked(pattern))
        case Length(min_length=least, max_length=most):
            size = _text(constraint, dtypes).str.len_chars()
            return size >= least if most is None else size.is_between(least, most)


def _dtype(name: str, dtypes: Dtypes) -> pl.DataType:
    if name not in dtypes:
        raise FeatureNotFound(f"a constraint is about {name!r}, which is no column", hint=did_you_mean(name, dtypes))
    return dtypes[name]


def _within(limits: Range, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean or isinstance(dtype, pl.Enum):
        raise InvalidInputError(
            f"column {limits.column!r} is {dtype}, which has no range", hint="list the allowed values instead"
        )
    column = _as_text(column, dtype)
    compared = [
        compare(_value(bound, dtype, limits))
        for bound, compare in (
            (limits.min, column.ge),
            (limits.above, column.gt),
            (limits.max, column.le),
            (limits.below, column.lt),
        )
        if bound is not None
    ]
    # A NaN is larger than every number to Polars, and within nothing to people.
    return pl.all_horizontal(*compared, *([column.is_not_nan()] if dtype.is_float() else []))


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return column.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else column


def _text(constraint: Pattern | Length, dtypes: Dtypes) -> pl.Expr:
    dtype = _dtype(constraint.column, dtypes)
    if not isinstance(dtype, _TEXTS):
        raise InvalidInputError(
            f"column {constraint.column!r} is {dtype}, and constraint {constraint.name!r} is about texts",
            hint="declare it of a column of texts",
        )
    return _as_text(pl.col(constraint.column), dtype)


@lru_cache(maxsize=1024)
def _checked(pattern: str) -> str:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(
            f"{pattern!r} is no pattern: {_reason(error)}",
            hint="write a regular expression without look-around and back-references",
        ) from error
    return pattern


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    told = next((line for line in lines if line.startswith("error: ")), lines[0])
    return told.removeprefix("regex ").removeprefix("error: ")


def _value(value: Value, dtype: pl.DataType, constraint: Range | Values) -> Any:
    """Bring a bound or an allowed value into the column's kind."""
    wrong = InvalidInputError(
        f"column {constraint.column!r} is {dtype}, and constraint {constraint.name!r} compares it with {value!r}",
        hint="give values of the column's own kind: numbers, texts, times in ISO 8601",
    )
    if isinstance(value, bool) or dtype == pl.Boolean:
        known = isinstance(value, bool) and dtype == pl.Boolean
    elif isinstance(dtype, pl.Decimal):
        return _decimal(value, wrong)
    elif dtype.is_numeric():
        known = not isinstance(value, str)
        # Whole numbers are compared as such: the nearest float of a large one is another.
        if known and dtype.is_integer() and value == int(value):
            value = max(-_LARGEST, min(int(value), _LARGEST))
    else:
        known = isinstance(value, str) and isinstance(dtype, (*_TEXTS, pl.Datetime, pl.Date))
    if not known:
        raise wrong
    return literal(value, dtype)


def _is_one_of(column: pl.Expr, values: pl.Series) -> pl.Expr:
    """Write `is_in` so that it is quick: a few comparisons cost a quarter of a look into a table of texts."""
    if not 0 < len(values) <= _FEW:
        return column.is_in(values.implode())
    return pl.any_horizontal(column == pl.lit(value, values.dtype) for value in values)


def _allowed(constraint: Values, dtype: pl.DataType) -> pl.Series:
    """Bring the allowed values into the column's type, without those that it cannot hold."""
    values = [_value(value, dtype, constraint) for value in constraint.values]
    if dtype.is_integer():
        values = [value for value in values if isinstance(value, int)]
    held = pl.Series(values, dtype=pl.String if isinstance(dtype, _TEXTS) else dtype, strict=False)
    if isinstance(dtype, pl.Decimal):
        held = held.filter([value == kept for value, kept in zip(values, held, strict=True)])
    return held.drop_nulls()


def _decimal(value: Value, wrong: InvalidInputError) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise wrong from error
    exponent = number.as_tuple().exponent
    # One that is no number has letters there.
    if not isinstance(exponent, int) or max(number.adjusted() + 1, 0) + max(-exponent, 0) > _MOST_DIGITS:
        raise wrong
    return number


def check_sql(constraint: RowConstraint, dtypes: Dtypes) -> str | None:
    """Write a constraint as a CHECK of Delta; None if Delta cannot say it, or might understand something else.

    Returns
    -------
    str or None
        An expression that is true for the rows that do not break it, and false for those that do.
    """
    if isinstance(constraint, Sql) and constraint.strict:
        return constraint.sql
    if constraint.severity == "warn" or isinstance(constraint, NotNull | Pattern):
        return None
    if isinstance(constraint, Sql):
        found = compile_sql(constraint.sql, dtypes)
        alike = all(dtypes[name] == types.stored_dtype(dtypes[name]) for name in found.columns)
        return f"COALESCE({found.spark}, TRUE)" if found.spark is not None and alike else None
    told = _told(constraint, "`" + constraint.column.replace("`", "``") + "`", dtypes[constraint.column])
    return told and f"COALESCE({told}, TRUE)"


def _told(constraint: Range | Values | Length, column: str, dtype: pl.DataType) -> str | None:
    if isinstance(constraint, Length):
        least, most = constraint.min_length, constraint.max_length
        parts = [f"length({column}) >= {least}" if least else "", "" if most is None else f"length({column}) <= {most}"]
        return " AND ".join(filter(None, parts))
    given = constraint.values if isinstance(constraint, Values) else _bounds(constraint)
    told = {value: _literal(value, dtype) for value in given}
    if None in told.values():
        return None
    if isinstance(constraint, Values):
        return f"{column} IN ({', '.join(filter(None, told.values()))})"
    signs = {"min": ">=", "above": ">", "max": "<=", "below": "<"}
    bounds = {sign: getattr(constraint, key) for key, sign in signs.items()}
    compared = [f"{column} {sign} {told[bound]}" for sign, bound in bounds.items() if bound is not None]
    return " AND ".join([*compared, *([f"NOT isnan({column})"] if dtype.is_float() else [])])


def _bounds(limits: Range) -> list[Value]:
    return [bound for bound in (limits.min, limits.above, limits.max, limits.below) if bound is not None]


def _literal(value: Value, dtype: pl.DataType) -> str | None:
    """Write a value so that every engine reads the same; None if that is not sure."""
    if isinstance(value, str) and isinstance(dtype, _TEXTS):
        # An engine may take a backslash, or a doubled quote, for something else.
        return f"'{value}'" if value.isprintable() and not set(value) & {"'", "\\"} else None
    if isinstance(value, str) and dtype == pl.Date:
        return f"DATE '{literal(value, dtype)}'"
    if dtype == pl.Float32 and pl.Series([value], dtype=pl.Float32, strict=False)[0] != value:
        return None
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(dtype, pl.Decimal):
        return f"{Decimal(str(value)):f}"
    is_number = isinstance(value, int | float) and (dtype.is_integer() or dtype in {pl.Float32, pl.Float64})
    return repr(value) if is_number and abs(value) < _MOST_TO_ALL else None  # type: ignore[arg-type]  # a number
