"""Which frames a table takes: what a save may change by itself, what it must be told to change (pure).

A save by itself may add a column (rows that are there already get null) and widen a type to one that holds every
value of both. Everything else changes what readers rely on and needs ``evolve=True``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import polars as pl

from tiffin.errors import SchemaMismatch
from tiffin.schema import dtypes
from tiffin.schema.table import Column, TableSpec

Mode = Literal["overwrite", "append", "upsert"]

_SIGNED: tuple[type[pl.DataType], ...] = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_UNSIGNED: tuple[type[pl.DataType], ...] = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_FLOATS: tuple[type[pl.DataType], ...] = (pl.Float16, pl.Float32, pl.Float64)
_TEXTS: tuple[type[pl.DataType], ...] = (pl.String, pl.Categorical)


@dataclass(frozen=True)
class Change:
    """One difference between two specs."""

    kind: Literal["added", "removed", "widened", "changed", "keys"]
    name: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        if self.kind == "added":
            return f"+ {self.name}: {self.new}"
        if self.kind == "removed":
            return f"- {self.name}: {self.old}"
        return f"~ {self.name}: {self.old} → {self.new}"


def compare(old: TableSpec, new: TableSpec) -> list[Change]:
    """List what differs between two specs, keys first, then columns in the order of the tables.

    A type counts as *widened* when every value of the old one has its place in the new one.
    """
    changes = [
        Change("keys", role, str(before), str(after))
        for role, before, after in [
            ("entity", ", ".join(old.entity) or "none", ", ".join(new.entity) or "none"),
            ("timestamp", old.timestamp or "none", new.timestamp or "none"),
            ("created", old.created or "none", new.created or "none"),
            ("partition_by", ", ".join(old.partition_by) or "none", ", ".join(new.partition_by) or "none"),
        ]
        if before != after
    ]
    fresh = new.dtypes
    for column in old.columns:
        if column.name not in fresh:
            changes.append(Change("removed", column.name, str(column.dtype)))
        elif fresh[column.name] != column.dtype:
            wide = common_dtype(column.dtype, fresh[column.name]) == fresh[column.name]
            kind: Literal["widened", "changed"] = "widened" if wide else "changed"
            changes.append(Change(kind, column.name, str(column.dtype), str(fresh[column.name])))
    known = old.dtypes
    changes += [Change("added", c.name, new=str(c.dtype)) for c in new.columns if c.name not in known]
    return changes


def fit(old: TableSpec, new: TableSpec, mode: Mode, *, evolve: bool, table: str) -> TableSpec:
    """Find the spec a table has after a frame is saved to it.

    Parameters
    ----------
    old : TableSpec
        The table as it stands.
    new : TableSpec
        The frame, with what its caller declared.
    mode : {"overwrite", "append", "upsert"}
        What the save does with the rows that are there.
    evolve : bool
        Whether changes are allowed that readers may notice.
    table : str
        Name of the table, for messages.

    Returns
    -------
    TableSpec
        Columns in the table's order, new ones at the end (in the frame's order when an overwrite evolves).

    Raises
    ------
    SchemaMismatch
        Showing both schemas and how to evolve the table.
    """
    if mode == "overwrite" and evolve:
        return new
    problems = [f"{c.name} is {c.old}, not {c.new}" for c in compare(old, new) if c.kind == "keys"]
    fresh = {column.name: column for column in new.columns}
    columns = []
    for column in old.columns:
        arriving = fresh.pop(column.name, None)
        if arriving is None:
            if not evolve:
                problems.append(f"column {column.name!r} is missing from the frame")
            columns.append(column)
            continue
        dtype = common_dtype(column.dtype, arriving.dtype)
        if dtype is None:
            problems.append(f"column {column.name!r} is {column.dtype}, the frame has {arriving.dtype}")
            continue
        columns.append(_merged(column, arriving, dtype, mode))
    if problems:
        raise _mismatch(old, new, problems, table, mode)
    return msgspec.structs.replace(new, columns=(*columns, *fresh.values()))


def _merged(column: Column, arriving: Column, dtype: pl.DataType, mode: Mode) -> Column:
    newer = arriving if mode == "overwrite" and dtype == arriving.dtype else column
    origin = newer.origin if dtype == newer.dtype else ""
    return Column(column.name, dtype, origin, arriving.description or column.description, arriving.default)


def _mismatch(old: TableSpec, new: TableSpec, problems: list[str], table: str, mode: Mode) -> SchemaMismatch:
    sides = "\n".join(
        f"  {side}: " + ", ".join(f"{column.name} {column.dtype}" for column in spec.columns)
        for side, spec in (("table", old), ("frame", new))
    )
    how = {
        "overwrite": "allow the schema to become the frame's (evolve=True, --evolve)",
        "append": "cast the frame's columns; evolve (evolve=True, --evolve) fills missing columns with nulls; to "
        "change types or keys, overwrite and evolve",
    }
    return SchemaMismatch(
        f"the frame does not fit table {table}: {'; '.join(problems)}\n{sides}",
        hint=how["overwrite" if mode == "overwrite" else "append"],
        table=table,
        problems=problems,
    )


def common_dtype(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    """Find the narrowest dtype that holds every value of both, or None.

    Whole numbers go into a float column where every one of them is exact (checked when values are cast).
    Texts and categories mix; an Enum takes in the categories of another. Datetimes and durations keep their unit, in
    which the stored numbers count; a datetime keeps its zone too: naive and aware never mix.
    """
    if new in (old, pl.Null):
        return old
    if old == pl.Null:
        return new
    a, b = old.base_type(), new.base_type()
    if a in _SIGNED + _UNSIGNED and b in _SIGNED + _UNSIGNED:
        return _common_integer(a, b)
    if a in _FLOATS and b in _FLOATS:
        return max(old, new, key=lambda dtype: _FLOATS.index(dtype.base_type()))
    if a in _FLOATS and b in _SIGNED + _UNSIGNED:
        return old
    if a in _TEXTS and b in (*_TEXTS, pl.Enum):
        return old
    if isinstance(old, pl.Enum) and isinstance(new, pl.Enum):
        return pl.Enum(list(dict.fromkeys([*old.categories, *new.categories])))
    return _common_in_time(old, new) or _common_decimal(old, new)


def _common_integer(a: type[pl.DataType], b: type[pl.DataType]) -> pl.DataType | None:
    for family in (_SIGNED, _UNSIGNED):
        if a in family and b in family:
            return family[max(family.index(a), family.index(b))]()
    signed, unsigned = (a, b) if a in _SIGNED else (b, a)
    rank = max(_SIGNED.index(signed), _UNSIGNED.index(unsigned) + 1)
    return _SIGNED[rank]() if rank < len(_SIGNED) else None


def _common_in_time(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    if isinstance(old, pl.Datetime) and isinstance(new, pl.Datetime):
        if (old.time_zone is None) != (new.time_zone is None):
            return None
        return old if dtypes.stored_dtype(old) == dtypes.stored_dtype(new) else None
    if isinstance(old, pl.Duration) and isinstance(new, pl.Duration):
        return old
    return None


def _common_decimal(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    if isinstance(old, pl.Decimal) and isinstance(new, pl.Decimal) and old.scale == new.scale:
        return max(old, new, key=lambda dtype: dtype.precision)
    return None


def align(frame: pl.DataFrame, spec: TableSpec, table: str) -> pl.DataFrame:
    """Bring a frame to a spec that `fit` made for it: order, types, missing columns as nulls.

    Raises
    ------
    SchemaMismatch
        A value has no exact place in the table's type; names the column and the first such row.
    """
    if frame.columns == spec.names and frame.dtypes == [column.dtype for column in spec.columns]:
        return frame
    columns = []
    for column in spec.columns:
        if column.name not in frame.columns:
            columns.append(pl.repeat(None, frame.height, dtype=column.dtype, eager=True).alias(column.name))
            continue
        columns.append(_cast(frame[column.name], column, table))
    return pl.DataFrame(columns)


def _cast(values: pl.Series, column: Column, table: str) -> pl.Series:
    if values.dtype == column.dtype:
        return values
    cast = values.cast(column.dtype, strict=False)
    # There and back: the only test that needs no list of which casts can lose something.
    back = cast.cast(values.dtype, strict=False)
    wrong = back.ne_missing(values).arg_true()
    if len(wrong):
        row = wrong[0]
        raise SchemaMismatch(
            f"column {column.name!r} of table {table} is {column.dtype}; "
            f"row {row} of the frame holds {values[row]!r} ({values.dtype}), which has no exact place there",
            hint="cast or round the column before saving",
        )
    return cast


def widened(old: TableSpec, new: TableSpec) -> bool:
    """Tell whether stored types changed, so that files already written must be written anew."""
    before, after = old.stored, new.stored
    return any(name in after and after[name] != dtype for name, dtype in before.items())
