"""A cached version is the version that is asked for, not another of the same number."""

import shutil

import polars as pl
import pytest

import tiffin


def test_a_version_number_that_is_given_twice_does_not_bring_back_old_rows(tmp_path):
    path, copy = tmp_path / "store", tmp_path / "copy"
    rows = pl.DataFrame({"id": range(50_000), "x": [1.0] * 50_000})
    with tiffin.FeatureStore(path) as store:
        store.save("g/t", rows)
        shutil.copytree(path / "features", copy)
        store.save("g/t", rows.with_columns(x=2.0))
        store.read("g/t")
    # The tables are put back from the copy, the cache stays; version 1 is made anew.
    shutil.rmtree(path / "features")
    shutil.move(copy, path / "features")
    with tiffin.FeatureStore(path) as store:
        store.save("g/t", rows.with_columns(x=3.0))
        assert store.read("g/t@1").to_polars()["x"].unique().to_list() == [3.0]


@pytest.mark.parametrize("kind", ["polars", "pandas", "numpy"])
def test_the_entities_may_be_a_column_of_another_frame(tmp_path, kind):
    store = tiffin.FeatureStore(tmp_path / "store")
    store.save("g/t", [{"id": 1}, {"id": 2}], entity="id")
    column = pl.DataFrame({"id": [2, 5]})["id"]
    entities = {"polars": column, "pandas": column.to_pandas(), "numpy": column.to_numpy()}[kind]
    assert store.read("g/t", entities=entities).to_polars()["id"].to_list() == [2]


def test_memory_lets_go_of_the_version_that_a_newer_one_replaced(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0) as store:
        for version in range(5):
            store.save("g/t", {"id": [version]})
            assert store.read("g/t").to_polars()["id"].to_list() == [version]
        assert store.cache_stats()["size"] == 1


def test_memory_keeps_older_versions_that_are_asked_for_beside_the_newest(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0) as store:
        for version in range(3):
            store.save("g/t", {"id": [version]})
        for _ in range(3):
            assert [store.read("g/t", version=version).to_polars()["id"].item() for version in range(3)] == [0, 1, 2]
        assert store.cache_stats()["misses"] <= 4
        store.save("g/t", {"id": [3]})
        store.read("g/t")
        before = store.cache_stats()["misses"]
        store.read("g/t@0")
        store.read("g/t@1")
        assert store.cache_stats()["misses"] == before
