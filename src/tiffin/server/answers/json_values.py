"""Single values between a table's dtypes and JSON, where the two have no form in common.

What is not named here goes as it is: the encoder writes times in ISO 8601, decimals as texts, bytes in base64, NaN and
infinities as null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from tiffin.serving.answer import Column

Convert = Callable[[Any], Any]
Leaf = Callable[[pl.DataType], Convert | None]
"""Tells how the values of a dtype that has no others inside are converted; None if they need not be."""


def plain(dtype: pl.DataType) -> Convert | None:
    """Show datetimes without a zone as UTC."""
    return _utc if isinstance(dtype, pl.Datetime) and dtype.time_zone is None else None


def in_words(dtype: pl.DataType) -> Convert | None:
    """As `plain`, and show NaN and infinities as words."""
    return _word if dtype.is_float() else plain(dtype)


def converters(columns: Mapping[str, Column], leaf: Leaf) -> dict[str, Convert]:
    """Tell how the values of columns are converted, for those that need it."""
    found = {name: converter(column.dtype, leaf) for name, column in columns.items()}
    return {name: convert for name, convert in found.items() if convert}


def converter(dtype: pl.DataType, leaf: Leaf) -> Convert | None:
    """Tell how the values of a dtype are converted, and those inside of them.

    Parameters
    ----------
    dtype : polars.DataType
        Of a column.
    leaf : callable
        Tells it of dtypes that have no others inside.

    Returns
    -------
    callable or None
        Nulls stay nulls. None if the values need no conversion.
    """
    convert = _nested(dtype, leaf) if dtype.is_nested() else leaf(dtype)
    return None if convert is None else lambda value: None if value is None else convert(value)


def _nested(dtype: pl.DataType, leaf: Leaf) -> Convert | None:
    match dtype:
        case pl.List() | pl.Array():
            inner = converter(_instance(dtype.inner), leaf)
            return None if inner is None else lambda values: list(map(inner, values))
        case pl.Struct():
            fields = {field.name: converter(_instance(field.dtype), leaf) for field in dtype.fields}
            changed = {name: convert for name, convert in fields.items() if convert}
            return _of_struct(changed) if changed else None
        case pl.Map():
            key, value = converter(_instance(dtype.key), leaf), converter(_instance(dtype.value), leaf)
            return _of_map(key or _same, value or _same) if key or value else None
    return None


def _of_struct(changed: Mapping[str, Convert]) -> Convert:
    return lambda struct: {name: changed.get(name, _same)(value) for name, value in struct.items()}


def _of_map(key: Convert, value: Convert) -> Convert:
    return lambda mapping: {key(name): value(held) for name, held in mapping.items()}


def _same(value: Any) -> Any:
    return value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _word(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _instance(dtype: Any) -> pl.DataType:
    """Polars accepts `Int64` for `Int64()` and gives back whichever it was given."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[no-any-return]
