"""Derived tables in a store: made, kept apart from other saves, brought up to date, described in TOML."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin.derived import source
from tiffin.derived.document import parse, plan
from tiffin.errors import (
    ConflictError,
    ConstraintViolated,
    FeatureNotFound,
    InUse,
    InvalidInputError,
    InvalidName,
    SchemaMismatch,
    TableNotFound,
)
from tiffin.schema.derivation import definition

MAY = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WHAT = {
    "source": "interaction/ratings",
    "entity": "user_id",
    "windows": ["1d", "7d"],
    "aggregations": {"rating": ["mean", "count"]},
}


def rating(user: int, movie: int, day: float, stars: float | None) -> dict:
    return {"user_id": user, "movie_id": movie, "rated_at": MAY + day * DAY, "rating": stars}


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path)
    rows = [rating(7, 1, 0, 4.0), rating(7, 2, 2, 3.0), rating(8, 2, 2, 1.0)]
    store.save("interaction/ratings", rows, entity=["user_id", "movie_id"], timestamp="rated_at")
    return store


def values(store, table: str, feature: str, user: int) -> dict[float, object]:
    """The rows of a user: the day of each, and a feature's value."""
    found = store.read(table, entities=[user]).to_polars().sort("rated_at")
    return {(at - MAY) / DAY: value for at, value in found.select("rated_at", feature).rows()}


def test_a_row_for_each_instant_at_which_a_window_changes(store):
    commit = store.derive("user/activity", WHAT)
    assert (commit.operation, commit.inputs) == ("derive", ("interaction/ratings@0",))
    assert values(store, "user/activity", "rating_mean_1d", 7) == {0: 4.0, 1: None, 2: 3.0, 3: None, 7: None, 9: None}
    assert values(store, "user/activity", "rating_count_7d", 7) == {0: 1, 1: 1, 2: 2, 3: 2, 7: 1, 9: 0}


def test_a_training_frame_and_the_index_know_that_windows_empty(store):
    now = datetime.now(UTC)
    recent = [{**rating(7, 3, 0, 2.0), "rated_at": now - timedelta(hours=23, minutes=59, seconds=58)}]
    store.save("interaction/ratings", recent, mode="append")
    store.derive("user/activity", WHAT, online=True)
    spine = [{"user_id": user, "event_timestamp": MAY + day * DAY} for user, day in ((7, 6.5), (7, 9), (9, 1))]
    asked = ["user/activity:rating_count_7d", "user/activity:rating_mean_7d"]
    frame = store.get_historical_features(spine, asked).to_polars()
    assert frame.select("rating_count_7d", "rating_mean_7d").rows() == [(2, 3.5), (0, None), (0, None)]
    plan_ = store.prepare(["user/activity:rating_count_1d"])
    assert plan_.read([{"user_id": 7}], at=now).to_dict()["rating_count_1d"] == [1]
    assert plan_.read([{"user_id": 7}], at=now + timedelta(seconds=3)).to_dict()["rating_count_1d"] == [0]
    assert store.verify(["user/activity"]).ok


def test_a_late_event_changes_the_rows_it_concerns_and_no_others(store):
    store.derive("user/activity", WHAT)
    before = store.read("user/activity").to_polars()
    store.save("interaction/ratings", [rating(7, 3, 1, 1.0)], mode="append")
    assert store.describe("user/activity").behind == 1
    (commit,) = store.refresh()
    assert (commit.operation, commit.inputs) == ("refresh", ("interaction/ratings@1",))
    assert (commit.rows_added, commit.rows_removed) == (5, 4)
    after = store.read("user/activity").to_polars()
    assert after.filter(pl.col("user_id") == 8).equals(before.filter(pl.col("user_id") == 8))
    assert values(store, "user/activity", "rating_mean_7d", 7)[2] == pytest.approx(8 / 3)
    assert store.describe("user/activity").behind == 0
    assert store.refresh("user/activity") == []


def test_rows_go_with_the_events_that_they_were_of(store):
    store.derive("user/activity", WHAT)
    store.save("interaction/ratings", [rating(7, 1, 0, 4.0)])
    store.refresh()
    assert set(store.read("user/activity").to_polars()["user_id"]) == {7}
    assert values(store, "user/activity", "rating_count_7d", 7) == {0: 1, 1: 1, 7: 0}


def test_what_follows_is_read_and_nothing_else(store, monkeypatch):
    """A refresh works on the entities that were concerned, whatever the others are."""
    store.derive("user/activity", WHAT)
    store.save("interaction/ratings", [rating(8, 3, 1, 1.0)], mode="append")
    seen = []
    rows = source.windows.rows
    monkeypatch.setattr(source.windows, "rows", lambda *given: seen.append(given[2]) or rows(*given))
    store.refresh()
    assert [set(frame["user_id"]) for frame in seen] == [{8}]


def test_only_events_that_count(store):
    what = {**WHAT, "where": ("rating", ">=", 3), "aggregations": {"*": "count"}, "windows": "all", "expiry": False}
    store.derive("user/likes", what)
    assert values(store, "user/likes", "count_all", 7) == {0: 1, 2: 2}
    assert values(store, "user/likes", "count_all", 8) == {}


def test_dates_count_as_their_midnight_in_utc(store):
    store.save("a/days", [{"id": 1, "day": date(2024, 5, 1), "x": 1}], entity="id", timestamp="day")
    store.derive("a/sums", {"source": "a/days", "entity": "id", "windows": "12h", "aggregations": {"x": "sum"}})
    frame = store.read("a/sums").to_polars()
    assert frame.rows() == [(1, MAY, 1), (1, MAY + DAY / 2, None)]
    assert frame.schema["day"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("entity", ["user_id", "movie_id", ["movie_id", "user_id"]])
def test_a_table_in_pieces_is_the_same_table(store, monkeypatch, entity):
    """Also where the source's files are not sorted by the entity."""
    rows = [rating(user, user % 9, user / 7 + day, 1.0 + user % 5) for user in range(40) for day in range(9)]
    store.save("interaction/ratings", rows[::2])
    store.save("interaction/ratings", rows[1::2], mode="append")
    what = {**WHAT, "entity": entity}
    whole = store.derive("user/activity", what)
    monkeypatch.setattr(source.Source.all_rows, "__defaults__", (100,))
    store.derive("user/pieces", what)
    assert len(store.files("user/pieces")) > 3
    pieces = store.read("user/pieces").to_polars()
    assert pieces.sort(pieces.columns[: 3 if isinstance(entity, list) else 2]).equals(
        store.read("user/activity").to_polars()
    )
    assert whole.rows == pieces.height


def test_its_rows_come_from_its_source_alone(store):
    store.derive("user/activity", WHAT)
    rows = store.read("user/activity").to_polars()
    for mode in ("overwrite", "append", "upsert"):
        with pytest.raises(InvalidInputError, match="derived from table interaction/ratings"):
            store.save("user/activity", rows, mode=mode)
    with pytest.raises(InvalidInputError, match="derived"):
        store.push("user/activity", rows)
    with pytest.raises(ConflictError, match="not derived"):
        store.derive("interaction/ratings", {**WHAT, "source": "user/activity"})
    with pytest.raises(InvalidInputError, match="not derived"):
        store.refresh("interaction/ratings")


def test_a_table_can_be_derived_from_a_derived_one(store):
    store.derive("user/activity", {**WHAT, "expiry": False})
    store.derive(
        "user/peaks",
        {"source": "user/activity", "entity": "user_id", "windows": "all", "aggregations": {"rating_count_7d": "max"}},
    )
    store.save("interaction/ratings", [rating(8, 3, 2.5, 1.0)], mode="append")
    assert [commit.table for commit in store.refresh("user/peaks")] == ["user/activity", "user/peaks"]
    assert max(values(store, "user/peaks", "rating_count_7d_max_all", 8).values()) == 2
    with pytest.raises(InvalidInputError, match="from itself"):
        store.derive("user/activity", {**WHAT, "source": "user/peaks", "aggregations": {"*": "count"}})


def test_another_definition_makes_the_table_anew(store):
    store.derive("user/activity", WHAT)
    assert store.derive("user/activity", WHAT).version == 0
    store.declare("user/activity", columns={"rating_mean_7d": {"description": "stars of a week"}})
    store.create_service("ranker", ["user/activity:rating_mean_1d"])
    weekly = {**WHAT, "windows": "7d"}
    with pytest.raises(InUse, match="ranker"):
        store.derive("user/activity", weekly)
    commit = store.derive("user/activity", weekly, force=True)
    assert commit.operation == "derive"
    columns = {column.name: column for column in store.describe("user/activity").columns}
    assert list(columns) == ["user_id", "rated_at", "rating_mean_7d", "rating_count_7d"]
    assert columns["rating_mean_7d"].description == "stars of a week"


def test_a_wider_source_makes_the_table_anew(store):
    store.save("a/x", [{"id": 1, "at": MAY, "n": 1}], entity="id", timestamp="at")
    store.save("a/x", pl.DataFrame({"id": [1], "at": [MAY], "n": pl.Series([1], dtype=pl.Int8)}), evolve=True)
    store.derive("a/last", {"source": "a/x", "entity": "id", "windows": "1d", "aggregations": {"n": "last"}})
    store.save("a/x", [{"id": 2, "at": MAY, "n": 1000}], mode="append")
    (commit,) = store.refresh()
    assert commit.operation == "derive"
    assert store.read("a/last", entities=[2]).to_polars()["n_last_1d"].to_list() == [1000, None]


def test_a_source_that_says_anew_which_row_was_made_last(store):
    rows = [{"id": 1, "at": MAY, "made": MAY + day * DAY, "n": n} for day, n in ((2, 10), (1, 20))]
    store.save("a/x", rows, entity="id", timestamp="at")
    store.derive("a/last", {"source": "a/x", "entity": "id", "windows": "all", "aggregations": {"n": "last"}})
    assert store.read("a/last").to_polars()["n_last_all"].to_list() == [20]
    store.save("a/x", rows, created="made", evolve=True)
    store.refresh()
    assert store.read("a/last").to_polars()["n_last_all"].to_list() == [10]


def test_a_refresh_that_is_overtaken_begins_again(store, monkeypatch):
    store.derive("user/activity", WHAT)
    store.save("interaction/ratings", [rating(7, 3, 1, 1.0)], mode="append")
    other, compute = tiffin.FeatureStore(store.path), source.Source.rows_of
    overtaken = []

    def overtake(self, entities):
        if not overtaken:
            overtaken.append(True)
            other.save("interaction/ratings", [rating(8, 3, 1, 1.0)], mode="append")
            other.refresh()
        return compute(self, entities)

    monkeypatch.setattr(source.Source, "rows_of", overtake)
    store.refresh()
    monkeypatch.undo()
    assert store.describe("user/activity").behind == 0
    store.derive("user/again", WHAT)
    found = store.read("user/activity").to_polars().sort("user_id", "rated_at")
    assert found.equals(store.read("user/again").to_polars())


def test_constraints_hold_for_derived_rows_too(store):
    store.derive("user/activity", WHAT)
    store.constrain("user/activity", "rating_count_7d between 0 and 2")
    store.save("interaction/ratings", [rating(7, day, day / 9, 4.0) for day in range(3, 6)], mode="append")
    with pytest.raises(ConstraintViolated, match="rating_count_7d"):
        store.refresh()
    assert store.describe("user/activity").behind == 1


def test_a_source_that_is_gone(store):
    store.derive("user/activity", WHAT)
    with pytest.raises(InUse, match="user/activity is derived from it"):
        store.drop("interaction/ratings")
    with pytest.raises(InUse, match="'rating' of table interaction/ratings"):
        store.save("interaction/ratings", [{"user_id": 1, "movie_id": 1, "rated_at": MAY}], evolve=True)
    store.drop("interaction/ratings", force=True)
    assert store.describe("user/activity").behind is None
    with pytest.raises(TableNotFound, match="interaction/ratings"):
        store.refresh()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"source": "ratings"}, InvalidInputError, "the source is 'ratings'"),
        ({"source": "a/b@3"}, InvalidInputError, "a/b@3"),
        ({"source": "../b"}, InvalidName, "not allowed"),
        ({"source": 7}, InvalidInputError, "source"),
        ({"entity": []}, InvalidInputError, "entity"),
        ({"entity": "nobody"}, FeatureNotFound, "nobody"),
        ({"entity": "rated_at"}, InvalidInputError, "timestamp"),
        ({"entity": "rating"}, SchemaMismatch, "entity column 'rating'"),
        ({"windows": ["7 days"]}, InvalidInputError, "'7 days' is not a window"),
        ({"windows": ["0s"]}, InvalidInputError, "'0s'"),
        ({"windows": ["99999999w"]}, InvalidInputError, "99999999w"),
        ({"windows": ["1d", "1d"]}, InvalidInputError, "windows"),
        ({"aggregations": {}}, InvalidInputError, "0 features"),
        ({"aggregations": {"rating": ["median"]}}, InvalidInputError, "'median'"),
        ({"aggregations": {"stars": ["mean"]}}, FeatureNotFound, "stars"),
        ({"aggregations": {"*": ["mean"]}}, InvalidInputError, "counted"),
        ({"where": [["stars", ">", 3]]}, FeatureNotFound, "stars"),
        ({"where": pl.col("rating") > 3}, InvalidInputError, "where"),
        ({"wheer": []}, InvalidInputError, "wheer"),
    ],
)
def test_definitions_that_make_no_sense(store, change, error, match):
    with pytest.raises(error, match=match):
        store.derive("user/activity", {**WHAT, **change})
    assert [info.table for info in store.tables()] == ["interaction/ratings"]


def test_events_need_times(store):
    store.save("a/flat", [{"id": 1, "x": 2}], entity="id")
    with pytest.raises(InvalidInputError, match="no timestamp"):
        store.derive("a/b", {"source": "a/flat", "entity": "id", "windows": "1d", "aggregations": {"x": "sum"}})


def test_sums_that_do_not_fit_are_refused(store):
    store.save("a/big", [{"id": 1, "at": MAY, "x": 2**62}, {"id": 1, "at": MAY, "x": 2**62}], timestamp="at")
    with pytest.raises(InvalidInputError, match="64 bits"):
        store.derive("a/b", {"source": "a/big", "entity": "id", "windows": "1d", "aggregations": {"x": "sum"}})


TOML = """
["user/peaks"]
source = "user/activity"
entity = "user_id"
windows = "all"
aggregations.rating_count_1d = "max"

["user/activity"]
source = "interaction/ratings"
entity = ["user_id"]
windows = ["1d", "7d"]
where = [["rating", ">=", 1]]
aggregations.rating = ["mean", "count"]
online = true
"""


def test_definitions_from_a_file(store):
    steps = plan(parse(TOML), store.derived())
    assert [(step.table, step.does) for step in steps] == [("user/activity", "make"), ("user/peaks", "make")]
    for step in steps:
        store.derive(step.table, step.definition, online=step.online)
    assert {step.does for step in plan(parse(TOML), store.derived())} == {"nothing"}
    store.save("interaction/ratings", [rating(9, 1, 0, 4.0)], mode="append")
    assert plan(parse(TOML), store.derived())[0].does == "refresh"
    assert plan(parse(TOML.replace('"7d"', '"8d"')), store.derived())[0].does == "make anew"
    assert store.describe("user/activity").online
    assert store.derived()[0].definition == definition({**WHAT, "where": [["rating", ">=", 1]]})
    with pytest.raises(InvalidInputError, match="no TOML"):
        parse("[user/activity.windows]")
    with pytest.raises(InvalidInputError, match=r"table a/b: .*windoes"):
        parse('["a/b"]\nwindoes = "1d"')
    with pytest.raises(InvalidInputError, match="defines no table"):
        parse("answer = 42")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = 1\n" + "a." * 50_000 + "a = 1", "key of more than 100 parts in line 2"),
        ("x = " + "[" * 50_000, "no TOML"),
    ],
)
def test_a_file_that_would_be_read_for_minutes_is_refused(text, match):
    with pytest.raises(InvalidInputError, match=match):
        parse(text)


def test_events_of_one_instant_have_an_order_of_their_own(store):
    """A row that is saved again stands behind the others in the table; that changes nothing."""
    rows = [rating(7, 1, 0, 4.0), rating(7, 2, 0, 3.0)]
    what = {**WHAT, "aggregations": {"rating": ["last"]}}
    store.save("interaction/ratings", rows[1:])
    store.save("interaction/ratings", rows[:1], mode="append")
    store.derive("user/activity", what)
    store.save("interaction/ratings", rows[1:], mode="upsert")
    store.refresh()
    store.derive("user/again", what)
    assert values(store, "user/activity", "rating_last_1d", 7) == values(store, "user/again", "rating_last_1d", 7)


def test_what_comes_out_for_an_entity_does_not_hang_on_the_others(store):
    """To the last bit: else a refresh of some entities would not be what a backfill is."""
    awkward = [0.1, 0.7, 1e5 + 0.3, -2e5 / 3, 1e-3]
    rows = [
        rating(user, day, day / 9, awkward[(day * user) % 5])
        for user in (1, 2, 3)
        for day in range(2 ** (user + 1) - 1)
    ]
    store.save("interaction/ratings", rows)
    what = {**WHAT, "windows": ["1d", "all"], "aggregations": {"rating": ["sum", "std"]}}
    store.derive("user/all", what)
    store.save("interaction/ratings", [row for row in rows if row["user_id"] == 3])
    store.derive("user/one", what)
    alone = store.read("user/one").to_polars()
    assert alone.equals(store.read("user/all", entities=[3]).to_polars())
