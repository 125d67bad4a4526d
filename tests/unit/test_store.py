"""What a user of `FeatureStore` relies on, through the public face alone."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import (
    Ambiguous,
    CommitConflict,
    ConstraintViolated,
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    InvalidName,
    SchemaMismatch,
    StorageError,
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


# Reading


def test_rows_and_columns_are_selected_alike_from_files_memory_and_disk(store):
    frame = pl.DataFrame(
        {"id": range(9000), "x": [n % 7 for n in range(9000)], "u": pl.Series(range(9000), dtype=pl.UInt16)}
    )
    store.save("g/t", frame, entity="id")
    questions = [
        {"columns": ["x", "id"]},
        {"where": ("x", "==", 3), "limit": 5, "offset": 2},
        {"where": ("u", ">=", 8990), "columns": ["id"]},
        {"where": [("u", "<", 100), ("x", ">", 5)], "columns": ["id", "u"], "limit": 3},
        {"entities": [5, 990, 4], "columns": ["u"]},
        {"entities": ["7"], "where": pl.col("x") == 0},
        {"limit": 3, "offset": 8998},
        {"limit": 0},
    ]
    uncached = [store.read("g/t", use_cache=False, **question).to_polars() for question in questions]
    store.read("g/t")
    store.close()
    cached = [store.read("g/t", **question).to_polars() for question in questions]
    on_disk = tiffin.FeatureStore(store.path)
    for question, expected, memory in zip(questions, uncached, cached, strict=True):
        assert_frame_equal(memory, expected)
        assert_frame_equal(on_disk.read("g/t", **question).to_polars(), expected)
    assert on_disk.stats().disk_cache["misses"] == 0
    assert on_disk.stats().disk_cache["hits"] > 0
    assert uncached[0].columns == ["x", "id"]
    assert uncached[4]["u"].to_list() == [4, 5, 990]


def test_a_reference_may_name_one_feature(store):
    store.save("g/t", rows(1, 2, x=[5, 6], y=[7, 8]), entity="id")
    assert store.read("t:x").to_polars().rows() == [(1, 5), (2, 6)]
    with pytest.raises(FeatureNotFound, match="did you mean 'x'|there is"):
        store.read("g/t:z")
    with pytest.raises(InvalidInputError, match="both choose"):
        store.read("g/t:x", columns=["y"])


def test_only_the_files_that_can_hold_an_entity_are_opened(store):
    store.save("g/t", rows(1, 2), entity="id")
    store.save("g/t", rows(101, 102), mode="append")
    newest = max((store.path / "features/g/t").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"damaged")
    assert ids(store.read("g/t", entities=[2])) == [2]
    with pytest.raises(CorruptData, match=newest.name):
        store.read("g/t", entities=[101])


def test_a_damaged_file_is_an_error_and_never_wrong_numbers(store):
    store.save("g/t", rows(*range(100)))
    path = next((store.path / "features/g/t").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptData, match="checksum"):
        store.read("g/t")
    (finding,) = store.examine()
    assert finding.kind == "corrupt"
    assert path.name in finding.what
    path.unlink()
    with pytest.raises(CorruptData, match="missing"):
        store.read("g/t")


def test_a_caller_may_change_what_it_was_given(store):
    store.save("g/t", pd.DataFrame({"a": [1.0, 2.0], "l": [[1], [2]]}))
    store.save("g/flat", pd.DataFrame({"a": [1.0, 2.0]}))
    for table in ("g/t", "g/flat"):
        first = store.read(table).to_pandas()
        first.loc[0, "a"] = 99.0
        first["new"] = 1
        as_polars = store.read(table).to_polars()
        as_polars[0, "a"] = 98.0
        as_polars.insert_column(0, pl.Series("z", [1, 2]))
        assert store.read(table).to_pandas()["a"].tolist() == [1.0, 2.0]
        assert store.read(table).to_polars()["a"].to_list() == [1.0, 2.0]
        assert "z" not in store.read(table).columns
    store.read("g/t").to_pandas()["l"][0][0] = 77
    assert store.read("g/t").to_polars()["l"].to_list() == [[1], [2]]


def test_a_second_read_comes_from_memory_and_says_so(store):
    store.save("g/t", rows(1))
    for _ in range(5):
        store.read("g/t")
    figures = store.stats().memory_cache
    assert (figures["hits"], figures["misses"]) == (4, 1)
    store.save("g/t", rows(2))
    assert ids(store.read("g/t")) == [2]


def test_a_small_table_is_not_worth_a_file_in_the_disk_cache(store):
    store.save("g/small", rows(1))
    store.save("g/large", rows(*range(20_000)))
    store.read("g/small")
    store.read("g/large")
    store.close()
    assert store.stats().disk_cache["size"] == 1


def test_caches_can_be_turned_off(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "s", memory_cache_bytes=0, disk_cache_bytes=0)
    store.save("g/t", rows(1))
    assert ids(store.read("g/t")) == [1]
    assert store.stats().memory_cache is None
    assert store.stats().disk_cache is None
    assert not (tmp_path / "s" / "cache").exists()


@pytest.mark.parametrize(
    "question", [{"limit": -1}, {"offset": -1}, {"limit": 1.5}, {"columns": "id"}, {"version": 0, "as_of": at(1)}]
)
def test_a_question_that_makes_no_sense_is_refused(store, question):
    store.save("g/t", rows(1))
    with pytest.raises(InvalidInputError):
        store.read("g/t", **question)


# Names


@pytest.mark.parametrize(
    "name", ["t", "../t", "g/../t", "/etc/passwd", "g/t:x", "g/t@1", "g/" + "x" * 300, "g/nul", "g/a\0b", ""]
)
def test_a_save_needs_the_full_name_of_a_table(store, name):
    with pytest.raises((InvalidName, InvalidInputError)):
        store.save(name, rows(1))
    assert not (store.path / "features").exists()


def test_the_group_may_be_left_out_where_the_name_is_unique(store):
    store.save("a/t", rows(1))
    assert ids(store.read("t")) == [1]
    store.save("b/t", rows(2))
    with pytest.raises(Ambiguous, match=r"a/t, b/t") as error:
        store.read("t")
    assert error.value.context["candidates"] == ["a/t", "b/t"]


def test_a_missing_table_suggests_the_near_one(store):
    store.save("user/ratings", rows(1))
    with pytest.raises(TableNotFound, match="did you mean 'user/ratings'"):
        store.read("user/rating")
    with pytest.raises(VersionNotFound, match="versions 0 to 0"):
        store.read("user/ratings@5")
    with pytest.raises(VersionNotFound, match="versions 0 to 0"):
        store.restore("user/ratings", 5)


def test_a_symbolic_link_out_of_the_store_is_not_followed(store, tmp_path):
    elsewhere = tiffin.FeatureStore(tmp_path / "elsewhere")
    elsewhere.save("g/secret", rows(1))
    store.save("g/t", rows(1))
    (store.path / "features/g/secret").symlink_to(elsewhere.path / "features/g/secret")
    with pytest.raises(StorageError, match="symbolic link"):
        tiffin.FeatureStore(store.path).read("g/secret")
    assert [info.table for info in store.tables()] == ["g/t"]


# Bad places and bad frames


@pytest.mark.parametrize("name", ["a\0b", "a" * 300])
def test_a_base_path_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(tiffin.TiffinError, match="a"):
        tiffin.FeatureStore(tmp_path / name)


def test_a_base_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="is a file"):
        tiffin.FeatureStore(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame(), pd.DataFrame(), pd.DataFrame({"a": [1]}, index=["x"]),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": [1, "x"]}), pd.DataFrame({1: [2]}), 7, "text", None, [1, 2], {"a": [1, 2], "b": [1]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_frame_that_cannot_be_kept_changes_nothing(store, frame):
    with pytest.raises(InvalidInputError) as error:
        store.save("g/t", frame)
    assert error.value.message
    assert not (store.path / "features").exists()


@pytest.mark.parametrize("said", [{"ttl": timedelta(days=1)}, {"entity": "nope"}, {"mode": "upsert"}])
def test_a_refused_first_save_leaves_nothing_behind(store, said):
    with pytest.raises(InvalidInputError):
        store.save("g/t", rows(1), **said)
    assert not (store.path / "features").exists()


def test_infinite_values_and_nan_are_values(store):
    frame = pl.DataFrame({"x": [float("inf"), float("-inf"), float("nan"), None]})
    store.save("g/t", frame)
    assert_frame_equal(store.read("g/t", use_cache=False).to_polars(), frame)


@pytest.mark.parametrize(
    "said",
    [
        {"entity": 5}, {"entity": [1]}, {"timestamp": 5}, {"ttl": 5, "timestamp": "id"}, {"partition_by": 5},
        {"message": "x" * 20_000}, {"message": 5}, {"description": 5}, {"expected_version": "1"},
        {"message": "half \ud800"}, {"description": "half \ud800"},
    ],
    ids=str,
)  # fmt: skip
def test_an_argument_of_the_wrong_kind_is_named(store, said):
    with pytest.raises(InvalidInputError) as error:
        store.save("g/t", rows(1), **said)
    assert next(iter(said)) in error.value.message
    assert error.value.hint


def test_an_input_that_cannot_be_written_is_refused_before_anything_is(store):
    with pytest.raises(InvalidInputError, match="input"):
        store.save("g/t", rows(1), inputs=["half \ud800"])
    assert store.tables() == []


@pytest.mark.parametrize("message", [5, "x" * 20_000])
def test_a_restore_takes_no_message_that_a_save_does_not(store, message):
    store.save("g/t", rows(1))
    with pytest.raises(InvalidInputError, match="message"):
        store.restore("g/t", 0, message=message)
    assert store.history("g/t")[0].version == 0


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ({"version": "1"}, "a version is a whole number"),
        ({"version": True}, "a version is a whole number"),
        ({"as_of": "2024"}, "give a datetime"),
        ({"as_of": date(2024, 1, 1)}, "give a datetime"),
        ({"entities": 7}, "list of id"),
        ({"entities": {"id": 1}}, "list of id"),
        ({"columns": 5}, "write [5]"),
    ],
)
def test_a_question_of_the_wrong_kind_says_what_is_right(store, question, right):
    store.save("g/t", rows(1), entity="id")
    with pytest.raises(InvalidInputError) as error:
        store.read("g/t", **question)
    assert right in error.value.hint


def test_a_limit_beyond_all_rows_is_no_limit(store):
    store.save("g/t", rows(1, 2))
    assert ids(store.read("g/t", limit=10**30)) == [1, 2]


def test_one_input_may_be_given_as_a_text(store):
    assert store.save("g/t", rows(1), inputs="raw.csv").inputs == ("raw.csv",)


@pytest.mark.parametrize("said", [{"mode": "replace"}, {"dtypes": "small"}])
def test_an_unknown_choice_is_refused_with_the_known_ones(store, said):
    with pytest.raises(InvalidInputError, match="choose"):
        store.save("g/t", rows(1), **said)


@pytest.mark.parametrize("verb", ["history", "restore", "diff"])
def test_a_verb_that_is_about_all_versions_takes_no_pinned_reference(store, verb):
    store.save("g/t", rows(1))
    with pytest.raises(InvalidInputError, match="names more than a table"):
        getattr(store, verb)("g/t@0", *([] if verb == "history" else [0]))


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
