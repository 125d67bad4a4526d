"""Any frame in: pandas, Polars, Arrow, or rows of Python values."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import polars as pl

from tiffin.errors import InvalidInputError, InvalidName
from tiffin.frames import arrow, objects, pandas_in
from tiffin.frames.feature_frame import FeatureFrame
from tiffin.frames.forked import check_threads

MAX_NAME_LENGTH = 128
"""Characters of a column name."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A user's frame as Polars, and what its columns were before.

    Attributes
    ----------
    frame : polars.DataFrame, shape (n, k)
        The values. It may share memory with the user's frame: copy it before keeping it.
    origins : dict of str to str
        Column name to the pandas or Arrow type that it had, where that does not follow from the Polars dtype.
    library : {"pandas", "polars", "arrow", "rows"}
        What the user's frame was.
    """

    frame: pl.DataFrame
    origins: dict[str, str] = field(default_factory=dict)
    library: Literal["pandas", "polars", "arrow", "rows"] = "polars"

    def owned(self) -> pl.DataFrame:
        """Give the values in memory that the user cannot change any more.

        Returns
        -------
        polars.DataFrame, shape (n, k)
            A copy if the frame may share memory with NumPy arrays: Polars and Arrow do not change values in place.
        """
        if self.library in {"polars", "arrow"}:
            return self.frame
        return self.frame.select(pl.all().gather(pl.int_range(pl.len())))


def ingest(obj: Any) -> Ingested:
    """Turn any frame into a Polars frame with the same values.

    Parameters
    ----------
    obj : frame
        A pandas or Polars frame, a PyArrow table, batch or reader, anything with the Arrow C stream interface,
        a list of dicts (rows; keys a row lacks are null), or a dict of columns.

    Returns
    -------
    Ingested
        The frame and what it takes to give it back exactly.

    Raises
    ------
    InvalidInputError
        If it is no frame, or a value or type in it cannot be kept; names the column and, for a value, the row.
    InvalidName
        If a column's name is not allowed.
    """
    check_threads()
    ingested = _ingest(obj)
    check_names(ingested.frame.columns)
    return ingested


def _ingest(obj: Any) -> Ingested:
    if isinstance(obj, FeatureFrame):
        return Ingested(obj.to_polars(), dict(obj.origins))
    if isinstance(obj, pl.LazyFrame):
        return Ingested(obj.collect())
    if isinstance(obj, pl.DataFrame):
        return Ingested(obj.clone())
    if _is_pandas(obj):
        return Ingested(*pandas_in.from_pandas(obj), "pandas")
    if isinstance(obj, list | tuple):
        return Ingested(_from_rows(obj), {}, "rows")
    if isinstance(obj, Mapping):
        return Ingested(_from_columns(obj), {}, "rows")
    if hasattr(obj, "__arrow_c_stream__") or hasattr(obj, "__arrow_c_array__"):
        return Ingested(*arrow.from_arrow(obj), "arrow")
    raise _no_frame(obj)


def _is_pandas(obj: Any) -> bool:
    return any(
        kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "DataFrame" for kind in type(obj).__mro__
    )


def _no_frame(obj: Any) -> InvalidInputError:
    return InvalidInputError(
        f"a {type(obj).__module__}.{type(obj).__qualname__} is not a frame",
        hint="give a pandas or Polars DataFrame, a PyArrow table, or a list of dicts",
    )


def _from_rows(rows: Iterable[Any]) -> pl.DataFrame:
    names: dict[str, None] = {}
    for number, row in enumerate(rows):
        if type(row) is not dict and not isinstance(row, Mapping):
            raise InvalidInputError(
                f"row {number} is of type {type(row).__name__}, not a dict",
                hint="give one dict per row: column to value",
            )
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    check_names(names)
    return pl.DataFrame([objects.to_series(name, [row.get(name) for row in rows]) for name in names])


def _from_columns(columns: Mapping[Any, Any]) -> pl.DataFrame:
    check_names(columns)
    series = [_from_column(name, values) for name, values in columns.items()]
    lengths = {column.name: len(column) for column in series}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"the columns differ in length: {lengths}", hint="give each column a value per row")
    return pl.DataFrame(series)


def _from_column(name: str, values: Any) -> pl.Series:
    if isinstance(values, list | tuple):
        return objects.to_series(name, list(values))
    if isinstance(values, pl.Series):
        return values.alias(name)
    if type(values).__module__ == "numpy" and getattr(values, "ndim", 0) == 1 and values.dtype.kind in "biufUM":
        return pl.Series(name, values)
    raise InvalidInputError(
        f"column {name!r} is of type {type(values).__name__}",
        hint="give a list, a one-dimensional NumPy array or a Series",
    )


def check_names(names: Iterable[Any]) -> None:
    """Hold column names to what every reader of Delta tables can tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise InvalidName(
                f"a column is named {name!r}, of type {type(name).__name__}",
                hint="column names are strings: rename it, in pandas with df.columns = df.columns.map(str)",
            )
        if not name:
            raise InvalidName(
                f"the column at position {len(seen)} has no name",
                hint="name it; pandas writes its index so, unless with df.to_csv(index=False)",
            )
        if len(name) > MAX_NAME_LENGTH or _has_control(name):
            raise InvalidName(
                f"{name[:40]!r} cannot be the name of a column",
                hint=f"use 1 to {MAX_NAME_LENGTH} characters, none of them a control character such as a line break",
            )
        if name.lower() in seen:
            raise InvalidName(
                f"two columns are named {seen[name.lower()]!r} and {name!r}",
                hint="names must differ in more than case, or other readers of the table mix them up; rename one",
            )
        seen[name.lower()] = name
    if not seen:
        raise InvalidInputError(
            "the frame has no columns", hint="a frame without rows is fine, one without columns not"
        )


def _has_control(name: str) -> bool:
    """Tell whether a name holds a control character, or half a character."""
    return not name.isprintable() and any(unicodedata.category(char) in {"Cc", "Cs"} for char in name)
