"""Explanations agree with training frames, and name the commits that a plain list of what was saved names."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

import tiffin

BASE = datetime(2024, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIMES = st.one_of(st.none(), st.integers(0, 6))
ROWS = st.lists(st.tuples(st.integers(0, 2), TIMES, TIMES, st.one_of(st.none(), st.integers(0, 3))), max_size=6)
SAVES = st.tuples(st.sampled_from(["overwrite", "append", "append", "upsert", "compact", "restore"]), ROWS)
QUESTIONS = st.tuples(
    st.integers(0, 3),
    st.integers(-1, 7),
    st.one_of(st.none(), st.integers(1, 4)),
    st.one_of(st.none(), st.integers(-1, 7)),
)
SCHEMA = {
    "id": pl.Int64,
    "at": pl.Datetime("us", "UTC"),
    "made": pl.Datetime("us", "UTC"),
    "x": pl.Int64,
    "row": pl.Int64,
}


def moment(count: int | None) -> datetime | None:
    """Microseconds apart, so that every boundary is met."""
    return None if count is None else BASE + count * MICROSECOND


class History:
    """A table, and beside it the commit of each of its rows, which have numbers."""

    def __init__(self, folder: str, *, is_timed: bool, says_when_made: bool) -> None:
        self.store = tiffin.FeatureStore(Path(folder) / "store", compact_files=1000)
        self.declared = {
            "entity": "id",
            "timestamp": "at" if is_timed else None,
            "created": "made" if says_when_made else None,
        }
        self.is_timed, self.says_when_made = is_timed, says_when_made
        self.brought: dict[int, int] = {}
        self.count = 0

    def save(self, mode: str, rows: list[tuple]) -> None:
        newest = len(self.store.history("g/t")) - 1 if self.brought or self.count else -1
        if mode in {"compact", "restore"}:
            if newest >= 0:
                self.store.compact("g/t") if mode == "compact" else self.store.restore("g/t", newest // 2)
            return
        if mode == "upsert":
            usable = {
                (key, at if self.is_timed else 0): (key, at, made, x) for key, at, made, x in rows if at is not None
            }
            rows = [*usable.values()]
        numbered = [(key, moment(at), moment(made), x, self.count + n) for n, (key, at, made, x) in enumerate(rows)]
        self.count += len(rows) + 1
        commit = self.store.save("g/t", pl.DataFrame(numbered, SCHEMA, orient="row"), mode=mode, **self.declared)
        self.brought |= {row[-1]: commit.version for row in numbered}


CASES = {
    "is_timed": st.booleans(),
    "says_when_made": st.booleans(),
    "saves": st.lists(SAVES, min_size=1, max_size=6),
    "questions": st.lists(QUESTIONS, min_size=1, max_size=6),
}


@settings(max_examples=50, deadline=None)
@given(**CASES)
def test_explanations_agree_with_training_frames_and_name_the_commits(is_timed, says_when_made, saves, questions):
    explain_all(is_timed, says_when_made, saves, questions)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(**CASES)
def test_they_do_in_many_cases(is_timed, says_when_made, saves, questions):
    explain_all(is_timed, says_when_made, saves, questions)


def explain_all(is_timed: bool, says_when_made: bool, saves: list, questions: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History(folder, is_timed=is_timed, says_when_made=says_when_made)
        history.save("overwrite", [])
        for mode, rows in saves:
            history.save(mode, rows)
        commits = history.store.history("g/t")[::-1]
        for question in questions:
            check(history, commits, question)
        history.store.close()


def check(history, commits, question) -> None:
    key, at, ttl, known = question
    options = {"ttl": None if ttl is None else ttl * MICROSECOND, "known_at": None}
    if known is not None:
        # Of rows that do not say when they were made the commits know.
        options["known_at"] = moment(known) if history.says_when_made else known_by(commits, known)
    spine = pl.DataFrame({"id": [key], "event_timestamp": [moment(at)]})
    answer = history.store.get_historical_features(spine, ["g/t:x", "g/t:row"], **options).to_polars().row(0)[-2:]
    found = history.store.explain("g/t", key, moment(at), **options)
    assert (found.values["x"], found.values["row"]) == answer
    assert (found.row is None) == (answer[1] is None)
    for row in (*((found.row,) if found.row else ()), *found.others):
        assert row.commit.version == history.brought[row.values["row"]], row
    for row in found.others:
        check_reason(row, found, options)


def known_by(commits, known: int) -> datetime:
    if known < 0:
        return commits[0].timestamp - timedelta(hours=1)
    return commits[min(known, len(commits) - 1)].timestamp


def check_reason(row, found, options) -> None:
    """What is said of a row that did not answer is so."""
    at, ttl, known_at = found.at, options["ttl"], options["known_at"]
    holds = {
        "after the time asked": lambda: row.timestamp > at,
        "older than the ttl": lambda: row.timestamp < at - ttl,
        "has no timestamp": lambda: row.timestamp is None,
        "made after known_at": lambda: row.created > known_at,
        "does not say when it was made, as known_at needs": lambda: row.created is None,
        "committed after known_at": lambda: row.commit.timestamp > known_at,
        "older than the row that answers": lambda: row.timestamp < found.row.timestamp,
        "made earlier": lambda: row.created < found.row.created,
        "does not say when it was made": lambda: row.created is None and found.row.created is not None,
        "committed earlier": lambda: row.commit.version < found.row.commit.version and row.created == found.row.created,
        "an earlier row of the table": lambda: row.created == found.row.created,
    }
    tie = "of the same timestamp, and "
    if row.reason.startswith(tie):
        assert row.timestamp == found.row.timestamp
    assert holds[row.reason.removeprefix(tie)](), row
