"""Stages: versions that are tried, seen by nobody who does not ask, and then promoted whole or gone."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin import doctor
from tiffin.errors import (
    CommitConflict,
    ConflictError,
    ConstraintViolated,
    CorruptData,
    InUse,
    InvalidInputError,
    LimitError,
    NotReproducible,
    SchemaMismatch,
    StorageError,
    TableNotFound,
    VersionNotFound,
)
from tiffin.tables import staging, upkeep


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", compact_files=0) as opened:
        opened.save("g/t", [{"id": 1, "x": 10}, {"id": 2, "x": 20}], entity="id", online=True)
        yield opened


def rows(store, reference="g/t", **how):
    return store.read(reference, **how).to_polars().rows()


def folder(store):
    return store.path / "features" / "g" / "t"


def data_files(store):
    return {path.name for path in folder(store).glob("*.parquet")}


NEW = [{"id": 3, "x": 30}]
TRIED = {
    "append": [(1, 10), (2, 20), (3, 30)],
    "overwrite": [(3, 30)],
    "upsert": [(1, 10), (2, 20), (3, 30)],
}


@pytest.mark.parametrize("mode", TRIED)
def test_a_stage_is_seen_by_those_who_ask_for_it_and_promoted_as_it_is(store, mode):
    stage = store.stage("g/t", NEW, "try", mode=mode, message="why", inputs="a file")
    assert (stage.table, stage.name, stage.base, stage.behind) == ("g/t", "try", 0, 0)
    assert (stage.operation, stage.rows, stage.rows_added) == (mode, len(TRIED[mode]), 1)
    assert (stage.message, stage.inputs, stage.reference) == ("why", ("a file",), "g/t@try")
    assert store.stages("g/t") == (stage,)
    assert rows(store, "t@try") == rows(store, version="try", use_cache=False) == TRIED[mode]
    assert rows(store) == [(1, 10), (2, 20)]
    assert [commit.version for commit in store.history("g/t")] == [0]
    files = data_files(store)
    commit = store.promote("g/t", "try")
    assert (commit.version, commit.operation, commit.message, commit.inputs) == (1, mode, "why", ("a file",))
    assert (commit.rows, commit.rows_added, commit.online_version) == (len(TRIED[mode]), 1, 1)
    assert data_files(store) == files
    assert rows(store) == rows(store, use_cache=False) == TRIED[mode]
    assert store.stages("g/t") == ()
    assert store.get_online_features(["t:x"], [{"id": 3}]).to_dict()["x"] == [30]
    with pytest.raises(VersionNotFound):
        store.read("g/t@try")
    assert store.examine() == []


def test_a_stage_can_be_looked_at_like_a_version(store):
    store.stage("g/t", [{"id": 1, "x": 11}], "try", mode="upsert", description="anew")
    about = store.describe("g/t@try")
    assert (about.stage, about.version, about.rows, about.description) == ("try", 0, 2, "anew")
    assert store.describe("g/t").stage == ""
    found = store.diff("g/t", 0, "try")
    assert (found.old, found.new, found.rows_changed) == (0, "try", 1)
    assert store.snapshot("g/t@try").reference == "g/t@try"
    profile = store.profile("g/t@try:x").columns[0]
    assert (profile.max, profile.min) == (20, 11)
    assert str(store.explain("g/t@try:x", 1)).startswith("g/t@try")
    assert len(store.files("g/t@try")) == 1


def test_a_stage_can_be_joined_but_not_kept(store):
    store.save("g/timed", [{"id": 1, "at": datetime(2024, 1, 1), "x": 1}], entity="id", timestamp="at")
    store.stage("g/timed", [{"id": 1, "at": datetime(2024, 1, 3), "x": 3}], "try", mode="append")
    spine = [{"id": 1, "event_timestamp": datetime(2024, 1, day)} for day in (2, 4)]
    frame = store.get_historical_features(spine, ["g/timed@try:x"])
    assert frame.to_polars()["x"].to_list() == [1, 3]
    assert store.get_historical_features(spine, ["g/timed:x"]).to_polars()["x"].to_list() == [1, 1]
    assert frame.lock.recipe.sources["g/timed"].stage == "try"
    assert "from g/timed@try" in str(frame.lock)
    assert store.read("g/timed@try").lock == {}
    with pytest.raises(NotReproducible, match="stage 'try' of table g/timed is no version"):
        store.save_training_set("first", frame)
    with pytest.raises(InvalidInputError, match="g/timed@try is pinned"):
        store.get_historical_features(spine, ["g/timed@try:x"], known_at=datetime(2024, 1, 5))


def test_a_stage_is_never_online(store):
    store.stage("g/t", NEW, "try")
    with pytest.raises(InvalidInputError, match="'try' of table g/t is asked for online"):
        store.prepare(["g/t@try:x"])


def test_caches_never_take_a_stage_for_a_version_or_another_stage(store, monkeypatch):
    # All in the same millisecond, on the same base.
    table = store._catalog.table(store._catalog.names()[0])
    monkeypatch.setattr(table.log, "_clock", lambda: 10**18)
    frame = pl.DataFrame({"id": range(20_000), "x": range(20_000)})
    for shift in (1, 2):
        store.stage("g/t", frame.with_columns(pl.col("x") + shift), f"try{shift}")
    for _ in range(2):
        assert [store.read(f"g/t@try{shift}").to_polars()["x"][0] for shift in (1, 2)] == [1, 2]
    store.stage("g/t", frame.with_columns(pl.col("x") + 3), "try1", replace=True)
    assert store.read("g/t@try1").to_polars()["x"][0] == 3
    assert rows(store) == [(1, 10), (2, 20)]
    store.promote("g/t", "try2")
    assert store.read("g/t").to_polars()["x"][0] == 2
    assert store.snapshot("g/t@try1").mark != store.snapshot("g/t@0").mark


def test_an_append_goes_behind_what_came_in_between(store):
    store.stage("g/t", [{"id": 9, "x": 90}], "try", mode="append")
    store.save("g/t", [{"id": 5, "x": 50}])
    store.save("g/t", [{"id": 6, "x": 60}], mode="append")
    assert store.stages("g/t")[0].behind == 2
    commit = store.promote("g/t", "try", message="now")
    assert (commit.version, commit.rows, commit.message) == (3, 3, "now")
    assert rows(store, use_cache=False) == [(5, 50), (6, 60), (9, 90)]


def test_an_append_keeps_its_place_when_files_are_written_anew(store):
    store.stage("g/t", [{"id": 9, "x": 90}], "try", mode="append")
    store.save("g/t", [{"id": 6, "x": 60}], mode="append")
    store.promote("g/t", "try")
    store.save("g/t", [{"id": 6, "x": 61}], mode="upsert")
    assert [row[0] for row in rows(store)] == [1, 2, 9, 6]
    store.restore("g/t", 2)
    assert [row[0] for row in rows(store)] == [1, 2, 6, 9]


@pytest.mark.parametrize("mode", ["overwrite", "upsert"])
def test_other_stages_are_not_promoted_over_what_came_in_between(store, mode):
    store.stage("g/t", NEW, "try", mode=mode)
    for number in range(5):
        store.save("g/t", [{"id": 9, "x": number}], mode="append", message=f"late {number}")
    with pytest.raises(CommitConflict) as caught:
        store.promote("g/t", "try")
    assert "made on version 0; since then: version 1 (append by" in caught.value.message
    assert "'late 2') and 2 more" in caught.value.message
    assert caught.value.context["since"] == [1, 2, 3, 4, 5]
    assert ("force=True" in caught.value.hint) == (mode == "overwrite")
    assert store.stages("g/t")[0].behind == 5
    if mode == "upsert":
        with pytest.raises(CommitConflict):
            store.promote("g/t", "try", force=True)
    else:
        assert store.promote("g/t", "try", force=True).rows_removed == 7
        assert rows(store, use_cache=False) == [(3, 30)]


@pytest.mark.parametrize("mode", TRIED)
def test_what_changes_no_row_does_not_keep_a_stage_back(store, mode):
    store.save("g/t", [{"id": 0, "x": 0}], mode="append")
    store.stage("g/t", NEW, "try", mode=mode)
    store.declare("g/t", description="about ratings")
    tried = rows(store, "g/t@try")
    store.promote("g/t", "try")
    assert rows(store, use_cache=False) == tried
    assert store.describe("g/t").description == "about ratings"
    store.stage("g/t", [{"id": 4, "x": 40}], "try", mode=mode)
    tried = rows(store, "g/t@try")
    store.compact("g/t")
    store.promote("g/t", "try")
    assert rows(store, use_cache=False) == tried


def test_a_table_that_declares_other_columns_by_now_does_not_take_the_rows(store):
    store.stage("g/t", NEW, "try", mode="append")
    store.save("g/t", [{"id": 1, "x": 1.5}], evolve=True)
    with pytest.raises(CommitConflict, match="since then: version 1"):
        store.promote("g/t", "try")


def test_a_stage_may_change_the_schema_where_a_save_may(store):
    with pytest.raises(SchemaMismatch):
        store.stage("g/t", [{"id": 1, "y": "a"}], "try")
    narrow = pl.DataFrame({"id": [1], "x": [1]}, schema={"id": pl.Int64, "x": pl.Int16})
    store.save("g/t", narrow, evolve=True)
    wide = pl.DataFrame({"id": [2], "x": [1 << 20], "y": ["a"]}, schema={"id": pl.Int64, "x": pl.Int32, "y": pl.String})
    store.stage("g/t", wide, "try", mode="append")
    assert store.diff("g/t", 1, "try").schema == ("~ x: Int16 → Int32", "+ y: String")
    store.promote("g/t", "try")
    assert store.read("g/t").to_polars().schema == wide.schema
    assert rows(store) == [(1, 1, None), (2, 1 << 20, "a")]


def test_a_stage_is_checked_like_a_save(store):
    store.constrain("g/t", "x between 0 and 50", {"column": "x", "max": 35, "severity": "warn"})
    files = data_files(store)
    with pytest.raises(ConstraintViolated):
        store.stage("g/t", [{"id": 4, "x": 51}], "try")
    assert data_files(store) == files
    assert "35" in store.stage("g/t", [{"id": 4, "x": 40}], "try").warnings[0]
    store.constrain("g/t", "x between 0 and 45")
    with pytest.raises(CommitConflict):
        store.promote("g/t", "try")


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_constraints_on_all_rows_are_not_slipped_past(store, mode):
    store.constrain("g/t", "unique id")
    store.stage("g/t", NEW, "try", mode=mode)
    store.save("g/t", NEW, mode="append")
    for force in (False, True):
        with pytest.raises(CommitConflict) as caught:
            store.promote("g/t", "try", force=force)
        assert "force" not in caught.value.hint


def test_columns_that_services_use_are_not_promoted_away(store):
    store.create_service("ranker", ["t:x"])
    store.stage("g/t", [{"id": 1, "y": 1}], "try", evolve=True)
    with pytest.raises(InUse, match="ranker"):
        store.promote("g/t", "try")
    assert store.promote("g/t", "try", force=True).version == 1


def test_a_stage_that_a_service_uses_is_not_discarded(store):
    store.stage("g/t", NEW, "try")
    store.create_service("ranker", ["t@try:x"])
    with pytest.raises(InUse, match="stage 'try'"):
        store.discard("g/t", "try")
    store.discard("g/t", "try", force=True)


def test_discarding_leaves_nothing(store):
    files = data_files(store)
    store.stage("g/t", NEW, "try")
    store.stage("g/t", NEW, "try", mode="upsert", replace=True)
    assert len(data_files(store) - files) == 1
    store.discard("g/t", "try")
    assert data_files(store) == files
    assert store.stages("g/t") == ()
    with pytest.raises(VersionNotFound, match="no stage 'try'"):
        store.discard("g/t", "try")


def test_names_belong_to_one(store, monkeypatch):
    store.stage("g/t", NEW, "try")
    with pytest.raises(ConflictError, match="has a stage 'try' already"):
        store.stage("g/t", NEW, "try")
    with pytest.raises(ConflictError, match="has a stage 'try'"):
        store.tag("g/t", 0, "try")
    with pytest.raises(InvalidInputError, match="only versions have tags"):
        store.tag("g/t", "try", "prod")
    with pytest.raises(InvalidInputError, match="is a stage"):
        store.restore("g/t", "try")
    store.tag("g/t", 0, "prod")
    with pytest.raises(ConflictError, match="has a tag 'prod'"):
        store.stage("g/t", NEW, "prod")
    with pytest.raises(TableNotFound):
        store.stage("g/none", NEW, "try")
    assert not (store.path / "features" / "g" / "none").exists()
    monkeypatch.setattr(staging, "MOST_STAGES", 1)
    with pytest.raises(LimitError):
        store.stage("g/t", NEW, "more")
    assert store.stage("g/t", NEW, "try", replace=True).behind == 0


def test_vacuums_keep_stages_and_what_they_stand_on(store):
    store.stage("g/t", NEW, "try", mode="append")
    for number in range(3):
        store.save("g/t", [{"id": 1, "x": number}])
    assert store.vacuum("g/t", keep_versions=1)[0].held_version == 0
    assert rows(store, "g/t@try", use_cache=False) == TRIED["append"]
    store.promote("g/t", "try")
    assert store.vacuum("g/t", keep_versions=1)[0].oldest_version == 4
    assert rows(store, use_cache=False) == [(1, 2), (3, 30)]


def test_stages_go_with_their_table(store):
    store.stage("g/t", NEW, "try")
    store.drop("g/t")
    store.save("g/t", NEW)
    assert store.stages("g/t") == ()


DAMAGE = {
    "empty": lambda data: b"",
    "torn": lambda data: data[:-40],
    "another file": lambda data: data.replace(b'"size": ', b'"size": 1'),
    "another base": lambda data: data.replace(b'"base": 0', b'"base": 1'),
}


def test_a_damaged_stage_is_told_and_can_be_discarded_or_replaced(store):
    store.stage("g/t", NEW, "try")
    path = folder(store) / "_stages" / "try.json"
    whole = path.read_bytes()
    acts = (
        lambda: store.read("g/t@try"),
        lambda: store.stages("g/t"),
        lambda: store.promote("g/t", "try"),
        lambda: store.vacuum("g/t"),
    )
    for kind, damage in DAMAGE.items():
        path.write_bytes(damage(whole))
        for act in acts:
            with pytest.raises(CorruptData, match=r"try\.json"):
                pytest.fail(f"{kind}: {act()}")
    assert [finding.kind for finding in store.examine("g/t")] == ["corrupt"]
    store.stage("g/t", NEW, "try", replace=True)
    assert rows(store, "g/t@try") == NEW_ROWS
    path.write_bytes(whole[:-40])
    store.discard("g/t", "try")
    assert store.examine("g/t") == []
    assert store.vacuum("g/t")[0].files_removed == 2


NEW_ROWS = [(3, 30)]


def test_a_stage_whose_files_another_tool_took_is_not_promoted(store):
    files = data_files(store)
    store.stage("g/t", NEW, "try")
    (own,) = data_files(store) - files
    (folder(store) / own).unlink()
    with pytest.raises(CorruptData, match="is gone"):
        store.promote("g/t", "try")
    assert rows(store) == [(1, 10), (2, 20)]
    assert [finding.kind for finding in store.examine("g/t")] == ["corrupt"]


def test_a_promotion_that_was_interrupted_is_finished_and_not_repeated(store, monkeypatch):
    store.stage("g/t", NEW, "try", mode="append")
    table = store._catalog.table(store._catalog.names()[0])

    def refuse(name):
        raise StorageError("the disk refused")

    monkeypatch.setattr(table.stages, "remove", refuse)
    first = store.promote("g/t", "try")
    assert "stage 'try' is promoted, and its file is still there" in first.warnings[0]
    monkeypatch.undo()
    store.save("g/t", [{"id": 8, "x": 80}], mode="append")
    again = store.promote("g/t", "try")
    assert (again.version, again.timestamp) == (first.version, first.timestamp)
    assert rows(store) == [(1, 10), (2, 20), (3, 30), (8, 80)]
    assert store.stages("g/t") == ()


def test_discarding_what_was_promoted_takes_no_file_of_the_table(store, monkeypatch):
    store.stage("g/t", NEW, "try")
    table = store._catalog.table(store._catalog.names()[0])
    monkeypatch.setattr(table.stages, "remove", lambda name: False)
    store.promote("g/t", "try")
    monkeypatch.undo()
    store.discard("g/t", "try")
    assert rows(store, use_cache=False) == NEW_ROWS
    assert store.examine("g/t") == []


def test_a_stage_that_waits_for_long_is_told_of(store, monkeypatch):
    store.stage("g/t", NEW, "try")
    assert store.examine("g/t") == []
    monkeypatch.setattr(doctor, "FORGOTTEN_AFTER", timedelta(microseconds=-1))
    (finding,) = store.examine("g/t")
    assert (finding.kind, "stage 'try' has been waiting" in finding.what) == ("forgotten", True)
    assert store.vacuum("g/t")[0].files_removed == 0


def test_a_stage_that_a_service_uses_keeps_its_name(store):
    store.stage("g/t", NEW, "try")
    store.create_service("ranker", ["t@try:x"])
    with pytest.raises(InUse, match="ranker"):
        store.promote("g/t", "try")
    assert rows(store, "g/t@try") == NEW_ROWS
    assert store.promote("g/t", "try", force=True).version == 1


def test_names_that_mean_other_columns_by_now_do_not_take_the_rows(store):
    store.stage("g/t", NEW, "try", mode="append")
    store.save("g/t", [{"id": 1, "y": 1}], evolve=True)
    store.save("g/t", [{"id": 1, "x": 1}], evolve=True)
    with pytest.raises(CommitConflict):
        store.promote("g/t", "try")


def test_discarding_takes_no_file_where_the_log_does_not_tell_whose_it_is(store, monkeypatch):
    store.stage("g/t", NEW, "try", mode="append")
    table = store._catalog.table(store._catalog.names()[0])
    monkeypatch.setattr(table.stages, "remove", lambda name: False)
    store.promote("g/t", "try")
    monkeypatch.undo()
    store.save("g/t", [{"id": 8, "x": 80}], mode="append")
    upkeep.write_checkpoint(table, table.log.at(2))
    for version in (0, 1):
        table.log.commit_path(version).unlink()
    store.discard("g/t", "try")
    assert rows(store, use_cache=False) == [(1, 10), (2, 20), (3, 30), (8, 80)]


def test_a_stage_of_another_table_in_the_same_folder_can_be_discarded(store):
    store.stage("g/t", NEW, "try")
    whole = (folder(store) / "_stages" / "try.json").read_bytes()
    store.drop("g/t")
    store.save("g/t", NEW, entity="id")
    (folder(store) / "_stages").mkdir()
    (folder(store) / "_stages" / "try.json").write_bytes(whole)
    assert store.stages("g/t") == ()
    store.discard("g/t", "try")
    assert store.stage("g/t", NEW, "try").base == 0


def test_a_stage_that_goes_while_it_is_read_is_said_to_have_gone(store):
    table = store._catalog.table(store._catalog.names()[0])
    for end in (lambda: store.stage("g/t", NEW, "try", replace=True), lambda: store.discard("g/t", "try")):
        store.stage("g/t", NEW, "try", replace=True)
        state = table.at("try")
        end()
        with pytest.raises(VersionNotFound, match="discarded or replaced"):
            table.read(state)


def test_rows_of_an_upsert_stay_behind_files_that_were_merged_meanwhile(tmp_path):
    store = tiffin.FeatureStore(tmp_path, compact_files=0)
    store.save("g/t", pl.DataFrame({"id": range(100), "x": range(100)}), entity="id")
    for number in (200, 201):
        store.save("g/t", [{"id": number, "x": 0}], mode="append")
    store.stage("g/t", [{"id": 5, "x": 1}, {"id": 300, "x": 1}], "try", mode="upsert")
    store.declare("g/t", description="of numbers")
    table = store._catalog.table(store._catalog.names()[0])
    smallest = min(add.size for add in table.log.require().files.values())
    table.options = replace(table.options, target_file_bytes=smallest + 50)
    assert len(table.log.require().files) == 3
    assert upkeep.compact(table).message == "merged 2 files"
    store.promote("g/t", "try")
    assert [row[0] for row in rows(store)[-4:]] == [200, 201, 5, 300]


def test_a_stage_on_a_version_that_is_another_by_now_is_not_taken_for_one_on_it(store):
    first = store.save("g/t", NEW, mode="append")
    store.stage("g/t", [{"id": 7, "x": 70}], "try", mode="append")
    # As if the log had been put back from a copy, and written on.
    (folder(store) / "_delta_log" / f"{first.version:020}.json").unlink()
    with tiffin.FeatureStore(store.path) as other:
        other.save("g/t", [{"id": 4, "x": 40}], mode="append")
        for act in (lambda: other.read("g/t@try"), lambda: other.promote("g/t", "try")):
            with pytest.raises(CorruptData, match="another version 1"):
                act()
        other.discard("g/t", "try")


def test_an_upsert_is_not_promoted_over_files_that_were_written_anew(store):
    store.save("g/t", NEW, mode="append")
    store.stage("g/t", [{"id": 3, "x": 31}], "try", mode="upsert")
    assert store.compact("g/t")
    with pytest.raises(CommitConflict):
        store.promote("g/t", "try")
    assert rows(store) == [(1, 10), (2, 20), (3, 30)]
