"""Merging files a stretch at a time: what one file of all rows, sorted at once, would hold."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import CorruptData, StorageError
from tiffin.schema.names import parse_reference
from tiffin.tables import datafiles, merging
from tiffin.tables.table import Table

MAY = datetime(2024, 5, 1, tzinfo=UTC)
KEYS = {
    "whole": (pl.Int64(), [*range(-3, 7), None]),
    "text": (pl.String(), ["", "a", "ä", "zz", "a longer text than twelve bytes", None]),
    "day": (pl.Date(), [date(2024, 1, day) for day in range(1, 20)]),
    "unsigned": (pl.UInt64(), [0, 7, 2**63, 2**64 - 1]),
    "bytes": (pl.Binary(), [b"", b"\x00", b"\xff", None]),
    "boolean": (pl.Boolean(), [False, True, None]),
    "one alone": (pl.Int64(), [7]),
    "none at all": (pl.Int64(), [None]),
}


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(merging, "_STRETCH_BYTES", 600)


def rows(rng: random.Random, dtype: pl.DataType, keys: list, first: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "k": pl.Series([rng.choice(keys) for _ in range(40)], dtype=dtype),
            "at": [MAY + timedelta(days=rng.randrange(3)) for _ in range(40)],
            "n": range(first, first + 40),
        }
    )


def filled(folder, dtype=KEYS["whole"][0], keys=KEYS["whole"][1], *, is_sorted: bool = True) -> tiffin.FeatureStore:
    """A store with a table of four files, three rows of which are in a row group."""
    store, rng = tiffin.FeatureStore(folder, compact_files=0, row_group_rows=3, disk_cache_bytes=0), random.Random(1)
    how = {"entity": "k", "timestamp": "at"} if is_sorted else {}
    for number in range(4):
        store.save("g/t", rows(rng, dtype, keys, 40 * number), mode="append", **how)
    return store


def table_of(store: tiffin.FeatureStore) -> Table:
    return store._catalog.resolve(parse_reference("g/t"))[0]


@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "as saved"])
@pytest.mark.parametrize(("dtype", "keys"), KEYS.values(), ids=KEYS)
def test_stretches_are_what_all_at_once_would_be(tmp_path, few_at_once, dtype, keys, is_sorted):
    store = filled(tmp_path, dtype, keys, is_sorted=is_sorted)
    before = store.read("g/t", use_cache=False).to_polars()
    store.compact("g/t")
    (file,) = store.files("g/t")
    expected = before.sort("k", "at", maintain_order=True) if is_sorted else before
    assert_frame_equal(tiffin.FeatureStore(tmp_path).read("g/t").to_polars(), expected)
    groups = pq.ParquetFile(file).metadata
    assert {groups.row_group(number).num_rows for number in range(groups.num_row_groups - 1)} == {3}


def test_what_is_known_of_the_file_is_what_is_in_it(tmp_path, few_at_once):
    store = filled(tmp_path)
    store.compact("g/t")
    (add,) = table_of(store).log.require().files.values()
    frame = pl.read_parquet(store.files("g/t"))
    known = add.known
    assert (known.num_records, known.null_count) == (160, {"k": frame["k"].null_count(), "at": 0})
    assert (known.min_values["k"], known.max_values["k"]) == (frame["k"].min(), frame["k"].max())
    bounds = [known.min_values["at"], known.max_values["at"]]
    assert list(map(datetime.fromisoformat, bounds)) == [frame["at"].min(), frame["at"].max()]


def test_no_more_is_read_at_once_than_a_stretch(tmp_path, few_at_once):
    store = filled(tmp_path)
    table, state = table_of(store), table_of(store).log.require()
    heights = [stretch.height for stretch in merging.stretches(table, list(state.files.values()), state.spec)]
    assert sum(heights) == 160
    most_of_a_key = store.read("g/t").to_polars()["k"].value_counts()["count"].max()
    assert max(heights) <= 600 // 24 + 1 + most_of_a_key
    assert len(heights) >= 4


@pytest.mark.parametrize(("most_bytes", "files"), [(1500, 2), (601, 3), (1, 5)])
def test_much_becomes_several_files_in_order(tmp_path, few_at_once, monkeypatch, most_bytes, files):
    monkeypatch.setattr(datafiles, "_MAX_FRAME_BYTES", most_bytes)
    store = filled(tmp_path)
    expected = store.read("g/t").to_polars().sort("k", "at", maintain_order=True)
    store.compact("g/t")
    assert len(store.files("g/t")) >= files
    assert_frame_equal(tiffin.FeatureStore(tmp_path).read("g/t").to_polars(), expected)


def files_of(store: tiffin.FeatureStore) -> set[str]:
    return {path.name for path in (store.path / "features/g/t").glob("*.parquet")}


@pytest.mark.parametrize("is_sorted", [True, False], ids=["sorted", "as saved"])
def test_a_file_that_is_damaged_leaves_all_as_it_was(tmp_path, few_at_once, is_sorted):
    store = filled(tmp_path, is_sorted=is_sorted)
    path = next(iter(store.path.glob("features/g/t/*.parquet")))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    again, before = tiffin.FeatureStore(tmp_path), files_of(store)
    with pytest.raises(CorruptData):
        again.compact("g/t")
    assert (files_of(store), again.describe("g/t").version) == (before, 3)


def test_a_disk_that_is_full_meanwhile_leaves_all_as_it_was(tmp_path, few_at_once, monkeypatch):
    store = filled(tmp_path)
    before, write = files_of(store), datafiles._Seal.write
    left = iter(range(3))

    def fails(seal, data):
        if next(left, None) is None:
            raise seal_error(seal)
        return write(seal, data)

    def seal_error(seal) -> OSError:
        seal._error = OSError(28, "No space left on device")
        return seal._error

    monkeypatch.setattr(datafiles._Seal, "write", fails)
    with pytest.raises(StorageError, match="No space left"):
        store.compact("g/t")
    assert (files_of(store), store.describe("g/t").version) == (before, 3)


def test_rows_that_are_not_found_again_are_noticed(tmp_path, few_at_once, monkeypatch):
    """As if the statistics of another writer's file were wrong, by which Polars passes over parts of it."""
    store = filled(tmp_path)
    monkeypatch.setattr(merging, "_between", lambda key, low, high, dtype: key < 3)
    before = files_of(store)
    with pytest.raises(CorruptData, match="have 160 rows, of which"):
        store.compact("g/t")
    assert (files_of(store), store.describe("g/t").version) == (before, 3)


@pytest.mark.slow
def test_memory_does_not_hold_what_is_merged(tmp_path):
    store, rng = tiffin.FeatureStore(tmp_path, compact_files=0, disk_cache_bytes=0), np.random.default_rng(0)
    for _ in range(4):
        values = {f"x{place}": rng.normal(size=500_000).round(2) for place in range(10)}
        keys = {"k": rng.integers(0, 50_000, 500_000), "at": pl.Series(rng.integers(0, 10**14, 500_000))}
        frame = pl.DataFrame({**keys, **values}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
        store.save("g/t", frame, entity="k", timestamp="at", mode="append")
    rows_bytes = 4 * frame.estimated_size()
    code = (
        "import resource, sys, tiffin\n"
        "from tiffin.tables import merging\n"
        "merging._STRETCH_BYTES = 16 << 20\n"
        "store = tiffin.FeatureStore(sys.argv[1], compact_files=0)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "store.compact('g/t')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, timeout=90
    )
    # All of them at once, and once more sorted, would be twice as much, and what writing takes.
    assert int(done.stdout) < 1.5 * rows_bytes
    assert len(store.files("g/t")) == 1
