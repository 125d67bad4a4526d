"""Declaring and definitions through the store: a version with the same rows, made once, never over others' words."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import deltalake
import polars as pl
import pytest

import tiffin
from tiffin.definitions import ColumnDefinition, Definitions, ServiceDefinition, TableDefinition, read, write
from tiffin.errors import (
    CommitConflict,
    ConstraintViolated,
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    SchemaMismatch,
    TableNotFound,
)

AT = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"user_id": [7, 8], "mean": [4.5, None], "at": [AT, AT + timedelta(days=1)]})


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", record_code=False) as opened:
        opened.save("user/ratings", ROWS, entity="user_id", timestamp="at", ttl=timedelta(days=30))
        yield opened


def files(store) -> set[str]:
    return set(store.files("user/ratings"))


# declare


def test_what_is_declared_is_told_for_tables_and_columns(store):
    before = files(store)
    commit = store.declare(
        "ratings",
        description="Ratings of users",
        owner="search team",
        labels={"team": "search", "pii": ""},
        links=["https://wiki.example/ratings"],
        columns={"mean": {"unit": "stars", "description": "the mean", "owner": "ann", "labels": {"a": "b"}}},
        defaults={"mean": 2.5},
        message="reviewed",
    )
    assert (commit.version, commit.rows, commit.rows_added, commit.message) == (1, 2, 0, "reviewed")
    assert files(store) == before
    info = tiffin.FeatureStore(store.path).describe("user/ratings")
    assert (info.description, info.owner, info.links) == (
        "Ratings of users",
        "search team",
        ("https://wiki.example/ratings",),
    )
    assert info.labels == {"team": "search", "pii": ""}
    mean = next(column for column in info.columns if column.name == "mean")
    assert (mean.unit, mean.description, mean.owner, mean.labels, mean.default) == (
        "stars", "the mean", "ann", {"a": "b"}, 2.5,
    )  # fmt: skip


def test_what_is_declared_already_makes_no_version(store):
    first = store.declare("ratings", owner="a", labels={"x": "1", "y": "2"})
    again = store.declare("ratings", owner="a", labels={"y": "2", "x": "1"})
    assert (again.version, again.operation) == (first.version, "declare")


def test_what_is_not_said_stays_and_what_is_empty_goes(store):
    store.declare("ratings", owner="a", description="d", labels={"x": "1", "y": ""}, links=["https://a.b"])
    store.declare("ratings", owner="", labels={"x": None}, links=[])
    info = store.describe("ratings")
    assert (info.owner, info.description, info.labels, info.links) == ("", "d", {"y": ""}, ())


def test_a_ttl_and_the_columns_of_times_can_be_taken_away(store):
    assert store.declare("ratings", ttl=timedelta(0)).version == 1
    assert store.describe("ratings").ttl is None
    store.declare("ratings", timestamp="")
    assert store.describe("ratings").timestamp is None
    assert store.read("ratings").to_polars().equals(ROWS)


def test_a_ttl_without_a_timestamp_is_refused(store):
    with pytest.raises(InvalidInputError, match="ttl and no timestamp"):
        store.declare("ratings", timestamp="")
    assert store.describe("ratings").version == 0


def test_keys_that_need_the_rows_sorted_anew_are_refused(store):
    store.save("user/plain", ROWS, entity="user_id")
    with pytest.raises(SchemaMismatch) as caught:
        store.declare("user/plain", timestamp="at")
    assert "evolve=True" in caught.value.hint
    assert store.declare("user/plain", columns={"at": {"unit": "UTC"}}).version == 1


def test_a_table_that_is_declared_online_answers_at_once(store):
    commit = store.declare("ratings", online=True, ttl=timedelta(0))
    assert commit.online_version == commit.version
    assert store.get_online_features(["ratings:mean"], [{"user_id": 7}]).to_dict()["mean"] == [4.5]
    store.declare("ratings", timestamp="")
    assert store.get_online_features(["ratings:mean"], [{"user_id": 7}]).to_dict()["mean"] == [4.5]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"columns": {"meen": {"unit": "x"}}}, FeatureNotFound),
        ({"defaults": {"meen": 1.0}}, FeatureNotFound),
        ({"defaults": {"mean": "x"}}, SchemaMismatch),
        ({"defaults": {"user_id": 1}}, SchemaMismatch),
        ({"links": ["javascript:x"]}, InvalidInputError),
        ({"links": ["https://user:secret@wiki.example/x"]}, InvalidInputError),
        ({"owner": 7}, InvalidInputError),
        ({"labels": {"x": 7}}, InvalidInputError),
        ({"description": "\ud800"}, InvalidInputError),
        ({"ttl": timedelta(days=-1)}, InvalidInputError),
        ({"ttl": 30}, InvalidInputError),
    ],
)
def test_what_cannot_be_declared_changes_nothing(store, said, error):
    with pytest.raises(error):
        store.declare("ratings", **said)
    assert store.describe("ratings").version == 0


def test_words_survive_every_kind_of_save_and_a_restore(store):
    store.declare("ratings", owner="a", columns={"mean": {"unit": "stars"}})
    for how in ({"mode": "append"}, {"mode": "upsert"}, {}, {"evolve": True}):
        store.save("user/ratings", ROWS.with_columns(new=1), **how)
        info = store.describe("ratings")
        assert (info.owner, info.columns[1].unit) == ("a", "stars"), how
    store.restore("ratings", 1)
    assert store.describe("ratings").columns[1].unit == "stars"


def test_every_delta_reader_still_reads_the_table(store):
    store.declare("ratings", owner='a "b"', labels={"x": ""}, columns={"mean": {"description": "é", "unit": "★"}})
    table = deltalake.DeltaTable(store.describe("ratings").path)
    assert table.to_pyarrow_table().num_rows == 2
    (mean,) = (field for field in table.schema().fields if field.name == "mean")
    assert mean.metadata["comment"] == "é"


def test_two_who_declare_at_once_both_land(tmp_path, store):
    stores = [tiffin.FeatureStore(store.path) for _ in range(2)]

    def work(number: int) -> None:
        for step in range(5):
            stores[number].declare("ratings", labels={f"w{number}": str(step)})
            stores[number].declare("ratings", columns={"mean": {"labels": {f"w{number}-{step}": ""}}})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    info = tiffin.FeatureStore(store.path).describe("ratings")
    assert info.labels == {"w0": "4", "w1": "4"}
    assert len(info.columns[1].labels) == 10
    assert info.version == 20


# definitions and apply


def test_an_export_applied_changes_nothing_and_comes_out_the_same(store):
    store.declare("ratings", owner="a", labels={"x": "1"}, columns={"mean": {"unit": 'a "b"'}})
    store.create_service("ranker", ["ratings:mean"], description="front page")
    text = write(store.definitions())
    applied = store.apply(text)
    assert (applied.changes, applied.versions, applied.is_plan) == ((), {}, False)
    assert store.describe("ratings").version == 1
    assert write(store.definitions()) == text
    assert read(text).services["ranker"].features == ("user/ratings:mean",)


def test_a_definition_makes_another_store_declare_the_same(store, tmp_path):
    store.declare("ratings", owner="a", labels={"x": ""}, columns={"mean": {"unit": "stars", "default": 1}})
    store.create_service("ranker", ["ratings:mean"])
    other = tiffin.FeatureStore(tmp_path / "other")
    other.save("user/ratings", ROWS, entity="user_id", timestamp="at")
    applied = other.apply(write(store.definitions()))
    assert other.definitions() == store.definitions()
    assert applied.versions == {"user/ratings": 1}
    assert {(change.field, change.kind) for change in applied.changes} == {
        ("owner", "added"),
        ("labels.x", "added"),
        ("ttl", "added"),
        ("columns.mean.unit", "added"),
        ("columns.mean.default", "added"),
        ("features", "added"),
    }
    assert other.apply(write(store.definitions())).changes == ()


def test_constraints_are_defined_too_and_rows_are_held_to_them(store):
    few = {"name": "few", "max_rows": 10, "severity": "warn"}
    store.constrain("ratings", "mean between 0 and 5", few, {"max_age": "9999d", "max_ahead": "1h30m"})
    text = write(store.definitions())
    assert read(text) == store.definitions()
    assert store.apply(text).changes == ()
    tighter = text.replace("max = 5", "max = 4")
    assert tighter != text
    with pytest.raises(ConstraintViolated):
        store.apply(tighter, plan=True)
    version = store.describe("ratings").version
    with pytest.raises(ConstraintViolated):
        store.apply(tighter)
    assert store.describe("ratings").version == version
    warned = store.apply(text.replace("max_rows = 10", "max_rows = 1"))
    assert "few" in "".join(warned.warnings)
    words = '[tables."user/ratings".constraints]\nlow = "mean >= 1"\n'
    changed = {(change.field, change.kind) for change in store.apply(words).changes}
    assert ("constraints.low.column", "added") in changed
    assert any(field.startswith("constraints.few") and kind == "removed" for field, kind in changed)
    with pytest.raises(ConstraintViolated):
        store.save("user/ratings", ROWS.with_columns(mean=0.0))


def test_a_plan_changes_nothing(store):
    wanted = Definitions(
        tables={"user/ratings": TableDefinition(owner="b")},
        services={"ranker": ServiceDefinition(features=("ratings",))},
    )
    planned = store.apply(wanted, plan=True)
    assert planned.is_plan
    assert {(change.name, change.field, change.kind) for change in planned.changes} == {
        ("user/ratings", "owner", "added"),
        ("user/ratings", "ttl", "removed"),
        ("ranker", "features", "added"),
    }
    assert (store.describe("ratings").version, store.services()) == (0, [])


def test_what_a_definition_leaves_out_is_taken_away_but_not_the_keys(store):
    store.declare("ratings", description="d", columns={"mean": {"unit": "stars"}})
    store.apply('[tables."user/ratings"]\nowner = "b"\n')
    info = store.describe("ratings")
    assert (info.owner, info.description, info.ttl, info.columns[1].unit) == ("b", "", None, "")
    assert (info.entity, info.timestamp) == (("user_id",), "at")


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"tables": {"user/ratings": TableDefinition(columns={"meen": ColumnDefinition(unit="x")})}}, FeatureNotFound),
        ({"tables": {"user/ratings": TableDefinition(entity=("mean",))}}, SchemaMismatch),
        ({"tables": {"user/ratings": TableDefinition(timestamp="", ttl=timedelta(1))}}, InvalidInputError),
        ({"tables": {"user/missing": TableDefinition()}}, TableNotFound),
        ({"services": {"ranker": ServiceDefinition(features=("user/ratings:meen",))}}, FeatureNotFound),
    ],
)
def test_if_one_definition_cannot_be_none_is_applied(store, second, error):
    store.save("user/other", ROWS, entity="user_id")
    tables = {"user/other": TableDefinition(owner="a"), **second.get("tables", {})}
    with pytest.raises(error):
        store.apply(Definitions(tables=tables, services=second.get("services", {})))
    assert store.describe("user/other").version == 0


def test_tables_that_do_not_exist_can_be_passed_over(store):
    wanted = Definitions(tables={"user/missing": TableDefinition(), "user/ratings": TableDefinition(owner="b")})
    applied = store.apply(wanted, missing_ok=True)
    assert (applied.missing, applied.versions) == (("user/missing",), {"user/ratings": 1})


def test_what_others_declared_meanwhile_is_not_written_over(store):
    seen = store.definitions(["ratings"])
    store.save("user/ratings", ROWS, mode="append")
    assert store.apply(seen, plan=True, expected=seen).changes == ()
    store.declare("ratings", owner="someone else")
    with pytest.raises(CommitConflict, match="owner"):
        store.apply('[tables."user/ratings"]\nowner = "me"\n', expected=seen)
    assert store.describe("ratings").owner == "someone else"


def test_a_service_is_replaced_only_if_it_differs(store):
    made = store.create_service("ranker", ["ratings:mean"])
    wanted = ServiceDefinition(features=("ratings:mean",))
    assert store.apply(Definitions(services={"ranker": wanted})).changes == ()
    assert store.service("ranker") == made
    store.apply(Definitions(services={"ranker": ServiceDefinition(features=("ratings",), description="all")}))
    assert (store.service("ranker").features, store.service("ranker").description) == (("user/ratings",), "all")


# Freshness, and tables that cannot be read


def test_the_newest_row_is_told_without_reading_one(store):
    info = store.describe("ratings")
    assert (info.newest, info.is_stale) == (AT + timedelta(days=1), True)
    now = datetime.now(UTC)
    store.save("user/ratings", ROWS.with_columns(at=pl.lit(now)), mode="append")
    (data,) = set(store.files("ratings")) - set(store.files("ratings@0"))
    Path(data).write_bytes(b"")
    assert (store.describe("ratings").newest, store.describe("ratings").is_stale) == (now, False)


def test_where_files_do_not_tell_the_newest_row_is_unknown(store):
    store.save("user/untimed", ROWS, entity="user_id")
    store.save("user/empty", ROWS.clear(), entity="user_id", timestamp="at", ttl=timedelta(1))
    store.declare("ratings", ttl=timedelta(0))
    assert not store.describe("ratings").is_stale
    store.constrain("ratings", {"max_age": "7d"})
    assert store.describe("ratings").is_stale
    for name in ("user/untimed", "user/empty"):
        assert (store.describe(name).newest, store.describe(name).is_stale) == (None, False)


def test_a_damaged_table_has_a_row_that_says_so(store):
    store.save("user/bad", ROWS)
    log = store.path / "features/user/bad/_delta_log"
    (log / f"{0:020}.json").write_bytes(b'{"commitInfo":{"checksum":"aaaaaaaaaaaaaaaa-0000000001","x":1}}\n')
    again = tiffin.FeatureStore(store.path)
    bad, good = again.tables()
    assert (bad.table, bad.version, bad.rows, bad.columns) == ("user/bad", -1, None, ())
    assert "checksum" in bad.problem
    assert (good.table, good.problem, good.rows) == ("user/ratings", "", 2)
    stats = again.stats()
    assert (stats.tables, stats.rows, stats.unreadable) == (2, 2, ("user/bad",))
    assert [match.name for match in again.search("ratings")] == ["user/ratings"]
    defined = again.definitions()
    assert (list(defined.tables), defined.unreadable) == (["user/ratings"], ("user/bad",))
    assert "# Not here, because it cannot be read: user/bad\n" in write(defined)
    assert again.apply(write(defined)).changes == ()
    with pytest.raises(CorruptData, match="user/bad"):
        again.definitions(["user/bad"])
