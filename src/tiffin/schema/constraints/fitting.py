"""Constraints and the table that declares them: what they are about there, and whether they make sense (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from tiffin.errors import FeatureNotFound, InvalidInputError, SchemaMismatch, did_you_mean
from tiffin.schema.constraints.kinds import Constraint, Fresh, RowChange, Rows, Sql, Unique, check_shape
from tiffin.schema.constraints.rows import breaks, columns


def check_constraints(
    constraints: Sequence[Constraint],
    dtypes: Mapping[str, pl.DataType],
    row_key: Sequence[str],
    timestamp: str | None,
    table: str,
) -> None:
    """Check that constraints make sense for a table.

    Parameters
    ----------
    constraints : sequence of Constraint
        All that the table is to declare.
    dtypes : mapping of str to DataType
        Its columns.
    row_key : sequence of str
        Its entity, with its timestamp if it has one.
    timestamp : str or None
        Its timestamp.
    table : str
        Its name, for messages.

    Raises
    ------
    SchemaMismatch
        One is about a column that is not there, or of another kind.
    InvalidInputError
        One says nothing, or what cannot be understood.
    """
    check_shape(constraints, table)
    for constraint in constraints:
        # What other writers declared is told when rows are to be checked by it: what is said of a table can be changed.
        if isinstance(constraint, Sql) and constraint.strict:
            continue
        try:
            _check_fit(constraint, dtypes, row_key, timestamp)
        except (InvalidInputError, FeatureNotFound, pl.exceptions.PolarsError, OverflowError) as error:
            hint = getattr(error, "hint", "") or "compare with values that the column can hold"
            raise SchemaMismatch(
                f"constraint {constraint.name!r} does not fit table {table}: {getattr(error, 'message', error)}",
                hint=f"{hint}; to take it away: store.unconstrain({table!r}, {constraint.name!r}), "
                f"tiffin constrain {table} --drop {constraint.name!r}",
            ) from error


def _check_fit(
    constraint: Constraint, dtypes: Mapping[str, pl.DataType], row_key: Sequence[str], timestamp: str | None
) -> None:
    if isinstance(constraint, Rows | RowChange):
        return
    if isinstance(constraint, Unique):
        for name in unique_columns(constraint, row_key):
            if (dtype := _known(name, dtypes)).is_nested() or dtype in {pl.Object, pl.Null}:
                raise InvalidInputError(
                    f"column {name!r} is {dtype}, which is not compared", hint="name columns of single values"
                )
    elif isinstance(constraint, Fresh):
        name = time_column(constraint, timestamp)
        if not isinstance(dtype := _known(name, dtypes), pl.Datetime | pl.Date):
            raise InvalidInputError(f"column {name!r} is {dtype}, which holds no times", hint="name a column of times")
    else:
        for name in columns(constraint, dtypes):
            _known(name, dtypes)
        pl.DataFrame(schema=dict(dtypes)).select(breaks(constraint, dtypes))


def _known(name: str, dtypes: Mapping[str, pl.DataType]) -> pl.DataType:
    if name not in dtypes:
        raise FeatureNotFound(f"it is about {name!r}, which is no column", hint=did_you_mean(name, dtypes))
    return dtypes[name]


def unique_columns(constraint: Unique, row_key: Sequence[str]) -> tuple[str, ...]:
    """Name the columns whose values together are to be unique.

    Raises
    ------
    InvalidInputError
        It names none, and the table has no entity.
    """
    if not (constraint.columns or row_key):
        raise InvalidInputError(
            "the table has no entity that could be unique", hint="name the columns, as in 'unique user_id, movie_id'"
        )
    return constraint.columns or tuple(row_key)


def time_column(constraint: Fresh, timestamp: str | None) -> str:
    """Name the column whose newest time counts.

    Raises
    ------
    InvalidInputError
        It names none, and the table has no timestamp.
    """
    if not (constraint.column or timestamp):
        raise InvalidInputError(
            "the table has no timestamp", hint="name a column of times, as in 'loaded_at not older than 7d'"
        )
    return constraint.column or str(timestamp)
