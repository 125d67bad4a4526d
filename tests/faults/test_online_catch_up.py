"""Whatever happens to the online index, a save stands, and the index catches up later by itself."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import tiffin
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, notes
from tiffin.errors import NoSpace, OnlineUnavailable, StorageError
from tiffin.online.lmdb import LmdbIndex

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
def test_a_save_stands_when_the_index_fails(store, monkeypatch, method, error):
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


def test_an_index_that_is_garbage_is_filled_again(store):
    save(store, 3)
    store.close()
    data = store.path / "online" / "data.mdb"
    for damage in (b"", os.urandom(8192), data.read_bytes()[:-4096] + bytes(4096)):
        data.write_bytes(damage)
        with tiffin.FeatureStore(store.path) as again:
            assert read(again, 2) == 3


# Killed


def fill(folder: Path, log: Path) -> None:
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    store._materializer._chunk_bytes = 1 << 12
    Notes(log).write(event="begin")
    store.materialize("g/t", progress=lambda _, done, total: Notes(log).write(event="read", done=done, total=total))


def push(folder: Path, log: Path) -> None:
    store, line = tiffin.FeatureStore(folder, disk_cache_bytes=0), Notes(log)
    for token in range(10_000):
        commit = store.push("g/t", frame(token))
        assert commit.online_version >= commit.version
        line.write(event="saved", token=token)


def test_a_process_killed_while_it_fills_the_index_is_followed_by_one_that_goes_on(tmp_path: Path):
    folder, log = tmp_path / "store", tmp_path / "log"
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    keys = random.Random(0).sample(range(ENTITIES), ENTITIES)
    store.save("g/t", frame(7, keys), entity="id", timestamp="ts")
    for stop in (2, 4):
        filler = PROCESSES.Process(daemon=True, target=fill, args=(folder, log))
        filler.start()
        wait_for(lambda stop=stop: len(notes(log)) > stop, "the filling to begin")
        filler.kill()
        filler.join()
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    (done,) = store.materialize("g/t")
    assert store._materializer.index.count(store._materializer.index.tables()[0]) == ENTITIES
    assert 0 < done.entities_written < ENTITIES
    assert store.verify("g/t", sample=2_000).ok


@pytest.mark.parametrize("seed", range(4))
def test_what_was_pushed_before_a_kill_is_online_after_it(tmp_path: Path, seed: int):
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


def push_all(folder: Path, log: Path) -> None:
    save(tiffin.FeatureStore(folder), 0)
    push(folder, log)
