"""From the newest rows of entities to their keys and packed rows, beside those that the index has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import polars as pl

from tiffin.materialize.layout import Layout
from tiffin.materialize.newest import TIMESTAMP
from tiffin.online.rows import Row
from tiffin.schema import dtypes

Item = tuple[bytes, bytes]
"""A key and its packed row."""

_KEY = "\0key"


def pack(rows: pl.DataFrame, layout: Layout) -> list[Item]:
    """Pack the newest rows of some entities.

    Parameters
    ----------
    rows : DataFrame
        As `newest` makes them: of an entity the row that is true, then those of the future.
    layout : Layout
        How to pack them.

    Returns
    -------
    list of (key, packed row)
        In ascending order of the keys.
    """
    keyed = _keyed(rows, layout)
    repeats = (pl.col(_KEY) == pl.col(_KEY).shift()) | (pl.col(_KEY) == pl.col(_KEY).shift(-1))
    has_future = keyed.select(repeats.fill_null(value=False)).to_series()
    if not has_future.any():
        return _packed(keyed, layout)
    chains = [(key, layout.rows.pack(key, chain)) for key, chain in _chains(keyed.filter(has_future), layout)]
    return sorted([*_packed(keyed.filter(~has_future), layout), *chains])


def merge(items: Iterable[Item], known: Iterable[bytes | None], layout: Layout, moment: int) -> Iterator[Item]:
    """Merge rows of later commits with those that the index has; what changes nothing is left out.

    An older event never takes the place of a newer one; of equal times the greater `created` wins, or the later commit.

    Parameters
    ----------
    items : iterable of (key, packed row)
        What was committed since.
    known : iterable of bytes or None
        The packed row that the index has for each of the keys.
    layout : Layout
        How all of them are packed.
    moment : int
        When it is now, microseconds since 1970-01-01 UTC: of the rows up to here only the newest is kept.
    """
    for (key, later), earlier in zip(items, known, strict=True):
        if earlier is None:
            yield key, later
            continue
        before, after = layout.rows.chain(key, earlier), layout.rows.chain(key, later)
        chain = _merged(before, after, layout.created, moment)
        if chain == after:
            yield key, later
        elif chain != before:
            yield key, layout.rows.pack(key, chain)


def _keyed(rows: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """Give rows their keys, and sort by them."""
    rows = dtypes.from_stored(rows, layout.spec.dtypes)
    keyed = rows.with_columns(layout.encode(rows).alias(_KEY))
    return keyed if keyed.get_column(_KEY).is_sorted() else keyed.sort(_KEY, TIMESTAMP)


def _packed(keyed: pl.DataFrame, layout: Layout) -> list[Item]:
    """Pack entities that have one row each."""
    times = keyed.get_column(TIMESTAMP).cast(pl.Datetime("us")) if layout.spec.timestamp else None
    keys = keyed.get_column(_KEY).to_list()
    return list(zip(keys, layout.rows.pack_frame(keys, times, keyed), strict=True))


def _chains(keyed: pl.DataFrame, layout: Layout) -> Iterator[tuple[bytes, list[Row]]]:
    """Gather the rows of each key, the newest first."""
    time = pl.col(TIMESTAMP) if layout.spec.timestamp else pl.lit(None)
    rows = keyed.select(_KEY, time.alias(TIMESTAMP), *layout.rows.order).iter_rows()
    for key, chain in groupby(rows, key=itemgetter(0)):
        yield key, [list(row[1:]) for row in chain][::-1]


def _merged(before: Sequence[Row], after: Sequence[Row], created: int | None, moment: int) -> list[Row]:
    by_time = {row[0]: row for row in before}
    for row in after:
        other = by_time.get(row[0])
        if other is None or created is None or _made(row[created]) >= _made(other[created]):
            by_time[row[0]] = row
    if None in by_time:
        return list(by_time.values())
    times = sorted(by_time, reverse=True)
    future = sum(time > moment for time in times)
    return [by_time[time] for time in times[: future + 1]]


def _made(created: int | None) -> tuple[bool, int]:
    """Order by `created`; one that is null loses to every other."""
    return created is not None, created or 0
