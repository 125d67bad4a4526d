"""From events to the rows of a derived table (pure).

A row says what the windows of an entity hold from its time on, until the next row of that entity. With a row for each
instant at which an event enters a window or leaves one, the row that is newest at a moment is right for that moment.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from tiffin.derived.aggregates import Values, dtype_of
from tiffin.derived.spans import Events, instants
from tiffin.errors import FeatureNotFound, InvalidInputError, did_you_mean
from tiffin.schema import filters
from tiffin.schema.derivation import EVERY_ROW, Windowed, length
from tiffin.schema.table import TableSpec

_MICROSECOND = timedelta(microseconds=1)
_TIME = "\0time"
"""No column of a table can be called so."""


def columns_of(definition: Windowed, source: TableSpec) -> dict[str, pl.DataType]:
    """Name the columns of a derived table, with their types.

    Parameters
    ----------
    definition : Windowed
        What is wanted.
    source : TableSpec
        What the source declares.

    Raises
    ------
    FeatureNotFound
        The source has no such column.
    InvalidInputError
        The source declares no timestamp, or a name would be that of two columns.
    SchemaMismatch
        A column cannot be aggregated so.
    """
    table = definition.source
    if source.timestamp is None:
        raise InvalidInputError(
            f"table {table} has no timestamp, so nobody knows when its rows happened",
            hint="declare its column of times: save it with timestamp=…, --timestamp",
        )
    known = source.dtypes
    for name in (*definition.entity, *definition.columns):
        if name not in known:
            raise FeatureNotFound(f"table {table} has no column {name!r}", hint=did_you_mean(name, known))
    if definition.where:
        filters.predicate(list(definition.where), known, table)
    features = {
        name: pl.Int64() if column == EVERY_ROW else dtype_of(aggregation, known[column], column)
        for name, (column, aggregation, _) in definition.features().items()
    }
    if source.timestamp in {*definition.entity, *features}:
        raise InvalidInputError(
            f"{source.timestamp!r} is the timestamp of table {table}, and cannot be an entity or a feature",
            hint="choose other columns",
        )
    return {
        **{name: known[name] for name in definition.entity},
        source.timestamp: _moment(known[source.timestamp]),
        **features,
    }


def _moment(dtype: pl.DataType) -> pl.DataType:
    """Return the type of the derived table's times, which are exact to the microsecond."""
    return pl.Datetime("us", dtype.time_zone if isinstance(dtype, pl.Datetime) else "UTC")


def needed(definition: Windowed, source: TableSpec) -> list[str]:
    """Name the columns of the source that its derived table is made from."""
    read = [*definition.entity, *definition.columns, source.timestamp, source.created]
    if definition.where:
        predicate = filters.predicate(list(definition.where), source.dtypes, definition.source)
        read += predicate.meta.root_names()
    return list(dict.fromkeys(name for name in read if name is not None))


def rows(definition: Windowed, source: TableSpec, frame: pl.DataFrame) -> pl.DataFrame:
    """Make the rows of a derived table.

    Events of one entity and instant are put in order by `created`, if the source declares it, then by their values,
    column by column: so it does not matter how they lie in the files.

    Parameters
    ----------
    definition : Windowed
        What is wanted.
    source : TableSpec
        What the source declares.
    frame : DataFrame
        All rows of some entities; the columns that are `needed`.

    Returns
    -------
    DataFrame
        The columns that `columns_of` names, sorted by entity and time.
    """
    dtypes = columns_of(definition, source)
    events = _ordered(definition, source, frame)
    found = _events(events, definition.entity)
    lengths = [length(window) for window in definition.windows]
    micros = [None if duration is None else duration // _MICROSECOND for duration in lengths]
    when = instants(found, micros, expiry=definition.expiry)
    spans = dict(zip(definition.windows, when.spans, strict=True))
    values = {column: Values(events[column], found) for column in definition.columns}
    made = [events[name].gather(found.starts[when.entities]) for name in definition.entity]
    made.append(pl.Series(source.timestamp, when.times).cast(pl.Datetime("us")))
    for name, (column, aggregation, window) in definition.features().items():
        span = spans[window]
        each = (
            pl.Series(span.high - span.low)
            if column == EVERY_ROW
            else values[column].within(span).aggregate(aggregation)
        )
        made.append(each.gather(span.index).alias(name))
    return _typed(pl.DataFrame(made), dtypes)


def _typed(frame: pl.DataFrame, dtypes: dict[str, pl.DataType]) -> pl.DataFrame:
    moments = {name for name, dtype in dtypes.items() if isinstance(dtype, pl.Datetime)}
    return frame.select(
        pl.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone)
        if name in moments
        and frame.schema[name] == pl.Datetime("us")
        and isinstance(dtype, pl.Datetime)
        and dtype.time_zone is not None
        else pl.col(name).cast(dtype)
        for name, dtype in dtypes.items()
    )


def _ordered(definition: Windowed, source: TableSpec, frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the events that count, in their order, with their times in microseconds."""
    assert source.timestamp is not None  # `columns_of` has seen to it
    kept = frame.lazy()
    if definition.where:
        kept = kept.filter(filters.predicate(list(definition.where), source.dtypes, definition.source))
    kept = kept.drop_nulls([*definition.entity, source.timestamp])
    kept = kept.with_columns(pl.col(source.timestamp).dt.epoch("us").alias(_TIME))
    ties = [source.created] if source.created else []
    return kept.sort(*definition.entity, _TIME, *ties, *definition.columns, maintain_order=True).collect()


def _events(events: pl.DataFrame, entity: tuple[str, ...]) -> Events:
    changes = [pl.col(name).ne_missing(pl.col(name).shift(1)) for name in entity]
    first = pl.int_range(pl.len()) == 0
    begins = events.select(pl.any_horizontal(first, *changes)).to_series().to_numpy()
    starts = np.append(np.flatnonzero(begins), events.height).astype(np.int64)
    return Events(starts, events[_TIME].to_numpy().astype(np.int64))
