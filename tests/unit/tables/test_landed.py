"""Saves under a name: tried again they land once, after a restart and from several processes at once too."""

from __future__ import annotations

import threading

import polars as pl
import pytest

import tiffin
from tiffin.errors import CommitConflict, ConflictError
from tiffin.tables import landed
from tiffin.tables.actions import Once

FIRST = Once(key="a", request="1")
OTHER = Once(key="b", request="2")


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", compact_files=0) as opened:
        yield opened


def rows(*ids: int) -> pl.DataFrame:
    return pl.DataFrame({"id": list(ids)}, schema={"id": pl.Int64})


@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_save_that_is_tried_again_lands_once(store, mode):
    store.save("g/t", rows(1), entity="id")
    first = store.save("g/t", rows(2), mode=mode, once=FIRST)
    store.save("g/t", rows(3), mode="append", once=OTHER)
    again = store.save("g/t", rows(2), mode=mode, once=FIRST)
    assert (again.version, again.rows_added, again.timestamp) == (first.version, 1, first.timestamp)
    assert len(store.history("g/t")) == 3


def test_it_is_found_again_after_a_restart(store):
    store.save("g/t", rows(1), once=FIRST)
    store.save("g/t", rows(2), mode="append")
    reopened = tiffin.FeatureStore(store.path)
    assert reopened.save("g/t", rows(1), once=FIRST).version == 0
    assert len(reopened.read("g/t")) == 2


def test_a_retry_is_no_conflict_with_its_own_first_try(store):
    store.save("g/t", rows(1), expected_version=-1, once=FIRST)
    assert store.save("g/t", rows(1), expected_version=-1, once=FIRST).version == 0
    with pytest.raises(CommitConflict):
        store.save("g/t", rows(1), expected_version=-1, once=OTHER)


def test_a_name_means_one_request(store):
    store.save("g/t", rows(1), once=FIRST)
    with pytest.raises(ConflictError, match="used for another"):
        store.save("g/t", rows(2), once=Once(key="a", request="2"))
    assert len(store.history("g/t")) == 1


def test_a_table_in_the_place_of_a_dropped_one_knows_no_names(store):
    store.save("g/t", rows(1), once=FIRST)
    store.save("g/t", rows(1), once=FIRST)
    store.drop("g/t")
    assert store.save("g/t", rows(1, 2), once=FIRST).rows == 2


def test_a_pushed_row_lands_once_and_is_online_all_the_same(store):
    store.save("g/t", rows(1), entity="id")
    store.push("g/t", rows(2), once=FIRST)
    again = store.push("g/t", rows(2), once=FIRST)
    assert (again.version, again.online_version) == (1, 1)
    assert store.read("g/t").to_polars()["id"].to_list() == [1, 2]


def test_names_are_remembered_for_so_many_versions(store, monkeypatch):
    monkeypatch.setattr(landed, "RECENT", 3)
    store.save("g/t", rows(0), once=FIRST)
    store.save("g/t", rows(1))
    store.save("g/t", rows(2))
    assert store.save("g/t", rows(0), once=FIRST).version == 0
    store.save("g/t", rows(3))
    assert store.save("g/t", rows(0), once=FIRST).version == 4


def test_tries_at_the_same_time_land_once(store):
    stores = [tiffin.FeatureStore(store.path, compact_files=0) for _ in range(4)]
    barrier = threading.Barrier(len(stores))
    versions = []

    def save(one: tiffin.FeatureStore) -> None:
        barrier.wait(10)
        versions.append(one.save("g/t", rows(1, 2), mode="append", once=FIRST).version)

    store.save("g/t", rows(0))
    threads = [threading.Thread(target=save, args=(one,), daemon=True) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert versions == [1] * len(stores)
    assert len(store.read("g/t")) == 3


def test_a_name_whose_version_was_vacuumed_is_as_new_in_every_process(store):
    store.save("g/t", rows(0), once=FIRST)
    store.save("g/t", rows(1))
    for _ in range(2):
        store.save("g/t", rows(0), once=OTHER)
    store.vacuum("g/t", keep_versions=1)
    assert store.save("g/t", rows(0), once=FIRST).version == 3
