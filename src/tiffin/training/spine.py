"""The spine: the rows to be enriched, as they were given or made from the tables themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from tiffin.errors import InvalidInputError, SchemaMismatch, did_you_mean
from tiffin.features import Wanted, answer_names
from tiffin.frames import Ingested
from tiffin.training.units import since_epoch, time_limits

TIMESTAMP = "event_timestamp"
"""What the time column of a spine is called unless something else is said."""

_PARSE = "parse it first: in pandas pd.to_datetime(column), in Polars pl.col(name).str.to_datetime()"


@dataclass(frozen=True)
class Spine:
    """Rows to be enriched."""

    frame: pl.DataFrame
    timestamp: str | None
    """Column that says as of when; None if no table asks for one."""
    origins: dict[str, str] = field(default_factory=dict)
    known_at: datetime | str | None = None
    """The moment, or the column that holds one for each row, after which nothing is known."""

    @property
    def times(self) -> pl.Series | None:
        """As of when, for each row."""
        return None if self.timestamp is None else self.frame[self.timestamp]

    @property
    def known(self) -> pl.Series | datetime | None:
        """After when nothing is known: for all rows, or for each."""
        return self.frame[self.known_at] if isinstance(self.known_at, str) else self.known_at

    @property
    def first_known_us(self) -> int | None:
        """The earliest of them, microseconds since 1970-01-01 UTC; None if there is none."""
        known = self.known
        if isinstance(known, pl.Series):
            first = time_limits(known, f"the spine's column {known.name!r}")[0].min()
            return None if first is None else int(first)  # type: ignore[arg-type]  # of whole numbers
        return None if known is None else since_epoch(known)


def given(rows: Ingested, wanted: Sequence[Wanted], timestamp: str | None, known_at: datetime | str | None) -> Spine:
    """Take a caller's frame for the spine.

    Parameters
    ----------
    rows : Ingested
        The caller's frame.
    wanted : sequence of Wanted
        What is asked for.
    timestamp : str or None
        The column of times; None if it is to be found.
    known_at : datetime, str or None
        As `get_historical_features` takes it.

    Returns
    -------
    Spine

    Raises
    ------
    InvalidInputError
        A column is missing, is no time, is not the only one that could be meant, or is called like a feature.
    """
    frame = rows.owned()
    entities = list(dict.fromkeys(name for one in wanted for name in one.state.spec.entity))
    _check_entities(frame, wanted)
    if isinstance(known_at, str):
        _check_time(frame, known_at, "known_at")
    if timestamp is not None:
        _check_time(frame, timestamp, "timestamp")
    elif any(one.state.spec.timestamp for one in wanted):
        timestamp = _find_time(frame, wanted, {*entities}, known_at)
    check_names(frame.columns, wanted)
    return Spine(frame, timestamp, rows.origins, known_at)


def check_names(columns: Iterable[str], wanted: Sequence[Wanted]) -> None:
    """Refuse a spine that has a column of the name of a feature.

    Raises
    ------
    InvalidInputError
        Naming the column.
    """
    taken = set(answer_names(wanted)).intersection(columns)
    if taken:
        name = min(taken)
        raise InvalidInputError(
            f"the spine has a column {name!r} already, and a feature would get that name",
            hint="rename the column, or ask for full names (full_feature_names=True, --full-feature-names)",
            name=name,
        )


def check_moment(moment: object, argument: str, hint: str = "give a datetime; one without a zone is UTC") -> None:
    """Check that a moment, if there is one, is a time that the calendar has in UTC.

    Raises
    ------
    InvalidInputError
        It is not.
    """
    if moment is None:
        return
    # pandas' NaT is a datetime that equals nothing, not even itself.
    if not isinstance(moment, datetime) or moment != moment:  # noqa: PLR0124  # as said
        raise InvalidInputError(f"{argument} is {moment!r}", hint=hint)
    try:
        in_utc(moment)
    except OverflowError as error:
        raise InvalidInputError(
            f"{argument} is {moment}, which is beyond the calendar in UTC", hint="give a time of the years 1 to 9999"
        ) from error


def in_utc(moment: datetime) -> datetime:
    """Give a moment its zone: one without a zone is UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_entities(frame: pl.DataFrame, wanted: Sequence[Wanted]) -> None:
    for one in wanted:
        missing = [name for name in one.state.spec.entity if name not in frame.columns]
        if missing:
            raise InvalidInputError(
                f"the spine lacks the entity column {missing[0]!r} of table {one.table.name}",
                hint=did_you_mean(missing[0], frame.columns) + " Rename it, so that spine and table agree",
                missing=missing,
            )


def _check_time(frame: pl.DataFrame, name: str, argument: str) -> None:
    if name not in frame.columns:
        raise InvalidInputError(
            f"{argument} names {name!r}, which is no column of the spine", hint=did_you_mean(name, frame.columns)
        )
    if not _is_time(frame.schema[name]) and frame.schema[name] != pl.Null:
        raise SchemaMismatch(f"column {name!r} of the spine is {frame.schema[name]}, not a time", hint=_PARSE)


def _find_time(frame: pl.DataFrame, wanted: Sequence[Wanted], entities: set[str], known_at: object) -> str:
    usual = {TIMESTAMP, *(one.state.spec.timestamp for one in wanted if one.state.spec.timestamp)}
    times = [name for name, dtype in frame.schema.items() if _is_time(dtype)]
    # Without a value a column has no dtype: then its name has to do. No row matches.
    blank = [name for name, dtype in frame.schema.items() if dtype == pl.Null and name in usual]
    by_name = [name for name in times if name in usual] or blank
    others = [name for name in times if name not in entities]
    # A spine with one time may use it for both.
    free = [name for name in others if name != known_at] or others
    for candidates in (by_name, free):
        if len(candidates) == 1:
            return candidates[0]
    if times or blank:
        raise InvalidInputError(
            f"the spine has several columns of times: {', '.join(times or blank)}",
            hint=f"say which (timestamp={(by_name or free or times)[0]!r}, --timestamp)",
            candidates=by_name or free or times,
        )
    misfits = [f"{name!r} is {frame.schema[name]}" for name in frame.columns if name in usual]
    if misfits:
        raise SchemaMismatch(f"the spine has no column of times: {misfits[0]}", hint=_PARSE)
    raise InvalidInputError(
        f"the spine has no column of times, and table {_timed(wanted).table.name} has a timestamp",
        hint=f"add a column {TIMESTAMP!r} that says as of when the features are wanted",
    )


def _timed(wanted: Sequence[Wanted]) -> Wanted:
    return next(one for one in wanted if one.state.spec.timestamp)


def _is_time(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime | pl.Date)
