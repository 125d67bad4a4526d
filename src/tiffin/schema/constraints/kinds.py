"""Constraints: what the rows of a table must satisfy, as the table declares it (pure).

Each kind is a type of its own. A constraint of a row can be asked of every row by itself; a constraint of a table is
about its rows taken together.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema.durations import parse_duration
from tiffin.schema.names import check_text

Severity = Literal["error", "warn"]
Value = bool | int | float | str
"""What a bound or an allowed value is; times are texts in ISO 8601, decimals texts too."""

LONGEST = 2_000
"""Characters of a pattern or an SQL expression."""
MOST_VALUES = 10_000
"""Allowed values of one column."""
_MOST = 500
_LONGEST_NAME = 128
_HINT = "write it like 'rating between 0 and 5' or {'column': 'rating', 'min': 0, 'max': 5}; docs/constraints.md"


class _Constraint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=str.lower):
    name: str = ""
    """Told in errors, and by which the constraint is taken away; made from what it says if not given."""
    severity: Severity = "error"
    """Whether a save that breaks it is refused, or told so in the warnings of its commit."""


class NotNull(_Constraint, frozen=True, kw_only=True):
    """Every row has a value in a column."""

    column: str


class Range(_Constraint, frozen=True, kw_only=True):
    """The values of a column lie between two bounds; NaN lies nowhere."""

    column: str
    min: Value | None = None
    max: Value | None = None
    above: Value | None = None
    """As `min`, which itself is not allowed."""
    below: Value | None = None
    """As `max`, which itself is not allowed."""


class Values(_Constraint, frozen=True, kw_only=True):
    """The values of a column are some of these."""

    column: str
    values: tuple[Value, ...]


class Pattern(_Constraint, frozen=True, kw_only=True):
    """A regular expression is found in every text of a column, in time linear in the text's length."""

    column: str
    pattern: str
    """In the syntax of Rust's `regex`: without look-around and back-references. `^` and `$` bind it to the ends."""


class Length(_Constraint, frozen=True, kw_only=True):
    """The texts of a column have so many characters."""

    column: str
    min_length: int = 0
    max_length: int | None = None


class Sql(_Constraint, frozen=True, kw_only=True):
    """An SQL expression over the columns of a row is not false."""

    sql: str
    strict: bool = False
    """Whether null, too, breaks it, as it does where another writer of Delta tables declared it."""


class Unique(_Constraint, frozen=True, kw_only=True):
    """No two rows share a key; a key that has a null is no one else's."""

    columns: tuple[str, ...] = ()
    """Empty for the table's entity, with its timestamp if it has one."""


class Fresh(_Constraint, frozen=True, kw_only=True):
    """The newest time of a column is not too old, nor too far in the future."""

    column: str = ""
    """Empty for the table's timestamp."""
    max_age: timedelta | None = None
    max_ahead: timedelta | None = None


class Rows(_Constraint, frozen=True, kw_only=True):
    """The table has so many rows."""

    min_rows: int = 0
    max_rows: int | None = None


class RowChange(_Constraint, frozen=True, kw_only=True):
    """A version has not many fewer rows than the one before, or many more."""

    max_fall: float | None = None
    """Percent."""
    max_growth: float | None = None
    """Percent."""


RowConstraint = NotNull | Range | Values | Pattern | Length | Sql
TableConstraint = Unique | Fresh | Rows | RowChange
Constraint = RowConstraint | TableConstraint
Kind = type[NotNull | Range | Values | Pattern | Length | Sql | Unique | Fresh | Rows | RowChange]

_KINDS: Mapping[str, Kind] = {
    "not_null": NotNull,
    "min": Range,
    "max": Range,
    "above": Range,
    "below": Range,
    "values": Values,
    "pattern": Pattern,
    "min_length": Length,
    "max_length": Length,
    "sql": Sql,
    "unique": Unique,
    "max_age": Fresh,
    "max_ahead": Fresh,
    "min_rows": Rows,
    "max_rows": Rows,
    "max_fall": RowChange,
    "max_growth": RowChange,
}
"""The kind that a key of a mapping tells of."""


def from_mapping(given: Mapping[str, Any]) -> Constraint:
    """Read a constraint from a mapping, such as TOML and JSON hold.

    Parameters
    ----------
    given : mapping
        What the kind has, by name, `name` and `severity` if wanted: `{"column": "rating", "min": 0}`. `not_null` and
        `unique` are true; the latter may be the names of the columns. Durations are texts (`7d`) or timedeltas.

    Raises
    ------
    InvalidInputError
        It is none, or says several things at once.
    """
    fields = {key: value for key, value in given.items() if key != "kind"}
    kinds = {_KINDS[key] for key in fields if key in _KINDS} or {
        kind for kind in _KINDS.values() if kind.__struct_config__.tag == given.get("kind")
    }
    if len(kinds) != 1:
        raise InvalidInputError(f"{dict(given)!r} is not one constraint", hint=_HINT)
    (kind,) = kinds
    if kind is NotNull and fields.pop("not_null", True) is not True:
        raise InvalidInputError(f"{dict(given)!r} is no constraint", hint="leave it out, or unconstrain the table")
    if kind is Unique and (unique := fields.pop("unique", None)) is not None:
        fields["columns"] = () if unique is True else unique
    if unknown := sorted(set(map(str, fields)) - set(kind.__struct_fields__)):
        raise InvalidInputError(
            f"{dict(given)!r} has {unknown[0]!r}, which such a constraint has not",
            hint=did_you_mean(unknown[0], kind.__struct_fields__),
        )
    try:
        return msgspec.convert({key: _plain(key, value) for key, value in fields.items()}, kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInputError(f"{dict(given)!r} is no constraint: {error}", hint=_HINT) from error


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return tuple(_plain("", item) for item in value)
    if key == "columns" and isinstance(value, str):
        return (value,)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    # As people write durations, or in ISO 8601, as JSON has them.
    is_written = key in {"max_age", "max_ahead"} and isinstance(value, str) and not value.startswith("P")
    return parse_duration(value) if is_written else value


def columns_of(constraint: Constraint) -> tuple[str, ...]:
    """Name the columns that a constraint names; those of an SQL expression are not among them."""
    if isinstance(constraint, Unique):
        return constraint.columns
    column = getattr(constraint, "column", "")
    return (column,) if column else ()


def named(constraint: Constraint) -> Constraint:
    """Give a constraint the name that follows from what it says, if it has none."""
    if constraint.name:
        return constraint
    if isinstance(constraint, Sql):
        # The words alone are the same in `a < b` and `a > b`, and one would take the other's place.
        words = re.sub(r"\W+", "_", constraint.sql).strip("_").lower()[:50] or "sql"
        name = f"{words}_{hashlib.sha256(constraint.sql.encode(errors='replace')).hexdigest()[:4]}"
    else:
        name = "_".join([*columns_of(constraint), _kind_word(constraint)])[:_LONGEST_NAME]
    return msgspec.structs.replace(constraint, name=name)


def _kind_word(constraint: Constraint) -> str:
    match constraint:
        case NotNull():
            return "not_null"
        case RowChange():
            return "row_change"
        case Range(max=None, below=None):
            return "min"
        case Range(min=None, above=None):
            return "max"
    return type(constraint).__name__.lower()


def merged(old: Iterable[Constraint], declared: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """Add constraints to those of a table; one of the same name takes the other's place."""
    by_name = {constraint.name.lower(): constraint for constraint in old}
    for constraint in declared:
        by_name[constraint.name.lower()] = constraint
    return tuple(by_name.values())


def without(old: Iterable[Constraint], name: str, table: str) -> tuple[Constraint, ...]:
    """Take a constraint away.

    Raises
    ------
    InvalidInputError
        There is none of this name.
    """
    before = tuple(old)
    after = tuple(constraint for constraint in before if constraint.name.lower() != name.lower())
    if len(after) == len(before):
        raise InvalidInputError(
            f"table {table} has no constraint {name!r}",
            hint=did_you_mean(name, [constraint.name for constraint in before]) or "it has none at all",
        )
    return after


def renamed(constraints: Iterable[Constraint], names: Mapping[str, str], table: str) -> tuple[Constraint, ...]:
    """Follow columns that get other names; the constraints keep theirs.

    Raises
    ------
    InvalidInputError
        An SQL expression may mean one of the columns: it is not rewritten.
    """
    return tuple(_renamed(constraint, names, table) for constraint in constraints)


def _renamed(constraint: Constraint, names: Mapping[str, str], table: str) -> Constraint:
    if isinstance(constraint, Sql):
        for name in names:
            if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", constraint.sql, re.IGNORECASE):
                raise InvalidInputError(
                    f"constraint {constraint.name!r} of table {table} may mean column {name!r}: {constraint.sql}",
                    hint="SQL does not follow a column that is renamed: declare it under the new name; one that stands "
                    f"in the way has to be taken away first (store.unconstrain({table!r}, {constraint.name!r}), "
                    f"tiffin constrain {table} --drop {constraint.name!r})",
                )
        return constraint
    if isinstance(constraint, Unique):
        return msgspec.structs.replace(
            constraint, columns=tuple(names.get(column, column) for column in constraint.columns)
        )
    if columns_of(constraint):
        return msgspec.structs.replace(constraint, column=names.get(constraint.column, constraint.column))  # type: ignore[union-attr]  # it names one
    return constraint


def check_shape(constraints: Sequence[Constraint], table: str) -> None:
    """Check what can be checked of constraints without the table's columns.

    Raises
    ------
    InvalidInputError
        One says nothing, contradicts itself, is too long, or there are too many.
    """
    if len(constraints) > _MOST:
        raise InvalidInputError(f"table {table} would have more than {_MOST} constraints", hint="keep what matters")
    for constraint in constraints:
        check_text(constraint.name, "the name of a constraint")
        if not (0 < len(constraint.name) <= _LONGEST_NAME and constraint.name.isprintable()):
            raise InvalidInputError(
                f"constraint name {constraint.name[:60]!r} is not allowed",
                hint=f"use one line of at most {_LONGEST_NAME} characters",
            )
        if wrong := _problem(constraint):
            raise InvalidInputError(f"constraint {constraint.name!r} of table {table} {wrong}", hint=_HINT)


def _problem(constraint: Constraint) -> str:
    """Say what is wrong with a constraint, whatever table it is of; empty if nothing is."""
    match constraint:
        case Range(min=low, max=high, above=above, below=below):
            return _range_problem(low if above is None else above, high if below is None else below) or (
                "has two bounds on one side" if None not in (low, above) or None not in (high, below) else ""
            )
        case Length(min_length=least, max_length=most) | Rows(min_rows=least, max_rows=most):
            if least < 0 or (most is not None and most < least):
                return f"allows from {least} to {most}"
            return "allows everything" if not least and most is None else ""
        case Values(values=values):
            is_endless = any(isinstance(value, float) and not math.isfinite(value) for value in values)
            return "allows no value, or too many" if not 0 < len(values) <= MOST_VALUES or is_endless else ""
        case Pattern(pattern=text) | Sql(sql=text):
            return f"is longer than {LONGEST:,} characters, or empty" if not 0 < len(text) <= LONGEST else ""
        case Unique(columns=columns):
            return "names a column twice" if len(set(columns)) < len(columns) else ""
        case Fresh(max_age=age, max_ahead=ahead):
            return _limits_problem(age, ahead, timedelta(0))
        case RowChange(max_fall=fall, max_growth=growth):
            return _limits_problem(fall, growth, 0)
    return ""


def _range_problem(low: Value | None, high: Value | None) -> str:
    if low is None and high is None:
        return "has no bound"
    if any(isinstance(bound, bool) or (isinstance(bound, float) and not math.isfinite(bound)) for bound in (low, high)):
        return "has a bound that is no bound"
    if None in (low, high) or isinstance(low, str) or isinstance(high, str):
        return ""
    return f"allows nothing: from {low} to {high}" if low > high else ""  # type: ignore[operator]  # both are numbers


def _limits_problem(one: Any, other: Any, zero: Any) -> str:
    if one is None and other is None:
        return "has no limit"
    return "has a limit below zero" if any(limit is not None and not limit >= zero for limit in (one, other)) else ""
