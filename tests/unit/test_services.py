"""Feature services through the store: what may be in one, and what it keeps from being taken away."""

import json
import warnings
from datetime import UTC, datetime

import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    Ambiguous,
    ConflictError,
    CorruptData,
    FeatureNotFound,
    InUse,
    InvalidInputError,
    InvalidName,
    MajorChanged,
    ServiceNotFound,
    TableNotFound,
    VersionNotFound,
)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        opened.save("user/ratings", ratings(), entity="user_id")
        opened.save("movie/stats", [{"movie_id": 1, "mean": 4.0}], entity="movie_id")
        yield opened


def ratings(**more) -> pl.DataFrame:
    return pl.DataFrame({"user_id": [7], "mean": [4.5], "count": [12], **more})


# What may be in a service


def test_a_service_keeps_its_references_with_their_groups(store, tmp_path):
    began = datetime.now(UTC)
    made = store.create_service("ranker", ["ratings:mean", "stats"])
    assert made.features == ("user/ratings:mean", "movie/stats")
    assert began <= made.created <= datetime.now(UTC)
    assert tiffin.FeatureStore(tmp_path / "store").service("ranker") == made
    assert store.services() == [made]


def test_features_of_one_name_can_stand_in_one_service(store):
    features = ["user/ratings:mean", "movie/stats:mean"]
    assert store.create_service("both", features).features == tuple(features)


def test_a_reference_that_is_written_twice_stands_once(store):
    assert store.create_service("a", ["ratings:mean", "user/ratings:mean"]).features == ("user/ratings:mean",)


@pytest.mark.parametrize(
    ("features", "error"),
    [
        (["user/rating:mean"], TableNotFound),
        (["user/ratings:men"], FeatureNotFound),
        (["user/ratings:user_id"], FeatureNotFound),
        (["user/ratings@1:mean"], VersionNotFound),
        (["user/ratings@0:mean", "user/ratings:count"], InvalidInputError),
        (["user/ratings:mean", "a/b/c"], InvalidName),
        ([], InvalidInputError),
        ("user/ratings:mean", InvalidInputError),
        (["user/ratings:mean", None], InvalidInputError),
        (None, InvalidInputError),
        (7, InvalidInputError),
    ],
    ids=str,
)
def test_a_list_that_cannot_be_answered_is_refused(store, features, error):
    with pytest.raises(error):
        store.create_service("ranker", features)
    assert store.services() == []


def test_a_name_of_two_tables_needs_its_group(store):
    store.save("other/ratings", [{"id": 1, "mean": 1.0}], entity="id")
    with pytest.raises(Ambiguous):
        store.create_service("ranker", ["ratings:mean"])


def test_a_name_is_taken_until_it_is_replaced(store):
    store.create_service("ranker", ["user/ratings:mean"])
    with pytest.raises(ConflictError, match="ranker"):
        store.create_service("ranker", ["user/ratings:count"])
    replaced = store.create_service("ranker", ["user/ratings:count"], description="second", replace=True)
    assert store.service("ranker") == replaced


def test_a_replacement_that_is_refused_leaves_the_service(store):
    made = store.create_service("ranker", ["user/ratings:mean"])
    with pytest.raises(FeatureNotFound):
        store.create_service("ranker", ["user/ratings:men"], replace=True)
    assert store.service("ranker") == made


def test_a_dropped_service_is_gone(store):
    store.create_service("ranker", ["user/ratings:mean"])
    store.drop_service("ranker")
    for ask in (store.service, store.drop_service):
        with pytest.raises(ServiceNotFound):
            ask("ranker")
    store.drop("user/ratings")


# What a service keeps from being taken away


def test_a_table_in_use_is_not_dropped_by_accident(store):
    store.create_service("ranker", ["user/ratings:mean"])
    store.create_service("churn", ["ratings"])
    store.create_service("other", ["stats"])
    with pytest.raises(InUse, match="services churn, ranker") as error:
        store.drop("user/ratings")
    assert error.value.context["services"] == ["churn", "ranker"]
    assert store.read("user/ratings").shape == (1, 3)
    store.drop("user/ratings", force=True)
    assert [info.table for info in store.tables()] == ["movie/stats"]


def test_a_damaged_table_that_nothing_uses_can_be_dropped(store):
    store.save("user/ratings", ratings())
    commit = store.path / "features" / "user" / "ratings" / "_delta_log" / f"{1:020}.json"
    commit.write_bytes(commit.read_bytes().replace(b"Overwrite", b"overwrite"))
    with tiffin.FeatureStore(store.path) as again:
        with pytest.raises(CorruptData):
            again.read("user/ratings")
        again.drop("user/ratings")
        assert [info.table for info in again.tables()] == ["movie/stats"]


def test_a_pinned_table_is_in_use(store):
    store.create_service("ranker", ["user/ratings@0:mean"])
    with pytest.raises(InUse):
        store.drop("user/ratings")


def test_a_column_in_use_is_not_saved_away_by_accident(store):
    store.create_service("ranker", ["user/ratings:mean"])
    with pytest.raises(InUse, match="'mean' of table user/ratings.*ranker"):
        store.save("user/ratings", ratings().drop("mean"), evolve=True)
    assert store.describe("user/ratings").version == 0
    store.save("user/ratings", ratings().drop("count"), evolve=True)
    store.save("user/ratings", ratings().drop("mean"), evolve=True, force=True)
    assert store.read("user/ratings").columns == ["user_id", "count"]


def test_a_service_of_a_whole_table_uses_all_its_columns(store):
    store.create_service("ranker", ["user/ratings"])
    with pytest.raises(InUse, match="'count'"):
        store.save("user/ratings", ratings().drop("count"), evolve=True)
    store.save("user/ratings", ratings(new=[1]), evolve=True)


def test_a_key_is_used_by_whoever_uses_a_feature(store):
    store.create_service("ranker", ["user/ratings:mean"])
    renamed = ratings().rename({"user_id": "uid"})
    with pytest.raises(InUse, match="'user_id' of"):
        store.save("user/ratings", renamed, entity="uid", evolve=True)


def test_a_pinned_service_does_not_mind_what_comes_after(store):
    store.create_service("ranker", ["user/ratings@0:mean"])
    store.save("user/ratings", ratings().drop("mean"), evolve=True)


def test_a_column_in_use_is_not_restored_away_by_accident(store):
    store.save("user/ratings", ratings(new=[1]))
    store.create_service("ranker", ["user/ratings:new"])
    with pytest.raises(InUse, match="'new' of table user/ratings"):
        store.restore("user/ratings", 0)
    assert store.describe("user/ratings").version == 1
    assert store.restore("user/ratings", 0, force=True).version == 2


def test_a_pinned_version_is_not_vacuumed(store):
    for _ in range(3):
        store.save("user/ratings", ratings())
    store.create_service("ranker", ["user/ratings@1:mean"])
    [kept] = store.vacuum("user/ratings", keep_versions=1)
    assert (kept.oldest_version, kept.held_version) == (1, 1)
    assert store.read("user/ratings@1").shape == (1, 3)
    store.drop_service("ranker")
    [kept] = store.vacuum("user/ratings", keep_versions=1)
    assert (kept.oldest_version, kept.held_version) == (3, None)


# What is found wrong with services


def test_a_store_whose_services_find_their_features_is_healthy(store):
    store.create_service("ranker", ["user/ratings:mean", "movie/stats@0"])
    assert store.examine() == []


def test_references_that_lead_nowhere_are_found(store):
    store.create_service("a", ["user/ratings:mean", "user/ratings:count"])
    store.create_service("b", ["movie/stats"])
    store.save("user/ratings", ratings().drop("mean"), evolve=True, force=True)
    store.drop("movie/stats", force=True)
    found = store.examine()
    assert [(one.kind, one.service, one.table) for one in found] == [
        ("unresolved", "a", "user/ratings"),
        ("unresolved", "b", "movie/stats"),
    ]
    assert "user/ratings:mean" in found[0].what
    assert store.examine("user/ratings") == []


def test_a_damaged_service_is_found_and_stops_nothing_else(store):
    made = store.create_service("good", ["movie/stats"])
    store.create_service("bad", ["movie/stats"])
    (store.path / "registry" / "services" / "bad.json").write_text("{")
    assert store.services() == [made]
    assert [(one.kind, one.service) for one in store.examine()] == [("corrupt", "bad")]
    with pytest.raises(CorruptData, match="bad"):
        store.drop("user/ratings")
    store.drop("user/ratings", force=True)
    store.drop_service("bad")
    assert store.examine() == []


# Defaults and `online`, through the store


def test_defaults_and_online_are_kept_from_version_to_version(store):
    store.save("user/ratings", ratings(), online=True, defaults={"mean": 3, "count": 0})
    store.save("user/ratings", ratings(), mode="append")
    store.save("user/ratings", ratings(), mode="upsert")
    info = tiffin.FeatureStore(store.path).describe("user/ratings")
    assert info.online
    assert {column.name: column.default for column in info.columns} == {"user_id": None, "mean": 3.0, "count": 0}
    store.save("user/ratings", ratings(), online=False, defaults={"mean": None})
    info = tiffin.FeatureStore(store.path).describe("user/ratings")
    assert not info.online
    assert {column.name: column.default for column in info.columns} == {"user_id": None, "mean": None, "count": 0}


def test_a_read_never_applies_defaults(store):
    store.save("user/ratings", ratings().with_columns(mean=pl.lit(None, pl.Float64)), defaults={"mean": 3})
    assert store.read("user/ratings").to_polars()["mean"].to_list() == [None]


def test_a_default_without_a_place_leaves_no_version(store):
    with pytest.raises(tiffin.TiffinError, match="count"):
        store.save("user/ratings", ratings(), defaults={"count": 0.5})
    assert store.describe("user/ratings").version == 0
    with pytest.raises(tiffin.TiffinError, match="x"):
        store.save("new/table", [{"x": 1}], defaults={"x": "a"})
    assert not (store.path / "features" / "new").exists()


def test_defaults_follow_a_restore(store):
    store.save("user/ratings", ratings(), defaults={"count": 1})
    store.restore("user/ratings", 0)
    assert all(column.default is None for column in store.describe("user/ratings").columns)


def test_a_default_stays_when_its_column_is_widened_by_an_append(store):
    narrow = {"count": pl.Int8}
    store.save("user/n", ratings().cast(narrow), entity="user_id", defaults={"count": 5})
    store.save("user/n", ratings(), mode="append")
    described = {column.name: (column.dtype, column.default) for column in store.describe("user/n").columns}
    assert described["count"] == ("Int64", 5)


@pytest.mark.parametrize("listed", [iter, tuple, dict.fromkeys])
def test_references_may_come_in_any_collection(store, listed):
    made = store.create_service("ranker", listed(["user/ratings:mean", "movie/stats"]))
    assert made.features == ("user/ratings:mean", "movie/stats")
    assert store.service("ranker") == made


def test_a_service_can_be_saved_by_another_name(store):
    first = store.create_service("ranker", ["ratings:mean"])
    assert store.create_service("copy", first).features == first.features


def test_a_description_that_cannot_be_written_is_refused(store):
    with pytest.raises(InvalidInputError, match="description"):
        store.create_service("ranker", ["ratings"], description="half \ud800")
    assert store.services() == []


# Another major version


def warned(ask) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ask()
    assert all(one.category is MajorChanged and one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def test_whoever_uses_what_was_made_for_another_major_version_is_told(store):
    asked = {"features": "ranker", "spine": [{"user_id": 7}]}
    store.materialize("user/ratings")
    store.create_service("ranker", ["ratings:mean"])
    store.create_service("pinned", ["ratings@0:mean"])
    store.save_training_set("june", store.get_historical_features(**asked))
    store.save("user/ratings", ratings(more=1))
    assert warned(lambda: store.get_historical_features(**asked)) == []
    store.drop_columns("user/ratings", ["more"])
    told = "was made for another major version of the schema of user/ratings (0, now 1)"
    asks = [
        lambda: store.get_historical_features(**asked),
        lambda: store.get_historical_features([{"user_id": 7}], store.service("ranker")),
        lambda: store.prepare("ranker"),
        lambda: store.get_online_features("ranker", [{"user_id": 7}]),
        lambda: store.reproduce("june"),
    ]
    assert [len(found) for found in map(warned, asks)] == [1] * len(asks)
    assert warned(asks[0])[0].startswith(f"feature service 'ranker' {told}")
    assert warned(asks[-1])[0].startswith(f"training set 'june' {told}")
    # What pins a version meets the schema that it always met; and references promise nothing.
    assert warned(lambda: store.get_historical_features([{"user_id": 7}], "pinned")) == []
    assert warned(lambda: store.get_historical_features([{"user_id": 7}], ["ratings:mean"])) == []
    store.create_service("ranker", ["ratings:mean"], replace=True)
    assert warned(asks[0]) == []


def test_a_service_of_before_there_were_major_versions_is_not_warned_of(store):
    store.create_service("ranker", ["ratings:mean"])
    path = store.path / "registry/services/ranker.json"
    later = {"majors", "checksum"}
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key not in later}))
    store.drop_columns("user/ratings", ["count"])
    assert warned(lambda: store.get_historical_features([{"user_id": 7}], "ranker")) == []
