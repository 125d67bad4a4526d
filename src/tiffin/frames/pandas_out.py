"""pandas out: every column as it was saved, or as the pandas type nearest to its Polars dtype.

A remembered type is used while it still fits the column. It may not: a table's type can be widened later, and
a join can bring nulls into a column that had none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from tiffin.errors import CorruptData
from tiffin.frames import arrow, libraries
from tiffin.frames.pandas_in import PREFIX

_MISSING: dict[str, Callable[[Any], Any]] = {
    "NoneType": lambda _: None,
    "float": lambda _: float("nan"),
    "NAType": lambda pandas: pandas.NA,
    "NaTType": lambda pandas: pandas.NaT,
}


def to_pandas(frame: pl.DataFrame, origins: Mapping[str, str]) -> Any:
    """Turn a frame into a pandas frame that owns its values.

    Parameters
    ----------
    frame : polars.DataFrame, shape (n, k)
        The values.
    origins : mapping of str to str
        Column name to origin; origins of other libraries are ignored.

    Returns
    -------
    pandas.DataFrame, shape (n, k)
        The same values under a default RangeIndex. Nulls are NaN in float columns, NaT in times, NA in nullable
        integers and booleans, None among objects.

    Raises
    ------
    CorruptData
        If an origin is not one that Tiffin wrote.
    """
    pandas = libraries.pandas()
    columns = {column.name: _to_column(column, origins.get(column.name, "")) for column in frame.iter_columns()}
    return pandas.DataFrame(columns, index=pandas.RangeIndex(frame.height), copy=False)


def _to_column(column: pl.Series, origin: str) -> Any:
    if not origin.startswith(PREFIX):
        return _natural(column)
    text = origin.removeprefix(PREFIX)
    try:
        restored = _restored(column, text)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptData(
            f"column {column.name!r}: not a pandas type: {text[:100]!r}",
            hint="the table's metadata was damaged, or written by a newer Tiffin",
        ) from error
    return _natural(column) if restored is None else restored


def _restored(column: pl.Series, text: str) -> Any:
    """Give the column its pandas type, or None if that does not fit it any more."""
    kind, _, rest = text.partition(" ")
    if kind == "category":
        return _categories(column, json.loads(rest))
    if kind == "arrow":
        array = arrow.restore(arrow.natural(column), rest)
        return libraries.pandas().arrays.ArrowExtensionArray(array)
    if kind in {"object", "ndarray"}:
        return _objects(column, rest, as_arrays=kind == "ndarray")
    if kind.startswith("str"):
        return _strings(column, _string_dtype(text)) if column.dtype == pl.String else None
    if kind.startswith("datetime64"):
        zoned = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
        return _times_as(column, text) if isinstance(column.dtype, pl.Datetime) and zoned == ("," in text) else None
    if kind.startswith("timedelta64"):
        return _times_as(column, text) if isinstance(column.dtype, pl.Duration) else None
    return _numbers(column, text)


def _numbers(column: pl.Series, text: str) -> Any:
    """Nullable numbers and booleans, and NumPy numbers of the other byte order."""
    pandas = libraries.pandas()
    dtype = pandas.api.types.pandas_dtype(text)
    numpy_dtype = getattr(dtype, "numpy_dtype", dtype).newbyteorder("=")
    values = column.fill_null(False if column.dtype == pl.Boolean else 0) if column.null_count() else column
    array = _writable(values)
    if array.dtype != numpy_dtype:
        return None
    if numpy_dtype is not dtype and hasattr(dtype, "numpy_dtype"):
        return _masked(column, array)
    return None if column.null_count() and numpy_dtype.kind != "f" else _natural(column).astype(dtype)


def _masked(column: pl.Series, values: Any) -> Any:
    """Join values and a mask of the missing ones into pandas' nullable array."""
    arrays = libraries.pandas().arrays
    kinds = {"b": arrays.BooleanArray, "i": arrays.IntegerArray, "u": arrays.IntegerArray, "f": arrays.FloatingArray}
    return kinds[values.dtype.kind](values, _writable(column.is_null()))


def _writable(column: pl.Series) -> Any:
    """Copy what NumPy would only see through a read-only window: pandas writes in place where it sees no other user."""
    array = column.to_numpy()
    return array if array.flags.writeable and array.flags.owndata else array.copy()


def _natural(column: pl.Series) -> Any:
    dtype = column.dtype
    if dtype.is_float() or (not column.null_count() and _is_numpy(dtype)):
        return _writable(column)
    if _is_numpy(dtype):
        return _masked(column, _writable(column.fill_null(False if dtype == pl.Boolean else 0)))
    match dtype:
        case pl.String():
            return _strings(column, libraries.pandas().StringDtype(na_value=float("nan")))
        case pl.Categorical() | pl.Enum():
            return _natural_categories(column)
        case pl.Datetime():
            return _times(column, dtype.time_zone)
        case pl.Duration():
            return _writable(column)
        case pl.Date():
            return _writable(column).astype("datetime64[ms]")
    return _objects(column, "NoneType", as_arrays=False)


def _is_numpy(dtype: pl.DataType) -> bool:
    return dtype == pl.Boolean or (dtype.is_integer() and dtype not in {pl.Int128, pl.UInt128})


def _times(column: pl.Series, zone: str | None) -> Any:
    utc = column.cast(pl.Datetime(column.dtype.time_unit)) if zone else column  # type: ignore[attr-defined]
    array = libraries.pandas().array(_writable(utc), copy=False)
    return array.tz_localize("UTC").tz_convert(zone) if zone else array


def _times_as(column: pl.Series, text: str) -> Any:
    """Give times their remembered unit and zone, unless values that were added since are finer than the unit."""
    given = libraries.pandas().array(_natural(column), copy=False)
    restored = given.astype(text)
    return restored if (restored.astype(given.dtype).asi8 == given.asi8).all() else None


def _strings(column: pl.Series, dtype: Any) -> Any:
    return dtype.__from_arrow__(arrow.natural(column))


def _string_dtype(text: str) -> Any:
    pandas = libraries.pandas()
    family, storage = text.removesuffix("]").split("[")
    return pandas.StringDtype(storage, na_value=pandas.NA if family == "string" else float("nan"))


def _objects(column: pl.Series, marker: str, *, as_arrays: bool) -> Any:
    import numpy as np  # noqa: PLC0415  # comes with pandas

    missing = _MISSING[marker](libraries.pandas())
    values: Any = column.to_list()
    if as_arrays:
        dtype = _writable(column.explode()).dtype
        values = (None if value is None else np.asarray(value, dtype) for value in values)
    values = (missing if value is None else value for value in values)
    # As a Series, since pandas infers a type from a bare array of objects
    return libraries.pandas().Series(np.fromiter(values, dtype=object, count=len(column)), dtype=object, copy=False)


def _categories(column: pl.Series, described: dict[str, Any]) -> Any:
    """Rebuild a category; values that were added since become further categories."""
    pandas = libraries.pandas()
    known = pl.Series(described["values"], dtype=_values_dtype(column))
    added = column.drop_nulls().cast(known.dtype).unique(maintain_order=True)
    values = known.append(added.filter(~added.is_in(known.implode())))
    index = pandas.Index(values.to_list(), dtype=_index_dtype(described["type"]))
    dtype = pandas.CategoricalDtype(index, ordered=described["ordered"])
    return pandas.Categorical.from_codes(_codes(column, values), dtype=dtype)


def _natural_categories(column: pl.Series) -> Any:
    pandas = libraries.pandas()
    if isinstance(column.dtype, pl.Enum):
        values, ordered = column.dtype.categories, True
    else:
        values, ordered = column.drop_nulls().cast(pl.String).unique().sort(), False
    dtype = pandas.CategoricalDtype(pandas.Index(values.to_list(), dtype="str"), ordered=ordered)
    return pandas.Categorical.from_codes(_codes(column, values), dtype=dtype)


def _values_dtype(column: pl.Series) -> pl.DataType:
    return pl.String() if isinstance(column.dtype, pl.Categorical | pl.Enum) else column.dtype


def _codes(column: pl.Series, values: pl.Series) -> Any:
    """Find the place of each value among the categories; -1 where it is missing."""
    if values.dtype == pl.String:
        codes = column.cast(pl.Enum(values)).to_physical()
    else:
        places = pl.DataFrame({"value": values, "code": pl.int_range(len(values), dtype=pl.Int32, eager=True)})
        codes = column.alias("value").to_frame().join(places, on="value", how="left", maintain_order="left")["code"]
    return _writable(codes.cast(pl.Int32).fill_null(-1))


def _index_dtype(text: str) -> Any:
    kind = text.partition(" ")[0]
    return _string_dtype(kind) if kind.startswith("str") else kind
