"""Which rows of a table the online index keeps: of each entity the one that is true now, and those to come (pure).

Rows are compared by timestamp, then by `created`, then by their place in the table: the greater, and the later, wins.
Choosing is associative, so parts of a table can be reduced one by one and what is left of them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from tiffin.schema.table import TableSpec

TIMESTAMP, CREATED = "\0timestamp", "\0created"
"""Times of a row, microseconds since 1970-01-01 UTC: 0 in a table without a timestamp, null without a `created`.

No column of a table can be called so."""


def timed(rows: pl.LazyFrame, spec: TableSpec) -> pl.LazyFrame:
    """Bring rows of a table into the form that is compared and packed: entity, times as numbers, features."""
    times = [_micros(spec.timestamp, pl.lit(0)).alias(TIMESTAMP), _micros(spec.created, pl.lit(None)).alias(CREATED)]
    return rows.select(*spec.entity, *times, *spec.features)


def _micros(column: str | None, missing: pl.Expr) -> pl.Expr:
    # Of a date, its midnight.
    return missing.cast(pl.Int64) if column is None else pl.col(column).dt.epoch("us")


def newest(rows: pl.DataFrame, entity: Sequence[str], moment: int, *, is_sorted: bool = False) -> pl.DataFrame:
    """Keep, of each entity, the newest row up to a moment, and the one that wins at each timestamp after it.

    Parameters
    ----------
    rows : DataFrame
        As `timed` makes them, in the order of the table.
    entity : sequence of str
        The entity columns; none for a table that is one series.
    moment : int
        Microseconds since 1970-01-01 UTC.
    is_sorted : bool
        Whether the rows are sorted by entity, timestamp and `created` already.

    Returns
    -------
    DataFrame
        Sorted by entity, then timestamp. Rows without a key or a timestamp are left out: they match nothing.
    """
    keys = rows.select(*entity, TIMESTAMP, CREATED)
    if is_sorted:
        return rows.filter(keys.select(_wins(entity, moment)).to_series())
    order = keys.with_row_index("\0row").sort([*entity, TIMESTAMP, CREATED], maintain_order=True)
    return rows[order.filter(_wins(entity, moment)).get_column("\0row")]


def _wins(entity: Sequence[str], moment: int) -> pl.Expr:
    """Tell of sorted rows which are the last of their entity and era; all time up to the moment is one era."""
    era = pl.col(TIMESTAMP).clip(lower_bound=moment)
    valid = pl.all_horizontal(pl.col(name).is_not_null() for name in [*entity, TIMESTAMP])
    last = pl.any_horizontal(part.ne_missing(part.shift(-1)) for part in [*map(pl.col, entity), era])
    return valid & last
