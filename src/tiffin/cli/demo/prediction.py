"""The second half of the demo: ratings predicted from what was known just before each."""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import polars as pl

from tiffin.cli.demo import model, recount, so_far
from tiffin.cli.demo.model import Errors
from tiffin.cli.demo.movie_tables import MovieTable
from tiffin.cli.demo.so_far import ASKED_AT, FEATURES, GENRE_FLAGS, GENRES, LABEL, USERS
from tiffin.cli.run import Run
from tiffin.errors import CorruptData
from tiffin.frames import FeatureFrame
from tiffin.quality.leakage.report import LeakageFinding
from tiffin.training.explanation import Explanation, Row
from tiffin.training.spine import in_utc

TRAINING_SET = "rating_prediction"


class Recomputed(msgspec.Struct, frozen=True, kw_only=True):
    """What plain Python loops over the raw ratings say of rows of the training frame."""

    rows: int
    values: int
    differences: int
    seconds: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of predicting the ratings."""

    rows: int
    """Rows of the spine, one for each rating."""
    rows_unknown: int
    """Rows whose user had not rated before."""
    features: list[str]
    versions: dict[str, int]
    """Tables and their versions, of the lock."""
    join_s: float
    spine_hash: str
    result_hash: str
    reproduced_hash: str
    reproduce_s: float
    recomputed: Recomputed
    errors: Errors
    leaks_asked_before: list[LeakageFinding]
    """What the leakage check warns of in this training frame."""
    leaks_asked_then: list[LeakageFinding]
    """What it would warn of if each row asked at the time of its rating, and not just before."""
    explanation: Explanation
    """Where one value of the training frame is from; of the rows that it is not from, the nearest for each reason."""


def predict(run: Run, ratings: pl.DataFrame, content: Iterable[MovieTable], inputs: list[str], seed: int) -> Prediction:
    """Make a training frame of all ratings, prove it, and learn from it.

    Parameters
    ----------
    run : Run
        Where the store is; shows the progress.
    ratings : DataFrame
        As `check_ratings` returns them.
    content : iterable of MovieTable
        The tables about movies; they are in the store.
    inputs : list of str
        What everything was made from, for the history.
    seed : int
        Chooses the rows that are recomputed.

    Raises
    ------
    CorruptData
        The frame made again is another, or a row is not what the loops count.
    """
    with run.busy("saving what was known after each rating"):
        frames = {table.name: table.frame for table in content if table.name == GENRES}
        for table in so_far.tables(ratings):
            table.save(run.store, message="ratings so far", inputs=inputs)
            frames[table.name] = table.frame
        spine = so_far.spine(ratings)
    start = time.perf_counter()
    frame = _joined(run, spine)
    join_s = time.perf_counter() - start
    known = frame.to_polars()
    again, reproduce_s = _reproduced(run, frame)
    recomputed = _recomputed(run, known, ratings, frames[GENRES], seed)
    with run.busy("training"):
        errors = model.errors(known, so_far.naive(spine, frames))
    return Prediction(
        rows=known.height,
        rows_unknown=known["user_count"].null_count(),
        features=list(FEATURES),
        versions=dict(frame.lock),
        join_s=join_s,
        spine_hash=frame.lock.spine_hash or "",
        result_hash=frame.lock.result_hash or "",
        reproduced_hash=again,
        reproduce_s=reproduce_s,
        recomputed=recomputed,
        errors=errors,
        leaks_asked_before=_leaks(run, spine, ASKED_AT),
        leaks_asked_then=_leaks(run, spine, "event_timestamp"),
        explanation=_explained(run, known),
    )


def _joined(run: Run, spine: pl.DataFrame) -> FeatureFrame:
    with run.advancing("joining") as advance:
        frame: FeatureFrame = run.store.get_historical_features(
            spine, list(FEATURES), timestamp=ASKED_AT, progress=advance
        )
        return frame


def _reproduced(run: Run, frame: FeatureFrame) -> tuple[str, float]:
    """Save the training set, make it again from its lock, and return its hash and the seconds that took."""
    with run.busy("making the training frame again"):
        run.store.save_training_set(
            TRAINING_SET, frame, description="Ratings, and what was known just before each.", replace=True
        )
        start = time.perf_counter()
        again = run.store.reproduce(TRAINING_SET).lock.result_hash
        passed_s = time.perf_counter() - start
    if again is None or again != frame.lock.result_hash:
        raise CorruptData(f"the training set {TRAINING_SET} was not made again as it was", hint="report this")
    return again, passed_s


def _recomputed(run: Run, known: pl.DataFrame, ratings: pl.DataFrame, genres: pl.DataFrame, seed: int) -> Recomputed:
    with run.busy("recomputing rows by hand"):
        start = time.perf_counter()
        memory = recount.Recount(ratings.iter_rows(named=True), genres.iter_rows(named=True))
        rows = [known.row(number, named=True) for number in recount.chosen(known.height, seed)]
        found = recount.differences(rows, memory, GENRE_FLAGS)
        passed_s = time.perf_counter() - start
    if found:
        raise CorruptData(f"{len(found)} values are not what plain loops count; {found[0]}", hint="report this")
    return Recomputed(rows=len(rows), values=len(rows) * len(FEATURES), differences=len(found), seconds=passed_s)


def _leaks(run: Run, spine: pl.DataFrame, timestamp: str) -> list[LeakageFinding]:
    with run.busy("looking for leaks"):
        found = run.store.check_leakage(spine, list(FEATURES), label=LABEL, timestamp=timestamp)
    return list(found.warnings)


def _explained(run: Run, known: pl.DataFrame) -> Explanation:
    """Ask of the rating in the middle, of those that come after others, where one of its features is from."""
    later = known.filter(pl.col("user_count") > 1)
    later = later if later.height else known
    row = later.row(later.height // 2, named=True)
    found = run.store.explain(f"{USERS}:user_mean", {"user_id": row["user_id"]}, row[ASKED_AT])
    nearest: dict[str, Row] = {}
    for other in found.others:
        known_one = nearest.setdefault(other.reason, other)
        if _distance(other, found) < _distance(known_one, found):
            nearest[other.reason] = other
    return msgspec.structs.replace(found, others=tuple(nearest.values()))


def _distance(row: Row, found: Explanation) -> timedelta:
    assert isinstance(row.timestamp, datetime)  # the tables' timestamps are
    return abs(in_utc(row.timestamp) - found.at)
