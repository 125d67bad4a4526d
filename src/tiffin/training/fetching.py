"""Fetching the features of the rows that were chosen, stretch by stretch."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from tiffin.asof import Ints, Matches
from tiffin.training.stretches import LOOSE, Ahead, Stretch

_FEW = 4
"""Fewer rows than a stretch has by this factor are few."""


def fetch(
    ahead: Ahead,
    parts: Sequence[Stretch],
    schema: pl.Schema,
    matches: Matches,
    *,
    height: int,
    step: Callable[[int], None],
) -> pl.DataFrame:
    """Fetch columns of the rows that a spine matches.

    Parameters
    ----------
    ahead : Ahead
        Reads the table.
    parts : sequence of Stretch
        All its rows, in order.
    schema : Schema
        The columns that are wanted, at least one, with their dtypes as they are read.
    matches : Matches
        Which rows.
    height : int
        Number of rows of the answer.
    step : callable
        Is called with the number of rows that are done; rows that are passed over are not counted.

    Returns
    -------
    DataFrame, shape (height, len(schema))
        In the order of the caller's spine; null without a match.
    """
    chosen = np.flatnonzero(matches.rows >= 0)
    rows, places = matches.rows[chosen], matches.spine.rows[chosen]
    found = np.zeros(height, np.int64)
    if not len(rows):
        frame = pl.DataFrame(schema=schema)
    elif alone := _part_of_all(parts, rows):
        (frame,) = ahead.frames([alone], list(schema))
        found[places] = rows - alone.first_row
    else:
        frame, index = _gathered(ahead, parts, list(schema), rows, step)
        found[places] = index
    return _spread(frame, found, places)


def _part_of_all(parts: Sequence[Stretch], rows: Ints) -> Stretch | None:
    """Find the stretch in which all rows lie, if there is one: it need not be thinned out before it is spread."""
    first, last = int(rows.min()), int(rows.max())
    for part in parts:
        if part.first_row <= first and last < part.first_row + part.height:
            return part.narrowed(first, last)
    return None


def _gathered(
    ahead: Ahead, parts: Sequence[Stretch], columns: Sequence[str], rows: Ints, step: Callable[[int], None]
) -> tuple[pl.DataFrame, Ints]:
    """Read rows of several stretches; with them, where each of `rows` is among them.

    Many rows of a spine may match the same row of a table: it is kept once.
    """
    distinct, index = np.unique(rows, return_inverse=True)
    needed = []
    for part in parts:
        start, stop = np.searchsorted(distinct, [part.first_row, part.first_row + part.height])
        if start < stop:
            within = distinct[start:stop]
            narrow = part.narrowed(int(within[0]), int(within[-1]))
            needed.append((narrow, within - narrow.first_row))
    pieces = []
    for (part, local), frame in zip(needed, ahead.frames([part for part, _ in needed], columns), strict=True):
        pieces.append(_gather(frame, local))
        step(part.height)
    return pl.concat(pieces), index


def _gather(frame: pl.DataFrame, rows: Ints) -> pl.DataFrame:
    """Gather rows of a frame; nothing of it is kept alive by a few of them."""
    if _FEW * len(rows) > frame.height:
        # Many rows are gathered four times as fast from one piece of memory as from one for each row group.
        return frame.rechunk().select(pl.all().gather(rows))
    gathered = frame.select(pl.all().gather(rows))
    loose = [name for name, dtype in frame.schema.items() if dtype.base_type() in LOOSE]
    if not loose:
        return gathered
    # Texts, lists and the like are not copied when they are gathered: they point into the frame.
    copied = io.BytesIO()
    gathered.select(loose).write_ipc(copied, compat_level=pl.CompatLevel.oldest())
    copied.seek(0)
    return gathered.with_columns(pl.read_ipc(copied))


def _spread(frame: pl.DataFrame, found: Ints, places: Ints) -> pl.DataFrame:
    """Repeat rows of a frame over the spine: the `found` ones, null except in some places."""
    height = len(found)
    if not len(places):
        return frame.clear(height)
    spread = _gather(frame, found)
    if len(places) == height:
        return spread
    has = np.zeros(height, np.bool_)
    has[places] = True
    # Twice as fast as gathering by an index with nulls in it.
    return spread.select(pl.when(pl.lit(pl.Series(has))).then(pl.all()))


def fetch_times(matches: Matches, height: int) -> pl.Series:
    """Spread the times of the matched rows over the spine.

    Returns
    -------
    Series of Datetime (microseconds, UTC), shape (height,)
        Null without a match.
    """
    chosen = matches.rows >= 0
    places = matches.spine.rows[chosen]
    times = np.zeros(height, np.int64)
    times[places] = matches.times[chosen]
    is_missing = np.ones(height, np.bool_)
    is_missing[places] = False
    return pl.Series(times).set(pl.Series(is_missing), None).cast(pl.Datetime("us", "UTC"))
