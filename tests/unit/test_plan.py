"""What a plan tells before a save: changes, rows, files, services and the online index."""

from __future__ import annotations

import inspect

import deltalake
import polars as pl
import pytest

import tiffin
from tiffin.errors import InvalidInputError, StorageError

TABLE = "user/ratings"
ROWS = [{"user_id": 1, "mean": 1.5, "count": 3}, {"user_id": 2, "mean": 2.5, "count": 4}]


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path, disk_cache_bytes=0) as opened:
        opened.save(TABLE, ROWS, entity="user_id")
        yield opened


def test_a_plan_takes_what_a_save_takes():
    taken = [inspect.signature(verb).parameters for verb in (tiffin.FeatureStore.plan, tiffin.FeatureStore.save)]
    assert {**taken[0]} == {name: one for name, one in taken[1].items() if name != "once"}


def test_each_change_is_told_with_its_verdict_and_what_it_means(store):
    frame = pl.DataFrame({"user_id": [1], "mean": ["high"], "new": [True]})
    plan = store.plan(TABLE, frame)
    assert not plan.ok
    assert {change.name: (change.kind, change.verdict, change.begins_major) for change in plan.changes} == {
        "new": ("added", "allowed", False),
        "mean": ("changed", "evolve", True),
        "count": ("removed", "evolve", True),
    }
    assert all(change.reason for change in plan.changes)
    assert plan.refusal.code == "schema_mismatch"
    assert "evolve=True" in plan.refusal.hint
    assert (plan.rows, plan.rows_after, plan.major) == (2, None, 0)
    evolved = store.plan(TABLE, frame, evolve=True)
    assert (evolved.ok, evolved.rows_after, evolved.rows_removed, evolved.major) == (True, 1, 2, 1)
    assert {change.verdict for change in store.plan(TABLE, frame, mode="append", evolve=True).changes} == {
        "allowed",
        "refused",
    }
    assert store.describe(TABLE).version == 0


def test_rows_and_files_are_counted_for_each_mode(store):
    store.save(TABLE, [{"user_id": 9, "mean": 9.5, "count": 9}], mode="append")
    more = [{"user_id": 2, "mean": 0.5, "count": 1}, {"user_id": 3, "mean": 0.5, "count": 1}]

    def counts(**how):
        plan = store.plan(TABLE, more, **how)
        return plan.rows, plan.rows_added, plan.rows_removed, plan.rows_after, plan.files, plan.files_rewritten

    assert counts() == (3, 2, 3, 2, 2, 2)
    assert counts(mode="append") == (3, 2, 0, 5, 2, 0)
    assert counts(mode="upsert") == (3, 2, 1, 4, 2, 1)
    for number in (1, 2):
        store.save("g/small", pl.DataFrame({"x": [number]}, schema={"x": pl.Int8}), mode="append")
    wider = store.plan("g/small", [{"x": 3}], mode="append")
    assert [(change.kind, change.old, change.new) for change in wider.changes] == [("widened", "Int8", "Int64")]
    assert (wider.files, wider.files_rewritten, wider.rows_after) == (2, 2, 3)


def test_a_partition_that_cannot_be_one_is_told_before_any_is_written(store):
    plan = store.plan("new/table", [{"land": "kr", "x": 1}, {"land": "", "x": 2}], partition_by="land")
    assert "cannot name a folder" in plan.refusal.message


def test_rows_that_would_be_kept_apart_are_counted(store):
    rows = [{"user_id": 3, "mean": 9.5, "count": 1}, {"user_id": 4, "mean": 0.5, "count": 1}]
    bound = {"constraints": ["mean between 0 and 5"], "mode": "append"}
    assert store.plan(TABLE, rows, **bound).refusal.code == "constraint_violated"
    plan = store.plan(TABLE, rows, on_violation="quarantine", **bound)
    assert (plan.ok, plan.rows_added, plan.rows_apart, plan.rows_after) == (True, 1, 1, 3)


def test_a_new_table_is_planned_too(store):
    plan = store.plan("new/table", ROWS, entity="user_id", online=True, rule="forward")
    assert (plan.ok, plan.version, plan.rows_after, plan.rule, plan.online) == (True, None, 2, "forward", "rebuild")
    assert not store.plan("new/table", ROWS, entity="nope").ok
    assert [info.table for info in store.tables()] == [TABLE]
    assert not (store.path / "features" / "new").exists()


def test_what_services_would_lose_is_told_under_the_names_they_use(store):
    store.rename(TABLE, "mean", "mean_rating")
    store.create_service("ranker", [f"{TABLE}:mean", f"{TABLE}:count"])
    store.create_service("all", [TABLE])
    store.create_service("pinned", [f"{TABLE}@0:mean"])
    frame = [{"user_id": 1, "count": 1}]
    for force in (False, True):
        plan = store.plan(TABLE, frame, evolve=True, force=force)
        assert {lost.service: lost.features for lost in plan.loses} == {"ranker": ("mean",), "all": ("mean_rating",)}
        assert plan.ok is force
    assert store.plan(TABLE, frame, evolve=True).refusal.code == "in_use"
    assert store.plan(TABLE, [{**ROWS[0]}], evolve=True).loses == ()


def test_what_the_online_index_would_do_is_what_it_does(store):
    for number in range(3, 9):
        store.save(TABLE, [{"user_id": number, "mean": 0.5, "count": 1}], mode="append")
    assert store.plan(TABLE, ROWS).online == "none"
    assert store.plan(TABLE, ROWS, online=True).online == "rebuild"
    store.materialize(TABLE)
    more = [{"user_id": 99, "mean": 0.5, "count": 1}]
    assert store.plan(TABLE, more, mode="append").online == "follow"
    assert store.plan(TABLE, [{**more[0], "new": 1}], mode="append").online == "follow"
    assert store.plan(TABLE, ROWS[:1], mode="upsert").online == "follow"
    assert store.plan(TABLE, ROWS).online == "rebuild"
    assert store.plan(TABLE, ROWS, online=False).online == "leave"


def test_a_save_that_expects_the_planned_version_does_as_planned_or_nothing(store):
    plan = store.plan(TABLE, ROWS)
    store.save(TABLE, ROWS, mode="append")
    assert store.plan(TABLE, ROWS, expected_version=plan.version).refusal.code == "commit_conflict"


@pytest.mark.parametrize("wrong", [{"mode": "replace"}, {"dtypes": "tiny"}])
def test_arguments_that_cannot_be_are_refused_at_once(store, wrong):
    with pytest.raises(InvalidInputError):
        store.plan(TABLE, ROWS, **wrong)


def test_a_table_that_others_closed_to_writing_is_told(store):
    deltalake.DeltaTable(store.describe(TABLE).path).alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(StorageError, match="append-only"):
        store.plan(TABLE, ROWS)
    assert store.plan(TABLE, ROWS, mode="append").ok
