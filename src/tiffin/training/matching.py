"""Finding the row of a table that each row of a spine matches, by keys and times alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from tiffin import asof
from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.schema import dtypes
from tiffin.schema.table import TableSpec
from tiffin.tables.datafiles import may_hold
from tiffin.training import units
from tiffin.training.seekers import Seekers
from tiffin.training.stretches import Ahead, File, Rows, Stretch, key_columns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1000, 1, 1, tzinfo=UTC)
"""Earlier times are not among the statistics of files."""


def match(
    ahead: Ahead,
    rows: Rows,
    seekers: Seekers,
    *,
    ttl: timedelta | None,
    then: tuple[Stretch, Sequence[str]] | None,
    step: Callable[[int], None],
) -> asof.Matches:
    """Let rows of a spine choose among the rows of a table.

    Parameters
    ----------
    ahead : Ahead
        Reads the table.
    rows : Rows
        Its rows.
    seekers : Seekers
        The rows of the spine.
    ttl : timedelta or None
        How long a row is good for.
    then : tuple of Stretch and sequence of str, or None
        What will be read afterwards.
    step : callable
        Is called with the number of rows that are done; rows that are passed over are not counted.

    Returns
    -------
    Matches

    Raises
    ------
    InvalidInputError
        The table has a timestamp and the seekers have no times.
    SchemaMismatch
        Their keys are of another kind than the table's.
    """
    spec = rows.spec
    times = seekers.limit("time") if spec.timestamp else None
    if spec.timestamp and times is None:
        raise InvalidInputError(
            f"table {ahead.table.name} has a timestamp, and the spine has no times",
            hint="say as of when features are wanted",
        )
    keys = _keys(str(ahead.table.name), spec, seekers)
    spine = asof.sort_spine(keys, times, seekers.limit("known"), seekers.limit("version"))
    matches = asof.Matches(spine)
    promising = [file for file in rows.files if _may_match(spine, spec, file)]
    parts = rows.key_stretches(promising, len(spine.rows))
    for part, frame in zip(parts, ahead.frames(parts, key_columns(spec), then), strict=True):
        matches.offer(_chunk(spec, part, frame))
        step(part.height)
    if ttl is not None and spec.timestamp:
        # Gathered before it leaves Polars: a column that has nulls would become one of floats.
        matches.expire(ttl // timedelta(microseconds=1), seekers.limits["time_up"].gather(spine.rows).to_numpy())
    return matches


def _keys(table: str, spec: TableSpec, seekers: Seekers) -> pl.DataFrame:
    missing = [name for name in spec.entity if name not in seekers.keys.columns]
    if missing:
        raise SchemaMismatch(
            f"the spine has no key {missing[0]!r}, which table {table} has or had for its entity",
            hint="give the spine that column; if the table's entity was another one once, choose a later known_at",
        )
    columns = [units.comparable_keys(seekers.keys[name], spec.dtypes[name], table) for name in spec.entity]
    return _named(columns, seekers.count)


def _named(columns: Sequence[pl.Series], height: int) -> pl.DataFrame:
    """Name keys by their places; without an entity all rows are of one."""
    if not columns:
        columns = [pl.repeat(0, height, dtype=pl.Int64, eager=True)]
    return pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])


def _chunk(spec: TableSpec, part: Stretch, frame: pl.DataFrame) -> asof.Chunk:
    frame = dtypes.to_stored(frame.rechunk())
    return asof.Chunk(
        keys=_named([units.comparable(frame[name], spec.dtypes[name]) for name in spec.entity], frame.height),
        times=units.stored_times(frame[spec.timestamp]) if spec.timestamp else None,
        created=units.stored_times(frame[spec.created]) if spec.created else None,
        first_row=part.first_row,
        versions=part.versions,
    )


def _may_match(spine: asof.Spine, spec: TableSpec, file: File) -> bool:
    """Tell whether a file can hold a match, by what its writer noted of its keys."""
    if not len(spine.rows):
        return False
    if file.add is None:
        return True
    if spec.timestamp and spine.times is not None:
        first, last = _time_bounds(spec.dtypes[spec.timestamp], int(spine.times.max()))
        if last is not None and not may_hold(file.add, spec.timestamp, first, last):
            return False
    if not spec.entity:
        return True
    keys = spine.entities["0"]
    return may_hold(file.add, spec.entity[0], keys[0], keys[-1])


def _time_bounds(dtype: pl.DataType, newest_us: int) -> tuple[date, date | None]:
    """Bound the times that may match, in the form of the column's statistics; None for a bound that no calendar has."""
    try:
        newest = _EPOCH + timedelta(microseconds=newest_us)
    except OverflowError:
        return _FIRST, None
    return (date.min, newest.date()) if dtype == pl.Date else (_FIRST, newest)
