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

_FAITHFUL = {"bool", "int", "float", "str", "bytes", "Decimal", "date"}
"""Kinds that Arrow either keeps or refuses; others it may truncate."""

_FAITHFUL_TYPES = {kind for kind, name in _KINDS.items() if name in _FAITHFUL}

_PLAIN: dict[type, type[pl.DataType]] = {
    bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String, bytes: pl.Binary,
}  # fmt: skip
"""Types that Polars takes as exactly as Arrow, in half the time and without pandas: `pyarrow.array` imports that, even
to look at a list."""

_WHOLE_FLOATS = 2**53
"""Up to here each integer is a float, too."""

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
    types = set(map(type, values)) - {type(None)}
    if types == {int, float} and not exact:
        return _numbers(name, values)
    if len(types) == 1 and types <= _FAITHFUL_TYPES:
        return _of_one_type(name, values, types.pop())
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
    if not present <= _FAITHFUL:
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
        f"column {name!r} mixes types: {kinds[first]} in row {first}, "
        f"{kinds[odd]} in row {odd} ({_shown(values[odd])})",
        hint="give the column one type, for example text: df[column].astype(str) in pandas",
        column=name,
        row=odd,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _numbers(name: str, values: list[Any]) -> pl.Series:
    if all(abs(value) <= _WHOLE_FLOATS for value in values if type(value) is int):
        return _of_one_type(name, [value if value is None else float(value) for value in values], float)
    return _convert(name, values)


def _of_one_type(name: str, values: list[Any], kind: type) -> pl.Series:
    if kind not in _PLAIN:
        return _convert(name, values)
    try:
        return pl.Series(name, values, dtype=_PLAIN[kind])
    except (TypeError, ValueError, pl.exceptions.PolarsError):  # Arrow keeps what is too wide, and says what is wrong
        return _convert(name, values)


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
    row = _first_that_fails(pyarrow, values)
    return InvalidInputError(
        f"column {name!r}, row {row} ({_shown(values[row])}) cannot be stored: {error}",
        hint="use numbers, text, bytes, dates, times, decimals, or lists and dicts of one type each",
        column=name,
        row=row,
    )


def _first_that_fails(pyarrow: Any, values: list[Any]) -> int:
    """Find the row that spoils the column: the rows before it convert, and with it they do not."""
    good, bad = 0, len(values)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            pyarrow.array(values[:middle])
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            bad = middle
        else:
            good = middle
    return bad - 1


def _check_same(series: pl.Series, values: list[Any], *, exact: bool) -> None:
    """Refuse values that Arrow's inference truncated: nanoseconds, a time's zone, a date's hours."""
    given_back = series.to_list()
    if _equal(given_back, values):
        return
    for row, (value, back) in enumerate(zip(values, given_back, strict=True)):
        if not _same(value, back, exact=exact):
            raise InvalidInputError(
                f"column {series.name!r}, row {row}: {_shown(value)} would come back as {_shown(back)}",
                hint="give all values the same type and all dicts the same keys, or save the column as JSON text",
                column=series.name,
                row=row,
            )


def _equal(one: list[Any], other: list[Any]) -> bool:
    try:
        return one == other
    except ValueError:  # NumPy arrays among them, whose comparison has no single answer
        return False


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
    if exact and type(value) is not type(back):
        return False
    return bool(value == back) and (_kind(value) == _kind(back) or type(back) is float)
