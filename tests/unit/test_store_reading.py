"""What a user who reads relies on: rows and columns, caches and names; and what is refused, however it is asked for."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import (
    Ambiguous,
    CorruptData,
    FeatureNotFound,
    InvalidInputError,
    InvalidName,
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
