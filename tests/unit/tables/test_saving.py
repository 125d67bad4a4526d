"""What a save does to rows that are there, and what it refuses."""

from datetime import time, timedelta

import deltalake
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import ConstraintViolated, InvalidInputError, SchemaMismatch, StorageError
from tiffin.tables.log import Log


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.mark.parametrize("mode", ["append", "upsert", "overwrite"])
@pytest.mark.parametrize(("unit", "other"), [("ms", "ns"), ("ns", "ms"), ("us", "ms")])
def test_durations_in_another_unit_are_the_same_durations(store, mode, unit, other):
    rows = pl.DataFrame({"id": [1], "d": [timedelta(milliseconds=5)]})
    store.save("g/t", rows.cast({"d": pl.Duration(unit)}), entity="id")
    store.save("g/t", rows.with_columns(pl.col("id") + 1).cast({"d": pl.Duration(other)}), mode=mode)
    read = store.read("g/t", use_cache=False).to_polars()
    assert read["d"].unique().to_list() == [timedelta(milliseconds=5)]
    assert read["id"].max() == 2


def test_compact_is_refused_where_the_column_would_stay_wide(store):
    rows = pl.DataFrame({"id": [1], "x": [0.1]})
    store.save("g/t", rows, entity="id")
    for mode in ("overwrite", "append", "upsert"):
        with pytest.raises(SchemaMismatch, match="only round values"):
            store.save("g/t", rows, mode=mode, dtypes="compact")
    assert store.read("g/t").to_polars()["x"].to_list() == [0.1]
    assert store.save("g/t", rows, dtypes="compact", evolve=True).narrowed == ("x",)
    assert store.save("g/t", rows, dtypes="compact", mode="append").narrowed == ("x",)
    assert store.read("g/t").to_polars().schema["x"] == pl.Float32


@pytest.mark.parametrize("key", ["entity", "timestamp", "partition_by"])
@pytest.mark.parametrize("days", [-(2**30), -719_163, 2_932_897, 2**30])
def test_a_key_beyond_the_calendar_is_refused(store, key, days):
    moments = pl.Series([0, days], dtype=pl.Int32).cast(pl.Date)
    rows = pl.DataFrame({"id": [1, 2], "day": moments, "x": [1, 2]})
    with pytest.raises(InvalidInputError, match="years 1 to 9999 in row 1"):
        store.save("g/t", rows, **{"entity": "id", key: "day"})


def test_the_ends_of_the_calendar_are_keys_and_what_lies_beyond_is_none(store):
    days = pl.Series([-719_162, None, 2_932_896], dtype=pl.Int32).cast(pl.Date)
    rows = pl.DataFrame({"day": days, "at": days.cast(pl.Datetime("us")), "x": [1, 2, 3]})
    store.save("g/t", rows, entity=("day", "at"))
    assert store.read("g/t", entities=rows, use_cache=False).to_polars()["x"].to_list() == [1, 3]
    beyond = rows.with_columns(pl.lit(2**62).cast(pl.Datetime("us")).alias("at"))
    with pytest.raises(InvalidInputError, match="years 1 to 9999"):
        store.read("g/t", entities=beyond)


def test_a_doubled_key_is_shown_as_it_was_given(store):
    rows = pl.DataFrame({"at": [time(3), time(3)], "x": [1, 2]})
    with pytest.raises(ConstraintViolated, match=r"at=datetime.time\(3, 0\)"):
        store.save("g/t", rows, entity="at", mode="upsert")


def test_the_files_of_upserts_are_merged_too(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store", compact_files=4)
    for number in range(20):
        store.save("g/t", [{"id": number}], entity="id", mode="upsert")
    info = store.describe("g/t")
    assert (info.rows, info.files <= 8) == (20, True)


def test_a_checkpoint_is_written_also_where_merging_made_the_version_that_is_due(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store", compact_files=3, checkpoint_every=3)
    for number in range(3):
        store.save("g/t", [{"id": number}], mode="append")
    assert store.describe("g/t").version == 3
    assert (tmp_path / "store/features/g/t/_delta_log/00000000000000000003.checkpoint.parquet").exists()


def test_what_another_writer_declared_append_only_is_only_appended_to(store):
    rows = pl.DataFrame({"id": [1]})
    path = store.save("g/t", rows, entity="id").path
    deltalake.DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "true"})
    for mode in ("overwrite", "upsert"):
        with pytest.raises(StorageError, match="append-only"):
            store.save("g/t", rows, mode=mode)
    store.save("g/t", rows, mode="append")
    assert store.compact("g/t")
    assert len(store.read("g/t")) == 2


def test_the_default_of_zstd_is_the_level_that_the_settings_name(tmp_path):
    rows = pl.DataFrame({"x": [n * n % 997 for n in range(20_000)]})
    sizes = [
        tiffin.FeatureStore(tmp_path / str(number), **level).save("g/t", rows)
        and tiffin.FeatureStore(tmp_path / str(number)).describe("g/t").size_bytes
        for number, level in enumerate([{}, {"compression_level": 1}])
    ]
    assert sizes[0] == sizes[1]


def test_a_changed_description_and_ttl_need_no_permission(store):
    rows = pl.DataFrame({"id": [1], "at": pl.Series([0]).cast(pl.Datetime("us"))})
    store.save("g/t", rows, entity="id", timestamp="at", description="old")
    store.save("g/t", rows, mode="append", description="new", ttl=timedelta(days=1))
    info = tiffin.FeatureStore(store.path).describe("g/t")
    assert (info.description, info.ttl) == ("new", timedelta(days=1))
    assert_frame_equal(store.read("g/t@0").to_polars(), rows)


def test_rows_that_another_writer_added_come_back_in_their_place(store):
    def add(*values):
        return pl.DataFrame({"x": values})

    path = store.save("g/t", add("ours")).path
    deltalake.write_deltalake(path, add("theirs"), mode="append")
    deltalake.write_deltalake(path, add("theirs too"), mode="append")
    store.save("g/t", add("ours again"), mode="append")
    before = store.read("g/t").to_polars()["x"].to_list()
    assert before == ["ours", "theirs", "theirs too", "ours again"]
    store.save("g/t", add("other"))
    store.restore("g/t", 3)
    assert store.read("g/t").to_polars()["x"].to_list() == before


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_save_looks_at_the_log_once_before_it_prepares_and_once_under_the_lock(store, monkeypatch, mode):
    looks, latest = [], Log.latest
    store.save("g/t", [{"id": 1}])
    monkeypatch.setattr(Log, "latest", lambda log: looks.append(log.table) or latest(log))
    store.save("g/t", [{"id": 2}], mode=mode)
    due = 1 if mode == "append" else 0  # whether small files are to be merged
    assert len(looks) == 2 + due


def test_a_save_that_was_overtaken_fits_itself_to_the_new_version(store, monkeypatch):
    store.save("g/t", [{"id": 1, "x": 1}], entity="id")
    other, latest = tiffin.FeatureStore(store.path), Log.latest
    wider = [{"id": 2, "x": 2, "y": 2}]

    def overtaken(log):
        seen = latest(log)
        monkeypatch.setattr(Log, "latest", latest)
        other.save("g/t", wider, mode="append")
        return seen

    monkeypatch.setattr(Log, "latest", overtaken)
    assert store.save("g/t", [{"id": 3, "x": 3}], mode="append", evolve=True).version == 2
    read = store.read("g/t", use_cache=False).to_polars().sort("id")
    assert read.rows() == [(1, 1, None), (2, 2, 2), (3, 3, None)]
