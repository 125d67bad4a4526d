"""An explanation: which row of which commit gave a value, and why not another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.features import Wanted
from tiffin.frames.forked import check_threads
from tiffin.schema import filters
from tiffin.schema.evolution import column_of
from tiffin.schema.table import TableSpec
from tiffin.tables.state import State
from tiffin.tables.table import Commit
from tiffin.training.frame import check_ttl, check_wanted
from tiffin.training.points import as_known, moment_of
from tiffin.training.provenance import Provenance
from tiffin.training.spine import check_moment, in_utc
from tiffin.training.units import meet, since_epoch

MOST_OF_A_KIND = 3
"""Rows that are shown for each reason why they did not answer."""

MOST_LOOKED_AT = 50
"""Rows that are looked at to find those that were committed too late."""

_FILE, _ROW, _TIME, _CREATED = "\0file", "\0row", "\0time", "\0created"
"""Columns that stand beside a table's own, none of which can be called so."""

_ANSWERS = "the newest row that counts"
_LATER = "after the time asked"
_EXPIRED = "older than the ttl"
_TIMELESS = "has no timestamp"
_MADE_LATER = "made after known_at"
_UNDATED = "does not say when it was made, as known_at needs"
_COMMITTED_LATER = "committed after known_at"
_OLDER = "older than the row that answers"
_TIED = "as new as the row that answers"


if TYPE_CHECKING:
    Moment = datetime | date | None
else:
    # msgspec reads no union of the two.
    Moment = Any


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the entity, and why it did or did not give the answer."""

    values: dict[str, Any]
    """The features asked for."""
    timestamp: Moment = None
    created: Moment = None
    commit: Commit | None = None
    """The commit that first brought the row; None if that version was vacuumed."""
    reason: str

    def __str__(self) -> str:
        time = "" if self.timestamp is None else f"{self.timestamp} "
        created = "" if self.created is None else f"(created {self.created}) "
        return f"{time}{created}{_listed(self.values)}: {self.reason}; {_told(self.commit)}"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where the value of a feature comes from; prints as text."""

    table: str
    version: int
    """The version that was asked."""
    entity: dict[str, Any]
    at: datetime
    """As of when, UTC."""
    ttl: timedelta | None
    known_at: datetime | None
    values: dict[str, Any]
    """The answer, as `get_historical_features` gives it."""
    row: Row | None
    """The row it comes from; None if no row matches."""
    defaults: tuple[str, ...] = ()
    """Features that were missing there, so that their default answered."""
    others: tuple[Row, ...] = ()
    """Rows of the entity that did not answer, newest first: the nearest few for each reason."""
    stage: str = ""
    """The stage that was asked, if it was one; `version` is the one that it stands on."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as values that JSON has; times and durations in ISO 8601."""
        builtins: dict[str, Any] = msgspec.to_builtins(self)
        return builtins

    def __str__(self) -> str:
        whose = f" of {_listed(self.entity)}" if self.entity else ""
        lines = [f"{self.table}@{self.stage or self.version}{whose} as of {self.at}: {_listed(self.values)}"]
        lines.append(f"  from {self.row}" if self.row else "  no row matches")
        if self.defaults:
            lines.append(f"  missing there, so the default answers: {', '.join(self.defaults)}")
        if self.others:
            lines += ["not", *(f"  {other}" for other in self.others)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Inquiry:
    """What is to be explained."""

    wanted: Wanted
    keys: pl.DataFrame | None
    """The entity, one row; None for a table without one."""
    at: datetime
    """As of when, with its zone."""
    ttl: timedelta | None = None
    """As it applies to this table."""
    known_at: datetime | None = None

    @property
    def spec(self) -> TableSpec:
        """What the table declares."""
        return self.wanted.state.spec

    @property
    def earliest(self) -> datetime | None:
        """The oldest time that the ttl lets pass."""
        if self.ttl is None or self.ttl > self.at - datetime.min.replace(tzinfo=self.at.tzinfo):
            return None
        return self.at - self.ttl


def inquire(
    wanted: Wanted, entity: Any, at: datetime, *, ttl: timedelta | None = None, known_at: datetime | None = None
) -> Inquiry:
    """Take what a caller asks; see `FeatureStore.explain`.

    Raises
    ------
    InvalidInputError
        The entity is no key of the table, or an argument makes no sense.
    """
    check_moment(at, "at")
    check_moment(known_at, "known_at")
    check_ttl(ttl)
    check_wanted([wanted], known_at)
    spec, table = wanted.state.spec, str(wanted.table.name)
    if (entity is None) == bool(spec.entity):
        problem = (
            f"it is not said whose value of table {table} is to be explained"
            if spec.entity
            else f"table {table} has no entity"
        )
        raise InvalidInputError(
            problem, hint=f"give {', '.join(spec.entity)}" if spec.entity else "leave the entity out"
        )
    return Inquiry(
        wanted=wanted,
        keys=_keys(entity, spec, table) if spec.entity else None,
        at=in_utc(at),
        ttl=(ttl or spec.ttl) if spec.timestamp else None,
        known_at=None if known_at is None else in_utc(known_at),
    )


def _keys(entity: Any, spec: TableSpec, table: str) -> pl.DataFrame:
    """Take an entity for keys, if the join would compare such values with the table's."""
    keys = filters.keys([entity], spec.entity, spec.dtypes, table)
    given = [entity[name] for name in spec.entity] if isinstance(entity, Mapping) else entity
    values = given if isinstance(given, list | tuple) else [given]
    for name, value in zip(spec.entity, values, strict=True):
        dtype, own = spec.dtypes[name], pl.Series([value]).dtype
        if not meet(own, dtype):
            raise SchemaMismatch(
                f"entity column {name!r} of table {table} is {dtype}, and {value!r} is {own}",
                hint=f"give a value that is {dtype}",
                column=name,
            )
    return keys


def explain(inquiry: Inquiry) -> Explanation:
    """Tell where the values of features come from; see `FeatureStore.explain`.

    Parameters
    ----------
    inquiry : Inquiry
        Whose values, as of when.

    Returns
    -------
    Explanation
    """
    check_threads()
    table, newest = inquiry.wanted.table, inquiry.wanted.state
    provenance = Provenance(table, newest, inquiry.keys)
    then = as_known(table, newest, None if inquiry.known_at is None else since_epoch(inquiry.known_at))
    judged = [] if then is None else _judged(provenance, then, inquiry)
    unknown = [] if then is newest else _committed_later(provenance, newest, then, inquiry)
    chosen = next((row for row in judged if row.reason == _ANSWERS), None)
    found = chosen.values if chosen else dict.fromkeys(inquiry.wanted.features)
    defaults = {name: value for name, value in inquiry.spec.defaults.items() if name in found and found[name] is None}
    others = [row for row in (*unknown, *judged) if row is not chosen]
    return Explanation(
        table=str(table.name),
        version=newest.version,
        entity={} if inquiry.keys is None else inquiry.keys.row(0, named=True),
        at=inquiry.at,
        ttl=inquiry.ttl,
        known_at=inquiry.known_at,
        values=found | defaults,
        row=chosen,
        defaults=tuple(defaults),
        others=tuple(sorted(others, key=_sort_key, reverse=True)),
        stage=newest.stage.name if newest.stage else "",
    )


def _sort_key(row: Row) -> tuple[bool, datetime]:
    """Sort by time; rows without one come before all others."""
    time = row.timestamp or date.min
    moment = time if isinstance(time, datetime) else datetime.combine(time, clock())
    return row.timestamp is not None, in_utc(moment)


def _judged(provenance: Provenance, state: State, inquiry: Inquiry) -> list[Row]:
    """Judge the rows of a version, newest first: the one that answers, and the nearest few for each other reason."""
    ranked = _ranked(provenance, state, state.files)
    times = ranked[_TIME].to_list()
    reasons = ranked.select(_reason(state.spec, inquiry)).to_series().to_list()
    answer = reasons.index(None) if None in reasons else len(reasons)
    places: dict[str, list[int]] = {}
    for place, reason in enumerate(reasons):
        kind = reason or (_OLDER if times[place] != times[answer] else _TIED if place != answer else _ANSWERS)
        places.setdefault(kind, []).append(place)
    shown = []
    for kind, numbers in places.items():
        nearest = numbers[-MOST_OF_A_KIND:] if kind == _LATER else numbers[:MOST_OF_A_KIND]
        shown += [
            (number, _row(provenance, state, inquiry, ranked.row(number, named=True), kind)) for number in nearest
        ]
    rows = [row for _, row in sorted(shown, key=lambda pair: pair[0])]
    winner = next((row for row in rows if row.reason == _ANSWERS), None)
    return [_tied(row, winner) if winner and row.reason == _TIED else row for row in rows]


def _committed_later(provenance: Provenance, newest: State, then: State | None, inquiry: Inquiry) -> list[Row]:
    """Find the newest few rows that would count if they had been there by `known_at`."""
    fresh = [path for path in newest.files if then is None or path not in then.files]
    ranked = _ranked(provenance, newest, fresh)
    ranked = ranked.filter(ranked.select(_reason(newest.spec, inquiry)).to_series().is_null()).head(MOST_LOOKED_AT)
    rows = (_row(provenance, newest, inquiry, record, _COMMITTED_LATER) for record in ranked.iter_rows(named=True))
    late = (row for row in rows if row.commit and (then is None or row.commit.version > then.version))
    return list(islice(late, MOST_OF_A_KIND))


def _ranked(provenance: Provenance, state: State, paths: Iterable[str]) -> pl.DataFrame:
    """Read the entity's rows in some files, best first: the latest time, then the latest `created`, then the last."""
    spec = state.spec
    time = moment_of(spec.timestamp, spec.dtypes) if spec.timestamp else pl.lit(None)
    created = moment_of(spec.created, spec.dtypes) if spec.created else pl.lit(None)
    none = pl.DataFrame(schema=spec.dtypes).with_columns(_place(""))
    rows = pl.concat([none, *(provenance.rows(state, path).with_columns(_place(path)) for path in paths)])
    return (
        rows.with_columns(time.alias(_TIME), created.alias(_CREATED))
        .reverse()
        .sort(_TIME, _CREATED, descending=True, nulls_last=True, maintain_order=True)
    )


def _place(path: str) -> list[pl.Expr]:
    return [pl.lit(path).alias(_FILE), pl.int_range(pl.len(), dtype=pl.Int64).alias(_ROW)]


def _reason(spec: TableSpec, inquiry: Inquiry) -> pl.Expr:
    """Say why a row does not count; null where it does."""
    time, created = pl.col(_TIME), pl.col(_CREATED)
    cases: list[tuple[pl.Expr, str]] = []
    if spec.timestamp:
        cases += [(time.is_null(), _TIMELESS), (time > inquiry.at, _LATER)]
    if spec.created and inquiry.known_at is not None:
        cases += [(created.is_null(), _UNDATED), (created > inquiry.known_at, _MADE_LATER)]
    if spec.timestamp and inquiry.earliest is not None:
        cases.append((time < inquiry.earliest, _EXPIRED))
    nothing = pl.repeat(None, pl.len(), dtype=pl.String)
    return pl.coalesce([*(pl.when(holds).then(pl.lit(text)) for holds, text in cases), nothing])


def _row(provenance: Provenance, state: State, inquiry: Inquiry, record: Mapping[str, Any], reason: str) -> Row:
    spec = state.spec
    return Row(
        values={name: record.get(column_of(spec, name, inquiry.spec) or name) for name in inquiry.wanted.features},
        timestamp=record[spec.timestamp] if spec.timestamp else None,
        created=record[spec.created] if spec.created else None,
        commit=provenance.commit(state, record[_FILE], record[_ROW]),
        reason=reason,
    )


def _tied(row: Row, winner: Row) -> Row:
    """Say what decided between two rows of the same time."""
    what = "of the same timestamp, and " if row.timestamp is not None else ""
    if row.created != winner.created:
        how = "made earlier" if row.created is not None else "does not say when it was made"
    elif row.commit and winner.commit and row.commit.version < winner.commit.version:
        how = "committed earlier"
    else:
        how = "an earlier row of the table"
    return msgspec.structs.replace(row, reason=what + how)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _told(commit: Commit | None) -> str:
    if commit is None:
        return "from a version that was vacuumed"
    author = f" by {commit.author}" if commit.author else ""
    message = f": {commit.message}" if commit.message else ""
    return f"version {commit.version}, {commit.operation} at {commit.timestamp:%Y-%m-%d %H:%M:%S %Z}{author}{message}"
