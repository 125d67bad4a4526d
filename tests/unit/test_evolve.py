"""Renaming, dropping and deprecating: whoever asks by an old name is answered, at every version, by every way."""

from __future__ import annotations

import inspect
import warnings
from datetime import UTC, date, datetime, timedelta

import deltalake
import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    CorruptData,
    DeprecatedFeature,
    FeatureNotFound,
    InUse,
    InvalidInputError,
    InvalidName,
    MajorChanged,
    SchemaMismatch,
    StorageError,
)
from tiffin.tables import rewriting, saving
from tiffin.tables.table import Table

TABLE = "user/ratings"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROWS = [
    {"user_id": 1, "at": NOON, "mean": 1.5, "count": 3},
    {"user_id": 2, "at": NOON + timedelta(days=1), "mean": 2.5, "count": 4},
]
MORE = [{"user_id": 3, "at": NOON + timedelta(days=2), "mean": 3.5, "count": 5}]
SPINE = [{"user_id": user, "event_timestamp": NOON + timedelta(days=9)} for user in (3, 2, 1)]


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path, disk_cache_bytes=0) as opened:
        opened.save(TABLE, ROWS, entity="user_id", timestamp="at", defaults={"mean": 9.0})
        opened.save(TABLE, MORE, mode="append")
        yield opened


def by_another_reader(store, version=None) -> pl.DataFrame:
    found = deltalake.DeltaTable(store.describe(TABLE).path, version=version).to_pyarrow_dataset().to_table()
    return pl.DataFrame(found).sort("user_id")


def means(frame, name="mean") -> list[float]:
    return frame.to_polars()[name].to_list()


def test_reads_take_either_name_at_any_version(store):
    store.rename(TABLE, "mean", "mean_rating")
    assert store.read(TABLE).columns == ["user_id", "at", "mean_rating", "count"]
    for version in (1, 2):
        for name in ("mean", "mean_rating"):
            at = {"version": version}
            found = store.read(TABLE, columns=["count", name], where=[(name, ">", 2), ("count", "<", 9)], **at)
            assert found.columns == ["count", name]
            assert means(found, name) == [2.5, 3.5]
            assert store.read(f"{TABLE}:{name}", **at).columns == ["user_id", "at", name]
            assert store.read(TABLE, columns=(name,), limit=1, use_cache=False, **at).columns == [name]
    assert store.read(TABLE, columns=["mean", "mean_rating"]).columns == ["mean"]
    with pytest.raises(FeatureNotFound, match="median"):
        store.read(TABLE, columns=["median"])
    with pytest.raises(InvalidInputError, match="list of names"):
        store.read(TABLE, columns="mean")


def test_a_renamed_column_keeps_its_pandas_type(store):
    pandas = pytest.importorskip("pandas")
    store.save("g/t", pandas.DataFrame({"entity_id": [1], "kind": pandas.array([7], dtype="Int32")}))
    store.rename("g/t", "kind", "sort")
    assert str(store.read("g/t", columns=["kind"]).to_pandas()["kind"].dtype) == "Int32"
    assert str(store.read("g/t").to_pandas()["sort"].dtype) == "Int32"


def test_training_takes_either_name_at_any_version_and_answers_under_it(store):
    store.rename(TABLE, "mean", "mean_rating")
    for name in ("mean", "mean_rating"):
        for pin in ("", "@1", "@2"):
            found = store.get_historical_features(SPINE, [f"{TABLE}{pin}:{name}"])
            assert means(found, name) == [3.5, 2.5, 1.5]
        nobody = [{**SPINE[0], "user_id": 99}]
        assert means(store.get_historical_features(nobody, [f"{TABLE}:{name}"]), name) == [9.0]
    full = store.get_historical_features(SPINE, [f"{TABLE}:mean"], full_feature_names=True)
    assert full.columns[-1] == "user__ratings__mean"


def test_what_was_known_before_a_rename_is_found_under_the_new_name(store):
    times = [store.history(TABLE)[number].timestamp for number in (1, 0)]
    store.rename(TABLE, "mean", "mean_rating")
    now = store.history(TABLE)[0].timestamp
    spine = pl.DataFrame(
        {
            "user_id": [1, 3, 3, 3],
            "event_timestamp": [NOON + timedelta(days=9)] * 4,
            "known": [times[0], times[0], times[1], now],
        }
    )
    for name in ("mean", "mean_rating"):
        found = store.get_historical_features(spine, [f"{TABLE}:{name}"], known_at="known")
        assert means(found, name) == [1.5, 9.0, 3.5, 3.5]


def test_an_explanation_goes_back_to_the_commit_before_the_rename(store):
    known = store.history(TABLE)[0].timestamp
    store.rename(TABLE, "mean", "mean_rating")
    for how in ({}, {"known_at": known}):
        told = store.explain(f"{TABLE}:mean_rating", 3, NOON + timedelta(days=9), **how)
        assert told.values == {"mean_rating": 3.5}
        assert told.row.commit.version == 1


def test_a_training_set_from_before_is_made_again(store):
    made = store.get_historical_features(SPINE, [f"{TABLE}:mean", f"{TABLE}:count"])
    store.save_training_set("before", made)
    store.rename(TABLE, "mean", "mean_rating")
    store.save_training_set("after", store.get_historical_features(SPINE, [f"{TABLE}:mean"]))
    store.drop_columns(TABLE, "mean_rating")
    with pytest.warns(MajorChanged, match="now 1"):
        again = store.reproduce("before")
    assert again.to_polars().equals(made.to_polars())
    with pytest.warns(MajorChanged, match="now 1"):
        again = store.reproduce("after")
    assert means(again) == [3.5, 2.5, 1.5]


def test_services_plans_and_the_online_index_follow(store):
    store.materialize(TABLE)
    store.create_service("ranker", [f"{TABLE}:mean"])
    plan = store.prepare("ranker")
    assert plan.read([{"user_id": 3}]).to_dict() == {"user_id": [3], "mean": [3.5]}
    commit = store.rename(TABLE, "mean", "mean_rating")
    assert commit.online_version == commit.version
    entities = [{"user_id": 3}, {"user_id": 99}]
    for name in ("mean", "mean_rating"):
        answer = store.get_online_features([f"{TABLE}:{name}"], entities)
        assert answer.to_dict() == {"user_id": [3, 99], name: [3.5, 9.0]}
    assert plan.read(entities).to_dict() == {"user_id": [3, 99], "mean": [3.5, 9.0]}
    assert store.verify().ok
    assert store.verify("ranker").ok
    assert store.examine() == []
    store.push(TABLE, [{"user_id": 3, "at": NOON + timedelta(days=5), "mean": 4.5, "count": 6}])
    assert plan.read(entities[:1]).to_dict() == {"user_id": [3], "mean": [4.5]}


def test_saves_may_go_on_to_use_the_old_name(store):
    store.rename(TABLE, "mean", "mean_rating")
    store.save(TABLE, [{**MORE[0], "mean": 7.5}], mode="upsert", defaults={"mean": 8.0})
    assert means(store.read(TABLE), "mean_rating") == [1.5, 2.5, 7.5]
    assert store.describe(TABLE).columns[2].default == 8.0
    store.save(TABLE, ROWS, evolve=True)
    assert store.read(TABLE).columns == ["user_id", "at", "mean_rating", "count"]
    assert means(store.read(TABLE, columns=["mean"])) == [1.5, 2.5]
    with pytest.raises(SchemaMismatch, match="which are one"):
        store.save(TABLE, [{**MORE[0], "mean_rating": 1.0}], mode="append")
    with pytest.raises(SchemaMismatch, match="'mean_rating' is Float64"):
        store.save(TABLE, [{**MORE[0], "mean": "high"}], mode="append")
    # What was declared by the old name is not declared twice.
    store.constrain(TABLE, "mean_rating >= 0", {"sql": "mean_rating < 99", "name": "below"})
    store.save(TABLE, ROWS, constraints=["mean >= 1", "unique user_id, mean"], evolve=True)
    store.constrain(TABLE, "mean <= 5")
    assert [each.column for each in store.describe(TABLE).constraints if hasattr(each, "column")] == ["mean_rating"] * 3
    with pytest.raises(InvalidInputError, match="may mean column 'mean'"):
        store.constrain(TABLE, {"sql": "mean < 98", "name": "below"})
    store.save(TABLE, [{"mean": 1, "user_id": 3}], entity="mean", defaults={"mean": None}, rule="none", evolve=True)
    assert store.describe(TABLE).entity == ("mean_rating",)
    with pytest.raises(InvalidInputError, match="'mean' holds"):
        store.save(TABLE, [{**MORE[0], "mean": 1e300}], mode="append", dtypes="compact")


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_save_that_a_rename_overtakes_follows_it(store, monkeypatch, mode):
    commit = saving._commit

    def overtaken(*args):
        monkeypatch.setattr(saving, "_commit", commit)
        store.rename(TABLE, "mean", "mean_rating")
        return commit(*args)

    monkeypatch.setattr(saving, "_commit", overtaken)
    store.save(TABLE, [{**MORE[0], "user_id": 4, "mean": 4.5}], mode=mode)
    assert store.read(TABLE).columns == ["user_id", "at", "mean_rating", "count"]
    assert means(store.read(TABLE), "mean_rating") == [1.5, 2.5, 3.5, 4.5]


def test_a_rename_that_fails_leaves_nothing_behind(store, monkeypatch):
    before = sorted(path.name for path in store.path.rglob("*.parquet"))
    stored = Table.stored

    def damaged(self, adds, spec):
        if len(list(store.path.rglob("*.parquet"))) > len(before):
            raise CorruptData("the second file is damaged")
        return stored(self, adds, spec)

    monkeypatch.setattr(Table, "stored", damaged)
    with pytest.raises(CorruptData):
        store.rename(TABLE, "mean", "mean_rating")
    assert sorted(path.name for path in store.path.rglob("*.parquet")) == before
    monkeypatch.setattr(Table, "stored", stored)

    def refused(*_arguments):
        raise StorageError("no commit")

    monkeypatch.setattr(rewriting, "publish", refused)
    with pytest.raises(StorageError, match="no commit"):
        store.rename(TABLE, "mean", "mean_rating")
    assert sorted(path.name for path in store.path.rglob("*.parquet")) == before
    assert store.describe(TABLE).version == 1


def test_other_readers_see_every_version_as_it_was_called_then(store):
    before = by_another_reader(store)
    store.rename(TABLE, "mean", "mean_rating")
    assert by_another_reader(store).equals(before.rename({"mean": "mean_rating"}))
    # Nobody who follows the changes of rows takes them for new ones.
    assert deltalake.DeltaTable(store.describe(TABLE).path).history(1)[0]["operation"] == "OPTIMIZE"
    assert by_another_reader(store, version=1).equals(before)
    store.drop_columns(TABLE, ["mean_rating"])
    assert by_another_reader(store).equals(before.drop("mean"))
    assert by_another_reader(store, version=1).equals(before)
    # A column that comes again under the name of one that was dropped has none of its values.
    store.save(TABLE, [{**MORE[0], "user_id": 4, "mean": 0.5}], mode="append")
    assert by_another_reader(store)["mean"].to_list() == [None, None, None, 0.5]
    assert means(store.read(TABLE)) == [None, None, None, 0.5]


def test_what_comes_again_after_a_drop_is_not_answered_online_with_what_was_dropped(store):
    store.materialize(TABLE)
    index = store._materializer
    after_commit = index.after_commit
    index.after_commit = lambda table, commit, **_: commit
    store.drop_columns(TABLE, "mean")
    store.save(TABLE, [{"user_id": 9, "at": NOON, "mean": 0.5, "count": 1}], mode="append")
    index.after_commit = after_commit
    answer = store.get_online_features([f"{TABLE}:mean"], [{"user_id": 1}, {"user_id": 9}])
    assert answer.to_dict()["mean"] == [None, 0.5]
    assert store.verify().ok


def test_files_keep_their_number_and_place(store):
    before = store.read(TABLE).to_polars()
    store.rename(TABLE, "mean", "mean_rating")
    assert store.describe(TABLE).files == 2
    assert store.read(TABLE).to_polars().equals(before.rename({"mean": "mean_rating"}))
    assert store.history(TABLE)[0].rows == 3
    assert store.examine() == []


def test_a_partition_column_is_renamed_with_its_folders(store):
    rows = [{"entity_id": 1, "land": "kr", "x": 1}, {"entity_id": 2, "land": None, "x": 2}]
    store.save("g/t", rows, partition_by="land")
    store.rename("g/t", "land", "country")
    assert store.describe("g/t").partition_by == ("country",)
    assert store.read("g/t", columns=["land"], where=("land", "==", "kr")).to_polars()["land"].to_list() == ["kr"]
    store.save("g/t", rows, mode="append", partition_by="land")
    found = pl.DataFrame(deltalake.DeltaTable(store.describe("g/t").path).to_pyarrow_dataset().to_table())
    assert sorted(found["country"].to_list(), key=str) == [None, None, "kr", "kr"]
    with pytest.raises(InvalidInputError, match="apart"):
        store.drop_columns("g/t", "country")


def test_a_name_means_one_column(store):
    store.rename(TABLE, "mean", "mean_rating")
    for old, new, why in [
        ("count", "mean", "a name of before of 'mean_rating'"),
        ("count", "mean_rating", "a column of its own"),
        ("count", "user_id", "a column of its own"),
        ("mean", "average", "say what it is called now: 'mean_rating'"),
        ("count", "count", "called that already"),
        ("user_id", "uid", "a key or time"),
        ("at", "time", "a key or time"),
    ]:
        with pytest.raises(InvalidInputError, match=why) as error:
            store.rename(TABLE, old, new)
        assert error.value.hint or new == old
    with pytest.raises(SchemaMismatch, match="two columns"):
        store.rename(TABLE, "count", "MEAN")
    with pytest.raises(InvalidName):
        store.rename(TABLE, "count", "a\nb")
    with pytest.raises(FeatureNotFound, match="nope"):
        store.rename(TABLE, "nope", "x")
    assert store.describe(TABLE).version == 2
    for leave_out in ("mean", "mean_rating"):
        store.save(TABLE, [{**{k: v for k, v in ROWS[0].items() if k != "mean"}, leave_out: 1.0}], mode="append")
    with pytest.raises(SchemaMismatch, match="two columns"):
        store.save(TABLE, [{**ROWS[0], "Mean_Rating": 1.0}], mode="append", evolve=True)


def test_a_rename_can_be_taken_back_and_gone_on_with(store):
    store.rename(TABLE, "mean", "b")
    store.rename(TABLE, "b", "c")
    assert store.describe(TABLE).columns[2].aliases == ("b", "mean")
    assert [means(store.read(f"{TABLE}@{version}:c"), "c") for version in (1, 2, 3)] == [[1.5, 2.5, 3.5]] * 3
    assert means(store.read(f"{TABLE}@2:mean")) == [1.5, 2.5, 3.5]
    store.rename(TABLE, "c", "mean")
    assert store.describe(TABLE).columns[2].aliases == ("c", "b")
    assert means(store.read(TABLE, columns=["b"]), "b") == [1.5, 2.5, 3.5]
    store.rename(TABLE, "mean", "Mean")
    assert means(store.read(TABLE, columns=["mean"])) == [1.5, 2.5, 3.5]


def test_a_version_from_before_the_rename_can_be_restored_and_both_names_go_on(store):
    store.create_service("old", [f"{TABLE}:mean"])
    store.rename(TABLE, "mean", "mean_rating")
    store.create_service("new", [f"{TABLE}:mean_rating"])
    store.restore(TABLE, 0)
    assert store.describe(TABLE).columns[2].aliases == ("mean_rating",)
    assert means(store.read(TABLE)) == [1.5, 2.5]
    assert store.get_historical_features(SPINE[1:], "new").to_polars()["mean_rating"].to_list() == [2.5, 1.5]
    assert store.examine() == []


def test_what_services_use_is_not_dropped_by_either_name(store):
    store.rename(TABLE, "mean", "mean_rating")
    store.create_service("ranker", [f"{TABLE}:mean"])
    without = [{name: value for name, value in row.items() if name != "mean"} for row in ROWS]
    with pytest.raises(InUse, match="ranker"):
        store.drop_columns(TABLE, "mean_rating")
    with pytest.raises(InUse, match="ranker"):
        store.save(TABLE, without, evolve=True)
    store.drop_columns(TABLE, "count")
    assert store.read(TABLE).columns == ["user_id", "at", "mean_rating"]
    commit = store.drop_columns(TABLE, "mean_rating", force=True, message="nobody")
    assert (commit.message, commit.major) == ("nobody", 2)
    assert [finding.service for finding in store.examine()] == ["ranker"]


@pytest.mark.parametrize("names", [["user_id"], "at", ["mean", "nope"], []])
def test_what_cannot_be_dropped_is_refused_and_nothing_is_lost(store, names):
    with pytest.raises((InvalidInputError, FeatureNotFound)) as error:
        store.drop_columns(TABLE, names)
    assert error.value.hint
    assert store.describe(TABLE).version == 1


def test_what_a_derived_table_is_made_from_keeps_its_name(store):
    asked = {"source": TABLE, "entity": "user_id", "windows": ["7d"], "aggregations": {"mean": ["max"]}}
    store.derive("user/weekly", {**asked, "where": [("count", ">", 1)]})
    for change in (
        lambda: store.rename(TABLE, "mean", "mean_rating"),
        lambda: store.rename(TABLE, "count", "ratings"),
        lambda: store.drop_columns(TABLE, "mean"),
    ):
        with pytest.raises(InUse, match="user/weekly is derived"):
            change()
    with pytest.raises(InvalidInputError, match="definition"):
        store.rename("user/weekly", "mean_max_7d", "best")
    store.drop("user/weekly")
    store.rename(TABLE, "mean", "mean_rating")


def test_the_last_column_stays(store):
    store.save("g/t", [{"x": 1}])
    with pytest.raises(InvalidInputError, match="no column left"):
        store.drop_columns("g/t", "x")


def test_a_rule_is_declared_kept_and_held_to(store):
    store.save(TABLE, MORE, mode="append", rule="full")
    assert store.describe(TABLE).rule == "full"
    small = pl.DataFrame(MORE).with_columns(pl.col("count").cast(pl.Int128))
    with pytest.raises(SchemaMismatch, match="Int128"):
        store.save(TABLE, small, mode="append")
    store.save(TABLE, [{"user_id": 1, "at": NOON, "mean": "high", "count": 1}], evolve=True, defaults={"mean": None})
    info = store.describe(TABLE)
    assert (info.rule, info.major) == ("full", 1)
    assert [commit.major for commit in store.history(TABLE)] == [1, None, None, None]
    store.save(TABLE, MORE, rule="none", evolve=True)
    store.save(TABLE, [{"user_id": 1, "at": NOON, "new": 1}])
    assert store.read(TABLE).columns == ["user_id", "at", "new"]
    assert store.describe(TABLE).major == 2
    with pytest.raises(InvalidInputError, match="sideways"):
        store.save(TABLE, MORE, rule="sideways")


def test_a_major_version_never_comes_again(store):
    store.save(TABLE, [{**ROWS[0], "mean": "high"}], evolve=True, defaults={"mean": None})
    store.restore(TABLE, 1)
    assert store.describe(TABLE).major == 2
    store.restore(TABLE, 3)
    assert store.describe(TABLE).major == 2


def warned(call) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(one.category is DeprecatedFeature and one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def test_whoever_asks_for_a_deprecated_feature_is_warned_once_in_each_call(store):
    store.materialize(TABLE)
    commit = store.deprecate(TABLE, "mean", "rounds", instead="mean_2", removal=date(2999, 1, 31))
    expected = "user/ratings:mean is deprecated: rounds; use mean_2 instead; its removal is planned for 2999-01-31"
    asks = [
        lambda: store.get_historical_features(SPINE, [f"{TABLE}:mean", f"{TABLE}:count"]),
        lambda: store.get_historical_features(SPINE, [TABLE]),
        lambda: store.prepare([f"{TABLE}:mean"]),
        lambda: store.get_online_features([f"{TABLE}:mean"], [{"user_id": 1}]),
        lambda: store.create_service("ranker", [f"{TABLE}:mean"]),
    ]
    assert [warned(ask) for ask in asks] == [[expected]] * len(asks)
    assert warned(lambda: store.get_historical_features(SPINE, [f"{TABLE}:count"])) == []
    assert warned(lambda: store.get_historical_features(SPINE, [f"{TABLE}@1:mean"])) == []
    # The plan is known by now: a call that only reads pays nothing and says nothing.
    assert warned(lambda: store.get_online_features([f"{TABLE}:mean"], [{"user_id": 2}])) == []
    again = store.deprecate(TABLE, "mean", "rounds", instead="mean_2", removal=date(2999, 1, 31))
    assert again.version == commit.version


def test_the_warning_points_to_who_asks(store):
    store.deprecate(TABLE, "mean", "rounds")
    here = inspect.currentframe().f_lineno + 2
    with pytest.warns(DeprecatedFeature) as caught:
        store.get_historical_features(SPINE, [f"{TABLE}:mean"])
    assert [(one.filename, one.lineno) for one in caught] == [(__file__, here)]


def test_a_mark_stays_through_saves_and_renames_until_it_is_taken_away(store):
    store.deprecate(TABLE, "mean", "rounds", removal=datetime(2020, 1, 31, 12))
    store.save(TABLE, ROWS)
    store.rename(TABLE, "mean", "mean_rating")
    store.save(TABLE, MORE, mode="append")
    (told,) = warned(lambda: store.get_historical_features(SPINE, [f"{TABLE}:mean"]))
    assert told == "user/ratings:mean_rating is deprecated: rounds; its removal is overdue since 2020-01-31"
    store.deprecate(TABLE, "mean_rating", None)
    assert warned(lambda: store.get_historical_features(SPINE, [f"{TABLE}:mean"])) == []
    for wrong in ({"message": " "}, {"message": "why", "removal": "soon"}, {"message": 7}):
        with pytest.raises(InvalidInputError):
            store.deprecate(TABLE, "mean_rating", **wrong)
    with pytest.raises(InvalidInputError, match="key or time"):
        store.deprecate(TABLE, "at", "why")
