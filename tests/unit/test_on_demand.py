"""On-demand features: the same code offline and online, declared in the store, found out where it is not the same."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    ConflictError,
    FeatureNotFound,
    InUse,
    InvalidInputError,
    InvalidName,
    NotReproducible,
    TableNotFound,
)

MAY = datetime(2024, 5, 1, tzinfo=UTC)
INPUTS = ["user/taste:mean", "user/taste:count"]
REQUEST = {"stars": pl.Float64}
SQL = {"above": "stars - mean", "is_high": "stars > mean"}
OUTPUTS = {"above": pl.Float64, "is_high": pl.Boolean}
ROWS = [{"user_id": 7, "stars": 5}, {"user_id": 8, "stars": None}, {"user_id": 9, "stars": 1.5}]


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path)
    rows = [
        {"user_id": 7, "at": MAY, "mean": 4.0, "count": 2},
        {"user_id": 7, "at": MAY + timedelta(days=2), "mean": 2.0, "count": 3},
        {"user_id": 8, "at": MAY, "mean": None, "count": 0},
    ]
    store.save("user/taste", rows, entity="user_id", timestamp="at", online=True)
    return store


def declare(**changes):
    how = {"inputs": INPUTS, "request": REQUEST, "outputs": OUTPUTS, **changes}
    return tiffin.on_demand(how.pop("name", "user/surprise"), **how)


def in_sql(**changes):
    return declare(sql=SQL, **changes)


def in_python():
    @declare()
    def surprise(frame):
        return [(pl.col("stars") - pl.col("mean")).alias("above"), is_high(frame).alias("is_high")]

    return surprise


def is_high(frame):
    return frame["stars"] > frame["mean"]


@pytest.mark.parametrize("make", [in_sql, in_python])
def test_the_same_offline_and_online(store, make):
    store.register(make())
    spine = [{**row, "event_timestamp": MAY + timedelta(days=1)} for row in ROWS]
    asked = ["user/surprise:above", "user/taste:count", "user/surprise:is_high"]
    frame = store.get_historical_features(spine, asked).to_polars()
    assert frame.columns == ["user_id", "stars", "event_timestamp", "above", "count", "is_high"]
    assert frame.select("above", "count", "is_high").rows() == [(1.0, 2, True), (None, 0, None), (None, None, None)]
    answer = store.get_online_features(asked, ROWS)
    assert answer.to_dict() == {
        "user_id": [7, 8, 9],
        "above": [3.0, None, None],
        "count": [3, 0, None],
        "is_high": [True, None, None],
    }
    assert answer.statuses["above"] == ["PRESENT", "NULL_VALUE", "NULL_VALUE"]
    assert answer.statuses["count"] == ["PRESENT", "PRESENT", "NOT_FOUND"]
    assert answer.timestamps["count"][0] == MAY + timedelta(days=2)
    assert dict(store.get_historical_features(spine, asked).lock) == {"user/taste": 0}
    proof = store.prove("user/surprise", ROWS)
    assert proof.ok, proof


def test_all_forms_of_asking(store):
    store.register(in_sql())
    store.create_service("ranker", ["user/taste:mean", "user/surprise"])
    expected = {"user_id": [7], "mean": [2.0], "above": [3.0], "is_high": [True]}
    rows = {"user_id": [7], "stars": [5]}
    assert store.get_online_features("ranker", rows).to_dict() == expected
    assert store.prepare("ranker").read(pl.DataFrame(rows)).to_dict() == expected
    assert store.prepare("ranker").request == ("stars",)
    assert store.get_online_features("ranker", rows).to_polars().schema["above"] == pl.Float64()
    full = store.get_online_features(["user/surprise:above"], rows, full_feature_names=True)
    assert full.to_dict() == {"user_id": [7], "user__surprise__above": [3.0]}
    assert store.tables_of("ranker") == ("user/taste",)
    assert store.examine_services() == []


def test_another_process_has_the_sql_and_not_the_function(store):
    store.register(in_sql())
    store.register(declare(name="user/code")(lambda frame: frame.select(above="stars", is_high=pl.lit(value=True))))
    other = tiffin.FeatureStore(store.path)
    assert [one.name for one in other.registered()] == ["user/code", "user/surprise"]
    rows = [{"user_id": 7, "stars": 5}]
    assert other.get_online_features(["user/surprise:above"], rows).to_dict()["above"] == [3.0]
    with pytest.raises(InvalidInputError, match="user/code is computed by a Python function, which this process"):
        other.get_online_features(["user/code"], rows)


def test_other_code_under_the_same_name_is_noticed(store):
    store.register(in_python())
    store.register(in_python())
    other = tiffin.FeatureStore(store.path)
    with pytest.raises(ConflictError, match="otherwise"):
        other.register(declare()(lambda frame: frame.select(above=pl.col("mean"), is_high=pl.col("mean") > 0)))
    other.register(
        declare()(lambda frame: frame.select(above=pl.col("mean"), is_high=pl.col("mean") > 1)), replace=True
    )
    with pytest.raises(ConflictError, match="registered with other code"):
        store.get_online_features(["user/surprise"], ROWS)


COUNTER = itertools.count()


@pytest.mark.parametrize(
    ("function", "how"),
    [
        (lambda frame: pl.col("stars") - pl.col("stars").mean(), "alone"),
        (lambda frame: pl.col("stars").cum_sum(), "another order"),
        (lambda frame: pl.lit(float(next(COUNTER))) + pl.col("count") * 0, "online"),
        (lambda frame: pl.col("mean").fill_null(pl.col("mean").max()), "alone"),
        (lambda frame: pl.lit(float(frame["mean"].null_count() < 1)) + pl.col("count") * 0.0, "alone"),
    ],
)
def test_a_function_that_looks_beyond_its_row_is_found_out(store, function, how):
    features = declare(outputs={"x": pl.Float64})(lambda frame: frame.select(x=function(frame)))
    store.register(features)
    proof = store.prove("user/surprise", [{"user_id": 7, "stars": 5}, {"user_id": 8, "stars": 2.5}])
    assert not proof.ok
    assert how in str(proof)
    assert "user/surprise differs" in str(proof)


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda frame: frame.select("mean"), "gives no 'above', but mean"),
        (lambda frame: frame.select(above="count", is_high=pl.col("mean") > 0), "gives 'above' as Int64; Float64"),
        (lambda frame: frame.head(1).select(above="mean", is_high=pl.col("mean") > 0), "gives 1 rows for 2"),
        (lambda frame: frame.select("nothing"), 'cannot be computed: .*"nothing"'),
        (lambda frame: 42, "gives no 'above'"),
    ],
)
def test_what_comes_out_is_checked(store, function, match):
    with pytest.raises(InvalidInputError, match=f"(?s)on-demand user/surprise {match}"):
        store.register(declare()(function))
    assert store.registered() == []


@pytest.mark.parametrize(
    "sql", ["AVG(stars)", "mean + (SELECT 1)", "stars - LAG(stars)", "nobody", "stars +", "now()", "random()"]
)
def test_sql_looks_at_one_row(store, sql):
    with pytest.raises(InvalidInputError):
        store.register(declare(outputs={"above": pl.Float64}, sql={"above": sql}))


def test_the_request_is_checked(store):
    store.register(in_sql())
    with pytest.raises(InvalidInputError, match="column 'stars' is missing from the entity rows"):
        store.get_online_features(["user/surprise"], [{"user_id": 7}])
    with pytest.raises(InvalidInputError, match="column 'stars' is missing from the spine"):
        store.get_historical_features([{"user_id": 7, "event_timestamp": MAY}], ["user/surprise"])
    with pytest.raises(InvalidInputError, match=r"'stars' of the entity rows holds 'many' in row 0"):
        store.get_online_features(["user/surprise"], [{"user_id": 7, "stars": "many"}])
    with pytest.raises(InvalidInputError, match="other"):
        store.get_online_features(["user/surprise"], [{"user_id": 7, "stars": 1, "other": 2}])


def test_names_that_collide(store):
    store.register(in_sql(name="user/a"))
    store.register(in_sql(name="user/b"))
    rows = [{"user_id": 7, "stars": 5}]
    with pytest.raises(InvalidInputError, match="two on-demand features would be called 'above'"):
        store.get_online_features(["user/a", "user/b"], rows)
    both = store.get_online_features(["user/a:above", "user/b:above"], rows, full_feature_names=True).to_dict()
    assert list(both) == ["user_id", "user__a__above", "user__b__above"]
    store.register(declare(name="user/c", outputs={"mean": pl.Float64}, sql={"mean": "mean * 2"}))
    with pytest.raises(InvalidInputError, match="'mean'"):
        store.get_online_features(["user/c:mean"], rows)
    assert store.get_online_features(["user/c:mean"], rows, full_feature_names=True).to_dict()["user__c__mean"] == [4.0]
    spine = [{"user_id": 7, "stars": 5, "above": 1, "event_timestamp": MAY}]
    with pytest.raises(InvalidInputError, match="'above' is a column of the spine"):
        store.get_historical_features(spine, ["user/a:above"])


def test_a_training_set_is_made_again(store):
    store.register(in_sql())
    store.register(
        declare(name="user/code", outputs={"twice": pl.Float64})(lambda frame: frame.select(twice=pl.col("mean") * 2))
    )
    spine = [{**row, "event_timestamp": MAY + timedelta(days=1)} for row in ROWS]
    asked = ["user/surprise:above", "user/taste:count", "user/code"]
    frame = store.get_historical_features(spine, asked)
    assert frame.lock.recipe.references == tuple(asked)
    store.save_training_set("first", frame)
    store.save("user/taste", [{"user_id": 7, "at": MAY, "mean": 1.0, "count": 1}])
    again = store.reproduce("first")
    assert again.to_polars().equals(frame.to_polars())
    assert again.lock.to_dict() | {"made": 0} == frame.lock.to_dict() | {"made": 0}
    with pytest.raises(NotReproducible, match="user/code is computed by a Python function"):
        tiffin.FeatureStore(store.path).reproduce("first")
    store.register(declare(sql={**SQL, "above": "mean - stars"}), replace=True)
    with pytest.raises(NotReproducible, match="user/surprise is computed otherwise now"):
        store.reproduce("first")
    store.unregister("user/surprise")
    with pytest.raises(NotReproducible, match="user/surprise"):
        store.reproduce("first")


def test_what_it_is_computed_from_stays(store):
    store.register(in_sql())
    with pytest.raises(InUse, match="user/surprise is computed from it"):
        store.drop("user/taste")
    with pytest.raises(InUse, match="user/surprise"):
        store.save("user/taste", [{"user_id": 7, "at": MAY, "count": 2}], evolve=True)
    with pytest.raises(ConflictError, match="on-demand features user/surprise"):
        store.save("user/surprise", [{"x": 1}])
    with pytest.raises(ConflictError, match="there is a table user/taste"):
        store.register(in_sql(name="user/taste"))
    store.unregister("user/surprise")
    assert store.registered() == []
    with pytest.raises(FeatureNotFound, match="user/surprise"):
        store.unregister("user/surprise")
    with pytest.raises(TableNotFound):
        store.get_online_features(["user/surprise"], ROWS)


def test_they_may_take_the_name_of_a_table_that_was_asked_for_and_dropped(store):
    store.save("user/surprise", [{"user_id": 7, "above": 1.0}], entity="user_id", online=True)
    asked = ["user/surprise:above"]
    assert store.get_online_features(asked, [{"user_id": 7}]).to_dict()["above"] == [1.0]
    store.drop("user/surprise")
    with pytest.raises(TableNotFound):
        store.get_online_features(asked, [{"user_id": 7}])
    tiffin.FeatureStore(store.path).register(in_sql())
    assert store.get_online_features(asked, ROWS).to_dict()["above"] == [3.0, None, None]


def test_asking_for_what_is_not_there(store):
    store.register(in_sql())
    with pytest.raises(FeatureNotFound, match="has no 'abov'"):
        store.get_online_features(["user/surprise:abov"], ROWS)
    with pytest.raises(InvalidInputError, match="version of on-demand"):
        store.get_online_features(["user/surprise@1:above"], ROWS)
    with pytest.raises(FeatureNotFound, match="nothing"):
        store.register(in_sql(inputs=["user/taste:mean", "user/taste:nothing"]))


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"name": "surprise"}, InvalidInputError, "called 'surprise'"),
        ({"name": "../x"}, InvalidName, "not allowed"),
        ({"inputs": []}, InvalidInputError, "inputs"),
        ({"inputs": ["user/taste"]}, InvalidInputError, "an input"),
        ({"inputs": ["user/taste@1:mean"]}, InvalidInputError, "an input"),
        ({"inputs": ["user/taste:mean", "movie/taste:mean"]}, InvalidInputError, "two columns 'mean'"),
        ({"request": {"mean": pl.Float64}}, InvalidInputError, "two columns 'mean'"),
        ({"request": ["stars"]}, InvalidInputError, "request of"),
        ({"request": {"stars": float}}, InvalidInputError, "Polars dtype"),
        ({"outputs": {}}, InvalidInputError, "no outputs"),
        ({"outputs": {"a:b": pl.Int8}}, InvalidName, "feature name"),
        ({"sql": {"above": "mean"}}, InvalidInputError, "has SQL for above"),
    ],
)
def test_declarations_that_make_no_sense(changes, error, match):
    with pytest.raises(error, match=match):
        declare(**changes)
