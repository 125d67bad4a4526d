"""Rows in and out through files and streams."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from cli_driver import START, command, environment, ratings
from polars.testing import assert_frame_equal

from tiffin import FeatureStore

FORMATS = ["csv", "parquet", "json", "jsonl"]


def stored(table: str, **how) -> pl.DataFrame:
    return FeatureStore("feature_store").read(table, **how).to_polars()


def every_kind() -> pl.DataFrame:
    """Values of every kind that a table holds, with the ones that text formats get wrong."""
    moment = datetime(2024, 5, 31, 12, 30, 0, 123456)
    return pl.DataFrame(
        {
            "key": pl.Series([1, 2, 3], dtype=pl.Int32),
            "whole": pl.Series([2**60, -1, None], dtype=pl.Int64),
            "unsigned": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
            "small": pl.Series([1.5, None, 0.1], dtype=pl.Float32),
            "text": ["007", "", None],
            "hard": ['quote " comma , line\nbreak', " spaces ", "null"],
            "flag": [True, False, None],
            "moment": pl.Series([moment, None, moment]).dt.replace_time_zone("UTC"),
            "seoul": pl.Series([moment, None, moment]).dt.replace_time_zone("Asia/Seoul"),
            "naive": [moment, None, moment],
            "nanos": pl.Series([moment, None, moment]).cast(pl.Datetime("ns")),
            "day": [date(2024, 5, 31), None, date(1, 1, 1)],
            "clock": [time(12, 30, 0, 5), None, time(0)],
            "span": [timedelta(days=1, microseconds=7), None, timedelta(hours=-3)],
            "money": pl.Series([Decimal("1.50"), None, Decimal("-0.01")], dtype=pl.Decimal(10, 2)),
            "tier": pl.Series(["low", None, "high"], dtype=pl.Enum(["low", "high"])),
            "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical()),
            "bytes": [b"\x00\xff", None, b""],
            "list": [[1, 2], [], None],
            "counts": pl.Series([{"a": 1}, None, {"b": 2}], dtype=pl.Map(pl.String, pl.Int64)),
            "scores": pl.Series([{1: 0.5}, {}, None], dtype=pl.Map(pl.Int64, pl.Float64)),
            "record": [{"a": 1, "b": "x"}, {"a": None, "b": "y"}, {"a": 3, "b": None}],
        }
    )


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_table_written_to_a_file_and_saved_again_is_the_same(cli, form, packed):
    frame = every_kind()
    FeatureStore("feature_store").save("kinds/all", frame, entity="key")
    file = f"out.{form}{packed}"
    cli("read", "kinds/all", "-o", file)
    cli("save", "kinds/all", file)
    assert_frame_equal(stored("kinds/all"), frame)


def test_nan_and_infinity_survive_csv_and_are_null_in_json(cli):
    frame = pl.DataFrame({"x": [float("nan"), float("inf"), None, 1.0]})
    FeatureStore("feature_store").save("a/b", frame)
    cli("read", "a/b", "-o", "x.csv")
    cli("save", "a/c", "x.csv")
    assert_frame_equal(stored("a/c"), frame)
    assert [row["x"] for row in cli.json("read", "a/b")["rows"]] == [None, None, None, 1.0]
    cli("read", "a/b", "-o", "x.jsonl")
    assert [json.loads(line)["x"] for line in Path("x.jsonl").read_text().splitlines()] == [None, None, None, 1.0]


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_goes_through_a_pipe(cli, form):
    data = cli("read", "user/ratings", "-o", "-", "--format", form).stdout_bytes
    cli("save", "copy/named", "-", "--format", form, "--timestamp", "rated_at", given=data)
    cli("save", "copy/sniffed", "-", "--timestamp", "rated_at", given=data)
    for name in ("copy/named", "copy/sniffed"):
        assert_frame_equal(stored(name), stored("user/ratings"))


def test_parquet_from_a_pipe_is_what_it_is_in_a_file(cli):
    """It knows its types, and times without a zone are not taken for UTC."""
    frame = pl.DataFrame({"at": [datetime(2024, 5, 31, 12)], "code": ["007"]})
    frame.write_parquet("x.parquet")
    cli("save", "a/file", "x.parquet", "--timestamp", "at")
    cli("save", "a/pipe", "-", "--timestamp", "at", given=Path("x.parquet").read_bytes())
    assert_frame_equal(stored("a/pipe"), frame)
    assert_frame_equal(stored("a/file"), frame)


def test_a_column_without_values_takes_the_type_of_its_first_ones(cli):
    cli("save", "a/b", "-", given="id,note,count\n1,,\n")
    cli("save", "a/b", "-", "--mode", "append", given="id,note,count\n2,good,3\n")
    assert stored("a/b").rows() == [(1, None, None), (2, "good", 3)]


def test_a_pipe_may_be_compressed(cli):
    cli("save", "copy/packed", "-", given=gzip.compress(b"a,b\n1,x\n"))
    assert stored("copy/packed").to_dicts() == [{"a": 1, "b": "x"}]


def test_columns_named_as_times_are_read_as_times_in_utc(cli):
    rows = "id,at,made\n1,2024-05-01T12:00:00+02:00,2024-05-01\n2,2024-05-02 00:00,2024-05-02\n"
    cli("save", "t/csv", "-", "--timestamp", "at", "--created", "made", "--entity", "id", given=rows)
    frame = stored("t/csv")
    assert frame["at"].to_list() == [datetime(2024, 5, 1, 10, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC)]
    assert frame["made"].to_list() == [date(2024, 5, 1), date(2024, 5, 2)]
    assert cli.json("describe", "t/csv")["timestamp"] == "at"


def test_a_text_that_is_no_time_is_named_with_its_row(cli):
    failed = cli("save", "t/x", "-", "--timestamp", "at", given="id,at\n1,2024-05-01\n2,soon\n", status=1)
    assert "row 1" in failed.stderr
    assert "'soon'" in failed.stderr
    cli("describe", "t/x", status=1)


def test_appended_text_takes_the_types_of_the_table(cli):
    FeatureStore("feature_store").save("t/narrow", pl.DataFrame({"n": pl.Series([1], dtype=pl.Int16), "s": ["a"]}))
    cli("save", "t/narrow", "-", "--mode", "append", given="n,s\n2,007\n")
    cli("save", "t/narrow", "-", "--mode", "append", given='[{"n": 3, "s": "c"}]')
    frame = stored("t/narrow")
    assert frame.schema == {"n": pl.Int16, "s": pl.String}
    assert frame.rows() == [(1, "a"), (2, "007"), (3, "c")]


def test_a_value_that_has_no_place_in_its_column_is_an_error_and_changes_nothing(cli):
    failed = cli("save", "user/ratings", "-", "--mode", "append", given="user_id,mean,rated_at\nx,1,\n", status=1)
    assert "'user_id' is Int64 in the table; row 0 holds 'x'" in failed.stderr
    assert cli.json("describe", "user/ratings")["version"] == 1


def test_whole_numbers_of_any_length_keep_their_digits(cli):
    cli("save", "t/x", "-", given=f"a,b,c\n{2**64 - 1},{10**30},1e300\n1,2,3\n")
    assert stored("t/x").rows() == [(2**64 - 1, str(10**30), 1e300), (1, "2", 3.0)]


def test_an_evolving_overwrite_takes_the_types_of_the_file(cli):
    FeatureStore("feature_store").save("t/x", pl.DataFrame({"n": [1]}))
    cli("save", "t/x", "-", "--evolve", given="n\nword\n")
    assert stored("t/x").rows() == [("word",)]


def test_a_day_that_could_be_a_month_is_refused(cli):
    failed = cli("save", "t/x", "-", "--timestamp", "at", given="at\n01/02/2024\n", status=1)
    assert "'01/02/2024'" in failed.stderr
    assert "2024-05-31T12:00:00Z" in failed.stderr


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a,b\n1,2\n1\n", "Expected 2 columns, got 1"),
        ("a,a\n1,2\n", "several columns are named 'a'"),
        ("", "mpty"),
        ('[{"a": 1}', "truncated"),
        ('{"a": 1}\n{"a"', "truncated"),
        ("[1, 2]", "row 0 is of type int"),
        ('[{"a": 1}, {"a": "x"}]', "row 1"),
        (b"PAR1 and then nothing", "standard input"),
        (gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)[:-20], "damaged"),
    ],
)
def test_what_cannot_be_read_is_a_clear_error(cli, data, said):
    failed = cli("save", "bad/input", "-", given=data, status=1)
    assert said in failed.stderr
    assert failed.stderr.startswith("error: ")
    cli("describe", "bad/input", status=1)


def test_a_file_whose_name_is_no_utf8_can_be_saved(cli):
    name = os.fsdecode(b"caf\xe9.csv")
    Path(name).write_text("x\n1\n")
    assert cli.json("save", "a/b", name)["inputs"] == ["caf\N{REPLACEMENT CHARACTER}.csv"]


def test_a_file_that_is_not_there_suggests_one_that_is(cli):
    failed = cli("save", "a/b", "rating.csv", status=1)
    assert "there is no file 'rating.csv'" in failed.stderr
    assert "ratings.csv" in failed.stderr


def test_declarations_reach_the_table(cli):
    cli(
        "save", "user/all", "ratings.csv", "--entity", "user_id", "--timestamp", "rated_at", "--ttl", "30d",
        "--description", "What users gave.", "--message", "all of it", "--input", "here", "--input", "there",
    )  # fmt: skip
    told = cli.json("describe", "user/all")
    assert (told["entity"], told["timestamp"], told["description"]) == (["user_id"], "rated_at", "What users gave.")
    assert told["ttl"] == "P30D"
    [commit] = cli.json("history", "user/all")
    assert (commit["message"], commit["inputs"], commit["rows"]) == ("all of it", ["here", "there"], 12)


def test_the_file_is_the_input_unless_said_otherwise(cli):
    cli("save", "user/all", "ratings.csv")
    assert cli.json("history", "user/all")[0]["inputs"] == ["ratings.csv"]


def test_modes_partitions_and_compact_types(cli):
    cli("save", "p/q", "-", "--partition-by", "g", "--compact-dtypes", given="g,x\na,0.1\nb,0.2\n")
    assert cli.json("describe", "p/q")["partition_by"] == ["g"]
    assert stored("p/q").schema["x"] == pl.Float32
    cli("save", "user/ratings", "late.jsonl.gz", "--mode", "upsert")
    assert len(stored("user/ratings")) == 13


def test_an_expected_version_that_is_not_there_is_a_conflict(cli):
    failed = cli("save", "user/ratings", "ratings.csv", "--expected-version", "0", status=1)
    assert "version" in failed.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"a;b\n1;2\n", "separated by ';'"),
        (b"a\tb\n1\t2\n", "separated by"),
        (b"name,n\n\xe9t\xe9,1\n", "'name' of the CSV holds text that is not UTF-8"),
        (b'{"a": 1}', "not an array"),
    ],
)
def test_a_file_of_another_kind_is_not_saved_as_something_else(cli, given, said):
    form = "json" if given.startswith(b"{") else "csv"
    assert said in cli("save", "t/x", "-", "--format", form, given=given, status=1).stderr
    assert "t/x" not in [table["table"] for table in cli.json("ls")["tables"]]


def test_a_quoted_name_may_hold_a_semicolon(cli):
    cli("save", "t/x", "-", given='"a;b"\n1\n')
    assert stored("t/x").columns == ["a;b"]


def test_a_csv_too_large_for_one_block_is_a_clear_error(cli, monkeypatch):
    monkeypatch.setattr("tiffin.cli.files.intake._LARGEST_CSV", 10)
    assert "at most 10" in cli("save", "t/x", "-", given="a,b\n1,2\n3,4\n", status=1).stderr


class TestRead:
    def test_conditions_must_all_hold(self, cli):
        rows = cli.json("read", "user/ratings", "--where", "mean >= 4", "--where", "user_id in 4,5,9")["rows"]
        assert [row["user_id"] for row in rows] == [4, 5, 9]
        assert all(row["mean"] >= 4 for row in rows)

    def test_conditions_on_times_nulls_and_texts(self, cli):
        cli("save", "t/x", "-", given="name,n\nanna,1\nbob,\n")
        assert cli.json("read", "t/x", "--where", "n is null")["rows"] == [{"name": "bob", "n": None}]
        assert cli.json("read", "t/x", "--where", "name == 'anna'")["row_count"] == 1
        assert cli.json("read", "user/ratings", "--where", "rated_at < 2024-05-03")["row_count"] == 2

    @pytest.mark.parametrize(
        ("where", "said"),
        [("user_id > abc", "'abc' is not a value of column 'user_id'"), ("nam == 1", "no feature 'nam'")],
    )
    def test_a_condition_that_does_not_fit_the_table_is_an_error(self, cli, where, said):
        assert said in cli("read", "user/ratings", "--where", where, status=1).stderr

    def test_entities(self, cli):
        cli("save", "t/pairs", "-", "--entity", "a,b", given="a,b,x\n1,u,10\n1,v,11\n2,u,12\n")
        rows = cli.json("read", "t/pairs", "--entity-ids", "1:v,2:u")["rows"]
        assert [row["x"] for row in rows] == [11, 12]
        rows = cli.json("read", "user/ratings", "--entity-ids", "3", "--entity-ids", "5")["rows"]
        assert [row["user_id"] for row in rows] == [3, 5]

    def test_versions_columns_and_pages(self, cli):
        old = cli.json("read", "user/ratings", "--version", "0", "-c", "mean", "--limit", "2", "--offset", "1")
        assert old["rows"] == [{"mean": 2.0}, {"mean": 3.0}]
        assert old["versions"] == {"user/ratings": 0}
        assert cli.json("read", "user/ratings@0:mean")["rows"][0]["mean"] == 1.0
        assert cli.json("read", "ratings", "--as-of", "2100-01-01")["versions"] == {"user/ratings": 1}

    def test_times_are_iso_8601_in_utc(self, cli):
        assert cli.json("read", "user/ratings")["rows"][0]["rated_at"] == "2024-05-01T00:00:00Z"
        first = cli("read", "user/ratings").stdout.splitlines()[1]
        assert first.startswith(f"1,2.0,{START:%Y-%m-%dT%H:%M:%S}")

    def test_a_terminal_gets_the_first_rows_as_a_table(self, cli, monkeypatch):
        FeatureStore("feature_store").save("user/many", ratings(100))
        monkeypatch.setattr("tiffin.cli.files.delivery._is_terminal", lambda: True)
        shown = cli("read", "user/many").stdout
        assert "the first 20 rows" in shown
        assert len([line for line in shown.splitlines() if "2024-05" in line]) == 20
        assert "100" not in shown

    def test_columns_that_do_not_fit_are_named(self, cli, monkeypatch):
        monkeypatch.setattr("tiffin.cli.files.delivery._is_terminal", lambda: True)
        monkeypatch.setenv("COLUMNS", "40")
        cli("save", "t/wide", "-", given=",".join(f"column_{n}" for n in range(9)) + "\n" + ",".join("1" * 9) + "\n")
        shown = " ".join(cli("read", "t/wide").stdout.split())
        assert "columns more: " in shown
        assert all(f"column_{n}" in shown for n in range(9))

    def test_a_file_is_replaced_only_when_the_new_one_is_complete(self, cli, tmp_path):
        (tmp_path / "here" / "out.csv").write_text("old")
        cli("read", "user/nothing", "-o", "out.csv", status=1)
        assert (tmp_path / "here" / "out.csv").read_text() == "old"
        told = cli.json("read", "user/ratings", "-o", "out.csv")
        assert (told["rows"], told["format"]) == (12, "csv")
        assert not list((tmp_path / "here").glob(".*part"))

    def test_a_link_stays_a_link(self, cli):
        Path("behind.csv").write_text("old")
        Path("out.csv").symlink_to("behind.csv")
        cli("read", "user/ratings", "-o", "out.csv")
        assert Path("out.csv").is_symlink()
        assert Path("behind.csv").read_text().startswith("user_id,mean")

    @pytest.mark.parametrize("streams", ["1>out.csv", "7>out.csv >other"])
    def test_a_file_that_is_open_already_may_be_named(self, cli, streams):
        args = command("read", "user/ratings", "-o", f"/proc/self/fd/{streams[0]}", "--format", "csv")
        subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", *args], env=environment(), check=True, timeout=60)
        assert Path("out.csv").read_text() == cli("read", "user/ratings", "-o", "-").stdout

    def test_a_folder_that_is_not_there_is_a_clear_error(self, cli):
        assert "cannot write" in cli("read", "user/ratings", "-o", "no/where.csv", status=1).stderr

    def test_an_empty_answer_is_still_an_answer(self, cli):
        assert cli("read", "user/ratings", "--where", "mean > 99").stdout == "user_id,mean,rated_at\n"
        assert cli("read", "user/ratings", "--where", "mean > 99", "--format", "json").stdout == "[]\n"
        assert cli("read", "user/ratings", "--where", "mean > 99", "--format", "jsonl").stdout == ""
