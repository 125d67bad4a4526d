"""What a derived table is made from: windows over the events of another table (pure).

The definition is kept in the derived table's own metadata, with the version of the source that its rows are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema.durations import parse_duration
from tiffin.schema.names import parse_reference

AGGREGATIONS = ("count", "sum", "mean", "min", "max", "std", "first", "last", "distinct")

LIFETIME = "all"
"""The window that never empties."""

EVERY_ROW = "*"
"""Stands for the events themselves, whatever they hold: it can be counted."""

_WINDOW = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdw]))+")
_LONGEST = timedelta(days=3_652_500)
_HINT = (
    '{"source": "interaction/ratings", "entity": "user_id", "windows": ["7d", "30d"], '
    '"aggregations": {"rating": ["mean", "count"]}}'
)


class Windowed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Aggregations over windows of a table's events, for each entity.

    The window of length w at an instant r holds the events with times in (r - w, r].
    """

    source: str
    """`group/name` of the table whose rows are the events."""
    entity: tuple[str, ...]
    """Columns of the source that the derived table is about."""
    windows: tuple[str, ...]
    """Lengths such as `30m`, `12h`, `7d`, `4w`; `all` for all events so far."""
    aggregations: dict[str, tuple[str, ...]]
    """Of each column of the source what is wanted of it; `*` stands for the events, which can be counted."""
    where: tuple[Any, ...] = ()
    """Which events count: comparisons that must all hold."""
    expiry: bool = True
    """Whether there is a row for each instant at which an event leaves a window, besides those at which one occurs."""

    @property
    def columns(self) -> list[str]:
        """The columns of the source that are aggregated."""
        return [column for column in self.aggregations if column != EVERY_ROW]

    def features(self) -> dict[str, tuple[str, str, str]]:
        """Name the features that come out: of each its column, aggregation and window."""
        return {
            "_".join(([] if column == EVERY_ROW else [column]) + [aggregation, window]): (column, aggregation, window)
            for window in self.windows
            for column, wanted in self.aggregations.items()
            for aggregation in wanted
        }


class Derivation(msgspec.Struct, frozen=True, kw_only=True):
    """What a derived table is, and how far it has followed its source."""

    definition: Windowed
    source_id: str
    """The source's identity: a table of the same name that is made after a drop has another."""
    version: int
    """The version of the source that the rows are of."""
    timestamp: int
    """When that version was committed, milliseconds since 1970-01-01 UTC."""


def length(window: str) -> timedelta | None:
    """Return how long a window is; None for the one that never empties.

    Raises
    ------
    InvalidInputError
        It is not written as a window is.
    """
    if window == LIFETIME:
        return None
    if _WINDOW.fullmatch(window) and timedelta(0) < (duration := parse_duration(window)) <= _LONGEST:
        return duration
    raise InvalidInputError(
        f"{window!r} is not a window", hint="write 30s, 15m, 12h, 7d or 4w; all for all events so far"
    )


def definition(given: Windowed | Mapping[str, Any]) -> Windowed:
    """Take a definition as its writer gave it, if it makes sense by itself.

    Parameters
    ----------
    given : Windowed or mapping
        With the fields of `Windowed`; one entity column, window or aggregation may stand for a list of one.

    Raises
    ------
    InvalidInputError
        Naming what is wrong.
    InvalidName
        The source cannot be a table's name.
    """
    if isinstance(given, Windowed):
        given = msgspec.structs.asdict(given)
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"a definition is a mapping, not {given!r}", hint=f"write {_HINT}")
    known = [field.name for field in msgspec.structs.fields(Windowed)]
    for name in given:
        if name not in known:
            raise InvalidInputError(f"a definition has no {name!r}", hint=did_you_mean(str(name), known))
    fields = dict(given)
    for name in ("entity", "windows"):
        fields[name] = _listed(fields.get(name))
    if isinstance(wanted := fields.get("aggregations"), Mapping):
        fields["aggregations"] = {column: _listed(names) for column, names in wanted.items()}
    where = fields.get("where")
    if isinstance(where, list | tuple) and where and _is_text(where[0]):
        fields["where"] = [where]
    try:
        # As it will be read back: times as texts, tuples as lists.
        made = msgspec.json.decode(msgspec.json.encode(msgspec.convert(fields, Windowed)), type=Windowed)
    except (msgspec.MsgspecError, TypeError, OverflowError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"the definition cannot be understood: {error}", hint=f"write {_HINT}") from error
    _check(made)
    return made


def _listed(value: Any) -> Any:
    return [value] if _is_text(value) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check(made: Windowed) -> None:
    source = parse_reference(made.source)
    if source.group is None or source.version is not None or source.feature is not None:
        raise InvalidInputError(f"the source is {made.source!r}", hint="name a table: group/name")
    for window in made.windows:
        length(window)
    for column, wanted in made.aggregations.items():
        for aggregation in wanted:
            if aggregation not in AGGREGATIONS:
                raise InvalidInputError(
                    f"{aggregation!r} of {column!r} is no aggregation", hint=did_you_mean(aggregation, AGGREGATIONS)
                )
        if column == EVERY_ROW and set(wanted) != {"count"}:
            raise InvalidInputError(f"'*' is aggregated by {', '.join(wanted)}", hint="events can only be counted")
    lists: dict[str, Sequence[str]] = {"entity": made.entity, "windows": made.windows}
    lists |= {f"aggregations of {column!r}": wanted for column, wanted in made.aggregations.items()}
    for what, names in lists.items():
        if not names or len(set(names)) < len(names):
            raise InvalidInputError(f"{what}: {list(names)!r}", hint="give at least one, and each once")
    asked = len(made.windows) * sum(map(len, made.aggregations.values()))
    features = made.features()
    clash = next((name for name in made.entity if name in features), "")
    if not asked or len(features) < asked or clash:
        raise InvalidInputError(
            f"two columns would be called {clash!r}" if clash else f"{asked} features have {len(features)} names",
            hint="aggregate at least one column; names are column_aggregation_window",
        )
