"""Any list or frame of movies → a raw Polars frame of the fields we know, whatever their types."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from tiffin.errors import InvalidInputError

SCALARS: dict[str, pl.DataType] = {
    **dict.fromkeys(("movie_id", "id"), pl.Int64()),
    **dict.fromkeys(("title", "original_title", "overview", "original_language", "release_date"), pl.String()),
    **dict.fromkeys(("vote_average", "vote_count", "popularity", "runtime", "budget", "revenue"), pl.Float64()),
    "adult": pl.Boolean(),
}
"""The fields of a movie that hold one value, each with the type it has when it is clean."""

LISTS = ("genre_ids", "genres")
"""The fields of a movie that hold a list."""

_NEAR = 500
"""Rows that are taken apart at a time: so few that they are still in the processor's cache for the next field."""


def raw_frame(movies: Any) -> tuple[pl.DataFrame, list[str]]:
    """Hold the known fields of any input in one Polars frame.

    Parameters
    ----------
    movies : list of dict, or a pandas, Polars or Arrow frame, or anything with `__arrow_c_stream__`

    Returns
    -------
    DataFrame
        The known fields that the input has. A field whose values are of one clean type keeps it; a field of mixed
        types becomes text.
    list of str
        Names of the input's other fields.

    Raises
    ------
    InvalidInputError
        Neither rows nor a frame, a row that is not a mapping, or a column name twice.
    """
    pandas = sys.modules.get("pandas")  # a pandas frame can only come from a program that imported pandas
    if isinstance(movies, pl.LazyFrame):
        movies = movies.collect()
    if isinstance(movies, pl.DataFrame):
        known, others = _sort_out(movies.columns)
        return movies.select(known), others
    if pandas is not None and isinstance(movies, pandas.DataFrame):
        return _from_pandas(movies)
    if hasattr(movies, "__arrow_c_stream__"):
        return raw_frame(_from_arrow(movies))
    if isinstance(movies, Iterable) and not isinstance(movies, str | bytes | Mapping):
        return _from_rows(list(movies))
    raise InvalidInputError(
        f"The movies are a {type(movies).__name__}", hint="pass a list of dicts, or a pandas, Polars or Arrow frame"
    )


def _sort_out(names: Iterable[Any]) -> tuple[list[str], list[str]]:
    """Part known names from others."""
    known = {*SCALARS, *LISTS}
    names = list(names)
    return [name for name in names if name in known], [str(name) for name in names if name not in known]


def _from_rows(rows: list[Any]) -> tuple[pl.DataFrame, list[str]]:
    _require_mappings(rows)
    # A movie without any id is refused later by position, so the column must be there even if no row has it.
    names: set[object] = {"movie_id"}
    fields: dict[str, list[Any]] = {name: [] for name in (*SCALARS, *LISTS)}
    for start in range(0, len(rows), _NEAR):
        near = rows[start : start + _NEAR]
        names.update(*near)
        for name, values in fields.items():
            values.extend([row.get(name) for row in near])
    known, others = _sort_out(names)
    return pl.DataFrame([_column(name, values) for name, values in fields.items() if name in known]), sorted(others)


def _require_mappings(rows: list[Any]) -> None:
    for position, row in enumerate(rows):
        if type(row) is not dict and not isinstance(row, Mapping):  # the first test is 20 times faster
            raise InvalidInputError(
                f"Movie at position {position} is a {type(row).__name__}",
                hint="each movie is a dict",
                position=position,
            )


def _from_pandas(movies: Any) -> tuple[pl.DataFrame, list[str]]:
    if not movies.columns.is_unique:
        names = movies.columns[movies.columns.duplicated()].unique().tolist()
        raise InvalidInputError(
            f"Column names occur twice: {names}", hint="rename or drop the duplicates", columns=names
        )
    columns = []
    known, others = _sort_out(movies.columns)
    for name in known:
        values = movies[name]
        if values.dtype == object:
            columns.append(_column(name, values.where(values.notna(), None).tolist()))
        else:
            columns.append(pl.Series(name, values, nan_to_null=True))
    return pl.DataFrame(columns), others


def _from_arrow(movies: Any) -> pl.DataFrame:
    try:
        return pl.DataFrame(movies)
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        raise InvalidInputError(
            f"The {type(movies).__name__} cannot be read as an Arrow table: {error}",
            hint="column names must be unique and of types that Polars knows",
        ) from error


def _column(name: str, values: list[Any]) -> pl.Series:
    """Hold one field of all rows: with its clean type where all values have it, else as text."""
    if name in LISTS:
        return _list_column(name, values)
    try:
        return pl.Series(name, values, dtype=SCALARS[name], strict=True)
    except (TypeError, OverflowError, UnicodeEncodeError, pl.exceptions.PolarsError):
        return pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)


def _list_column(name: str, values: list[Any]) -> pl.Series:
    import pyarrow as pa  # noqa: PLC0415 - heavy; reads lists 50 times faster than Polars does

    try:
        return pl.Series(name, pa.array(values))
    except (pa.ArrowException, TypeError, OverflowError, UnicodeEncodeError):
        return pl.Series(name, [_list_as_text(value) for value in values], dtype=pl.String)


def _as_text(value: object) -> str | None:
    """Write one value of a mixed column as text; null for what is not one readable value."""
    if isinstance(value, str):
        return value if value.isprintable() or _is_encodable(value) else None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat()
    return str(value) if isinstance(value, int | float | Decimal | date) else None


def _list_as_text(value: object) -> str | None:
    if value is None or isinstance(value, bytes):
        return None
    text = str(value)
    return text if _is_encodable(text) else None


def _is_encodable(text: str) -> bool:
    """Tell whether text is free of lone surrogates, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
