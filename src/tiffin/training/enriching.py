"""Adding features to a spine, table by table; small tables a few at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import polars as pl

from tiffin.features import Wanted, answer_names
from tiffin.reading import Reader
from tiffin.training import joining
from tiffin.training.spine import Spine

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much; the first is 0 at the start and the second at the end. Perhaps in
another thread, but never twice at once."""

_AT_ONCE = 3
"""Tables that are joined at once: reading one uses all processors, choosing its rows only one."""
_SMALL_BYTES = 256 << 20
"""Data files of a table up to which it is joined beside others: memory must hold what is read of all of them."""


def enrich(
    spine: Spine, wanted: Sequence[Wanted], ttl: timedelta | None, reader: Reader, progress: Progress | None = None
) -> pl.DataFrame:
    """Add to a spine the features that are wanted; defaults stand where one is missing.

    Returns
    -------
    DataFrame, shape (rows of the spine, columns of the spine + features)
    """
    steps = _Steps(wanted, progress)
    join = partial(_join, spine, ttl, reader, steps)
    small = [one for one in wanted if one.state.size_bytes <= _SMALL_BYTES]
    found = _at_once(join, small) if len(small) > 1 else {}
    for one in wanted:
        if not found.keys() >= {*one.names}:
            found |= join(one)
    return spine.frame.with_columns([found[name] for name in answer_names(wanted)])


def pairs(one: Wanted) -> zip[tuple[str, str]]:
    """Pair the columns that are wanted of a table with their names in the answer."""
    return zip(one.features, one.names, strict=True)


def _at_once(join: Callable[[Wanted], Mapping[str, pl.Series]], wanted: Iterable[Wanted]) -> dict[str, pl.Series]:
    pool = ThreadPoolExecutor(_AT_ONCE, "tiffin-join")
    try:
        return {name: values for columns in pool.map(join, wanted) for name, values in columns.items()}
    finally:
        # Where one table fails the others need not begin.
        pool.shutdown(cancel_futures=True)


def _join(spine: Spine, ttl: timedelta | None, reader: Reader, steps: _Steps, one: Wanted) -> dict[str, pl.Series]:
    """Find the features of one table, by their names in the answer."""
    spec = one.state.spec
    joined = joining.join(
        one.table,
        one.state,
        one.features,
        spine.frame.select(spec.entity),
        spine.times if spec.timestamp else None,
        ttl=ttl,
        known=spine.known,
        reader=reader,
        advance=partial(steps.advance, one),
    )
    steps.advance(one, 1, 1)
    return {name: _filled(joined[feature], spec.defaults.get(feature)).alias(name) for feature, name in pairs(one)}


def _filled(values: pl.Series, default: object) -> pl.Series:
    return values if default is None else values.fill_null(pl.lit(default, values.dtype))


class _Steps:
    """Adds up the progress over the tables, each weighed by its rows."""

    def __init__(self, wanted: Sequence[Wanted], progress: Progress | None) -> None:
        self._weights = {str(one.table.name): one.state.rows or 1 for one in wanted}
        self._done = dict.fromkeys(self._weights, 0)
        self._progress = progress
        self._told = -1
        self._lock = threading.Lock()
        self._tell()

    def advance(self, one: Wanted, done: int, total: int) -> None:
        """Take what a table says of itself."""
        name = str(one.table.name)
        with self._lock:
            self._done[name] = self._weights[name] * done // max(total, 1)
            self._tell()

    def _tell(self) -> None:
        done = sum(self._done.values())
        if self._progress is not None and done > self._told:
            self._told = done
            self._progress(done, sum(self._weights.values()))
