"""A filter is about the values that people see, wherever the rows come from, and its failures are not the files'."""

from datetime import timedelta

import polars as pl
import polars.selectors as cs
import pytest

import tiffin
from tiffin.errors import CorruptData, InvalidInputError

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "long": [timedelta(days=1), timedelta(days=2), None],
        "count": pl.Series([1, 2**64 - 1, None], dtype=pl.UInt64),
        "text": ["1", "abc", None],
    }
)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        opened.save("g/t", FRAME, entity="id")
        yield opened


def both_ways(store, where):
    """Ask the files, and a version that is in memory."""
    from_files = store.read("g/t", where=where, use_cache=False).to_polars()
    store.read("g/t")
    assert store.read("g/t", where=where).to_polars().equals(from_files)
    return from_files["id"].to_list()


@pytest.mark.parametrize(
    "where",
    [
        cs.duration() > timedelta(days=1),
        pl.any_horizontal(cs.unsigned_integer() > 1),
        pl.nth(1) > timedelta(days=1),
        pl.col("^lon.$") > timedelta(days=1),
        pl.col(pl.UInt64) > 1,
        (pl.col("id") > 0) & (cs.unsigned_integer() > 1),
        pl.exclude("id", "long", "text") > 1,
    ],
    ids=str,
)
def test_a_selector_chooses_columns_by_the_types_that_people_see(store, where):
    assert both_ways(store, where) == [2]


@pytest.mark.parametrize("where", [pl.col("text").cast(pl.Int64) > 0, ("long", ">", "1d")], ids=str)
def test_a_filter_that_fails_on_a_value_is_the_callers_error(store, where):
    for _ in range(2):
        with pytest.raises(InvalidInputError, match="filter"):
            store.read("g/t", where=where)
        store.read("g/t")


def test_a_damaged_file_is_not_taken_for_a_failing_filter(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store", verify_checksums=False)
    store.save("g/t", FRAME, entity="id")
    (path,) = (tmp_path / "store/features/g/t").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptData):
        store.read("g/t", where=("id", ">", 1))
