"""Rows keep their places when the files that they lie in are written anew: of equal rows the later one is the newer."""

from __future__ import annotations

import deltalake
import polars as pl
import pytest

import tiffin


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", compact_files=0) as opened:
        yield opened


def save(store, ids, x, mode):
    store.save("g/t", pl.DataFrame({"id": ids, "x": [x] * len(ids)}), entity="id", mode=mode)


def rows(store) -> list[tuple]:
    return store.read("g/t", use_cache=False).to_polars().rows()


def test_an_upsert_leaves_the_other_rows_of_a_file_before_those_of_later_files(store):
    save(store, [1, 2, 3], 0, "append")
    save(store, [1], 1, "append")
    save(store, [3, 4], 2, "append")
    save(store, [2, 4, 9], 3, "upsert")
    assert rows(store) == [(1, 0), (3, 0), (1, 1), (3, 2), (2, 3), (4, 3), (9, 3)]
    # The last file was written anew together with the fresh rows.
    assert len(store.files("g/t")) == 3
    store.restore("g/t", 2)
    assert rows(store) == [(1, 0), (2, 0), (3, 0), (1, 1), (3, 2), (4, 2)]
    store.restore("g/t", 3)
    assert rows(store) == [(1, 0), (3, 0), (1, 1), (3, 2), (2, 3), (4, 3), (9, 3)]


def test_files_that_stand_together_become_one(store):
    for x in range(4):
        save(store, [1, 2, 5 + x], x, "append")
    save(store, [5, 6], 9, "upsert")
    assert len(store.files("g/t")) == 4
    assert [x for id_, x in rows(store) if id_ in {1, 2}] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_files_of_other_writers_go_along_with_the_one_before_them(store):
    save(store, [1, 2], 0, "append")
    folder = store.describe("g/t").path
    for x in (1, 2):
        deltalake.write_deltalake(folder, pl.DataFrame({"id": [1, 3], "x": [x, x]}).to_arrow(), mode="append")
    save(store, [1, 8], 3, "append")
    save(store, [2], 4, "upsert")
    assert [x for id_, x in rows(store) if id_ == 1] == [0, 1, 2, 3]
    save(store, [3], 5, "upsert")
    assert rows(store) == [(1, 0), (1, 1), (1, 2), (1, 3), (8, 3), (2, 4), (3, 5)]
