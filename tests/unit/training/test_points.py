"""Training frames without a spine: all entities as of now, or all that happened between two times."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin.errors import InvalidInputError, SchemaMismatch


def day(number: int) -> datetime:
    return datetime(2024, 1, number, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        rows = pl.DataFrame(
            {"id": [1, 1, 2, 3, None], "at": [day(1), day(3), day(2), None, day(2)], "x": [1, 3, 2, 9, 8]}
        )
        opened.save("a/x", rows, entity="id", timestamp="at")
        rows = pl.DataFrame({"id": [2, 4], "when": [day(3), day(1)], "y": ["b", "d"]}).cast({"when": pl.Date})
        opened.save("a/y", rows, entity="id", timestamp="when")
        opened.save("a/z", pl.DataFrame({"id": [1, 5], "z": [True, False]}), entity="id")
        yield opened


def rows(frame) -> list[tuple]:
    return frame.to_polars().rows()


def test_without_times_every_entity_has_a_row_as_of_now(store):
    before = datetime.now(UTC)
    frame = store.get_historical_features(None, ["a/x", "a/y", "a/z"])
    assert frame.columns == ["id", "event_timestamp", "x", "y", "z"]
    assert [(row[0], *row[2:]) for row in rows(frame)] == [
        (1, 3, None, True),
        (2, 2, "b", None),
        (4, None, "d", None),
        (5, None, None, False),
    ]
    (now,) = set(frame.to_polars()["event_timestamp"])
    assert before <= now <= datetime.now(UTC)


def test_entities_whose_rows_are_all_in_the_future_are_not_there_yet(store):
    future = datetime.now(UTC) + timedelta(days=9)
    store.save("a/x", pl.DataFrame({"id": [1, 7], "at": [future, future], "x": [0, 0]}), mode="append")
    assert [row[0] for row in rows(store.get_historical_features(None, "a/x"))] == [1, 2]
    assert rows(store.get_historical_features(None, "a/x"))[0][2] == 3


def test_expired_rows_count_as_entities_without_values(store):
    frame = store.get_historical_features(None, "a/x", ttl=timedelta(days=1))
    assert [(row[0], row[2]) for row in rows(frame)] == [(1, None), (2, None)]


def test_tables_without_timestamps_need_no_column_of_times(store):
    assert rows(store.get_historical_features(None, "a/z")) == [(1, True), (5, False)]
    assert store.get_historical_features(None, "a/z", timestamp="as_of").columns == ["id", "as_of", "z"]
    with pytest.raises(InvalidInputError, match="none of the tables has a timestamp"):
        store.get_historical_features(None, "a/z", start=day(1))


def test_a_period_gives_a_row_for_each_entity_and_time_at_which_something_happened(store):
    frame = store.get_historical_features(None, ["a/x", "a/y", "a/z"], start=day(2), end=day(3), timestamp="as_of")
    assert frame.columns == ["id", "as_of", "x", "y", "z"]
    assert rows(frame) == [
        (1, day(3), 3, None, True),
        (2, day(2), 2, None, None),
        (2, day(3), 2, "b", None),
    ]


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({"start": day(3)}, [(1, day(3))]),
        ({"end": day(1)}, [(1, day(1))]),
        ({"start": datetime(2024, 1, 2), "end": datetime(2024, 1, 2)}, [(2, day(2))]),
        ({"start": day(3) + timedelta(microseconds=1)}, []),
        ({"start": day(1), "end": day(3)}, [(1, day(1)), (1, day(3)), (2, day(2))]),
    ],
)
def test_both_ends_of_a_period_belong_to_it(store, period, expected):
    frame = store.get_historical_features(None, "a/x", **period)
    assert [row[:2] for row in rows(frame)] == expected
    assert frame.schema["event_timestamp"] == pl.Datetime("us", "UTC")


def test_what_was_not_known_does_not_count(store):
    before = store.history("a/x")[0].timestamp
    late = pl.DataFrame({"id": [1, 6], "at": [day(3), day(3)], "x": [33, 6]})
    store.save("a/x", late, mode="append")
    period = {"start": day(3), "end": day(4)}
    assert [row[::2] for row in rows(store.get_historical_features(None, "a/x", **period))] == [(1, 33), (6, 6)]
    frame = store.get_historical_features(None, "a/x", **period, known_at=before)
    assert [row[::2] for row in rows(frame)] == [(1, 3)]
    now = store.get_historical_features(None, "a/x", known_at=before)
    assert rows(now) == [(1, before, 3), (2, before, 2)]
    none = store.get_historical_features(None, "a/x", known_at=before - timedelta(days=1))
    assert (rows(none), none.schema) == ([], now.schema)


def test_a_created_column_says_what_was_known(store):
    made = pl.DataFrame({"id": [1, 2, 3], "at": [day(1)] * 3, "made": [day(2), day(4), None], "x": [1, 2, 3]})
    store.save("a/made", made, entity="id", timestamp="at", created="made")
    assert rows(store.get_historical_features(None, "a/made", known_at=day(3))) == [(1, day(3), 1)]
    assert [row[0] for row in rows(store.get_historical_features(None, "a/made"))] == [1, 2, 3]


def test_keys_of_different_widths_meet_and_others_do_not(store):
    store.save("a/narrow", pl.DataFrame({"id": [2, 6], "w": [1, 1]}).cast({"id": pl.Int16}), entity="id")
    frame = store.get_historical_features(None, ["a/narrow", "a/z"])
    assert [row[0] for row in rows(frame)] == [1, 2, 5, 6]
    assert frame.schema["id"] == pl.Int64
    store.save("a/text", pl.DataFrame({"id": ["2"], "t": [1]}), entity="id")
    with pytest.raises(SchemaMismatch, match="'id' is Int64 in one table and String in another"):
        store.get_historical_features(None, ["a/z", "a/text"])


def test_the_tables_must_share_their_entity(store):
    store.save("a/city", pl.DataFrame({"city": ["Pune"], "rain": [1]}), entity="city")
    with pytest.raises(InvalidInputError, match="a/x has id, a/city has city"):
        store.get_historical_features(None, ["a/x", "a/city"])


def test_composite_entities_and_series_without_one(store):
    pair = pl.DataFrame({"user": [1, 1, 1], "movie": [1, 2, 2], "at": [day(1), day(1), day(2)], "x": [1, 2, 3]})
    store.save("a/pair", pair, entity=["user", "movie"], timestamp="at")
    frame = store.get_historical_features(None, "a/pair", end=day(1))
    assert rows(frame) == [(1, 1, day(1), 1), (1, 2, day(1), 2)]
    assert [row[:2] for row in rows(store.get_historical_features(None, "a/pair"))] == [(1, 1), (1, 2)]
    store.save("a/rate", pl.DataFrame({"at": [day(1), day(3)], "usd": [1.0, 3.0]}), timestamp="at")
    assert rows(store.get_historical_features(None, "a/rate", end=day(2))) == [(day(1), 1.0)]
    assert [row[1] for row in rows(store.get_historical_features(None, "a/rate"))] == [3.0]


@pytest.mark.parametrize(
    "options",
    [
        {"start": day(2), "end": day(1)},
        {"start": "2024-01-01"},
        {"timestamp": "id"},
        {"timestamp": "x"},
        {"known_at": "at"},
    ],
)
def test_arguments_that_make_no_sense_are_refused(store, options):
    with pytest.raises(InvalidInputError):
        store.get_historical_features(None, "a/x", **options)
