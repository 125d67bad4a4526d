"""A diff counts what changed, by key where rows have one and as whole rows where they have none."""

from datetime import UTC, datetime

import polars as pl
import pytest

import tiffin


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


def test_rows_are_matched_by_entity_and_time(store):
    at = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 1, 1)]
    before = pl.DataFrame({"id": [1, 1, 2, 3], "at": at, "x": [1.0, 2.0, None, float("nan")], "y": list("abcd")})
    after = pl.DataFrame(
        {"id": [1, 2, 3, 4], "at": [at[0], at[0], at[0], at[0]], "x": [1.5, None, float("nan"), 9.0], "y": list("azdq")}
    )
    store.save("g/t", before, entity="id", timestamp="at")
    store.save("g/t", after)
    found = store.diff("g/t", 0)
    assert (found.old, found.new, found.rows_old, found.rows_new) == (0, 1, 4, 4)
    assert found.key == ("id", "at")
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (1, 1, 2)
    assert {column.name: column.changed for column in found.columns} == {"x": 1, "y": 1}
    assert found.examples[0] == {"id": 1, "at": at[0], "x": {"old": 1.0, "new": 1.5}}
    assert found.examples[1] == {"id": 2, "at": at[0], "y": {"old": "c", "new": "z"}}
    assert not found.is_empty


def test_null_keys_match_each_other(store):
    store.save("g/t", pl.DataFrame({"id": [None, 1], "x": [1, 2]}, schema={"id": pl.Int64, "x": pl.Int64}), entity="id")
    store.save("g/t", pl.DataFrame({"id": [None, 1], "x": [5, 2]}, schema={"id": pl.Int64, "x": pl.Int64}))
    found = store.diff("g/t", 0)
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 1)


@pytest.mark.parametrize("entity", [None, "id"])
def test_rows_without_a_key_of_their_own_are_counted_as_whole_rows(store, entity):
    store.save("g/t", pl.DataFrame({"id": [1, 1, 2], "x": ["a", "a", "b"]}), entity=entity)
    store.save("g/t", pl.DataFrame({"id": [1, 2, 2], "x": ["a", "b", "c"]}))
    found = store.diff("g/t", 0)
    assert (found.key, found.rows_added, found.rows_removed, found.rows_changed) == ((), 1, 1, 0)


def test_nested_values_are_compared_too(store):
    store.save("g/t", pl.DataFrame({"l": [[1, 2], [3]], "s": [{"a": 1}, {"a": 2}]}))
    store.save("g/t", pl.DataFrame({"l": [[1, 2], [4]], "s": [{"a": 1}, {"a": 2}]}))
    found = store.diff("g/t", 0)
    assert (found.rows_added, found.rows_removed) == (1, 1)


def test_schemas_are_compared_and_only_shared_columns_matched(store):
    store.save("g/t", pl.DataFrame({"id": [1], "x": [1], "gone": [1]}), entity="id")
    store.save("g/t", pl.DataFrame({"id": [1], "x": ["1"], "new": [1.0]}), evolve=True)
    found = store.diff("g/t", 0)
    assert found.schema == ("~ x: Int64 → String", "- gone: Int64", "+ new: Float64")
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 0)


def test_equal_versions_have_an_empty_diff(store):
    store.save("g/t", pl.DataFrame({"x": [1.0, float("nan"), None]}))
    store.save("g/t", pl.DataFrame({"x": [1.0, float("nan"), None]}))
    assert store.diff("g/t", 0, 1).is_empty
