"""pandas in: every column to Polars, with what it takes to give the same column back.

NaN in a NumPy float column means missing, as pandas has it. The type that a column had is remembered as text
where it does not follow from the Polars dtype; `pandas_out` reads it.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from tiffin.errors import InvalidInputError, InvalidName
from tiffin.frames import arrow, libraries, objects
from tiffin.schema.dtypes import MAX_CATEGORIES

PREFIX = "pandas:"
"""Starts the origin of a column that came from pandas."""

_MASKED = {"boolean", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)), "Float32", "Float64"}

_CATEGORY_KINDS = {"string", "integer", "floating", "boolean", "empty"}

_ADVICE = {
    "complex": "save the real and the imaginary part as two columns",
    "period": "turn it into timestamps: df[column].dt.to_timestamp()",
    "interval": "save its edges as two columns, or turn it into text: df[column].astype(str)",
    "Sparse": "make it dense: df[column].sparse.to_dense()",
    "float128": "cast it: df[column].astype('float64')",
    "category": "give it text, numbers or booleans as categories: df[column].cat.rename_categories(str)",
}


def from_pandas(frame: Any) -> tuple[pl.DataFrame, dict[str, str]]:
    """Turn a pandas frame into a Polars frame.

    Parameters
    ----------
    frame : pandas.DataFrame, shape (n, k)
        Its index is not kept: it has to be a RangeIndex without a name.

    Returns
    -------
    frame : polars.DataFrame, shape (n, k)
        The values; NumPy columns share memory with the pandas frame.
    origins : dict of str to str
        Column name to its pandas type, where it does not follow from the Polars dtype.

    Raises
    ------
    InvalidInputError
        If the index holds data, or a column cannot be kept; names column and row.
    InvalidName
        If a column's name is not a string, or names repeat.
    """
    _check_axes(frame)
    columns, origins = [], {}
    for name, values in frame.items():
        column, origin = _from_column(name, values)
        columns.append(column)
        if origin:
            origins[name] = PREFIX + origin
    return pl.DataFrame(columns), origins


def _check_axes(frame: Any) -> None:
    pandas = libraries.pandas()
    if not isinstance(frame.index, pandas.RangeIndex) or frame.index.name is not None:
        kind = type(frame.index).__name__ + (f" named {frame.index.name!r}" if frame.index.name is not None else "")
        raise InvalidInputError(
            f"the frame has an index of type {kind}, and an index is not saved",
            hint="make it a column with df.reset_index(), or drop it with df.reset_index(drop=True)",
        )
    if frame.columns.nlevels > 1:
        raise InvalidName(
            f"the columns have {frame.columns.nlevels} levels of names",
            hint="join them: df.columns = ['_'.join(map(str, name)) for name in df.columns]",
        )
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise InvalidName(f"several columns are named {name!r}", hint="give each column its own name")
    for name in frame.columns:
        if not isinstance(name, str):
            raise InvalidName(
                f"a column is named {name!r}, of type {type(name).__name__}",
                hint="column names are strings: df.columns = df.columns.map(str)",
            )


def _from_column(name: str, column: Any) -> tuple[pl.Series, str]:
    """Convert one column; the text is empty where the Polars dtype says it all."""
    dtype = column.dtype
    kind = type(dtype).__name__
    if kind == "StringDtype":
        return _from_strings(name, column)
    if str(dtype) in _MASKED:
        return _from_array(name, column.array), str(dtype)
    if kind == "CategoricalDtype":
        return _from_categories(name, column)
    if kind == "ArrowDtype":
        return _from_array(name, column.array), "arrow " + arrow.encode_type(dtype.pyarrow_dtype)
    if kind == "DatetimeTZDtype":
        return _from_zoned(name, column)
    if type(dtype).__module__.partition(".")[0] != "numpy":
        raise _refused(name, dtype)
    return _from_numpy(name, column)


def _refused(name: str, dtype: Any) -> InvalidInputError:
    advice = next((advice for word, advice in _ADVICE.items() if str(dtype).startswith(word)), None)
    return InvalidInputError(
        f"column {name!r} of the pandas type {dtype} cannot be stored",
        hint=advice or "cast it to one of the types that docs/dtypes.md lists",
        column=name,
    )


def _from_numpy(name: str, column: Any) -> tuple[pl.Series, str]:
    dtype = column.dtype
    if dtype.kind == "O":
        return _from_objects(name, column)
    if dtype.kind in "mM":
        return _from_times(name, column)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise _refused(name, dtype)
    if dtype.isnative:
        return pl.Series(name, column.to_numpy(), nan_to_null=dtype.kind == "f"), ""
    native = column.to_numpy().astype(dtype.newbyteorder("="))
    return pl.Series(name, native, nan_to_null=dtype.kind == "f"), dtype.str


def _from_times(name: str, column: Any) -> tuple[pl.Series, str]:
    """NumPy datetimes and durations; Polars has no seconds."""
    if not column.dtype.name.endswith("[s]"):
        return pl.Series(name, column.to_numpy()), ""
    try:
        milliseconds = column.astype(column.dtype.name.replace("[s]", "[ms]"))
    except ValueError as error:
        raise InvalidInputError(
            f"column {name!r} holds a time too far away to be counted in microseconds: {error}",
            hint="replace it by a missing value",
            column=name,
        ) from error
    return pl.Series(name, milliseconds.to_numpy()), column.dtype.name


def _from_zoned(name: str, column: Any) -> tuple[pl.Series, str]:
    utc, seconds = _from_times(name, column.dt.tz_convert(None))
    zone = str(column.dtype.tz)
    if libraries.pandas().api.types.pandas_dtype(str(column.dtype)) != column.dtype:
        raise InvalidInputError(
            f"column {name!r} has a time zone that has no name: {zone}",
            hint="convert it to a named one first: df[column].dt.tz_convert('UTC')",
            column=name,
        )
    fixed = zone.startswith("UTC") and zone != "UTC"
    series = utc.dt.replace_time_zone("UTC")
    if not fixed:
        series = series.dt.convert_time_zone(zone)
    return series, str(column.dtype) if fixed or seconds else ""


def _from_strings(name: str, column: Any) -> tuple[pl.Series, str]:
    family = "string" if column.dtype.na_value is libraries.pandas().NA else "str"
    text = f"{family}[{column.dtype.storage}]"
    return _from_array(name, column.array), "" if text == "str[pyarrow]" else text


def _from_array(name: str, array: Any) -> pl.Series:
    pyarrow = libraries.pyarrow()
    try:
        converted = pyarrow.array(array)
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"column {name!r} holds text that is not valid Unicode: {error.object[:40]!r}",
            hint="replace lone surrogates: df[column].str.encode('utf-8', 'replace').str.decode('utf-8')",
            column=name,
        ) from error
    return arrow.column_from_arrow(name, converted)


def _from_categories(name: str, column: Any) -> tuple[pl.Series, str]:
    """Keep the values as their own type; which categories there were, and their order, is the origin."""
    categories = column.cat.categories
    if len(categories) > MAX_CATEGORIES:
        raise InvalidInputError(
            f"column {name!r} has {len(categories):,} categories; at most {MAX_CATEGORIES:,} can be kept",
            hint="save it as text: df[column].astype(str)",
            column=name,
        )
    if libraries.pandas().api.types.infer_dtype(categories) not in _CATEGORY_KINDS:
        raise _refused(name, column.dtype)
    values, inner = _from_column(name, libraries.pandas().Series(categories))
    if values.dtype == pl.String:
        inner, values = inner or "str[pyarrow]", values.cast(pl.Categorical)
    codes = pl.Series(name, column.cat.codes.to_numpy()).cast(pl.Int32)
    described = {
        "type": inner or str(categories.dtype), "values": values.to_list(), "ordered": bool(column.cat.ordered),
    }  # fmt: skip
    text = "category " + json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    return values.gather(codes.set(codes < 0, None)), text


def _from_objects(name: str, column: Any) -> tuple[pl.Series, str]:
    """Python objects of one kind; remembers what stood for a missing value."""
    missing = column.isna().to_numpy()
    markers = {type(value).__name__ for value in column[missing]}
    values = column.where(~missing, None).to_list()
    series = objects.to_series(name, values, exact=True)
    present = next((value for value in values if value is not None), None)
    form = "ndarray" if type(present).__name__ == "ndarray" else "object"
    marker = markers.pop() if len(markers) == 1 else "NoneType"
    return series, f"{form} {marker}"
