"""What a user of online reads relies on, through the public face."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tiffin
from tiffin.errors import (
    Ambiguous,
    FeatureNotFound,
    InvalidInputError,
    LimitError,
    NotOnline,
    OnlineUnavailable,
    TableNotFound,
)
from tiffin.materialize import Materializer
from tiffin.serving import Status

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0) as opened:
        yield opened


@pytest.fixture
def users(store):
    """A table with a ttl, a default and nulls."""
    rows = [
        {"user_id": 7, "ts": NOW - DAY, "mean": 4.5, "city": "Oslo"},
        {"user_id": 8, "ts": NOW - DAY, "mean": None, "city": None},
        {"user_id": 9, "ts": NOW - 3 * DAY, "mean": 1.0, "city": "Rome"},
    ]
    store.save(
        "user/ratings", rows, entity="user_id", timestamp="ts", ttl=2 * DAY, defaults={"city": "none"}, online=True
    )
    return store


def ids(*values):
    return [{"user_id": value} for value in values]


# The answer


def test_values_statuses_and_times_of_each_feature(users):
    answer = users.get_online_features(["user/ratings:mean", "user/ratings:city"], ids(7, 8, 9, 10, None))
    assert answer.to_dict() == {
        "user_id": [7, 8, 9, 10, None],
        "mean": [4.5, None, None, None, None],
        "city": ["Oslo", "none", "none", "none", "none"],
    }
    kinds = ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]
    assert answer.statuses == {"mean": kinds, "city": kinds}
    assert answer.timestamps["mean"] == [NOW - DAY, NOW - DAY, NOW - 3 * DAY, None, None]
    assert answer.versions == {"user/ratings": 0}
    assert len(answer) == 5
    assert isinstance(answer.statuses["mean"][0], Status)


def test_an_answer_as_columns_rows_and_frames(users):
    answer = users.get_online_features("user/ratings", ids(7, 8))
    assert answer.rows() == [
        {"user_id": 7, "mean": 4.5, "city": "Oslo"},
        {"user_id": 8, "mean": None, "city": "none"},
    ]
    seconds = int((NOW - DAY).timestamp())
    more = answer.to_dict(include_event_timestamps=True, include_statuses=True)
    assert more["mean__ts"] == [seconds, seconds]
    assert more["city__status"] == ["PRESENT", "NULL_VALUE"]
    assert answer.to_polars().schema == {"user_id": pl.Int64, "mean": pl.Float64, "city": pl.String}
    assert answer.to_polars().rows() == [(7, 4.5, "Oslo"), (8, None, "none")]
    pd.testing.assert_frame_equal(answer.to_df(), answer.to_pandas())
    assert answer.to_pandas()["city"].to_list() == ["Oslo", "none"]
    assert "Oslo" in repr(answer)


def test_what_a_caller_does_to_the_columns_of_an_answer_stays_with_them(users):
    answer = users.get_online_features("user/ratings", ids(7))
    answer.to_dict()["more"] = [1]
    assert list(answer.to_dict()) == ["user_id", "mean", "city"]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.Int8(), -128), (pl.UInt64(), 2**64 - 1), (pl.Float32(), 0.5), (pl.Float64(), float("-inf")),
        (pl.Boolean(), False), (pl.String(), "é\0"), (pl.Binary(), b"\xff\0"), (pl.Date(), date(1, 1, 1)),
        (pl.Datetime("us"), datetime(1969, 12, 31, 23, 59, 59, 999999)), (pl.Duration("us"), timedelta(-1, 1)),
        (pl.Datetime("ns", "Asia/Seoul"), datetime(2024, 1, 1, tzinfo=timezone(9 * timedelta(hours=1)))),
        (pl.Decimal(10, 2), Decimal("-1.50")), (pl.Categorical(), "a"), (pl.Enum(["x", "y"]), "y"),
        (pl.List(pl.String()), ["a", None]), (pl.Array(pl.Float32(), 2), [1.0, 2.0]),
        (pl.Struct({"a": pl.Int8, "b": pl.String}), {"a": 1, "b": None}),
    ],
    ids=str,
)  # fmt: skip
def test_values_come_back_as_they_were_saved(store, dtype, value):
    frame = pl.DataFrame({"id": [1, 2], "x": pl.Series([value, None], dtype=dtype)})
    store.save("g/t", frame, entity="id", online=True)
    answer = store.get_online_features("g/t", {"id": [1, 2]})
    assert answer.to_dict()["x"] == [value, None]
    assert answer.to_polars().equals(frame)
    assert answer.to_polars().schema == frame.schema
    assert store.verify("g/t").ok


# What is asked


def test_entities_come_in_any_form(users):
    expected = users.get_online_features("user/ratings", ids(7, 8)).to_dict()
    for form in (
        {"user_id": [7, 8]},
        {"user_id": (7, 8)},
        {"user_id": np.array([7, 8])},
        tuple(ids(7, 8)),
        pd.DataFrame({"user_id": [7, 8]}),
        pl.DataFrame({"user_id": [7, 8]}),
        pa.table({"user_id": [7, 8]}),
        [{"user_id": np.int32(7)}, {"user_id": 8}],
    ):
        assert users.get_online_features("user/ratings", form).to_dict() == expected, form


def test_no_entities_give_an_empty_answer(users):
    answer = users.get_online_features("user/ratings", [])
    assert answer.to_dict() == {"user_id": [], "mean": [], "city": []}
    assert answer.to_polars().shape == (0, 3)
    assert answer.rows() == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user_id": 7}, {"user": 7}], "row 1 of the entities lacks the entity column 'user_id'"),
        ([{"user_id": 7, "x": 1}], "row 0 of the entities has 'x', which is no entity column"),
        ([{"user_id": 7}, {"user_id": "7"}], "row 1 of the entities: .*'user_id' is Int64.*str"),
        ([{"user_id": 7}, 8], "row 1 of the entities is 8, not a dict"),
        ({"user_id": 7}, "column 'user_id' of the entities is 7, not a list"),
        ({"user_id": [7], "x": [1]}, "the entities has 'x'"),
        ({"user_id": [1.5]}, "row 0 of the entities"),
        ("user_id", "is not a frame"),
    ],
)
def test_entities_that_do_not_fit_are_refused_by_row_and_column(users, rows, message):
    with pytest.raises(InvalidInputError, match=message):
        users.get_online_features("user/ratings", rows)


def test_the_number_of_entities_is_bounded(users):
    with pytest.raises(LimitError, match="100,001"):
        users.get_online_features("user/ratings", ids(*range(100_001)))


def test_a_key_that_the_column_cannot_hold_is_not_found(users):
    assert users.get_online_features("user/ratings", ids(2**64, 7)).statuses["mean"] == ["NOT_FOUND", "PRESENT"]


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (pl.Int64(), 1, [2**64, -(2**70), float("nan"), None]),
        (pl.Int8(), np.int64(-1), [128, np.int64(-129)]),
        (pl.String(), np.str_("a"), ["\ud800", float("nan")]),
        (pl.Decimal(5, 2), 1, [10**9, Decimal("NaN"), Decimal("1.005")]),
        (pl.Datetime("us"), pd.Timestamp(2024, 1, 1), [np.datetime64(2**62, "s"), pd.NaT]),
        (pl.Boolean(), np.bool_(True), [float("nan")]),
    ],
    ids=str,
)
def test_what_no_row_can_have_as_its_key_is_answered_and_null_in_frames(store, dtype, good, bad):
    store.save("g/t", pl.DataFrame({"id": pl.Series([good], dtype=dtype), "x": [1]}), entity="id", online=True)
    answer = store.get_online_features("g/t", [{"id": value} for value in [good, *bad]])
    assert answer.statuses["x"] == ["PRESENT", *["NOT_FOUND"] * len(bad)]
    frame = answer.to_polars()
    assert frame.schema == {"id": dtype, "x": pl.Int64}
    assert frame["id"].null_count() == len(bad)
    assert frame["x"].to_list() == [1, *[None] * len(bad)]
    assert len(answer.to_pandas()) == len(frame)
    assert repr(answer).startswith("OnlineAnswer of")


def test_a_few_features_of_a_wide_table(store):
    wide = pl.DataFrame({"id": [1, 2], **{f"f{number}": [number, -number] for number in range(50)}})
    store.save("g/wide", wide, entity="id", online=True)
    for asked in (["g/wide:f7", "g/wide:f49"], "g/wide"):
        answer = store.get_online_features(asked, [{"id": 2}, {"id": 3}, {"id": 1}]).to_dict()
        assert (answer["f7"], answer["f49"]) == ([-7, None, 7], [-49, None, 49])
        assert store.get_online_features(asked, []).to_dict()["f49"] == []


def test_several_tables_of_several_entities_answer_at_once(users):
    users.save("movie/basic", [{"movie_id": "m1", "year": 1999}], entity="movie_id", online=True)
    pairs = [{"user_id": 7, "movie_id": "m1", "seen": True}, {"user_id": 8, "movie_id": "m1", "seen": False}]
    users.save("user/seen", pairs, entity=["user_id", "movie_id"], online=True)
    users.save("site/load", [{"ts": NOW - DAY, "load": 0.5}], entity=[], timestamp="ts", online=True)
    features = ["user/seen:seen", "movie/basic:year", "user/ratings:mean", "site/load:load", "movie/basic:year"]
    entities = [{"movie_id": "m1", "user_id": 7}, {"user_id": 9, "movie_id": "m1"}]
    answer = users.get_online_features(features, entities)
    assert answer.to_dict() == {
        "user_id": [7, 9],
        "movie_id": ["m1", "m1"],
        "seen": [True, None],
        "year": [1999, 1999],
        "mean": [4.5, None],
        "load": [0.5, 0.5],
    }
    assert answer.statuses["mean"] == ["PRESENT", "OUTSIDE_MAX_AGE"]
    assert users.verify(features).ok


def test_a_series_alone_is_asked_for_with_empty_rows(store):
    store.save("site/load", [{"ts": NOW - DAY, "load": 0.5}], entity=[], timestamp="ts", online=True)
    assert store.get_online_features("site/load", [{}, {}]).to_dict() == {"load": [0.5, 0.5]}
    with pytest.raises(InvalidInputError, match="no entity column"):
        store.get_online_features("site/load", ids(7))


def test_full_names_tell_features_of_one_name_apart(users):
    users.save("user/other", [{"user_id": 7, "mean": 1.0}], entity="user_id", online=True)
    features = ["user/ratings:mean", "user/other:mean"]
    with pytest.raises(InvalidInputError, match="full_feature_names"):
        users.get_online_features(features, ids(7))
    answer = users.get_online_features(features, ids(7), full_feature_names=True)
    assert answer.to_dict() == {"user_id": [7], "user__ratings__mean": [4.5], "user__other__mean": [1.0]}


def test_a_feature_called_like_an_entity_column_needs_its_full_name(users):
    users.save("movie/basic", [{"movie_id": 1, "user_id": 7}], entity="movie_id", online=True)
    features = ["user/ratings:mean", "movie/basic:user_id"]
    with pytest.raises(InvalidInputError, match="'user_id'"):
        users.prepare(features)
    assert users.prepare(features, full_feature_names=True)


def test_a_service_is_followed_by_plain_calls(users):
    users.create_service("ranker", ["user/ratings:mean"])
    assert list(users.get_online_features("ranker", ids(7)).to_dict()) == ["user_id", "mean"]
    plan = users.prepare("ranker")
    users.create_service("ranker", ["user/ratings:city"], replace=True)
    assert list(users.get_online_features("ranker", ids(7)).to_dict()) == ["user_id", "city"]
    assert list(plan.read(ids(7)).to_dict()) == ["user_id", "mean"]
    assert list(users.get_online_features(users.service("ranker"), ids(7)).to_dict()) == ["user_id", "city"]


def test_what_cannot_be_asked_for_is_refused(users):
    users.save("user/offline", [{"user_id": 7, "x": 1}], entity="user_id")
    users.save("site/ratings", [{"user_id": 7, "x": 1}], entity="user_id")
    for features, error in (
        (["user/none:x"], TableNotFound),
        (["user/ratings:x"], FeatureNotFound),
        (["ratings:mean"], Ambiguous),
        (["user/ratings@0:mean"], InvalidInputError),
        (["user/offline:x"], NotOnline),
        ([], InvalidInputError),
        ([["user/ratings:mean"]], InvalidInputError),
        ([7], InvalidInputError),
    ):
        with pytest.raises(error):
            users.get_online_features(features, ids(7))


def test_the_answer_is_of_the_moment_that_is_asked_for(users):
    plan = users.prepare(["user/ratings:mean"])
    microsecond = timedelta(microseconds=1)
    for moment, status in (
        (NOW + DAY, "PRESENT"),
        (NOW + DAY + microsecond, "OUTSIDE_MAX_AGE"),
        (NOW - DAY, "PRESENT"),
        (NOW - DAY - microsecond, "NOT_FOUND"),
    ):
        value = 4.5 if status == "PRESENT" else None
        for count in (1, 2):
            answer = plan.read(ids(7) * count, at=moment)
            assert answer.statuses["mean"] == [status] * count, moment
            assert answer.to_dict()["mean"] == [value] * count, moment
    assert plan.read(ids(7), at=(NOW + DAY).replace(tzinfo=None)).statuses["mean"] == ["PRESENT"]
    assert plan.read(ids(7), at=(NOW + DAY).astimezone(timezone(-5 * timedelta(hours=1)))).to_dict()["mean"] == [4.5]
    for nonsense in ("now", pd.NaT):
        with pytest.raises(InvalidInputError, match="at is"):
            plan.read(ids(7), at=nonsense)


# A plan follows the tables


def test_a_plan_follows_saves_of_another_store(users):
    plan = users.prepare(["user/ratings:mean"])
    other = tiffin.FeatureStore(users.path)
    assert other.push("user/ratings", [{"user_id": 7, "ts": NOW, "mean": 5.0, "city": None}]).online_version == 1
    answer = plan.read(ids(7))
    assert (answer.to_dict()["mean"], answer.versions) == ([5.0], {"user/ratings": 1})


def test_a_plan_follows_what_a_table_declares(users):
    plan = users.prepare("user/ratings")
    fresh = [{"user_id": 9, "ts": NOW - 3 * DAY, "mean": 2.0, "city": None}]
    users.save("user/ratings", fresh, mode="append", ttl=5 * DAY, defaults={"city": "?"})
    assert plan.read(ids(9, 10)).to_dict() == {"user_id": [9, 10], "mean": [2.0, None], "city": ["?", "?"]}
    users.save("user/ratings", [{**fresh[0], "more": 1}], mode="append")
    assert plan.read(ids(9)).to_dict() == {"user_id": [9], "mean": [2.0], "city": ["?"], "more": [1]}
    users.save("user/ratings", [{"user_id": 9, "ts": NOW, "city": "x"}], evolve=True)
    assert plan.read(ids(9)).to_dict() == {"user_id": [9], "city": ["x"]}


def test_a_plan_follows_rows_that_were_laid_out_anew(store):
    """Features that came later stand behind the others, until all rows are filled in anew."""
    store.save("user/t", [{"user_id": 1, "s": "a"}], entity="user_id", online=True)
    store.save("user/t", [{"user_id": 2, "s": "b", "f": 0.5, "more": "m"}], mode="append")
    plan = store.prepare("user/t")
    columns = plan.read(ids(1, 2)).to_dict()
    assert columns == {"user_id": [1, 2], "s": ["a", "b"], "f": [None, 0.5], "more": [None, "m"]}
    store.materialize("user/t", from_scratch=True)
    assert plan.read(ids(1, 2)).to_dict() == columns


def test_a_plan_follows_a_table_that_was_dropped_and_made_again(users):
    plan = users.prepare(["user/ratings:mean"])
    users.drop("user/ratings")
    with pytest.raises(TableNotFound):
        plan.read(ids(7))
    users.save("user/ratings", [{"name": "a", "mean": 9}], entity="name", online=True)
    assert plan.read([{"name": "a"}]).to_dict() == {"name": ["a"], "mean": [9]}
    users.save("user/ratings", [{"name": "a", "other": 9}], evolve=True)
    with pytest.raises(FeatureNotFound):
        plan.read([{"name": "a"}])
    users.save("user/ratings", [{"name": "a", "mean": 9}], evolve=True, online=False)
    with pytest.raises(NotOnline):
        plan.read([{"name": "a"}])


def test_a_lost_index_is_filled_again_by_the_first_read(users):
    plan = users.prepare(["user/ratings:mean"])
    users._materializer.index.reset()
    assert plan.read(ids(7)).to_dict()["mean"] == [4.5]
    users.close()
    shutil.rmtree(users.path / "online")
    assert tiffin.FeatureStore(users.path).get_online_features("user/ratings", ids(7)).to_dict()["mean"] == [4.5]


def test_a_damaged_row_is_found_and_all_is_filled_again(users):
    plan, index = users.prepare(["user/ratings:mean"]), users._materializer.index
    (table_id,) = index.tables()
    key = next(key for key in index.keys(table_id, 3) if key.endswith(b"\7"))
    head = index.head(table_id)
    packed = bytearray(index.get_many([(table_id, [key])])[0].rows[0])
    packed[-1] ^= 1
    assert index.apply(table_id, head, head, [(key, bytes(packed))], [])
    assert plan.read(ids(7)).to_dict()["mean"] == [4.5]
    assert users.verify().ok


def test_an_index_that_cannot_be_reached_says_so(users):
    users.close()
    made = users._materializer

    def open_index():
        raise OnlineUnavailable("out of reach")

    users._plans.materializer = Materializer(open_index, made._fs, made._folder)
    with pytest.raises(OnlineUnavailable):
        users.get_online_features("user/ratings", ids(7))


# Push


def test_push_appends_and_is_online_at_once(users):
    commit = users.push("ratings", [{"user_id": 10, "ts": NOW, "mean": 3.0, "city": "x"}], message="live")
    assert (commit.version, commit.online_version, commit.operation, commit.message) == (1, 1, "append", "live")
    assert users.get_online_features("user/ratings", ids(10)).to_dict()["mean"] == [3.0]
    assert users.read("user/ratings").to_polars().height == 4


def test_push_makes_a_table_only_if_it_is_told_the_keys(store):
    rows = [{"user_id": 1, "x": 2}]
    with pytest.raises(TableNotFound):
        store.push("user/new", rows)
    assert store.tables() == []
    assert store.push("user/new", rows, entity="user_id").online_version == 0
    assert store.describe("user/new").online


def test_push_puts_a_table_online(store):
    store.save("user/t", [{"user_id": 1, "x": 2}], entity="user_id")
    assert store.push("user/t", [{"user_id": 2, "x": 3}]).online_version == 1
    assert store.get_online_features("user/t", ids(1, 2)).to_dict()["x"] == [2, 3]
