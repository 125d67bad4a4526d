"""Which frames a table takes: what a save may change by itself, and what it must be told to change (pure).

A table has a rule, which says what it promises its readers: that who knows the new schema can read the old rows
(backward), that who knows the old one can read the new rows (forward), both (full) or neither (none). A save by itself
may add a column (rows that are there already get null), and widen a type where the rule lets it. Everything else needs
``evolve=True``, and begins a new major version of the schema if it breaks the promise. Under `none` nothing does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple, cast

import msgspec
import polars as pl

from tiffin.errors import SchemaMismatch
from tiffin.schema import dtypes
from tiffin.schema.evolution import column_of
from tiffin.schema.rules import PROMISES, Direction, Rule
from tiffin.schema.table import Column, TableSpec

Mode = Literal["overwrite", "append", "upsert"]
Kind = Literal["added", "renamed", "missing", "removed", "widened", "narrowed", "changed", "keys", "partitions"]
Verdict = Literal["allowed", "evolve", "refused"]
"""`evolve`: it is if the save is told to (`evolve=True`). `refused`: not by a save of this mode."""

_SIGNED: tuple[type[pl.DataType], ...] = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_UNSIGNED: tuple[type[pl.DataType], ...] = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_FLOATS: tuple[type[pl.DataType], ...] = (pl.Float16, pl.Float32, pl.Float64)
_TEXTS: tuple[type[pl.DataType], ...] = (pl.String, pl.Categorical)

_BOTH: frozenset[Direction] = frozenset(["backward", "forward"])
_BREAKS: Mapping[Kind, frozenset[Direction]] = {
    "added": frozenset(),
    "renamed": frozenset(),
    "missing": frozenset(),
    # Avro's readers bring a schema of their own, and pass over what was dropped. Ours ask by name, and find nothing.
    "removed": _BOTH,
    "widened": frozenset(["forward"]),
    "narrowed": frozenset(["backward"]),
    "changed": _BOTH,
    "keys": _BOTH,
    "partitions": frozenset(),
}
"""The promises that a change breaks."""
_BY_ITSELF = frozenset(["added", "widened"])
"""What a save may do without being told to, where no promise is broken."""
_OF_ALL_ROWS = frozenset(["removed", "narrowed", "changed", "keys", "partitions"])
"""What cannot be done beside rows that stay as they are."""
_EVOLVE = "evolve=True, --evolve"
_OVERWRITE = "overwrite and evolve (mode='overwrite', evolve=True; --mode overwrite --evolve)"


class Change(msgspec.Struct, frozen=True):
    """One difference between two specs, or between a table and a frame."""

    kind: Kind
    name: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        if self.kind == "added":
            return f"+ {self.name}: {self.new}"
        if self.kind == "renamed":
            return f"~ {self.name}: renamed to {self.new}"
        if self.kind in {"removed", "missing"}:
            return f"- {self.name}: {self.old}"
        return f"~ {self.name}: {self.old} → {self.new}"


class Judged(Change, frozen=True, kw_only=True):
    """A change, and whether a save may make it."""

    verdict: Verdict
    reason: str
    """What it means for those who read the table."""
    begins_major: bool
    """Whether it begins a new major version of the schema, when it is made."""


class Fit(NamedTuple):
    """What a save would make of a table's spec."""

    spec: TableSpec
    """As it would be if everything were allowed."""
    changes: tuple[Judged, ...]

    @property
    def is_allowed(self) -> bool:
        """Whether the save may do all of it."""
        return all(change.verdict == "allowed" for change in self.changes)


def compare(old: TableSpec, new: TableSpec) -> list[Change]:
    """List what differs between two specs, keys first, then columns in the order of the tables.

    A type counts as *widened* when every value of the old one has its place in the new one, and as *narrowed* when it
    is the other way round.
    """
    changes = [
        Change("partitions" if role == "partition_by" else "keys", role, before or "none", after or "none")
        for role, before, after in [
            ("entity", ", ".join(old.entity), ", ".join(new.entity)),
            ("timestamp", old.timestamp, new.timestamp),
            ("created", old.created, new.created),
            ("partition_by", ", ".join(old.partition_by), ", ".join(new.partition_by)),
        ]
        if before != after
    ]
    fresh = dict(new.dtypes)
    for column in old.columns:
        called = column_of(new, column.name, old)
        dtype = fresh.pop(called, None) if called else None
        if called is None or dtype is None:
            changes.append(Change("removed", column.name, str(column.dtype)))
            continue
        if called != column.name:
            changes.append(Change("renamed", column.name, new=called))
        if dtype != column.dtype:
            changes.append(_retyped(called, column.dtype, dtype))
    return [*changes, *(Change("added", name, new=str(dtype)) for name, dtype in fresh.items())]


def _retyped(name: str, old: pl.DataType, new: pl.DataType) -> Change:
    kind: Kind = "changed"
    if common_dtype(old, new) == new:
        kind = "widened"
    elif common_dtype(old, new) == common_dtype(new, old) == old:
        kind = "narrowed"
    return Change(kind, name, str(old), str(new))


def weigh(old: TableSpec, new: TableSpec, mode: Mode, *, evolve: bool) -> Fit:
    """Judge what a save would change.

    Parameters
    ----------
    old : TableSpec
        The table as it stands; its rule decides.
    new : TableSpec
        The frame, with what its caller declared.
    mode : {"overwrite", "append", "upsert"}
        What the save does with the rows that are there.
    evolve : bool
        Whether changes are allowed that readers may notice.

    Returns
    -------
    Fit
        Columns in the table's order, new ones at the end (in the frame's order when an overwrite evolves).
    """
    if mode == "overwrite" and (evolve or old.rule == "none"):
        spec, changes = new, compare(old, new)
    else:
        spec, changes = _merged(old, new, mode)
    judged = tuple(_judged(change, old.rule, mode, evolve=evolve) for change in changes)
    major = old.major + any(change.begins_major for change in judged)
    return Fit(msgspec.structs.replace(spec, major=major), judged)


def _merged(old: TableSpec, new: TableSpec, mode: Mode) -> tuple[TableSpec, list[Change]]:
    """Let a frame join a table: its values take the table's types, or wider ones that hold both."""
    fresh = {column.name: column for column in new.columns}
    columns, clashes = [], []
    for column in old.columns:
        arriving = fresh.pop(column.name, None)
        dtype = column.dtype if arriving is None else common_dtype(column.dtype, arriving.dtype)
        if arriving is None:
            clashes.append(Change("removed" if mode == "overwrite" else "missing", column.name, str(column.dtype)))
        elif dtype is None:
            clashes.append(Change("changed", column.name, str(column.dtype), str(arriving.dtype)))
        columns.append(column if arriving is None or dtype is None else _joined(column, arriving, dtype, mode))
    spec = msgspec.structs.replace(new, columns=(*columns, *fresh.values()))
    return spec, [*compare(old, spec), *clashes]


def _joined(column: Column, arriving: Column, dtype: pl.DataType, mode: Mode) -> Column:
    newer = arriving if mode == "overwrite" and dtype == arriving.dtype else column
    return msgspec.structs.replace(arriving, dtype=dtype, origin=newer.origin if dtype == newer.dtype else "")


def _judged(change: Change, rule: Rule, mode: Mode, *, evolve: bool) -> Judged:
    is_broken = bool(_BREAKS[change.kind] & PROMISES[rule])
    verdict: Verdict = "evolve"
    if change.kind in _OF_ALL_ROWS and mode != "overwrite":
        verdict = "refused"
    elif evolve or rule == "none" or (change.kind in _BY_ITSELF and not is_broken):
        verdict = "allowed"
    reasons: dict[Kind, str] = {
        "added": "rows that are there get null",
        "renamed": "the name of before goes on to mean it",
        "missing": "the frame's rows get null",
        "removed": "who asks for it finds nothing",
        "widened": f"who knows it as {change.old} may meet values beyond",
        "narrowed": f"{change.new} has no place for some values of before",
        "changed": "its values are of another kind, or mean something else",
        "keys": "rows are told apart, or chosen, otherwise",
        "partitions": "all files are written anew",
    }
    return Judged(
        change.kind,
        change.name,
        change.old,
        change.new,
        verdict=verdict,
        reason=reasons[change.kind],
        begins_major=is_broken,
    )


def fit(old: TableSpec, new: TableSpec, mode: Mode, *, evolve: bool, table: str) -> TableSpec:
    """Find the spec a table has after a frame is saved to it; parameters as for `weigh`.

    Raises
    ------
    SchemaMismatch
        Showing both schemas, and of each change that may not be made, why not and what to do.
    """
    found = weigh(old, new, mode, evolve=evolve)
    if not found.is_allowed:
        raise _mismatch(old, new, [change for change in found.changes if change.verdict != "allowed"], table)
    return found.spec


def _mismatch(old: TableSpec, new: TableSpec, changes: Sequence[Judged], table: str) -> SchemaMismatch:
    sides = "\n".join(
        f"  {side}: " + ", ".join(f"{column.name} {column.dtype}" for column in spec.columns)
        for side, spec in (("table", old), ("frame", new))
    )
    problems = [_problem(change, old.rule) for change in changes]
    return SchemaMismatch(
        f"the frame does not fit table {table}: {'; '.join(problems)}\n{sides}",
        hint="; ".join(dict.fromkeys(map(_remedy, changes))),
        table=table,
        problems=problems,
    )


def _problem(change: Judged, rule: Rule) -> str:
    """Say what a frame would change that it may not, and which rule forbids it."""
    match change.kind:
        case "missing" | "removed":
            what = f"column {change.name!r} is missing from the frame"
        case "changed":
            what = f"column {change.name!r} is {change.old}, the frame has {change.new}"
        case "keys" | "partitions":
            what = f"{change.name} is {change.old}, not {change.new}"
        case _:
            what = f"column {change.name!r} is {change.old}, and would become {change.new}"
    return f"{what} (rule {rule}: {change.reason})" if change.begins_major else what


def _remedy(change: Judged) -> str:
    """Say what to do about a change that may not be made."""
    major = ", as a new major version" if change.begins_major else ""
    if change.verdict == "refused":
        cast = "cast the frame's columns, or " if change.kind == "changed" else ""
        return f"{cast}{_OVERWRITE}"
    if change.kind == "missing":
        return f"fill the column, or let it be filled with nulls ({_EVOLVE})"
    if change.kind == "widened":
        return f"cast the frame's column to {change.old}, or widen it all the same{major} ({_EVOLVE})"
    return f"allow the schema to become the frame's{major} ({_EVOLVE})"


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
    return _common_in_time(old, new) or _common_decimal(old, new) or _common_list(old, new) or _common_struct(old, new)


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


def _common_list(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    if not (isinstance(old, pl.List) and isinstance(new, pl.List)):
        return None
    # As for the fields of a struct.
    inner = common_dtype(cast("pl.DataType", old.inner), cast("pl.DataType", new.inner))
    return None if inner is None else pl.List(inner)


def _common_struct(old: pl.DataType, new: pl.DataType) -> pl.DataType | None:
    """Find the struct that begins with the fields of the old one and goes on with the new one's further fields."""
    if not (isinstance(old, pl.Struct) and isinstance(new, pl.Struct)):
        return None
    fields = []
    for own, arriving in zip_longest(old.fields, new.fields):
        if own is not None and (arriving is None or own.name != arriving.name):
            return None
        # Of a frame's columns these are never the bare classes that Polars' types allow for.
        given = cast("pl.DataType", arriving.dtype)
        dtype = given if own is None else common_dtype(cast("pl.DataType", own.dtype), given)
        if dtype is None:
            return None
        fields.append(pl.Field(arriving.name, dtype))
    return pl.Struct(fields)


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
        held = values[row].to_list() if isinstance(values[row], pl.Series) else values[row]
        raise SchemaMismatch(
            f"column {column.name!r} of table {table} is {column.dtype}; "
            f"row {row} of the frame holds {held!r} ({values.dtype}), which has no exact place there",
            hint="cast or round the column before saving",
        )
    return cast


def widened(old: TableSpec, new: TableSpec) -> bool:
    """Tell whether stored types changed, so that files already written must be written anew."""
    before, after = old.stored, new.stored
    return any(name in after and after[name] != dtype for name, dtype in before.items())
