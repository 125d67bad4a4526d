"""What a user of `FeatureStore` relies on, through the public face alone."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import (
    CommitConflict,
    ConstraintViolated,
    InvalidInputError,
    SchemaMismatch,
    TableNotFound,
    VersionNotFound,
)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


def rows(*values, **columns) -> pl.DataFrame:
    return pl.DataFrame({"id": list(values), **columns}, schema_overrides={"id": pl.Int64})


def ids(frame) -> list[int]:
    return frame.to_polars()["id"].to_list()


def at(day: int) -> datetime:
    return datetime(2024, 1, day, tzinfo=UTC)


# Saving and versions


def test_a_save_makes_a_version_that_can_be_read_for_ever(store):
    first = store.save("g/t", rows(1, 2), message="first", inputs=["raw.csv"])
    second = store.save("g/t", rows(3))
    assert (first.version, first.rows, second.version, second.rows) == (0, 2, 1, 1)
    assert ids(store.read("g/t")) == [3]
    assert ids(store.read("g/t", version=0)) == [1, 2]
    assert ids(store.read("g/t@0")) == [1, 2]
    assert first.path == str(store.path / "features" / "g" / "t")


def test_history_tells_who_did_what_and_why(store, monkeypatch):
    monkeypatch.setenv("TIFFIN_AUTHOR", "ana")
    store.save("g/t", rows(1, 2), message="first", inputs=["raw.csv"])
    store.save("g/t", rows(3), mode="append")
    newest, oldest = store.history("g/t")
    assert (oldest.version, oldest.operation, oldest.message, oldest.inputs) == (0, "overwrite", "first", ("raw.csv",))
    assert (newest.operation, newest.rows, newest.rows_added, newest.rows_removed) == ("append", 3, 1, 0)
    assert newest.author == "ana"
    assert newest.timestamp > oldest.timestamp
    assert [commit.version for commit in store.history("g/t", limit=1)] == [1]


def test_a_table_can_be_read_as_of_a_time(store):
    first = store.save("g/t", rows(1))
    second = store.save("g/t", rows(2))
    assert ids(store.read("g/t", as_of=first.timestamp)) == [1]
    assert ids(store.read("g/t", as_of=second.timestamp - timedelta(microseconds=1))) == [1]
    assert ids(store.read("g/t", as_of=second.timestamp.replace(tzinfo=None))) == [2]
    assert ids(store.read("g/t", as_of=datetime(2100, 1, 1, tzinfo=UTC))) == [2]
    with pytest.raises(VersionNotFound, match="as of"):
        store.read("g/t", as_of=first.timestamp - timedelta(seconds=1))


def test_restore_brings_back_rows_order_and_schema_as_a_new_version(store):
    store.save("g/t", rows(2, 1))
    store.save("g/t", rows(9, 8), mode="append")
    before = store.read("g/t").to_polars()
    store.save("g/t", pl.DataFrame({"other": ["x"]}), evolve=True)
    restored = store.restore("g/t", 1)
    assert (restored.version, restored.rows, restored.operation) == (3, 4, "restore")
    assert_frame_equal(store.read("g/t").to_polars(), before)
    store.save("g/t", rows(7), mode="append")
    store.restore("g/t", 0)
    store.restore("g/t", 1)
    assert_frame_equal(store.read("g/t").to_polars(), before)


def test_dropped_means_gone_and_the_name_is_free_again(store):
    store.save("g/t", rows(1, 2), entity="id")
    store.read("g/t")
    store.drop("g/t")
    with pytest.raises(TableNotFound):
        store.read("g/t")
    assert store.tables() == []
    assert not (store.path / "features" / "g" / "t").exists()
    assert store.save("g/t", pl.DataFrame({"x": [1.5]})).version == 0
    assert store.read("g/t").columns == ["x"]


def test_expected_version_lets_only_one_of_two_writers_through(store):
    store.save("g/t", rows(1), expected_version=-1)
    store.save("g/t", rows(2), expected_version=0)
    with pytest.raises(CommitConflict, match="at version 1; version 0 was expected"):
        store.save("g/t", rows(3), expected_version=0)
    with pytest.raises(CommitConflict):
        store.save("g/t", rows(3), expected_version=-1)
    assert ids(store.read("g/t")) == [2]
    assert len(list((store.path / "features/g/t").glob("*.parquet"))) == 2


def test_append_adds_rows_behind_the_others(store):
    store.save("g/t", rows(3, 1))
    store.save("g/t", rows(2), mode="append")
    assert ids(store.read("g/t")) == [3, 1, 2]


def test_rows_with_entity_and_timestamp_are_sorted_by_them_stably(store):
    frame = pl.DataFrame({"id": [2, 1, 2, 1], "at": [at(1), at(2), at(1), at(1)], "n": [0, 1, 2, 3]})
    store.save("g/t", frame, entity="id", timestamp="at")
    assert store.read("g/t").to_polars()["n"].to_list() == [3, 1, 0, 2]


def test_upsert_replaces_rows_of_the_same_entity_and_time_and_adds_the_others(store):
    frame = pl.DataFrame({"id": [1, 1, 2], "at": [at(1), at(2), at(1)], "x": [1.0, 2.0, 3.0]})
    store.save("g/t", frame, entity="id", timestamp="at")
    commit = store.save("g/t", pl.DataFrame({"id": [1, 3], "at": [at(2), at(1)], "x": [None, 9.0]}), mode="upsert")
    assert (commit.rows, commit.rows_added, commit.rows_removed) == (4, 2, 1)
    got = store.read("g/t").to_polars().rows()
    assert got == [(1, at(1), 1.0), (1, at(2), None), (2, at(1), 3.0), (3, at(1), 9.0)]


def test_upsert_leaves_alone_the_files_that_hold_none_of_the_keys(store):
    store.save("g/t", rows(1, 2), entity="id")
    store.save("g/t", rows(11, 12), mode="append")
    before = set((store.path / "features/g/t").glob("*.parquet"))
    store.save("g/t", rows(12), mode="upsert")
    assert before <= set((store.path / "features/g/t").glob("*.parquet"))
    assert sorted(ids(store.read("g/t"))) == [1, 2, 11, 12]


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (pl.DataFrame({"id": [1, None]}), "null in 1 rows, first in row 1"),
        (pl.DataFrame({"id": [1, 2, 1]}), "2 rows .* share a key .* id=1"),
    ],
)
def test_upsert_needs_keys_that_tell_rows_apart(store, frame, problem):
    store.save("g/t", rows(1), entity="id")
    with pytest.raises(ConstraintViolated, match=problem):
        store.save("g/t", frame, mode="upsert")
    assert len(store.history("g/t")) == 1


def test_the_row_named_is_the_row_of_the_frame(store):
    frame = pl.DataFrame(
        {"id": [2, 1, 3], "at": [at(1), at(2), None]}, schema_overrides={"at": pl.Datetime("us", "UTC")}
    )
    with pytest.raises(ConstraintViolated, match="first in row 2"):
        store.save("g/t", frame, entity="id", timestamp="at", mode="upsert")


def test_upsert_without_an_entity_says_how_to_declare_one(store):
    with pytest.raises(InvalidInputError, match="declares no entity") as error:
        store.save("g/t", rows(1), mode="upsert")
    assert "entity=" in error.value.hint
    assert store.tables() == []


def test_null_keys_that_are_there_already_survive_an_upsert(store):
    store.save("g/t", pl.DataFrame({"id": [None, 1]}), entity="id")
    store.save("g/t", rows(1), mode="upsert")
    assert sorted(ids(store.read("g/t")), key=str) == [1, None]


def test_a_wider_type_keeps_the_rows_that_are_there(store):
    store.save("g/t", pl.DataFrame({"x": pl.Series([1, 2], dtype=pl.Int8)}))
    store.save("g/t", pl.DataFrame({"x": pl.Series([2**40], dtype=pl.Int64)}), mode="append")
    assert store.read("g/t").to_polars()["x"].to_list() == [1, 2, 2**40]
    assert store.read("g/t@0").schema["x"] == pl.Int8


def test_a_new_column_is_null_in_the_rows_before(store):
    store.save("g/t", rows(1))
    store.save("g/t", rows(2, x=["new"]), mode="append")
    assert store.read("g/t").to_polars().rows() == [(1, None), (2, "new")]
    assert store.read("g/t@0").columns == ["id"]


def test_a_schema_that_conflicts_changes_nothing_and_shows_both(store):
    store.save("g/t", rows(1, x=["a"]))
    with pytest.raises(SchemaMismatch) as error:
        store.save("g/t", rows(2, x=[1.5]))
    assert "x String" in str(error.value)
    assert "x Float64" in str(error.value)
    assert "evolve=True" in str(error.value)
    assert store.read("g/t").to_polars().rows() == [(1, "a")]
    store.save("g/t", rows(2, x=[1.5]), evolve=True)
    assert store.read("g/t").schema["x"] == pl.Float64


def test_naive_and_aware_times_do_not_mix(store):
    store.save("g/t", pl.DataFrame({"at": [at(1)]}))
    with pytest.raises(SchemaMismatch, match="at"):
        store.save("g/t", pl.DataFrame({"at": [datetime(2024, 1, 1)]}), mode="append")


def test_compact_narrows_floats_and_says_so(store):
    commit = store.save("g/t", pl.DataFrame({"x": [0.1], "n": [1]}), dtypes="compact")
    assert commit.narrowed == ("x",)
    assert store.history("g/t")[0].narrowed == ("x",)
    assert store.read("g/t").schema == pl.Schema({"x": pl.Float32(), "n": pl.Int64()})
    with pytest.raises(InvalidInputError, match="too large"):
        store.save("g/u", pl.DataFrame({"x": [1e300]}), dtypes="compact")


def test_pandas_frames_come_back_as_they_went_in(store):
    frame = pd.DataFrame(
        {
            "i": pd.Series([1, 2, 3], dtype="int16"),
            "f": [1.5, float("nan"), -0.0],
            "s": ["a", None, "é"],
            "c": pd.Categorical(["x", "y", "x"], categories=["y", "x", "unused"], ordered=True),
            "t": pd.to_datetime(["2024-01-01", None, "2024-06-01"]).tz_localize("Asia/Seoul"),
            "b": pd.array([True, None, False], dtype="boolean"),
        }
    )
    store.save("g/t", frame)
    for _ in range(2):
        pd.testing.assert_frame_equal(store.read("g/t").to_pandas(), frame, check_exact=True)
    fresh = tiffin.FeatureStore(store.path)
    pd.testing.assert_frame_equal(fresh.read("g/t", use_cache=False).to_pandas(), frame, check_exact=True)


def test_an_empty_frame_with_columns_is_a_table_without_rows(store):
    empty = pl.DataFrame(schema={"id": pl.Int64, "x": pl.List(pl.String)})
    assert store.save("g/t", empty, entity="id").rows == 0
    assert_frame_equal(store.read("g/t").to_polars(), empty)
    assert ids(store.read("g/t", entities=[1])) == []
    store.save("g/t", pl.DataFrame({"id": [1], "x": [["a"]]}), mode="append")
    assert ids(store.read("g/t")) == [1]


# Partitions

PARTITIONED = pl.DataFrame(
    {"kind": ["b", "a/..", None, "b", "é %=&"], "day": [1, 2, 3, 4, 5], "x": [1.0, 2.0, None, 4.0, 5.0]}
)


def test_partitions_come_back_with_every_value(store):
    store.save("g/t", PARTITIONED, partition_by="kind")
    got = store.read("g/t").to_polars()
    assert got.columns == PARTITIONED.columns
    assert_frame_equal(got.sort("day"), PARTITIONED.sort("day"))
    folder = store.path / "features/g/t"
    assert all(path.resolve().is_relative_to(folder) for path in folder.rglob("*.parquet"))
    got = store.read("g/t", where=("kind", "==", "a/.."), columns=["day"], use_cache=False).to_polars()
    assert got["day"].to_list() == [2]


def test_a_partition_value_that_cannot_be_one_is_refused(store):
    with pytest.raises(InvalidInputError, match="kind"):
        store.save("g/t", pl.DataFrame({"kind": ["a", ""], "x": [1, 2]}), partition_by="kind")
    assert store.tables() == []
    assert list((store.path / "features").rglob("*.parquet")) == []


# Keeping house


def test_vacuum_keeps_the_newest_versions_and_every_file_they_need(store):
    for number in range(10):
        store.save("g/t", rows(number), mode="append" if number % 2 else "overwrite")
    expected = {version: ids(store.read(f"g/t@{version}", use_cache=False)) for version in range(10)}
    (report,) = store.vacuum("g/t", keep_versions=3, dry_run=True)
    assert report.dry_run
    assert len(store.history("g/t")) == 10
    (report,) = store.vacuum("g/t", keep_versions=3)
    assert (report.oldest_version, report.versions_removed) == (7, 7)
    fresh = tiffin.FeatureStore(store.path)
    assert [commit.version for commit in fresh.history("g/t")] == [9, 8, 7]
    assert {version: ids(fresh.read(f"g/t@{version}", use_cache=False)) for version in (7, 8, 9)} == {
        version: expected[version] for version in (7, 8, 9)
    }
    with pytest.raises(VersionNotFound, match="vacuumed"):
        fresh.read("g/t@6", use_cache=False)
    assert len(list((store.path / "features/g/t").glob("*.parquet"))) == 4
    assert fresh.examine() == []
    fresh.save("g/t", rows(10), mode="append")
    assert ids(fresh.read("g/t")) == [*expected[9], 10]


def test_vacuum_by_age_counts_from_when_a_version_was_replaced(store):
    for number in range(3):
        store.save("g/t", rows(number))
    assert store.vacuum("g/t", older_than=timedelta(hours=1))[0].versions_removed == 0
    assert store.vacuum("g/t")[0].versions_removed == 0
    assert store.vacuum("g/t", older_than=timedelta(0))[0].versions_removed == 2


def test_retention_bounds_what_saves_leave_behind(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "s", keep_versions=5, checkpoint_every=10)
    for number in range(60):
        store.save("g/t", rows(number))
    log = list((store.path / "features/g/t/_delta_log").glob("*.json"))
    assert 5 <= len(log) <= 5 + 10
    assert len(list((store.path / "features/g/t").glob("*.parquet"))) <= 5 + 10
    assert ids(tiffin.FeatureStore(store.path).read("g/t")) == [59]


def test_compaction_merges_files_and_keeps_rows_and_order(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "s", compact_files=4)
    for number in range(20):
        store.save("g/t", rows(number), mode="append")
    assert ids(store.read("g/t", use_cache=False)) == list(range(20))
    assert store.describe("g/t").files <= 8
    assert "compact" in {commit.operation for commit in store.history("g/t")}
    store.compact()
    assert store.describe("g/t").files == 1
    assert ids(store.read("g/t", use_cache=False)) == list(range(20))
    assert store.compact() == []


def test_what_is_known_of_a_table(store):
    store.save(
        "g/t",
        pl.DataFrame({"id": [1], "at": [at(1)], "x": [1.5]}),
        entity="id",
        timestamp="at",
        ttl=timedelta(days=3),
        description="d",
    )
    info = store.describe("t")
    assert (info.table, info.version, info.rows, info.files, info.ttl) == ("g/t", 0, 1, 1, timedelta(days=3))
    assert [(column.name, column.role) for column in info.columns] == [
        ("id", "entity"),
        ("at", "timestamp"),
        ("x", "feature"),
    ]
    figures = store.stats()
    assert (figures.groups, figures.tables, figures.features, figures.rows) == (1, 1, 1, 1)
    assert (
        figures.size_bytes
        == info.size_bytes
        == sum(path.stat().st_size for path in (store.path / "features/g/t").glob("*.parquet"))
    )


def test_init_explains_every_setting_and_keeps_what_is_there(store):
    path = store.init()
    assert "compression" in path.read_text()
    path.write_text('compression = "lz4"\n')
    store.init()
    assert tiffin.FeatureStore(store.path).settings.compression == "lz4"
    path.write_text('compresion = "lz4"\n')
    with pytest.raises(InvalidInputError, match="compression"):
        tiffin.FeatureStore(store.path)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "lz4", "none"])
def test_every_compression_is_lossless(tmp_path, compression):
    frame = pl.DataFrame({"x": [0.1, float("nan"), None], "s": ["a", "", None]})
    store = tiffin.FeatureStore(tmp_path / "s", compression=compression)
    store.save("g/t", frame)
    assert_frame_equal(store.read("g/t", use_cache=False).to_polars(), frame)
