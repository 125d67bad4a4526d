"""Joining one table to a spine: for each row, the features that were true, and known, as of its time.

First the keys of all the table's rows pass by, and each row of the spine chooses its match; then only the features of
the chosen rows are fetched. So memory holds the spine, the answer, and one stretch of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.reading import Reader
from tiffin.schema import dtypes
from tiffin.schema.evolution import column_of
from tiffin.schema.table import TableSpec
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.training import lifetimes
from tiffin.training.seekers import Seekers
from tiffin.training.stretches import Ahead, Rows

TIME = "__timestamp"
"""Column of the answer with the times of the matched rows, if they are asked for."""
_MOMENT = pl.Datetime("us", "UTC")
_ROWS_FOR_A_STRETCH = 100
"""A spine of so many rows is taken to need nearly every row group of a table's first stretch."""


def join(
    table: Table,
    state: State,
    features: Sequence[str],
    keys: pl.DataFrame,
    times: pl.Series | None,
    *,
    ttl: timedelta | None = None,
    known: pl.Series | datetime | None = None,
    reader: Reader | None = None,
    advance: Callable[[int, int], None] | None = None,
    with_time: bool = False,
) -> pl.DataFrame:
    """Find for each row of a spine the features of a table as of its time.

    Parameters
    ----------
    table : Table
        The table.
    state : State
        The version.
    features : sequence of str
        Which columns.
    keys : DataFrame, shape (n, entity columns)
        The spine's keys, called like the table's entity columns; a table without an entity looks at none.
    times : Series of Datetime or Date, shape (n,), or None
        As of when; without a zone, UTC. None only for a table without a timestamp.
    ttl : timedelta, optional
        How long a row is good for, its last microsecond included; the table's own if left out.
    known : Series of Datetime or Date, shape (n,), or datetime, optional
        After when nothing is known: rows whose `created` is later do not count or, if the table declares none, each
        row of the spine sees the newest version that was committed by then, up to `state`. Null knows nothing.
    reader : Reader, optional
        May have the version in a cache already.
    advance : callable, optional
        Is told how much is done, and of how much.
    with_time : bool
        Whether to add the times of the matched rows, as the column `__timestamp`.

    Returns
    -------
    DataFrame, shape (n, len(features))
        In the order of the spine; null where nothing matches.

    Raises
    ------
    InvalidInputError
        The table has neither entity nor timestamp, or it has a timestamp and there are no times.
    FeatureNotFound
        The table has no such column.
    SchemaMismatch
        The spine's keys or times are of another kind than the table's.
    TableNotFound, VersionNotFound, CorruptData
        The table was dropped, the version vacuumed, or a file is not what was written.
    """
    spec = state.spec
    names = spec.check_features(features, str(table.name))
    check_joinable(table, spec)
    if not spec.entity and times is not None:
        keys = pl.DataFrame(height=len(times))
    seekers = Seekers.of(keys, times, known)
    eras = [lifetimes.at_version(state)]
    if known is not None and not spec.created:
        eras, versions = lifetimes.versions_known(table, state, seekers.limits["known"])
        seekers = Seekers(keys, seekers.limits.drop("known").with_columns(versions.alias("version")))
    held = reader.known(state) if reader is not None and "version" not in seekers.limits.columns else None
    with table.reading(state, eras[0].first if eras else None), ThreadPoolExecutor(1, "tiffin-read") as pool:
        ahead = Ahead(table, pool)
        tables = [Rows(table, era, held) for era in eras]
        progress = _Progress(advance, sum(2 * rows.height for rows in tables))
        asked = _Asked(names, spec, spec.ttl if ttl is None else ttl, with_time)
        parts = [_answer(ahead, rows, seekers, asked, progress.step) for rows in tables]
    progress.finish()
    schema = {name: spec.dtypes[name] for name in names} | ({TIME: _time_dtype(spec)} if with_time else {})
    return _whole(parts, seekers.count, schema, str(table.name))


def check_joinable(table: Table, spec: TableSpec) -> None:
    """Check that a table has something to find rows by.

    Raises
    ------
    InvalidInputError
        It has neither an entity nor a timestamp.
    """
    if not (spec.entity or spec.timestamp):
        raise InvalidInputError(
            f"table {table.name} has neither an entity nor a timestamp to find rows by",
            hint="declare them when saving (entity='user_id', --entity; timestamp='event_timestamp', --timestamp)",
        )


@dataclass(frozen=True)
class _Asked:
    """What is asked of every era."""

    names: Sequence[str]
    newest: TableSpec
    """Knows what the columns were called before."""
    ttl: timedelta | None
    with_time: bool


class _Progress:
    """Counts the rows that are done: once for their keys, once for their features."""

    def __init__(self, advance: Callable[[int, int], None] | None, total: int) -> None:
        self._advance = advance
        self._total = total
        self._done = 0

    def step(self, rows: int) -> None:
        """So many more are done."""
        self._done += rows
        self._tell()

    def finish(self) -> None:
        """Those that are left need not be read."""
        if self._done < self._total:
            self._done = self._total
            self._tell()

    def _tell(self) -> None:
        if self._advance is not None:
            self._advance(self._done, self._total)


@dataclass(frozen=True)
class _Part:
    """The answer for the rows of the spine that look at the versions of one era."""

    rows: pl.Series | None
    """Which rows; None for all."""
    columns: dict[str, pl.Series]


def _answer(ahead: Ahead, rows: Rows, seekers: Seekers, asked: _Asked, step: Callable[[int], None]) -> _Part:
    # They need NumPy, which takes long to import.
    from tiffin.training.fetching import fetch, fetch_times  # noqa: PLC0415
    from tiffin.training.matching import match  # noqa: PLC0415

    spec, places = rows.spec, None
    versions = seekers.limit("version")
    if versions is not None:
        places = versions.is_between(rows.versions.start, rows.versions.stop, closed="left").arg_true()
        seekers = seekers.gather(places)
    # What each was called then.
    then = {column: name for name in asked.names if (column := column_of(spec, name, asked.newest)) is not None}
    wanted = pl.Schema({column: spec.stored[column] for column in then})
    parts = rows.feature_stretches(list(wanted)) if wanted else []
    soon = (parts[0], list(wanted)) if parts and seekers.count > _ROWS_FOR_A_STRETCH else None
    matches = match(ahead, rows, seekers, ttl=asked.ttl, then=soon, step=step)
    columns = {}
    if wanted:
        frame = fetch(ahead, parts, wanted, matches, height=seekers.count, step=step)
        found = dtypes.from_stored(frame, spec.dtypes).to_dict()
        columns = {then[column]: values for column, values in found.items()}
    if asked.with_time and spec.timestamp:
        columns[TIME] = fetch_times(matches, seekers.count)
    return _Part(places, columns)


def _time_dtype(spec: TableSpec) -> pl.DataType:
    return spec.dtypes[spec.timestamp] if spec.timestamp else _MOMENT


def _whole(parts: Sequence[_Part], height: int, schema: dict[str, pl.DataType], table: str) -> pl.DataFrame:
    """Put the answers for parts of the spine together, in the dtypes of the version that was asked for."""
    if len(parts) == 1 and parts[0].rows is None:
        return _complete(parts[0], height, schema, table)
    places = [part.rows for part in parts if part.rows is not None]
    frames = [_complete(part, len(rows), schema, table) for part, rows in zip(parts, places, strict=True)]
    order = pl.DataFrame({"place": pl.concat(places or [pl.Series([], dtype=pl.UInt32)])}).with_row_index("row")
    every = pl.select(pl.int_range(height, dtype=pl.UInt32).alias("place"))
    index = every.join(order, on="place", how="left", maintain_order="left")["row"]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).select(pl.all().gather(index))


def _complete(part: _Part, height: int, schema: dict[str, pl.DataType], table: str) -> pl.DataFrame:
    """Bring an answer to the columns and dtypes that were asked for; an older version may lack some."""
    columns = []
    for name, dtype in schema.items():
        found = part.columns.get(name)
        if found is None:
            columns.append(pl.repeat(None, height, dtype=dtype, eager=True).alias(name))
        else:
            columns.append(_fitted(found.alias(name), dtype, table))
    return pl.DataFrame(columns)


def _fitted(values: pl.Series, dtype: pl.DataType, table: str) -> pl.Series:
    if values.dtype == dtype:
        return values
    cast = values.cast(dtype, strict=False)
    # There and back: the only test that needs no list of which casts can lose something.
    if cast.cast(values.dtype, strict=False).ne_missing(values).any():
        raise SchemaMismatch(
            f"column {values.name!r} of table {table} is {dtype} and was {values.dtype} once, with values that do not "
            "fit",
            hint="choose a later known_at, or restore the older version and ask for it by itself",
            column=values.name,
        )
    return cast
