"""Whatever happens to the online index, a save stands, and the index catches up later by itself."""

from __future__ import annotations

import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import tiffin
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, notes
from tiffin.errors import NoSpace, OnlineUnavailable, StorageError, TableNotFound
from tiffin.materialize import Materializer
from tiffin.online.lmdb import LmdbIndex
from tiffin.serving import watch
from tiffin.store.opened import unpinned
from tiffin.tables.log import Log

NOW = datetime.now(UTC)
ENTITIES = 20_000


def frame(token: int, keys=range(4)) -> pl.DataFrame:
    """Rows of one save: each carries its token twice."""
    keys = list(keys)
    return pl.DataFrame(
        {"id": keys, "ts": [NOW - timedelta(days=1) + timedelta(seconds=token)] * len(keys)}
    ).with_columns(token=token, shown=pl.format("token {}", pl.lit(token)))


def save(store: tiffin.FeatureStore, token: int, **options):
    return store.save("g/t", frame(token), entity="id", timestamp="ts", mode="append", online=True, **options)


def read(store: tiffin.FeatureStore, key: int = 0) -> int:
    answer = store.prepare("g/t").read([{"id": key}]).rows()[0]
    assert answer["shown"] == f"token {answer['token']}"
    return answer["token"]


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0) as opened:
        yield opened


@pytest.mark.parametrize("error", [OnlineUnavailable, NoSpace, StorageError])
@pytest.mark.parametrize("method", ["head", "get_many", "apply"])
def test_a_save_stands_when_the_index_fails(store, monkeypatch, method, error, figure):
    save(store, 0)

    def fail(*_):
        raise error("it failed")

    monkeypatch.setattr(LmdbIndex, method, fail)
    commit = save(store, 1)
    assert commit.version == 1
    assert commit.online_version == (0 if method != "head" else -1)
    assert "has not caught up with table g/t: it failed" in commit.warnings[0]
    assert len(commit.warnings) == 1
    assert store.read("g/t").to_polars().height == 8
    monkeypatch.undo()
    assert read(store) == 1
    figure("1 saves while the index failed, each acknowledged with a warning, and online as soon as it worked again")


def test_the_first_save_stands_when_the_index_cannot_be_filled(store, monkeypatch):
    def fail(*_):
        raise NoSpace("the disk is full")

    monkeypatch.setattr(LmdbIndex, "load", fail)
    commit = save(store, 0)
    assert (commit.version, commit.online_version) == (0, -1)
    assert "the disk is full" in commit.warnings[0]
    monkeypatch.undo()
    assert save(store, 1).online_version == 1
    assert read(store) == 1


@pytest.mark.parametrize("later", ["save", "materialize", "materialize all", "prepare", "plain call", "reopen"])
def test_whatever_is_done_next_catches_up(store, monkeypatch, later):
    save(store, 0)
    monkeypatch.setattr(LmdbIndex, "apply", lambda *_: (_ for _ in ()).throw(OnlineUnavailable("away")))
    save(store, 1)
    save(store, 2)
    monkeypatch.undo()
    if later == "save":
        assert save(store, 2).online_version == 3
    elif later == "materialize":
        assert [done.version for done in store.materialize("g/t")] == [2]
    elif later == "materialize all":
        assert [done.version for done in store.materialize()] == [2]
    elif later == "prepare":
        store.prepare("g/t")
    elif later == "reopen":
        store = tiffin.FeatureStore(store.path)
    answer = store.get_online_features(["g/t:token"], [{"id": 1}])
    assert answer.to_dict()["token"] == [2]


def test_a_drop_stands_when_the_index_fails_and_its_rows_are_removed_later(store, monkeypatch):
    save(store, 0)
    monkeypatch.setattr(LmdbIndex, "drop", lambda *_: (_ for _ in ()).throw(OnlineUnavailable("away")))
    with pytest.raises(OnlineUnavailable, match="g/t is dropped, but its online rows are still there: away"):
        store.drop("g/t")
    monkeypatch.undo()
    assert store.tables() == []
    store.materialize()
    assert store._materializer.index.tables() == []


@pytest.mark.parametrize("way", ["read", "materialize", "verify"])
def test_an_index_that_is_garbage_is_filled_again(store, way, figure):
    save(store, 3)
    store.close()
    data = store.path / "online" / "data.mdb"
    for damage in (b"", os.urandom(8192), data.read_bytes()[:-4096] + bytes(4096)):
        data.write_bytes(damage)
        with tiffin.FeatureStore(store.path) as again:
            if way == "materialize":
                assert [done.version for done in again.materialize()] == [0]
            elif way == "verify":
                assert again.verify().ok
            assert read(again, 2) == 3
    figure("3 times the index was garbage, each time filled again by what was done next")


@pytest.mark.parametrize("way", ["read", "push", "materialize", "verify"])
def test_an_index_whose_rows_have_an_older_form_is_filled_again(store, monkeypatch, way):
    with monkeypatch.context() as patch:
        patch.setattr("tiffin.materialize.layout.FORMAT", 0)
        save(store, 1)
    with tiffin.FeatureStore(store.path, disk_cache_bytes=0) as upgraded:
        if way == "push":
            assert upgraded.push("g/t", frame(2)).online_version == 1
        elif way == "materialize":
            assert upgraded.materialize("g/t")[0].from_scratch
        elif way == "verify":
            assert upgraded.verify("g/t").ok
        assert read(upgraded) == (2 if way == "push" else 1)


def test_an_index_that_is_garbage_has_nothing_of_any_table(store):
    save(store, 3)
    store.close()
    (store.path / "online" / "data.mdb").write_bytes(os.urandom(8192))
    with tiffin.FeatureStore(store.path) as again:
        assert [lag.online_version for lag in again.online_lag()] == [-1]


def test_a_table_can_be_dropped_though_the_index_is_garbage(store):
    save(store, 3)
    store.close()
    (store.path / "online" / "data.mdb").write_bytes(os.urandom(8192))
    with tiffin.FeatureStore(store.path) as again:
        again.drop("g/t")
        assert again.tables() == []
        save(again, 4)
        assert read(again) == 4


# Killed


def fill_until_killed(folder: Path, log: Path) -> None:
    """Fill the index, but for the last of it: however late the kill comes, something is left to do."""
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    store._materializer._chunk_bytes = 1 << 12
    Notes(log).write(event="begin")

    def progress(_: str, done: int, total: int) -> None:
        Notes(log).write(event="read", done=done, total=total)
        while done > total * 3 // 4:
            signal.pause()

    store.materialize("g/t", progress=progress)


def push(folder: Path, log: Path) -> None:
    store, line = tiffin.FeatureStore(folder, disk_cache_bytes=0), Notes(log)
    for token in range(10_000):
        commit = store.push("g/t", frame(token))
        assert commit.online_version >= commit.version
        line.write(event="saved", token=token)


def test_a_process_killed_while_it_fills_the_index_is_followed_by_one_that_goes_on(tmp_path: Path, figure):
    folder, log = tmp_path / "store", tmp_path / "log"
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    keys = random.Random(0).sample(range(ENTITIES), ENTITIES)
    store.save("g/t", frame(7, keys), entity="id", timestamp="ts")
    for stop in (2, 4):
        filler = PROCESSES.Process(daemon=True, target=fill_until_killed, args=(folder, log))
        filler.start()
        wait_for(lambda stop=stop: len(notes(log)) > stop, "the filling to begin")
        filler.kill()
        filler.join()
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    (done,) = store.materialize("g/t")
    assert store._materializer.index.count(store._materializer.index.tables()[0]) == ENTITIES
    assert 0 < done.entities_written < ENTITIES
    assert store.verify("g/t", sample=2_000).ok
    figure(f"2 kills while the online index is filled, the next goes on after {ENTITIES - done.entities_written} rows")


@pytest.mark.parametrize("seed", range(4))
def test_what_was_pushed_before_a_kill_is_online_after_it(tmp_path: Path, seed: int, figure):
    folder, log = tmp_path / "store", tmp_path / "log"
    pusher = PROCESSES.Process(daemon=True, target=push_all, args=(folder, log))
    pusher.start()
    wait_for(lambda: len(notes(log)) > 3, "some pushes")
    # Not waiting for anything: this is the random moment.
    time.sleep(random.Random(seed).uniform(0, 0.05))
    pusher.kill()
    pusher.join()
    acknowledged = notes(log)[-1]["token"]
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    assert read(store, 3) in (acknowledged, acknowledged + 1)
    assert store.verify("g/t").ok
    figure(f"1 kills between pushes, {acknowledged + 1} acknowledged pushes, all online")


def push_all(folder: Path, log: Path) -> None:
    save(tiffin.FeatureStore(folder), 0)
    push(folder, log)


@pytest.fixture
def impatient(monkeypatch):
    """Every read looks whether the index keeps up with the table."""
    monkeypatch.setattr(watch, "LOOK_AFTER_S", 0.0)
    monkeypatch.setattr(watch, "RETRY_AFTER_S", 0.0)


def fail(*_, **__):
    raise OnlineUnavailable("away")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["plan", "plain call"])
def test_readers_catch_up_by_themselves_with_what_a_save_could_not(store, monkeypatch, kind):
    save(store, 0)
    plan = store.prepare("g/t")
    ask = plan.read if kind == "plan" else partial(store.get_online_features, "g/t")
    assert ask([{"id": 0}]).to_dict()["token"] == [0]
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "apply", fail)
        assert save(store, 1).online_version == 0
        # The index can be read, not written: it answers what it has, and the answer says so.
        answer = ask([{"id": 0}])
        assert (answer.to_dict()["token"], answer.versions) == ([0], {"g/t": 0})
    assert ask([{"id": 0}]).to_dict()["token"] == [1]


@pytest.mark.usefixtures("impatient")
def test_a_lag_is_followed_though_nothing_else_is_done_and_declarations_too(store, monkeypatch):
    save(store, 0, ttl=timedelta(days=2))
    plan = store.prepare("g/t:token")
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "apply", fail)
        save(store, 1, ttl=timedelta(hours=1), defaults={"token": -1})
    assert plan.read([{"id": 0}]).to_dict()["token"] == [-1]


def test_a_reader_gives_others_time_to_catch_up_and_a_failing_index_time_to_recover(store, monkeypatch):
    save(store, 0)
    plan = store.prepare("g/t")
    tries = []
    now = [time.monotonic()]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Materializer, "catch_up_if_free", lambda *_: tries.append(now[0]))
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "apply", fail)
        save(store, 1)
    start = now[0]
    for _ in range(3 * int(watch.RETRY_AFTER_S)):
        now[0] += 1
        plan.read([{"id": 0}])
    first, *others = (round(at - start) for at in tries)
    assert 1 < first <= 4
    assert 1 <= len(others) <= 2


@pytest.mark.usefixtures("impatient")
def test_a_reader_does_not_wait_for_one_who_is_catching_up(store, monkeypatch):
    save(store, 0)
    plan = store.prepare("g/t")
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "apply", fail)
        save(store, 1)
    table_id = store._catalog.find(unpinned("g/t")).log.require().metadata.id
    with store._materializer._alone(table_id):
        assert plan.read([{"id": 0}]).versions == {"g/t": 0}
    assert plan.read([{"id": 0}]).versions == {"g/t": 1}


@pytest.mark.usefixtures("impatient")
def test_rows_of_a_table_that_was_dropped_while_the_index_was_away_do_not_answer(store, monkeypatch):
    save(store, 0)
    plan = store.prepare("g/t")
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "drop", fail)
        with pytest.raises(OnlineUnavailable):
            store.drop("g/t")
    with pytest.raises(TableNotFound):
        plan.read([{"id": 0}])
    save(store, 5)
    assert plan.read([{"id": 0}]).to_dict()["token"] == [5]


@pytest.mark.usefixtures("impatient")
def test_rows_answer_though_the_tables_cannot_be_reached(store, monkeypatch):
    save(store, 0)
    plan = store.prepare("g/t")

    def unreadable(*_):
        raise StorageError("the disk is away")

    monkeypatch.setattr(Log, "latest", unreadable)
    assert plan.read([{"id": 0}]).to_dict()["token"] == [0]


def test_the_lag_of_each_online_table(store, monkeypatch):
    assert store.online_lag() == []
    save(store, 0)
    store.save("g/offline", [{"id": 1}])
    with monkeypatch.context() as patch:
        patch.setattr(LmdbIndex, "apply", fail)
        save(store, 1)
        save(store, 2)
        patch.setattr(LmdbIndex, "load", fail)
        store.save("g/new", [{"id": 1, "x": 1}], entity="id", online=True)
    lags = [(lag.table, lag.version, lag.online_version, lag.versions) for lag in store.online_lag()]
    assert lags == [("g/new", 0, -1, 1), ("g/t", 2, 0, 2)]
    store.materialize()
    assert [lag.versions for lag in store.online_lag()] == [0, 0]
    monkeypatch.setattr(LmdbIndex, "head", fail)
    with pytest.raises(OnlineUnavailable):
        store.online_lag()
