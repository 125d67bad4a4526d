"""Constraints as people write and read them: `rating between 0 and 5` (pure).

What is shown in errors and listings can be given back: `parse(text(c))` means what `c` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

import msgspec

from tiffin.errors import InvalidInputError
from tiffin.schema.constraints.kinds import (
    Constraint,
    Fresh,
    Length,
    NotNull,
    Pattern,
    Range,
    RowChange,
    Rows,
    Sql,
    TableConstraint,
    Unique,
    Value,
    Values,
    from_mapping,
    named,
)
from tiffin.schema.durations import write_duration
from tiffin.schema.names import check_text

_BARE = re.compile(r"[^\W\d]\w*")
_COLUMN = r"(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\W\d]\w*)"
_VALUE = r"(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|'(?:[^']|'')*')"
_PERCENT = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?"
_DURATION = r"[0-9.][0-9.wdhms]*"


Constrained = Constraint | Mapping[str, Any] | str
"""A constraint as callers may write it."""


def read_all(given: Sequence[Constrained]) -> tuple[Constraint, ...]:
    """Read constraints in any form that a caller may give them; see `read`.

    Raises
    ------
    InvalidInputError
        They are none, or two have one name.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise InvalidInputError(f"{given!r} is no list of constraints", hint="write ['rating between 0 and 5', …]")
    found = tuple(map(read, given))
    names = [each.name.lower() for each in found]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise InvalidInputError(
            f"two constraints are called {doubled[0]!r}", hint="name them: {'name': …, 'sql': …}, --name"
        )
    return found


def read(given: Constrained) -> Constraint:
    """Read a constraint in any form that a caller may give it, and name it.

    Parameters
    ----------
    given : Constraint, mapping or str
        A mapping as `constraints.from_mapping` reads it, a text as `parse` does.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    if isinstance(given, get_args(Constraint)):
        return named(given)
    if isinstance(given, str):
        return named(parse(given))
    if isinstance(given, Mapping):
        return named(from_mapping(given))
    raise InvalidInputError(
        f"{given!r} is no constraint", hint="write 'rating between 0 and 5' or {'column': 'rating', 'min': 0, 'max': 5}"
    )


def parse(given: str) -> Constraint:
    """Read a constraint from a text; one of no form that is known here is an SQL expression.

    Parameters
    ----------
    given : str
        As docs/constraints.md lists them; names of columns that are no plain words stand in double quotes or backticks.
    """
    line = check_text(given, "a constraint").strip()
    for form in _FORMS:
        if match := form.fullmatch(line):
            parts = {key: part for key, part in match.groupdict().items() if part is not None}
            return from_mapping({key: _READ[key](part) if key in _READ else part for key, part in parts.items()})
    return Sql(sql=line)


def text(constraint: Constraint) -> str:
    """Write a constraint in words, without its name and severity."""
    if isinstance(constraint, Unique | Fresh | Rows | RowChange):
        return _table_text(constraint)
    if isinstance(constraint, Sql):
        return constraint.sql
    column = _name(constraint.column)
    match constraint:
        case NotNull():
            return f"{column} is not null"
        case Values(values=values):
            return f"{column} in {msgspec.json.encode(values).decode()}"
        case Pattern(pattern=pattern):
            return f"{column} matches {pattern}"
        case Length(min_length=least, max_length=most):
            return f"{column} has {_count(least, most)} characters"
        case Range(min=low, max=high) if low is not None and high is not None:
            return f"{column} between {_value(low)} and {_value(high)}"
        case Range(min=low, above=above, max=high, below=below):
            signs = {">=": low, ">": above, "<=": high, "<": below}
            bounds = [f"{sign} {_value(bound)}" for sign, bound in signs.items() if bound is not None]
            return f"{column} {' and '.join(bounds)}"


def _table_text(constraint: TableConstraint) -> str:
    match constraint:
        case Unique(columns=columns):
            return f"unique {', '.join(map(_name, columns))}".rstrip()
        case Rows(min_rows=least, max_rows=most):
            return f"{_count(least, most)} rows"
        case Fresh(column=column, max_age=age, max_ahead=ahead):
            limits = {"not older than ": age, "not ahead by more than ": ahead}
            told = ", ".join(words + write_duration(limit) for words, limit in limits.items() if limit is not None)
            return f"{_name(column)} {told}" if column else told
        case RowChange(max_fall=fall, max_growth=growth):
            changes = {"fewer": fall, "more": growth}
            return " and ".join(f"at most {most}% {word} rows" for word, most in changes.items() if most is not None)


def _name(column: str) -> str:
    return column if _BARE.fullmatch(column) else "`" + column.replace("`", "``") + "`"


def _value(value: Value) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    return f"{least} to {most}" if least else f"at most {most}"


def _column_of(word: str) -> str:
    quote = word[:1]
    return word[1:-1].replace(quote * 2, quote) if quote in {"`", '"'} else word


def _value_of(word: str) -> Value:
    if word.startswith("'"):
        return word[1:-1].replace("''", "'")
    try:
        number: int | float = msgspec.json.decode(word)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInputError(f"{word[:60]} is no number: {error}", hint="write it like 7, -0.5 or 1e3") from error
    return number


def _values_of(words: str) -> tuple[Value, ...]:
    try:
        return msgspec.json.decode(words, type=tuple[Value, ...])
    except msgspec.MsgspecError as error:
        raise InvalidInputError(
            f"{words!r} are no allowed values: {error}", hint='write them like ["drama", "comedy"] or [1, 2]'
        ) from error


def _columns_of(words: str) -> tuple[str, ...] | bool:
    return tuple(map(_column_of, re.findall(_COLUMN, words))) or True


def _forms() -> Iterator[str]:
    """List the forms of texts; the parts of each are called as in `constraints.from_mapping`."""
    column = rf"(?P<column>{_COLUMN})"
    low = rf"(?:>= ?(?P<min>{_VALUE})|> ?(?P<above>{_VALUE}))"
    high = rf"(?:<= ?(?P<max>{_VALUE})|< ?(?P<below>{_VALUE}))"
    age, ahead = rf"not older than (?P<max_age>{_DURATION})", rf"not ahead by more than (?P<max_ahead>{_DURATION})"
    fewer, more = rf"at most (?P<max_fall>{_PERCENT})% fewer rows", rf"at most (?P<max_growth>{_PERCENT})% more rows"
    yield rf"{column} (?P<not_null>is not null)"
    yield rf"{column} between (?P<min>{_VALUE}) and (?P<max>{_VALUE})"
    yield from (rf"{column} ?{bounds}" for bounds in (low, high, f"{low} and {high}"))
    yield rf"{column} in (?P<values>\[.*\])"
    yield rf"{column} matches (?P<pattern>.+)"
    yield from (rf"{column} has {count} characters" for count in _counts("length"))
    yield rf"unique(?P<unique>(?: {_COLUMN}(?:, ?{_COLUMN})*)?)"
    yield from (rf"(?:{column} )?{limit}" for limit in (age, ahead, f"{age}, {ahead}"))
    yield from (f"{count} rows" for count in _counts("rows"))
    yield from (fewer, more, f"{fewer} and {more}")


def _counts(what: str) -> list[str]:
    least, most = rf"(?P<min_{what}>\d+)", rf"(?P<max_{what}>\d+)"
    return [f"{least} to {most}", f"at least {least}", f"at most {most}"]


_FORMS = [re.compile(form, re.IGNORECASE | re.DOTALL) for form in _forms()]
_READ: Mapping[str, Callable[[str], Any]] = {
    "column": _column_of,
    "not_null": bool,
    "values": _values_of,
    "unique": _columns_of,
    **dict.fromkeys(("min", "max", "above", "below"), _value_of),
    **dict.fromkeys(("min_length", "max_length", "min_rows", "max_rows"), int),
    **dict.fromkeys(("max_fall", "max_growth"), float),
}
"""How parts are read that are not texts."""
