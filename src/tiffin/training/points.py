"""A spine made from the tables: every entity as of now, or every point of time at which a table has a row of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.features import Wanted
from tiffin.schema.compatibility import common_dtype
from tiffin.tables.state import State
from tiffin.tables.table import Selection, Table
from tiffin.training.lifetimes import newest_known
from tiffin.training.spine import TIMESTAMP, Spine, check_names
from tiffin.training.units import since_epoch

_MOMENT = pl.Datetime("us", "UTC")
_TIME = "\0time"
"""No column of a table can be called so."""


@dataclass(frozen=True)
class Period:
    """The time between two moments; both belong to it, None leaves an end open."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_all(self) -> bool:
        """Whether neither end was given."""
        return self.start is None and self.end is None


def spine(
    wanted: Sequence[Wanted],
    period: Period,
    now: datetime,
    *,
    timestamp: str | None = None,
    known_at: datetime | None = None,
) -> Spine:
    """Make a spine of what the wanted tables hold.

    Parameters
    ----------
    wanted : sequence of Wanted
        What is asked for; the tables have the same entity columns.
    period : Period
        Given: one row per entity and time at which a table has a row in the period. Not given: one row per entity
        that a table has a row of by now, as of now.
    now : datetime
        When now is, UTC.
    timestamp : str, optional
        What the column of times is called; `event_timestamp`, if a table has a timestamp.
    known_at : datetime, optional
        Rows that were not known then do not count, and this is when now is.

    Returns
    -------
    Spine
        Sorted by entity and time.

    Raises
    ------
    InvalidInputError
        The tables' entities differ, there are no times to go by, or names collide.
    """
    entity = _shared_entity(wanted)
    is_timed = any(one.state.spec.timestamp for one in wanted)
    if not (is_timed or period.is_all):
        raise InvalidInputError(
            "none of the tables has a timestamp, so none has rows between two times", hint="leave out start and end"
        )
    name = timestamp or (TIMESTAMP if is_timed else None)
    if name in entity:
        raise InvalidInputError(
            f"{name!r} is an entity column, and the column of times would get that name",
            hint="choose another (timestamp='as_of', --timestamp)",
        )
    moment = known_at or now
    if period.is_all:
        found = [_rows(one, Period(None, moment), known_at).select(entity) for one in wanted]
    else:
        assert name is not None  # some table has a timestamp
        timed = [one for one in wanted if one.state.spec.timestamp]
        found = [_rows(one, period, known_at).select(*entity, pl.col(_TIME).alias(name)) for one in timed]
    rows = _merged(found).unique().sort(pl.all())
    if period.is_all and name is not None:
        as_of = pl.lit(moment, _MOMENT).alias(name)
        rows = rows.with_columns(as_of) if entity else pl.select(as_of)
    check_names(rows.columns, wanted)
    origins = {key: origin for key, origin in wanted[0].state.spec.origins.items() if key in entity}
    return Spine(rows, name, origins, known_at)


def as_known(table: Table, state: State, known_us: int | None) -> State | None:
    """Return a table as it was known at a moment: where rows do not say when they were made, their commits do.

    Parameters
    ----------
    table : Table
        The table.
    state : State
        The newest version that may be looked at.
    known_us : int or None
        The moment, microseconds since 1970-01-01 UTC; None for no limit.

    Returns
    -------
    State or None
        The version; None if there was none yet.

    Raises
    ------
    VersionNotFound
        It was vacuumed.
    """
    if known_us is None or state.spec.created:
        return state
    return newest_known(table, state, known_us // 1_000)


def _shared_entity(wanted: Sequence[Wanted]) -> list[str]:
    first, *others = wanted
    entity = first.state.spec.entity
    for one in others:
        if set(one.state.spec.entity) != set(entity):
            raise InvalidInputError(
                f"without a spine, the tables must share one entity: {_described(first)}, {_described(one)}",
                hint="give a spine that has the columns of both, or ask for the tables one by one",
            )
    return [*entity]


def _described(one: Wanted) -> str:
    return f"{one.table.name} has {', '.join(one.state.spec.entity) or 'none'}"


def _rows(one: Wanted, period: Period, known_at: datetime | None) -> pl.DataFrame:
    """Read the entities of the rows in a period, and their times if they have any."""
    state = as_known(one.table, one.state, None if known_at is None else since_epoch(known_at))
    spec = (state or one.state).spec
    columns = [name for name in (*one.state.spec.entity, spec.timestamp, spec.created) if name]
    if state is None:
        rows = pl.DataFrame(schema={name: spec.dtypes[name] for name in columns})
    else:
        # Filtered here: the files are not sorted by time, and may hold times in another form than is compared.
        rows = one.table.read(state, Selection(columns))
    conditions = [pl.col(name).is_not_null() for name in one.state.spec.entity]
    if spec.timestamp:
        rows = rows.with_columns(moment_of(spec.timestamp, spec.dtypes).alias(_TIME))
        conditions.append(pl.col(_TIME).is_not_null())
        conditions += [pl.col(_TIME) >= period.start] if period.start else []
        conditions += [pl.col(_TIME) <= period.end] if period.end else []
    if spec.created and known_at:
        conditions.append(moment_of(spec.created, spec.dtypes) <= known_at)
    return rows.filter(conditions)


def moment_of(name: str, dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """Give a column of times as microseconds in UTC: a date is its midnight, a time without a zone is UTC.

    Parameters
    ----------
    name : str
        The column.
    dtypes : mapping of str to DataType
        Dtype of each column.

    Returns
    -------
    Expr
    """
    dtype, time = dtypes[name], pl.col(name)
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    time = time.cast(pl.Datetime("us", zone))
    return time.dt.convert_time_zone("UTC") if zone else time.dt.replace_time_zone("UTC")


def _merged(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Stack parts whose keys may be of different widths."""
    dtypes: dict[str, pl.DataType] = dict(parts[0].schema)
    for part in parts[1:]:
        for name, dtype in part.schema.items():
            common = common_dtype(dtypes[name], dtype)
            if common is None:
                raise SchemaMismatch(
                    f"entity column {name!r} is {dtypes[name]} in one table and {dtype} in another",
                    hint="give a spine, or save the tables with keys of one type",
                )
            dtypes[name] = common
    return pl.concat([part.cast(pl.Schema(dtypes)) for part in parts])
