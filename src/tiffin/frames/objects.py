"""Columns of Python objects: lists of dicts, and pandas' object columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.frames import libraries

_KINDS: dict[type, str] = {
    bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes", Decimal: "Decimal", dt.date: "date",
    dt.datetime: "datetime", dt.time: "time", dt.timedelta: "timedelta", list: "list", tuple: "list", dict: "dict",
}  # fmt: skip

_NUMPY_KINDS = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str"}


def to_series(name: str, values: list[Any], *, exact: bool = False) -> pl.Series:
    """Turn Python values of one kind into a column.

    Parameters
    ----------
    name : str
        The column's name.
    values : list, length n
        Python or NumPy scalars, lists or dicts; None, pandas' NA and NaT, and NaN among values that are not
        numbers, are missing.
    exact : bool
        Refuse what would come back as an equal value of another form: an int among floats, a dict's missing key,
        a tuple.

    Returns
    -------
    polars.Series, shape (n,)
        The column; integers beyond 64 bits become Int128.

    Raises
    ------
    InvalidInputError
        If the values differ in kind or cannot be kept; names the first row at fault.
    """
    kinds = [_kind(value) for value in values]
    present = set(kinds) - {None}
    if "float" in present and len(present) > 1 and (exact or "int" not in present):
        kinds = [None if _is_nan(value) else kind for value, kind in zip(values, kinds, strict=True)]
        present = set(kinds) - {None}
    if len(present) > 1 and (exact or present != {"int", "float"}):
        raise _mixed(name, values, kinds)
    if not present:
        return pl.Series(name, [None] * len(values), dtype=pl.Null)
    plain = [None if kind is None else value for value, kind in zip(values, kinds, strict=True)]
    series = _convert(name, plain)
    if present & {"list", "ndarray", "dict", "datetime", "time", "timedelta"} or len(present) > 1:
        _check_same(series, plain, exact=exact)
    return series


def _kind(value: Any) -> str | None:
    """Name what a value is; None if it is missing."""
    kind = _KINDS.get(type(value))
    if kind == "datetime" and value.tzinfo is not None:
        return "datetime with a time zone"
    if kind is not None or value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return kind
    if type(value).__module__ == "numpy":
        numpy_kind = _NUMPY_KINDS.get(value.dtype.kind)
        return "ndarray" if value.ndim else numpy_kind or str(value.dtype)
    if isinstance(value, dt.datetime):
        return "datetime" if value.tzinfo is None else "datetime with a time zone"
    return type(value).__qualname__


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124  # NaN is what differs from itself


def _mixed(name: str, values: Sequence[Any], kinds: Sequence[str | None]) -> InvalidInputError:
    first = next(row for row, kind in enumerate(kinds) if kind is not None)
    odd = next(row for row, kind in enumerate(kinds) if kind not in {None, kinds[first]})
    return InvalidInputError(
        f"column {name!r} mixes types: {kinds[first]} in row {first}, {kinds[odd]} in row {odd} ({_shown(values[odd])})",
        hint="give the column one type, for example text: df[column].astype(str) in pandas",
        column=name,
        row=odd,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _convert(name: str, values: list[Any]) -> pl.Series:
    pyarrow = libraries.pyarrow()
    try:
        return pl.Series(name, pyarrow.array(values))
    except OverflowError:
        return _wide_integers(name, values)
    except (pyarrow.ArrowException, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise _unusable(name, values, pyarrow, error) from error


def _wide_integers(name: str, values: list[Any]) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=pl.Int128)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise InvalidInputError(
            f"column {name!r} holds integers that do not fit 128 bits",
            hint="save them as text, or as floats",
            column=name,
        ) from error


def _unusable(name: str, values: list[Any], pyarrow: Any, error: Exception) -> InvalidInputError:
    row = next((row for row, value in enumerate(values) if not _converts(pyarrow, value)), None)
    where = "" if row is None else f", row {row} ({_shown(values[row])})"
    return InvalidInputError(
        f"column {name!r}{where} cannot be stored: {error}",
        hint="use numbers, text, bytes, dates, times, decimals, or lists and dicts of one type each",
        column=name,
        row=row,
    )


def _converts(pyarrow: Any, value: Any) -> bool:
    try:
        pyarrow.array([value])
    except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return True


def _check_same(series: pl.Series, values: list[Any], *, exact: bool) -> None:
    """Compare with the original, since Arrow's inference truncates some values instead of refusing them."""
    for row, (value, back) in enumerate(zip(values, series.to_list(), strict=True)):
        if not _same(value, back, exact=exact):
            raise InvalidInputError(
                f"column {series.name!r}, row {row}: {_shown(value)} would come back as {_shown(back)}",
                hint="give all values the same type and all dicts the same keys, or save the column as JSON text",
                column=series.name,
                row=row,
            )


def _same(value: Any, back: Any, *, exact: bool) -> bool:
    if value is None or back is None:
        return value is back
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        missing = back.keys() - value.keys()
        return not (exact and missing) and all(_same(value.get(key), back[key], exact=exact) for key in back)
    if isinstance(value, list | tuple):
        same_form = not (exact and isinstance(value, tuple)) and len(value) == len(back)
        return same_form and all(_same(one, other, exact=exact) for one, other in zip(value, back, strict=True))
    if _is_nan(value):
        return _is_nan(back)
    return bool(value == back) and (_kind(value) == _kind(back) or (not exact and type(back) is float))
