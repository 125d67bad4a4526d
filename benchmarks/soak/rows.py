"""Rows that carry the number of the save that wrote them, twice: what is stale or torn can be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from benchmarks.soak.shared import Recorder

FLOATS = 8
MARKS = ("save", "again")
START = datetime(2024, 1, 1, tzinfo=UTC)


def frame(ids: Sequence[int], save: int, *, at: datetime | None = None) -> pl.DataFrame:
    """Make rows of a save.

    Parameters
    ----------
    ids : sequence of int, shape (n,)
        Their entities.
    save : int
        The number of the save.
    at : datetime, optional
        Makes a column `at` of it.
    """
    chance = np.random.default_rng(save)
    made = pl.DataFrame({"id": pl.Series(ids, dtype=pl.Int64)})
    made = made.with_columns(save=pl.lit(save, pl.Int64), again=save * 7 + pl.col("id"))
    made = made.with_columns(pl.Series(f"f{number}", chance.random(len(ids))) for number in range(FLOATS))
    return made if at is None else made.with_columns(at=pl.lit(at, pl.Datetime("us", "UTC")))


def check(recorder: Recorder, found: Mapping[str, Sequence[Any]], count: int, least: int | Mapping[int, int]) -> int:
    """Check rows of one save, or rows of several of which each entity has a save of its own.

    Parameters
    ----------
    recorder : Recorder
        Counts it.
    found : mapping of str to sequence, each of shape (n,)
        Columns `id`, `save` and `again`.
    count : int
        So many rows there must be.
    least : int or mapping of int to int
        The oldest save that the rows may be of: if a number, all are of one; else by entity.

    Returns
    -------
    int
        The newest save among them.

    Raises
    ------
    WrongAnswerError
        The answer is not right.
    """
    ids, saves, again = (list(found[name]) for name in ("id", *MARKS))
    recorder.check(is_right=len(ids) == count, kind="incomplete", said=f"{len(ids)} rows of {count}")
    whole = all(b == a * 7 + key for key, a, b in zip(ids, saves, again, strict=True) if a is not None)
    recorder.check(is_right=whole and None not in saves, kind="torn", said="marks that do not go together")
    if isinstance(least, int):
        recorder.check(is_right=len({*saves}) == 1, kind="torn", said=f"rows of the saves {sorted({*saves})[:5]}")
        recorder.check(is_right=saves[0] >= least, kind="stale", said=f"save {saves[0]} after {least}")
    else:
        late = [(key, save, least[key]) for key, save in zip(ids, saves, strict=True) if save < least[key]]
        recorder.check(is_right=not late, kind="stale", said=f"entity, save, acknowledged: {late[:3]}")
    return max(saves)
