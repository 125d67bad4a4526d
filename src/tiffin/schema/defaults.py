"""Default values of features: what answers for a value that is missing, kept exactly (pure)."""

from __future__ import annotations

import json
import math

import polars as pl

from tiffin.errors import InvalidInputError, SchemaMismatch

Default = bool | int | float | str

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


def check_default(value: object, dtype: pl.DataType, feature: str, table: str) -> None:
    """Check that a column can hold a value as it is.

    Raises
    ------
    SchemaMismatch
        It is of another kind than the column's values, or would be rounded there.
    """
    known = _kind(value)
    if known is None:
        raise SchemaMismatch(
            f"the default of feature {feature!r} of table {table} is {_shown(value)}",
            hint="a default is a boolean, a finite number or a text",
        )
    if not _is_of_kind(known, dtype):
        raise SchemaMismatch(
            f"feature {feature!r} of table {table} is {dtype}: its default cannot be {_shown(value)}",
            hint="give a value of the column's type, or take the default away (defaults={…: None}, --default …=)",
        )
    held = pl.Series([value], dtype=dtype, strict=False)[0]
    if held != value:
        instead = "" if held is None or held in (math.inf, -math.inf) else f"; the nearest value is {held!r}"
        raise SchemaMismatch(
            f"feature {feature!r} of table {table} is {dtype}, which cannot hold its default {_shown(value)}",
            hint=f"give a value that has an exact place in the column{instead}",
        )


def in_type(value: Default, dtype: pl.DataType) -> Default:
    """Give a default as the column's own kind of value: a whole number for a column of floats becomes a float."""
    if dtype.is_float():
        return float(value)
    return bool(value) if dtype == pl.Boolean else value


def to_text(value: Default) -> str:
    """Write a default as JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def from_text(text: str) -> Default:
    """Read a default that `to_text` wrote.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if _kind(value) is None:
        raise InvalidInputError(f"{text!r} is not a default value")
    return value  # type: ignore[no-any-return]  # of one of the kinds


def _kind(value: object) -> type[Default] | None:
    """Tell which kind of default a value is; None if it can be none."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int):
        return int
    if isinstance(value, float):
        return float if math.isfinite(value) else None
    # A text with half a surrogate pair has no bytes.
    return str if isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value) else None


def _is_of_kind(kind: type[Default], dtype: pl.DataType) -> bool:
    if kind is bool:
        return dtype == pl.Boolean
    if kind is int:
        return dtype.is_integer() or dtype.is_float()
    return dtype.is_float() if kind is float else isinstance(dtype, _TEXTS)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
