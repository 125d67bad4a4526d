"""What a store promises, in this process and over HTTP: the same tests, the same answers."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal as assert_pandas_equal
from polars.testing import assert_frame_equal

import tiffin
from conformance.stores import DAY, NOW, failure, spine_of
from tiffin import errors
from tiffin.frames import FeatureFrame
from unit.frames.dtype_cases import POLARS

# Saving and reading


def test_save_and_read(store, group):
    frame = pl.DataFrame({"user_id": [2, 1, 3], "mean": [4.5, None, math.nan]})
    commit = store.save(f"{group}/t", frame, entity="user_id", message="first", inputs=["log.csv"])
    assert type(commit) is tiffin.Commit
    assert (commit.table, commit.version, commit.rows, commit.operation) == (f"{group}/t", 0, 3, "overwrite")
    assert (commit.message, commit.inputs, commit.online_version) == ("first", ("log.csv",), None)
    assert commit.timestamp.tzinfo is not None
    read = store.read(f"{group}/t")
    assert type(read) is FeatureFrame
    assert_frame_equal(read.to_polars(), frame)
    assert read.lock == {f"{group}/t": 0}


def test_append_and_upsert(store, group):
    table = f"{group}/t"
    store.save(table, [{"k": 1, "x": 1.0}, {"k": 2, "x": 2.0}], entity="k")
    appended = store.save(table, [{"k": 3, "x": 3.0}], mode="append")
    assert (appended.version, appended.rows, appended.rows_added) == (1, 3, 1)
    upserted = store.save(table, [{"k": 1, "x": 10.0}, {"k": 4, "x": 4.0}], mode="upsert")
    assert upserted.rows == 4
    found = store.read(table).to_polars()
    assert dict(zip(found["k"], found["x"], strict=True)) == {1: 10.0, 2: 2.0, 3: 3.0, 4: 4.0}
    with pytest.raises(errors.SchemaMismatch):
        store.save(table, [{"k": 1, "x": "text"}], mode="append")


def test_saves_conflict(store, group):
    table = f"{group}/t"
    store.save(table, [{"x": 1}], expected_version=-1)
    assert "version" in failure(errors.CommitConflict, lambda: store.save(table, [{"x": 2}], expected_version=-1)).hint
    store.save(table, [{"x": 2}], expected_version=0)
    assert store.read(table).to_polars()["x"].to_list() == [2]
    failure(errors.InvalidInputError, lambda: store.save(table, [{"x": 2}], mode="merge"))
    failure(errors.InvalidInputError, lambda: store.save(table, [{"x": 2}], expected_version=True))


def test_declarations_travel(store, group):
    frame = {"day": ["mon", "tue"], "k": [1, 2], "at": [NOW, NOW], "made": [NOW, NOW], "x": [0.1, 0.2]}
    store.save(
        f"{group}/t", frame, entity=["k"], timestamp="at", created="made", ttl=dt.timedelta(days=1.5), description="é",
        partition_by="day", defaults={"x": 0.5}, dtypes="compact", online=False, evolve=True, message="a&b=c #1",
    )  # fmt: skip
    info = store.describe(f"{group}/t")
    assert (info.entity, info.timestamp, info.created, info.ttl) == (("k",), "at", "made", dt.timedelta(days=1.5))
    assert (info.description, info.partition_by, info.online) == ("é", ("day",), False)
    assert {column.name: (column.dtype, column.default) for column in info.columns}["x"] == ("Float32", 0.5)
    (commit,) = store.history(f"{group}/t")
    assert (commit.message, commit.narrowed) == ("a&b=c #1", ("x",))
    store.save(f"{group}/t", frame, evolve=True, defaults={"x": None})
    assert {column.default for column in store.describe(f"{group}/t").columns} == {None}


def test_rows_and_columns_are_chosen(store, group):
    table = f"{group}/t"
    years = [1990 + number for number in range(10)]
    frame = pl.DataFrame(
        {"k": range(10), "year": years, "day": [dt.date(year, 1, 1) for year in years], "x": ["a"] * 10}
    )
    store.save(table, frame, entity="k")
    assert store.read(table, columns=["x", "k"], limit=2, offset=3).to_polars().rows() == [("a", 3), ("a", 4)]
    assert store.read(f"{table}:year", limit=1).columns == ["k", "year"]
    assert store.read(table, where=("year", ">=", 1998)).to_polars()["k"].to_list() == [8, 9]
    assert len(store.read(table, where=[("year", ">", 1991), ("day", "<", dt.date(1994, 1, 1))])) == 2
    assert len(store.read(table, where=[[("k", "==", 0)], [("k", "in", [4, 5])]])) == 3
    assert len(store.read(table, where=("x", "is null"))) == 0
    assert store.read(table, entities=[3, 99, 1]).to_polars()["k"].to_list() == [1, 3]
    assert len(store.read(table, entities=pl.DataFrame({"k": [5]}))) == 1
    assert len(store.read(table, entities=pd.Series([5, 6]))) == 2
    assert len(store.read(table, entities=np.array([5, 6]))) == 2
    assert len(store.read(table, entities=[])) == 0
    assert len(store.read(table, limit=0)) == 0
    nothing = store.read(table, columns=[], where=("year", ">=", 1998))
    assert (nothing.shape, nothing.to_arrow().num_rows, len(nothing.to_pandas())) == ((2, 0), 2, 2)
    assert store.read(table, columns=[]).shape == (10, 0)
    failure(errors.FeatureNotFound, lambda: store.read(table, columns=["nope"]))
    failure(errors.FeatureNotFound, lambda: store.read(table, where=("nope", ">", 1)))
    failure(errors.InvalidInputError, lambda: store.read(table, where=("year", "~", 1)))
    failure(errors.InvalidInputError, lambda: store.read(table, limit=-1))
    failure(errors.InvalidInputError, lambda: store.read(table, entities=["seven"]))
    failure(errors.InvalidInputError, lambda: store.read(f"{table}:year", columns=["x"]))


def test_entities_of_several_columns(store, group):
    frame = {
        "shop": ["a", "a", "b"],
        "day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 1)],
        "x": [1, 2, 3],
    }
    store.save(f"{group}/t", frame, entity=["shop", "day"])
    assert store.read(f"{group}/t", entities=[("a", dt.date(2024, 1, 2))]).to_polars()["x"].to_list() == [2]
    asked = [{"shop": "b", "day": dt.date(2024, 1, 1)}]
    assert store.read(f"{group}/t", entities=asked).to_polars()["x"].to_list() == [3]


def test_versions_can_be_read(store, group):
    table = f"{group}/t"
    store.save(table, [{"x": 0}])
    between = store.history(table)[0].timestamp
    store.save(table, [{"x": 1}])
    for frame in (store.read(f"{table}@0"), store.read(table, version=0), store.read(table, as_of=between)):
        assert frame.to_polars()["x"].to_list() == [0]
        assert frame.lock == {table: 0}
    assert store.describe(f"{table}@0").version == 0
    failure(errors.VersionNotFound, lambda: store.read(table, version=7))
    failure(errors.VersionNotFound, lambda: store.describe(f"{table}@7"))
    failure(errors.InvalidInputError, lambda: store.read(f"{table}@0", version=0))
    failure(errors.InvalidInputError, lambda: store.read(table, version=0, as_of=between))
    failure(errors.InvalidInputError, lambda: store.history(f"{table}@0"))


def test_the_group_may_be_left_out(store, group):
    name = f"only_{group}"
    store.save(f"{group}/{name}", [{"x": 1}])
    assert len(store.read(name)) == 1
    assert len(store.read(f"{name}@0:x")) == 1
    assert store.describe(name).table == f"{group}/{name}"
    assert len(store.history(name)) == 1
    failure(errors.InvalidInputError, lambda: store.save(name, [{"x": 1}]))
    store.save(f"{group}_2/{name}", [{"x": 2}])
    assert group in str(failure(errors.Ambiguous, lambda: store.read(name)))
    failure(errors.TableNotFound, lambda: store.read(f"no_{name}"))


def test_every_dtype_comes_back(store, group):
    cases = [case.values for case in POLARS if case.outcome != "refused"]
    longest = max(map(len, cases))
    columns = [column.extend_constant(None, longest - len(column)).alias(f"c{n}") for n, column in enumerate(cases)]
    frame = pl.DataFrame(columns)
    store.save(f"{group}/t", frame)
    assert_frame_equal(store.read(f"{group}/t").to_polars(), frame, check_exact=True)
    store.save(f"{group}/t", frame.clear(), evolve=True)
    assert store.read(f"{group}/t").schema == frame.schema


def test_pandas_types_come_back(store, group):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["b", "a", None], categories=["b", "a", "unused"], ordered=True),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "small": pd.array([1, 2, None], dtype="UInt8"),
            "float": [1.5, math.nan, -0.0],
            "nullable": pd.array([0.5, None, 1.5], dtype="Float64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "zoned": pd.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Oslo", unit="us"),
            "naive": pd.to_datetime(["2024-01-01", None, "2024-01-03"]).as_unit("s"),
            "span": pd.to_timedelta([1, None, 3], unit="D"),
            "text": pd.array(["a", None, "🍱"], dtype="str"),
        }
    )
    store.save(f"{group}/t", frame)
    assert_pandas_equal(store.read(f"{group}/t").to_pandas(), frame)
    assert_pandas_equal(store.read(f"{group}/t").head(1).to_df(), frame.head(1))


def test_arrow_types_come_back(store, group):
    table = pa.table(
        {
            "text": pa.array(["a", None], pa.string()),
            "words": pa.array(["b", "b"], pa.dictionary(pa.int8(), pa.string())),
            "lists": pa.array([[1], None], pa.list_(pa.int32())),
            "at": pa.array([1, None], pa.timestamp("ms", "UTC")),
        }
    )
    store.save(f"{group}/t", table)
    assert store.read(f"{group}/t").to_arrow().equals(table)
    assert pa.table(store.read(f"{group}/t")).num_rows == 2
    store.save(f"{group}/t", store.read(f"{group}/t"))
    assert store.read(f"{group}/t").to_arrow().schema == table.schema


def test_large_frames_travel(store, group):
    frame = pl.DataFrame({f"f{n}": np.random.default_rng(n).random(150_000) for n in range(4)})
    store.save(f"{group}/t", frame)
    assert_frame_equal(store.read(f"{group}/t").to_polars(), frame, check_exact=True)


def test_what_is_known_of_tables(store, ratings, group):
    assert ratings in [info.table for info in store.tables()]
    info = store.describe(ratings)
    assert (info.rows, info.version, info.oldest_version, info.online) == (3, 0, 0, True)
    assert (info.entity, info.timestamp, info.ttl) == (("user_id",), "at", 30 * DAY)
    assert info.path.endswith(f"features/{ratings}")
    assert {column.name: column.role for column in info.columns} == {
        "user_id": "entity", "at": "timestamp", "mean": "feature", "city": "feature",
    }  # fmt: skip
    assert info in store.tables()


def test_history_diff_restore_drop(store, group):
    table = f"{group}/t"
    store.save(table, [{"k": 1, "x": 1.0}, {"k": 2, "x": 2.0}], entity="k", message="one")
    store.save(table, [{"k": 1, "x": 1.5}, {"k": 3, "x": 3.0}], message="two")
    assert [(commit.version, commit.message) for commit in store.history(table)] == [(1, "two"), (0, "one")]
    assert [commit.version for commit in store.history(table, limit=1)] == [1]
    diff = store.diff(table, 0)
    assert (diff.old, diff.new, diff.rows_added, diff.rows_removed, diff.rows_changed) == (0, 1, 1, 1, 1)
    assert [(column.name, column.changed) for column in diff.columns] == [("x", 1)]
    assert store.diff(table, 1, 1).is_empty
    failure(errors.VersionNotFound, lambda: store.diff(table, 0, 9))
    restored = store.restore(table, 0, message="back")
    assert (restored.version, restored.message) == (2, "back")
    assert store.read(table).to_polars()["x"].to_list() == [1.0, 2.0]
    failure(errors.VersionNotFound, lambda: store.restore(table, 9))
    assert store.drop(table) is None
    assert failure(errors.TableNotFound, lambda: store.read(table)).hint
    failure(errors.TableNotFound, lambda: store.drop(table))


# Training


def test_historical_features(store, ratings):
    spine = spine_of(7, 8, 1, 7)
    frame = store.get_historical_features(spine, [f"{ratings}:mean", f"{ratings}:city"])
    assert_frame_equal(frame.to_polars().select(spine.columns), spine)
    assert frame.to_polars()["mean"].to_list() == [4.5, None, None, 4.5]
    assert frame.to_polars()["city"].to_list() == ["Pune", "?", "?", "Pune"]
    assert frame.lock == {ratings: 0}
    assert frame.lock.recipe.features == {"mean": f"{ratings}@0:mean", "city": f"{ratings}@0:city"}
    assert frame.lock.result_hash.startswith(frame.lock.result_hash[:4])
    longer = store.get_historical_features(spine, f"{ratings}:mean", ttl=365 * DAY, timestamp="event_timestamp")
    assert longer.to_polars()["mean"].to_list() == [4.5, 3.0, None, 4.5]
    earlier = store.get_historical_features(spine, ratings, known_at=NOW - 3 * DAY)
    assert earlier.to_polars()["mean"].to_list() == [None] * 4
    full = store.get_historical_features(spine, [f"{ratings}:mean"], full_feature_names=True)
    assert full.columns[-1] == ratings.replace("/", "__") + "__mean"
    failure(errors.InvalidInputError, lambda: store.get_historical_features(spine.drop("user_id"), [ratings]))
    failure(errors.FeatureNotFound, lambda: store.get_historical_features(spine, [f"{ratings}:nope"]))
    failure(errors.InvalidInputError, lambda: store.get_historical_features(spine, []))


def test_historical_features_without_a_spine(store, ratings):
    every = store.get_historical_features(None, [f"{ratings}:mean"]).to_polars()
    assert sorted(every["user_id"]) == [7, 8, 9]
    some = store.get_historical_features(None, [f"{ratings}:mean"], start=NOW - 3 * DAY, end=NOW).to_polars()
    assert sorted(some["user_id"]) == [7, 9]


def test_pandas_spines_come_back_as_they_were(store, ratings):
    spine = spine_of(7, 8).to_pandas()
    spine["kind"] = pd.Categorical(["x", "y"])
    frame = store.get_historical_features(spine, [f"{ratings}:mean"]).to_pandas()
    assert_pandas_equal(frame[list(spine.columns)], spine)


def test_training_sets(store, ratings, group):
    frame = store.get_historical_features(spine_of(7, 8, 1), [ratings])
    saved = store.save_training_set(group, frame, description="for the model")
    assert (saved.name, saved.description, saved.rows) == (group, "for the model", 3)
    assert saved.lock.result_hash == frame.lock.result_hash
    failure(errors.ConflictError, lambda: store.save_training_set(group, frame))
    store.save_training_set(group, frame, replace=True)
    store.save(ratings, [{"user_id": 7, "at": NOW, "mean": 1.0, "city": "Bonn"}])
    again = store.reproduce(group)
    assert_frame_equal(again.to_polars(), frame.to_polars())
    assert again.lock.result_hash == frame.lock.result_hash
    assert store.training_set(group).lock.recipe == frame.lock.recipe
    assert group in [one.name for one in store.training_sets()]
    assert store.examine_training_sets() == []
    failure(errors.InUse, lambda: store.drop(ratings))
    store.drop_training_set(group)
    for call in (store.training_set, store.reproduce, store.drop_training_set):
        failure(errors.TrainingSetNotFound, lambda call=call: call(group))
    failure(errors.InvalidInputError, lambda: store.save_training_set(group, store.read(ratings)))
    failure(errors.InvalidName, lambda: store.save_training_set("../up", frame))


def test_leakage(store, group):
    users = list(range(60))
    label = [number % 2 for number in users]
    times = [NOW - DAY] * 60
    store.save(
        f"{group}/t",
        {"user_id": users, "at": times, "echo": [float(n) for n in label]},
        entity="user_id",
        timestamp="at",
    )
    spine = pl.DataFrame({"user_id": users, "event_timestamp": [NOW] * 60, "label": label})
    report = store.check_leakage(spine, [f"{group}/t:echo"], label="label")
    assert not report.ok
    assert {finding.features for finding in report.warnings} == {("echo",)}
    assert "echo" in str(report)
    assert store.check_leakage(spine, [f"{group}/t:echo"], label="label", auc=1.0).label == "label"
    failure(errors.InvalidInputError, lambda: store.check_leakage(spine, [f"{group}/t:echo"], label="nope"))


def test_explain(store, ratings):
    told = store.explain(f"{ratings}:mean", 7, NOW)
    assert (told.table, told.version, told.values, told.at) == (ratings, 0, {"mean": 4.5}, NOW)
    assert told.row.commit.version == 0
    expired = store.explain(f"{ratings}:mean", {"user_id": 8}, NOW, ttl=DAY)
    assert (expired.row, expired.values, expired.ttl) == (None, {"mean": None}, DAY)
    assert "ttl" in str(expired)
    assert store.explain(f"{ratings}@0:city", (9,)).defaults == ("city",)
    failure(errors.InvalidInputError, lambda: store.explain(ratings))
    failure(errors.VersionNotFound, lambda: store.explain(f"{ratings}@5", 7))


# Online


def test_online_features(store, ratings):
    features = [f"{ratings}:mean", f"{ratings}:city"]
    answer = store.get_online_features(features, [{"user_id": user} for user in (7, 8, 9, 1)])
    assert answer.to_dict() == {
        "user_id": [7, 8, 9, 1],
        "mean": [4.5, None, None, None],
        "city": ["Pune", "?", "?", "?"],
    }
    assert answer.statuses["mean"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"]
    assert answer.timestamps["mean"] == [NOW - 2 * DAY, NOW - 40 * DAY, NOW - DAY, None]
    assert answer.versions == {ratings: 0}
    assert len(answer) == 4
    assert answer.rows()[0] == {"user_id": 7, "mean": 4.5, "city": "Pune"}
    assert answer.to_dict(include_event_timestamps=True)["mean__ts"][0] == int((NOW - 2 * DAY).timestamp())
    assert answer.to_dict(include_statuses=True)["city__status"][3] == "NOT_FOUND"
    assert answer.to_polars().schema == {"user_id": pl.Int64, "mean": pl.Float64, "city": pl.String}
    assert list(answer.to_df()["user_id"]) == [7, 8, 9, 1]
    assert "4 entities" in repr(answer)


@pytest.mark.parametrize("form", [list, dict, pl.DataFrame, pd.DataFrame, "numpy"])
def test_entities_come_in_any_form(store, ratings, form):
    given = {list: [{"user_id": 7}], dict: {"user_id": [7]}}.get(form)
    if given is None:
        given = {"user_id": np.array([7])} if form == "numpy" else form({"user_id": [7]})
    assert store.get_online_features([f"{ratings}:mean"], given).to_dict()["mean"] == [4.5]


def test_online_values_of_every_kind(store, group):
    row = {
        "k": "a",
        "at": NOW,
        "flag": True,
        "nan": math.nan,
        "inf": -math.inf,
        "big": 2**62,
        "money": Decimal("1.50"),
        "blob": b"\x00\xff",
        "day": dt.date(2024, 2, 29),
        "clock": dt.time(23, 59, 59, 1),
        "span": dt.timedelta(days=-1, microseconds=5),
        "naive": dt.datetime(2024, 1, 1, 12),
        "list": [1.5, math.nan],
        "struct": {"a": dt.date(2024, 1, 1), "b": [b"x"]},
    }
    dtypes = {"zoned": pl.Datetime("us", "Asia/Seoul"), "kind": pl.Categorical, "level": pl.Enum(["lo", "hi"])}
    frame = pl.DataFrame([row]).with_columns(
        pl.lit(NOW).cast(dtypes["zoned"]).alias("zoned"),
        *(pl.lit("lo").cast(dtypes[n]).alias(n) for n in ("kind", "level")),
    )
    store.save(f"{group}/t", frame, entity="k", timestamp="at", online=True)
    answer = store.get_online_features(f"{group}/t", [{"k": "a"}, {"k": "b"}])
    assert_frame_equal(answer.to_polars().head(1).drop("k"), frame.drop("k", "at"), check_exact=True)
    values = {name: column[0] for name, column in answer.to_dict().items()}
    wanted = frame.drop("at").row(0, named=True)
    assert {name: type(value) for name, value in values.items()} == {name: type(wanted[name]) for name in values}
    assert answer.to_dict()["blob"] == [b"\x00\xff", None]
    assert answer.rows()[1]["k"] == "b"


def test_keys_of_other_kinds(store, group):
    day, money = dt.date(2024, 1, 1), Decimal("1.50")
    store.save(
        f"{group}/t", [{"day": day, "at": NOW, "money": money, "x": 1}], entity=["day", "at", "money"], online=True
    )
    assert store.get_online_features(f"{group}/t", [{"day": day, "at": NOW, "money": money}]).rows()[0]["x"] == 1
    failure(
        errors.InvalidInputError,
        lambda: store.get_online_features(f"{group}/t", [{"day": True, "at": NOW, "money": money}]),
    )


def test_online_pandas_types(store, group):
    frame = pd.DataFrame({"k": [1], "whole": pd.array([5], dtype="Int32"), "kind": pd.Categorical(["a"])})
    store.save(f"{group}/t", frame, entity="k", online=True)
    found = store.get_online_features(f"{group}/t", {"k": [1]}).to_pandas()
    assert found["whole"].dtype == "Int32"
    assert isinstance(found["kind"].dtype, pd.CategoricalDtype)


def test_what_cannot_be_asked_online(store, ratings, group):
    store.save(f"{group}/offline", [{"user_id": 7, "x": 1}], entity="user_id")
    ask = store.get_online_features
    failure(errors.NotOnline, lambda: ask([f"{group}/offline:x"], [{"user_id": 7}]))
    failure(errors.FeatureNotFound, lambda: ask([f"{ratings}:men"], [{"user_id": 7}]))
    assert ratings in failure(errors.TableNotFound, lambda: ask([f"{ratings}s:mean"], [{"user_id": 7}])).hint
    failure(errors.InvalidInputError, lambda: ask([f"{ratings}@0:mean"], [{"user_id": 7}]))
    assert "user_id" in str(failure(errors.InvalidInputError, lambda: ask([ratings], [{"user": 7}])))
    failure(errors.InvalidInputError, lambda: ask([ratings], [{"user_id": 7.5}]))
    failure(errors.InvalidInputError, lambda: ask([], [{"user_id": 7}]))
    failure(errors.InvalidName, lambda: ask(["../etc:passwd"], [{"user_id": 7}]))


def test_more_entities_than_a_server_takes_at_once(store, ratings):
    users = [number % 10 for number in range(25_000)]
    answer = store.get_online_features([f"{ratings}:mean"], {"user_id": users})
    assert answer.to_dict()["user_id"] == users
    assert answer.to_dict()["mean"] == [4.5 if user == 7 else None for user in users]
    assert len(answer.statuses["mean"]) == len(answer.timestamps["mean"]) == len(answer) == 25_000


def test_plans(store, ratings, group):
    plan = store.prepare([f"{ratings}:mean"], full_feature_names=True)
    assert plan.references == (f"{ratings}:mean",)
    name = ratings.replace("/", "__") + "__mean"
    assert plan.read([{"user_id": 7}]).to_dict() == {"user_id": [7], name: [4.5]}
    assert plan.read([{"user_id": 7}], at=NOW + 60 * DAY).statuses[name] == ["OUTSIDE_MAX_AGE"]
    store.push(ratings, [{"user_id": 7, "at": NOW, "mean": 5.0, "city": "Bonn"}])
    assert plan.read([{"user_id": 7}]).to_dict()[name] == [5.0]
    store.create_service(group, [f"{ratings}:mean"])
    prepared = store.prepare(group)
    store.create_service(group, [f"{ratings}:city"], replace=True)
    assert prepared.references == (f"{ratings}:mean",)
    assert prepared.read([{"user_id": 7}]).to_dict()["mean"] == [5.0]
    failure(errors.TableNotFound, lambda: store.prepare(f"no_{group}"))
    failure(errors.FeatureNotFound, lambda: store.prepare([f"{ratings}:nope"]))
    store.drop_service(group)


def test_push(store, ratings, group):
    commit = store.push(ratings, [{"user_id": 1, "at": NOW, "mean": 2.0, "city": None}], message="an event")
    assert (commit.version, commit.online_version, commit.message, commit.operation) == (1, 1, "an event", "append")
    assert store.get_online_features([f"{ratings}:mean"], [{"user_id": 1}]).to_dict()["mean"] == [2.0]
    failure(errors.TableNotFound, lambda: store.push(f"{group}/new", [{"k": 1}]))
    assert store.push(f"{group}/new", [{"k": 1, "x": 1}], entity="k").version == 0


def test_materialize_and_lag(store, ratings, group):
    table = f"{group}/later"
    store.save(table, [{"k": 1, "x": 1}], entity="k")
    (done,) = store.materialize(table)
    assert (done.table, done.entities_written, done.from_scratch) == (table, 1, True)
    (again,) = store.materialize(table)
    assert again.entities_written == 0
    assert table in [one.table for one in store.materialize(from_scratch=True)]
    lag = {one.table: one for one in store.online_lag()}
    assert (lag[table].versions, lag[table].version) == (0, done.version)
    store.save(f"{group}/bare", [{"x": 1}])
    failure(errors.InvalidInputError, lambda: store.materialize(f"{group}/bare"))


def test_verify(store, ratings):
    found = store.verify([ratings], sample=10)
    assert found.ok, str(found)
    (table,) = found.tables
    assert (table.table, table.entities_offline, table.entities_online) == (ratings, 3, 3)
    assert store.verify(sample=5, seed=1).ok
    failure(errors.InvalidInputError, lambda: store.verify([ratings], sample=0))


def test_services(store, ratings, group):
    service = store.create_service(group, [f"{ratings}:mean"], description="for the model")
    assert (service.name, service.features, service.description) == (group, (f"{ratings}:mean",), "for the model")
    assert store.service(group) == service
    assert service in store.services()
    assert store.get_online_features(group, [{"user_id": 7}]).to_dict() == {"user_id": [7], "mean": [4.5]}
    assert store.get_online_features(service, [{"user_id": 7}]).to_dict()["mean"] == [4.5]
    assert store.get_historical_features(spine_of(7), group).to_polars()["mean"].to_list() == [4.5]
    assert store.examine_services() == []
    failure(errors.ConflictError, lambda: store.create_service(group, [f"{ratings}:city"]))
    assert group in str(failure(errors.InUse, lambda: store.drop(ratings)))
    failure(errors.FeatureNotFound, lambda: store.create_service(f"{group}_2", [f"{ratings}:nope"]))
    failure(errors.InvalidInputError, lambda: store.create_service(f"{group}_2", f"{ratings}:mean"))
    failure(errors.InvalidName, lambda: store.create_service("a/b", [ratings]))
    store.drop_service(group)
    failure(errors.ServiceNotFound, lambda: store.service(group))
    failure(errors.ServiceNotFound, lambda: store.drop_service(group))


# The store itself


def test_stats_and_upkeep(store, group):
    table = f"{group}/t"
    for number in range(3):
        store.save(table, [{"x": number}], mode="append")
    stats = store.stats()
    assert stats.tables >= 1
    assert stats.rows >= 3
    (merged,) = store.compact(table)
    assert merged.operation == "compact"
    assert store.compact(table) == []
    (would,) = store.vacuum(table, keep_versions=1, dry_run=True)
    assert (would.table, would.dry_run) == (table, True)
    (done,) = store.vacuum(table, keep_versions=1, older_than=dt.timedelta())
    assert (done.versions_removed, done.oldest_version) == (would.versions_removed, 3)
    assert store.read(table).to_polars()["x"].to_list() == [0, 1, 2]
    failure(errors.VersionNotFound, lambda: store.read(table, version=0))
    assert store.examine(table) == []
    failure(errors.TableNotFound, lambda: store.vacuum(f"{group}/nope"))


def test_names_are_checked(store):
    for name in ("../etc/passwd", "a/b/c", "a//b", "", "con/x", "a/%2e%2e", "a/b?c"):
        failure(errors.InvalidName, lambda name=name: store.save(name, [{"x": 1}]))
        failure(errors.InvalidName, lambda name=name: store.read(name))
    failure(errors.InvalidName, lambda: store.service("../x"))
    failure(errors.InvalidInputError, lambda: store.save("a/b", "no frame"))
    failure(errors.InvalidName, lambda: store.save("a/b", [{"": 1}]))
