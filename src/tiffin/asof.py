"""The as-of join: for each row of a spine, the row of its entity that was the newest one by then (pure).

A table is offered to the spine chunk by chunk, in the order of its rows, and for each row of the spine the best one so
far is kept: the greatest time not after the spine's, of those the greatest `created`, of those the later row. Which of
two rows is the better one does not depend on when they were offered, so a table of any size and any number of files
takes the memory of the spine and of one chunk.

All times are whole microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_BLOCK = 1 << 16
"""Rows of the spine that are searched for together, so that what the search writes down stays in the processor."""
_MANY_ENTITIES = 50_000
"""From so many entities on it pays to look which of them a chunk can hold, if it holds fewer."""
_BEFORE_ALL = -(1 << 63)
"""Stands for the time of no match, and for a `created` that is null, which loses to every other."""


@dataclass(frozen=True)
class Spine:
    """The rows that look for a match, by entity; rows with a null in them match nothing and are left out.

    Attributes
    ----------
    entities : DataFrame, shape (e, k + 1)
        Each entity once, in order, with its number in the column `code`.
    starts : array, shape (e + 1,)
        Where the rows of each entity begin.
    rows : array, shape (n,)
        Where each row stands in the frame that the caller gave.
    times : array, shape (n,), or None
        The newest time that may match; None for a table without a timestamp.
    known : array, shape (n,), or None
        The newest `created` that may match; None if it does not matter.
    versions : array, shape (n,), or None
        The version of the table that each row sees; None if all see the same rows.
    """

    entities: pl.DataFrame
    starts: Ints
    rows: Ints
    times: Ints | None
    known: Ints | None
    versions: Ints | None


def sort_spine(
    keys: pl.DataFrame,
    times: pl.Series | None = None,
    known: pl.Series | None = None,
    versions: pl.Series | None = None,
) -> Spine:
    """Bring a spine into the order in which it is joined.

    Parameters
    ----------
    keys : DataFrame, shape (n, k)
        The entity columns, at least one, called as in the chunks that will be offered.
    times, known, versions : Series of Int64, shape (n,), optional
        As in `Spine`.

    Returns
    -------
    Spine
    """
    limits = {"time": times, "known": known, "version": versions}
    given = [values.alias(name) for name, values in limits.items() if values is not None]
    frame = keys.with_columns(given).with_row_index("row").drop_nulls()
    order, heads = _sorted(frame.select(keys.columns))
    limited = {name: frame[name].to_numpy()[order] for name in frame.columns if name in limits}
    return Spine(
        entities=frame.select(pl.col(keys.columns).gather(order[heads])).with_row_index("code"),
        starts=np.append(heads, len(order)),
        rows=order if frame.height == keys.height else frame["row"].to_numpy()[order].astype(np.int64),
        times=limited.get("time"),
        known=limited.get("known"),
        versions=limited.get("version"),
    )


def _sorted(keys: pl.DataFrame) -> tuple[Ints, Ints]:
    """Sort keys: list where the rows stand in that order, and at which places in it an entity begins.

    Whole numbers of a small enough range are packed into one number with the place of their row: one plain sort.
    """
    shift = keys.height.bit_length()
    code, size = np.zeros(keys.height, np.int64), 1 << shift
    for column in keys.iter_columns():
        low: Any = column.min()
        high: Any = column.max()
        if column.dtype != pl.Int64 or low is None or size * (high - low + 1) >= 1 << 63:
            frame = keys.with_row_index("row").sort(keys.columns)
            return frame["row"].to_numpy().astype(np.int64), _run_starts(frame.select(keys.columns))
        size *= high - low + 1
        code = code * (high - low + 1) + (column.to_numpy() - low)
    code = (code << shift) | np.arange(keys.height)
    code.sort()
    return code & ((1 << shift) - 1), _changes(code >> shift)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, in its order.

    Attributes
    ----------
    keys : DataFrame, shape (m, k)
        The entity columns, in the dtypes of the spine's.
    times : Series of Int64, shape (m,), or None
        When each row became true; a row with null is never matched. None for a table without a timestamp.
    created : Series of Int64, shape (m,), or None
        When each row was made; None if the table does not say.
    first_row : int
        Number of the first row in the table.
    versions : range or None
        The versions of the table that have these rows; None if the spine does not ask.
    """

    keys: pl.DataFrame
    times: pl.Series | None
    created: pl.Series | None
    first_row: int
    versions: range | None = None


class Matches:
    """The best row of a table, so far, for each row of a spine.

    Parameters
    ----------
    spine : Spine
        Who looks for matches.

    Attributes
    ----------
    rows : array, shape (n,)
        Number of the matched row in the table for each of the spine's sorted rows; -1 without a match.
    times : array, shape (n,)
        Its time, where there is a match and the table has a timestamp.
    """

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.rows = np.full(len(spine.rows), -1, np.int64)
        self.times = np.full(len(spine.rows), _BEFORE_ALL)
        self._created: Ints | None = None

    def offer(self, chunk: Chunk) -> None:
        """Let the spine's rows choose from a chunk; chunks are offered in the order of their rows."""
        runs = _runs(chunk, self.spine)
        wanting, run = self._wanting(runs, chunk.versions)
        if not len(wanting):
            return
        found = runs.stops[run] - 1
        if runs.times is not None and self.spine.times is not None:
            found = _newest(runs.times, self.spine.times[wanting], runs.starts[run], found)
        if runs.created is not None and self.spine.known is not None:
            _step_back(runs.created, self.spine.known[wanting], runs.starts[run], found)
        has = found >= runs.starts[run]
        if not has.all():
            wanting, found = wanting[has], found[has]
        self._keep(wanting, runs, found)

    def expire(self, ttl_us: int, times: Ints) -> None:
        """Forget matches that are older than the ttl: a row is good up to and including its time plus the ttl.

        Parameters
        ----------
        ttl_us : int
            Microseconds, more than zero.
        times : array, shape (n,)
            The spine's times, rounded up to the microsecond where they are finer.
        """
        # Unsigned: the difference of two 64-bit times always fits, and a match is never after the spine's time.
        age = times.astype(np.uint64) - self.times.astype(np.uint64)
        self.rows[age > np.uint64(min(ttl_us, (1 << 64) - 1))] = -1

    def _wanting(self, runs: _Runs, versions: range | None) -> tuple[Ints, Ints]:
        """List the spine's rows that have an entity of the chunk and see it, each with its run."""
        begins = self.spine.starts[runs.codes]
        counts = self.spine.starts[runs.codes + 1] - begins
        run = np.repeat(np.arange(len(counts)), counts)
        wanting = np.arange(len(run)) + np.repeat(begins - (np.cumsum(counts) - counts), counts)
        if versions is not None and self.spine.versions is not None:
            sees = self.spine.versions[wanting]
            sees = (sees >= versions.start) & (sees < versions.stop)
            wanting, run = wanting[sees], run[sees]
        return wanting, run

    def _keep(self, wanting: Ints, runs: _Runs, found: Ints) -> None:
        """Take what was found where it is better than what there is."""
        times = np.zeros(len(found), np.int64) if runs.times is None else runs.times[found]
        before = self.times[wanting]
        better = times >= before
        if runs.created is not None:
            if self._created is None:
                self._created = np.full(len(self.rows), _BEFORE_ALL)
            created = runs.created[found]
            better &= (times > before) | (created >= self._created[wanting])
            self._created[wanting[better]] = created[better]
        if not better.all():
            wanting, found, times = wanting[better], found[better], times[better]
        self.times[wanting] = times
        self.rows[wanting] = runs.first_row + (found if runs.rows is None else runs.rows[found])


@dataclass(frozen=True)
class _Runs:
    """A chunk's rows by entity; of each entity they stand together, sorted by time and `created`."""

    codes: Ints
    starts: Ints
    stops: Ints
    times: Ints | None
    created: Ints | None
    rows: Ints | None
    """Where each row stands in the chunk; None if it was sorted as it came."""
    first_row: int


def _runs(chunk: Chunk, spine: Spine) -> _Runs:
    frame, rows = _usable(chunk, spine)
    names = chunk.keys.columns
    heads = _run_starts(frame.select(names))
    run = frame.select(pl.col(names).gather(heads)).with_row_index("run")
    known = run.join(_nearby(spine.entities, run), on=names, maintain_order="left")
    bounds = np.append(heads, frame.height)
    codes, at = (known[name].cast(pl.Int64).to_numpy() for name in ("code", "run"))
    times = None if chunk.times is None else frame["time"].to_numpy()
    created = None if chunk.created is None else frame["created"].fill_null(_BEFORE_ALL).to_numpy()
    runs = _Runs(codes, bounds[at], bounds[at + 1], times, created, rows, chunk.first_row)
    is_each_once = (codes[1:] > codes[:-1]).all() or len(np.unique(codes)) == len(codes)
    if is_each_once and _ascends(times, created, heads):
        return runs
    return _resorted(runs)


def _usable(chunk: Chunk, spine: Spine) -> tuple[pl.DataFrame, Ints | None]:
    """Leave out the rows that nobody can match; return with the others where they stand, if not all are there."""
    given = {"time": chunk.times, "created": chunk.created}
    frame = chunk.keys.with_columns([values.alias(name) for name, values in given.items() if values is not None])
    needed = ["time"] if chunk.times is not None else []
    # What nobody knows the making of cannot have been known.
    needed += ["created"] if chunk.created is not None and spine.known is not None else []
    if not any(frame[name].null_count() for name in needed):
        return frame, None
    kept = frame.select(pl.all_horizontal(pl.col(needed).is_not_null()).arg_true()).to_series()
    return frame.select(pl.all().gather(kept)), kept.cast(pl.Int64).to_numpy()


def _run_starts(keys: pl.DataFrame) -> Ints:
    """List the rows whose key differs from the row before; the first one too."""
    if keys.dtypes == [pl.Int64] and not keys.to_series().null_count():
        return _changes(keys.to_series().to_numpy())
    changes = pl.any_horizontal(pl.all().ne_missing(pl.all().shift())) | (pl.int_range(pl.len()) == 0)
    return keys.select(changes.arg_true()).to_series().to_numpy().astype(np.int64)


def _changes(values: Ints) -> Ints:
    """List where a value differs from the one before; the first place too."""
    return np.append(np.zeros(min(len(values), 1), np.int64), np.flatnonzero(values[1:] != values[:-1]) + 1)


def _nearby(entities: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Cut out the entities between the least and the greatest of some runs: a sorted file has few of them at a time."""
    if entities.height < max(_MANY_ENTITIES, runs.height):
        return entities
    name = runs.columns[1]
    low: Any = runs[name].min()
    high: Any = runs[name].max()
    if low is None or high is None:
        return entities.clear()
    column = entities[name]
    first, last = column.search_sorted(low, "left"), column.search_sorted(high, "right")
    return entities[first:last]


def _ascends(times: Ints | None, created: Ints | None, heads: Ints) -> bool:
    """Tell whether the rows of each run are sorted by time, and at the same time by `created`."""
    columns = [values for values in (times, created) if values is not None]
    if not columns or len(columns[0]) < 2:
        return True
    fine: Flags = columns[-1][1:] >= columns[-1][:-1]
    if len(columns) == 2:
        fine = (columns[0][1:] > columns[0][:-1]) | ((columns[0][1:] == columns[0][:-1]) & fine)
    fine[heads[1:] - 1] = True
    return bool(fine.all())


def _resorted(runs: _Runs) -> _Runs:
    """Bring the rows of each entity together, sorted; ties keep the order that they have."""
    counts = runs.stops - runs.starts
    rows = np.arange(counts.sum()) + np.repeat(runs.starts - (np.cumsum(counts) - counts), counts)
    columns = {"time": runs.times, "created": runs.created}
    frame = pl.DataFrame(
        {"code": np.repeat(runs.codes, counts)}
        | {name: values[rows] for name, values in columns.items() if values is not None}
        | {"row": rows if runs.rows is None else runs.rows[rows]}
    )
    frame = frame.sort(frame.columns[:-1], maintain_order=True)
    codes = frame["code"].to_numpy()
    heads = _changes(codes)
    bounds = np.append(heads, frame.height)
    return _Runs(
        codes=codes[heads],
        starts=bounds[:-1],
        stops=bounds[1:],
        times=None if runs.times is None else frame["time"].to_numpy(),
        created=None if runs.created is None else frame["created"].to_numpy(),
        rows=frame["row"].to_numpy(),
        first_row=runs.first_row,
    )


def _newest(times: Ints, by: Ints, first: Ints, last: Ints) -> Ints:
    """Find, for each of many stretches of sorted times, the last one that is not after a limit.

    Parameters
    ----------
    times : array, shape (m,)
        Sorted from `first` to `last` of each stretch.
    by : array, shape (n,)
        The limits.
    first, last : array, shape (n,)
        The stretches, both ends included; none is empty.

    Returns
    -------
    array, shape (n,)
        Positions; the one before the stretch where all times are after the limit.
    """
    found = first - 1
    for start in range(0, len(by), _BLOCK):
        block = slice(start, start + _BLOCK)
        limit, end, at = by[block], last[block], found[block]
        step = 1 << int((end - at).max()).bit_length()
        while step := step >> 1:
            ahead = at + step
            inside = np.minimum(ahead, end)
            # In place: `at` is a part of what is returned.
            at += step * ((times[inside] <= limit) & (ahead <= end))
    return found


def _step_back(created: Ints, known: Ints, first: Ints, found: Ints) -> None:
    """Move positions back, within their stretches, to the last row that was made by the time it had to be known.

    Steps double as long as the rows that they pass over were all made too late (which the least of `created` in each
    power of two of rows tells), and halve again from there: a long stretch costs its logarithm.

    Parameters
    ----------
    created : array, shape (m,)
        When rows were made.
    known : array, shape (n,)
        The limits.
    first : array, shape (n,)
        Where the stretches begin.
    found : array, shape (n,)
        Where they end, included; changed in place, to less than `first` where there is no such row.
    """
    least = [created]
    reached = np.zeros(len(found), np.int64)
    moving = np.flatnonzero(found >= first)
    while len(moving):
        level = len(least) - 1
        reached[moving] = level
        moving = moving[least[level][found[moving]] > known[moving]]
        found[moving] -= 1 << level
        moving = moving[found[moving] >= first[moving]]
        if len(moving):
            wider = least[level].copy()
            np.minimum(wider[1 << level :], least[level][: -(1 << level)], out=wider[1 << level :])
            least.append(wider)
    for level in reversed(range(len(least) - 1)):
        moving = np.flatnonzero((reached > level) & (found >= first))
        moving = moving[least[level][found[moving]] > known[moving]]
        found[moving] -= 1 << level
