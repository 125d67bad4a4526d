"""Row filters: from what callers write to a Polars expression that has been tried on the table's schema (pure).

A filter is a Polars expression, or comparisons as data: ``("year", ">=", 1990)``; a list of them, all of which must
hold; or a list of such lists, one of which must hold (disjunctive normal form, as PyArrow's `filters`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from tiffin.errors import FeatureNotFound, InvalidInputError, did_you_mean
from tiffin.schema import dtypes as types

Comparison = tuple[str, str, Any]
Where = pl.Expr | Comparison | Sequence[Comparison] | Sequence[Sequence[Comparison]]

_COMPARE: dict[str, Callable[[pl.Expr, Any], pl.Expr]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SETS = ("in", "not in")
_NULLS = ("is null", "is not null")
_HINT = "write ('column', '>=', value); operators: == != < <= > >= in, not in, is null, is not null"


def predicate(where: Where, dtypes: Mapping[str, pl.DataType], table: str) -> pl.Expr:
    """Turn a filter into an expression that is known to work on the table.

    Parameters
    ----------
    where : Expr or comparisons
        As the module says.
    dtypes : mapping of str to DataType
        The table's columns.
    table : str
        Its name, for messages.

    Returns
    -------
    Expr
        Boolean, one value a row.

    Raises
    ------
    FeatureNotFound
        The filter names a column that the table does not have.
    InvalidInputError
        The filter cannot be understood, or compares what cannot be compared.
    """
    try:
        expression = where if isinstance(where, pl.Expr) else _any_of(where, dtypes, table)
        for name in expression.meta.root_names():
            _known(name, dtypes, table)
        empty = pl.DataFrame(schema=dict(dtypes))
        kind = empty.select(expression).dtypes
        if kind == [pl.Boolean]:
            # Polars does not find in a selection all that it finds in a filter.
            empty.filter(expression)
    except (pl.exceptions.PolarsError, TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"the filter does not fit table {table}: {error}", hint=_HINT) from error
    if kind != [pl.Boolean]:
        raise InvalidInputError(f"the filter on table {table} gives {kind}, not true or false", hint=_HINT)
    return expression


def renamed(where: Any, names: Mapping[str, str]) -> Any:
    """Call columns otherwise in a filter of comparisons; an expression stays as it is."""
    if isinstance(where, pl.Expr) or not names:
        return where
    if _is_comparison(where):
        return (names.get(where[0], where[0]), *where[1:])
    if isinstance(where, Sequence) and not isinstance(where, str):
        return [renamed(item, names) for item in where]
    return where


def _any_of(where: Any, dtypes: Mapping[str, pl.DataType], table: str) -> pl.Expr:
    if _is_comparison(where):
        return _comparison(where, dtypes, table)
    if not isinstance(where, Sequence) or isinstance(where, str) or not where:
        raise InvalidInputError(f"{where!r} is not a filter", hint=_HINT)
    if all(_is_comparison(item) for item in where):
        return reduce(operator.and_, [_comparison(item, dtypes, table) for item in where])
    if any(_is_comparison(item) for item in where):
        raise InvalidInputError("a filter mixes comparisons with lists of them", hint="use a list of lists throughout")
    return reduce(operator.or_, [_any_of(item, dtypes, table) for item in where])


def _is_comparison(item: Any) -> bool:
    return isinstance(item, Sequence) and not isinstance(item, str) and len(item) in {2, 3} and isinstance(item[0], str)


def _comparison(item: Sequence[Any], dtypes: Mapping[str, pl.DataType], table: str) -> pl.Expr:
    name, sign, *rest = item
    dtype = _known(name, dtypes, table)
    column = pl.col(name)
    if sign in _NULLS and not rest:
        return column.is_null() if sign == "is null" else column.is_not_null()
    if sign in _SETS and rest and isinstance(rest[0], Sequence | set | frozenset) and not isinstance(rest[0], str):
        within = column.is_in([literal(value, dtype) for value in rest[0]])
        return within if sign == "in" else ~within
    if sign in _COMPARE and rest and rest[0] is None:
        raise InvalidInputError(f"{tuple(item)!r} compares with null, which no value equals", hint=_HINT)
    if sign in _COMPARE and rest:
        return _COMPARE[sign](column, literal(rest[0], dtype))
    raise InvalidInputError(f"{tuple(item)!r} is not a comparison", hint=_HINT)


def _known(name: str, dtypes: Mapping[str, pl.DataType], table: str) -> pl.DataType:
    if name not in dtypes:
        raise FeatureNotFound(f"table {table} has no feature {name!r}", hint=did_you_mean(name, dtypes))
    return dtypes[name]


def literal(value: Any, dtype: pl.DataType) -> Any:
    """Bring a time, also one that is written as text, into the column's zone; a time without a zone is UTC."""
    if isinstance(value, str) and isinstance(dtype, pl.Datetime | pl.Date):
        moment = _parsed(value)
        if isinstance(dtype, pl.Date):
            return moment.date()
    elif isinstance(value, datetime) and isinstance(dtype, pl.Datetime):
        moment = value
    else:
        return value
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (
        moment.astimezone(ZoneInfo(dtype.time_zone)) if dtype.time_zone else moment.astimezone(UTC).replace(tzinfo=None)
    )


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(f"{text!r} is not a time", hint="write it like 2024-05-31T12:00:00Z") from error


def keys(
    entities: Sequence[Any] | pl.DataFrame, entity: Sequence[str], dtypes: Mapping[str, pl.DataType], table: str
) -> pl.DataFrame:
    """Turn entity keys into a frame with one column for each entity column.

    Parameters
    ----------
    entities : sequence or DataFrame
        Values (for an entity of one column), tuples in the order of the entity's columns, dicts, or a frame that
        has them as columns. They are compared in the column's own type: `7` and `"7"` are the same whole number.
    entity : sequence of str
        The table's entity columns.
    dtypes : mapping of str to DataType
        The table's columns.
    table : str
        Its name, for messages.

    Returns
    -------
    DataFrame, shape (number of keys, len(entity))

    Raises
    ------
    InvalidInputError
        The table has no entity, or a key is not a value of its column.
    """
    if not entity:
        raise InvalidInputError(
            f"table {table} declares no entity, so its rows cannot be looked up by one",
            hint="declare it when saving (entity='user_id', --entity), or filter (where=…, --where)",
        )
    columns = _key_columns(entities, entity, table)
    made = []
    for name, values in columns.items():
        try:
            made.append(_key_series(name, values, dtypes[name]))
        except (pl.exceptions.PolarsError, TypeError, OverflowError, UnicodeEncodeError) as error:
            raise InvalidInputError(
                f"an entity key of table {table} is not a {dtypes[name]}, as {name!r} is: {error}",
                hint="give the keys in the column's type",
            ) from error
    return pl.DataFrame(made)


def _key_columns(entities: Any, entity: Sequence[str], table: str) -> dict[str, Any]:
    hint = f"give a list of {entity[0]} values" if len(entity) == 1 else f"give tuples or dicts of {', '.join(entity)}"
    if isinstance(entities, pl.DataFrame):
        missing = [name for name in entity if name not in entities.columns]
        if missing:
            raise InvalidInputError(f"the entities lack the key column {missing[0]!r} of table {table}", hint=hint)
        return {name: entities[name] for name in entity}
    if isinstance(entities, str | bytes | Mapping) or not isinstance(entities, Sequence):
        raise InvalidInputError(f"{entities!r} is not a list of entity keys of table {table}", hint=hint)
    rows = [_key_row(item, entity) for item in entities]
    if None in rows:
        wrong = entities[rows.index(None)]
        raise InvalidInputError(f"{wrong!r} is not a key of table {table}", hint=hint)
    return {name: [row[place] for row in rows if row is not None] for place, name in enumerate(entity)}


def _key_row(item: Any, entity: Sequence[str]) -> tuple[Any, ...] | None:
    if isinstance(item, Mapping):
        return tuple(item[name] for name in entity) if all(name in item for name in entity) else None
    if isinstance(item, tuple | list):
        return tuple(item) if len(item) == len(entity) else None
    return (item,) if len(entity) == 1 else None


def _key_series(name: str, values: Any, dtype: pl.DataType) -> pl.Series:
    given = values if isinstance(values, pl.Series) else pl.Series(name, values, strict=True)
    if types.outside_calendar(given) is not None:
        raise TypeError("a time outside the years 1 to 9999")
    if given.dtype == dtype:
        return given.alias(name)
    keys = given.cast(dtype, strict=True)
    if keys.dtype != dtype:
        raise TypeError(f"{given[0]!r} has no place there")
    # 7.5 would become the whole number 7, and match an entity that nobody asked for.
    lost = keys.cast(given.dtype, strict=False).ne_missing(given).arg_true()
    if len(lost):
        raise TypeError(f"{given[lost[0]]!r} has no exact place there")
    return keys.alias(name)
