"""The commands about tables, versions and upkeep, and how every command ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pytest
from cli_driver import command, environment, ratings

from tiffin import FeatureStore

NO_UTF8 = os.fsdecode(b"\xff")
TABLE = Path("feature_store/features/user/ratings")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class TestTables:
    def test_init_explains_the_settings(self, cli):
        told = cli.json("init", "--store", "fresh")
        assert "compression" in Path(told["settings_file"]).read_text()
        assert "ready" in cli("init", "--store", "fresh").stdout

    def test_ls_lists_what_is_there(self, cli):
        cli("save", "movie/facts", "ratings.csv")
        assert [table["table"] for table in cli.json("ls")["tables"]] == ["movie/facts", "user/ratings"]
        [told] = cli.json("ls", "user")["tables"]
        assert (told["version"], told["rows"], told["columns"]) == (1, 12, 3)
        shown = cli("ls").stdout
        assert "user/ratings" in shown
        assert "ago" in shown or "just now" in shown

    def test_ls_of_nothing_says_so(self, cli):
        assert "no tables in" in cli("ls", "--store", "elsewhere").stdout
        assert cli.json("ls", "--store", "elsewhere")["tables"] == []
        assert not Path("elsewhere").exists()

    def test_describe_tells_columns_and_keys(self, cli):
        told = cli.json("describe", "ratings@0")
        assert told["version"] == 0
        assert {column["name"]: column["role"] for column in told["columns"]} == {
            "user_id": "entity", "mean": "feature", "rated_at": "timestamp",
        }  # fmt: skip
        shown = cli("describe", "ratings").stdout
        assert "Float64" in shown
        assert "0 to 1 can be read" in shown

    def test_a_narrow_terminal_cuts_nothing_off(self, cli, monkeypatch):
        monkeypatch.setenv("COLUMNS", "30")
        folder = cli.json("describe", "ratings")["path"]
        assert folder in "".join(cli("describe", "ratings").stdout.split())

    def test_drop_needs_a_yes_where_nobody_can_be_asked(self, cli):
        refused = cli("drop", "user/ratings", status=2)
        assert "--yes" in refused.stderr
        assert TABLE.exists()
        assert cli.json("drop", "user/ratings", "--yes") == {"dropped": "user/ratings"}
        assert not TABLE.exists()

    @pytest.mark.parametrize(("answer", "status", "stays"), [("n\n", 1, True), ("y\n", 0, False)])
    def test_drop_asks_on_a_terminal(self, cli, monkeypatch, answer, status, stays):
        monkeypatch.setattr("tiffin.cli.commands.tables._can_ask", lambda: True)
        asked = cli("drop", "user/ratings", given=answer, status=status)
        assert "its 2 versions, for good?" in asked.stderr
        assert TABLE.exists() is stays


class TestVersions:
    def test_history_tells_who_did_what_and_why(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_AUTHOR", "ada")
        cli("save", "user/ratings", "late.jsonl.gz", "--mode", "append", "-m", "late ones")
        newest, *older = cli.json("history", "ratings")
        assert (newest["version"], newest["author"], newest["message"]) == (2, "ada", "late ones")
        assert (newest["rows"], newest["rows_added"], len(older)) == (13, 1, 2)
        assert [commit["version"] for commit in cli.json("history", "ratings", "--limit", "1")] == [2]
        shown = cli("history", "ratings").stdout
        assert "late ones" in shown
        assert "13 rows" in shown

    def test_diff_compares_the_last_two_versions_unless_told_otherwise(self, cli):
        FeatureStore("feature_store").save("user/ratings", ratings(11))
        assert cli.json("diff", "ratings")["rows_removed"] == 1
        told = cli.json("diff", "ratings", "0", "1")
        assert told["rows_changed"] == 12
        assert [(column["name"], column["changed"]) for column in told["columns"]] == [("mean", 12)]
        shown = cli("diff", "ratings", "0", "1").stdout
        assert "1 → 2" in shown

    def test_a_version_compared_with_itself_does_not_differ(self, cli):
        assert "no difference" in cli("diff", "ratings", "1", "1").stdout

    def test_restore_makes_a_new_version(self, cli):
        told = cli.json("restore", "ratings", "0", "-m", "undo")
        assert (told["version"], told["message"]) == (2, "undo")
        assert cli.json("diff", "ratings", "0", "2")["rows_changed"] == 0
        assert "version 3" in cli("restore", "ratings", "1").stdout


class TestUpkeep:
    def test_vacuum_removes_only_when_it_is_meant(self, cli):
        [would] = cli.json("vacuum", "--keep-versions", "1", "--dry-run")
        assert (would["versions_removed"], would["dry_run"]) == (1, True)
        assert len(cli.json("history", "ratings")) == 2
        assert "would be freed" in cli("vacuum", "--keep-versions", "1", "--dry-run").stdout
        assert cli.json("vacuum", "--older-than", "1h", "--keep-versions", "1")[0]["versions_removed"] == 0
        assert cli.json("vacuum", "user/ratings", "--keep-versions", "1")[0]["versions_removed"] == 1
        assert len(cli.json("history", "ratings")) == 1

    def test_backup_copies_the_store_and_says_how_much_was_new(self, cli):
        told = cli.json("backup", "copy")
        assert (told["tables"], told["versions"], told["files_there"]) == (1, 2, 0)
        assert cli.json("--store", "copy", "doctor")["healthy"]
        shown = cli("backup", "copy", "--no-check").stdout
        assert f"0 files copied (0 B), {told['files_copied']} there already" in shown
        Path("full").mkdir()
        Path("full/mine.txt").touch()
        assert "neither empty nor a backup" in cli("backup", "full", status=1).stderr

    def test_compact_merges_what_appends_left(self, cli):
        for day in (20, 40, 60):
            FeatureStore("feature_store").save("user/ratings", ratings(3, days_later=day), mode="append")
        assert cli.json("describe", "ratings")["files"] == 4
        [merged] = cli.json("compact")
        assert (merged["operation"], merged["rows"]) == ("compact", 21)
        assert cli.json("describe", "ratings")["files"] == 1
        assert "nothing to merge" in cli("compact", "ratings").stdout

    def test_doctor_finds_nothing_in_a_sound_store_and_tells_what_it_runs_on(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_COMPRESSION", "lz4")
        told = cli.json("doctor")
        assert told["healthy"]
        assert told["findings"] == []
        assert (told["tables"], told["rows"]) == (1, 12)
        assert told["versions"]["polars"] == pl.__version__
        assert told["settings"]["compression"] == "lz4"
        assert "every version can be read" in cli("doctor").stdout

    @pytest.mark.parametrize(
        ("address", "shown"),
        [
            ("redis://ada:secret@host:6379/0", "redis://ada:…@host:6379/0"),
            ("rediss://:sec/ret@host", "rediss://:…@host"),
            ("redis://host/0?password=secret", "redis://host/0?…"),
            ("lmdb", "lmdb"),
        ],
    )
    def test_doctor_shows_no_password(self, cli, monkeypatch, address, shown):
        monkeypatch.setenv("TIFFIN_ONLINE_INDEX", address)
        assert cli.json("doctor")["settings"]["online_index"] == shown
        assert "secret" not in cli("doctor").stdout

    def test_doctor_finds_a_flipped_bit(self, cli):
        flip_a_bit(next(TABLE.glob("*.parquet")))
        told = cli.json("doctor", status=1)
        assert [finding["kind"] for finding in told["findings"]] == ["corrupt"]
        shown = cli("doctor", "ratings", status=1).stdout
        assert "corrupt user/ratings: version" in shown
        assert "every version can be read" not in shown

    def test_doctor_survives_a_log_that_cannot_be_read(self, cli):
        (TABLE / "_delta_log" / f"{0:020}.json").write_text("no json\n")
        told = cli.json("doctor", status=1)
        assert told["findings"][0]["kind"] == "corrupt"


class TestEnds:
    def test_the_store_is_the_one_named_nearest(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_STORE", "by_environment")
        assert cli.json("ls")["path"].endswith("by_environment")
        assert json.loads(cli("--store", "before", "ls", "--json").stdout)["path"].endswith("before")
        assert json.loads(cli("--json", "--store", "x", "ls", "--store", "after").stdout)["path"].endswith("after")

    def test_an_error_of_ours_is_a_line_and_a_hint(self, cli):
        failed = cli("read", "user/rating", status=1)
        assert failed.stdout == ""
        assert failed.stderr.splitlines() == [
            "error: there is no table 'user/rating'",
            "hint: did you mean 'user/ratings'?",
        ]

    def test_with_json_an_error_is_json_too(self, cli):
        error = json.loads(cli("read", "user/rating", "--json", status=1).stderr)["error"]
        assert error["code"] == "table_not_found"
        assert "did you mean" in error["hint"]

    @pytest.mark.parametrize(
        "args",
        [
            ["sav"],
            ["save", "user/x"],
            ["save", "user/x", "f.csv", "--ttl", "soon"],
            ["save", "user/x", "f.csv", "--mode", "replace"],
            ["save", "user/x", "f.unknown"],
            ["read", "ratings", "--where", "mean"],
            ["read", "ratings", "--as-of", "yesterday"],
            ["read", "ratings", "-o", "file.xls"],
            ["vacuum", "--older-than", "long"],
            ["tmdb"],
            ["tmdb", "movies.jsonl.gz", "--synthetic", "3"],
            ["tmdb", "movies.jsonl.gz", "--now", "today"],
            ["demo", "--ratings", "ratings.parquet"],
        ],
    )
    def test_wrong_usage_is_status_2(self, cli, args):
        assert "Error" in cli(*args, status=2).stderr

    @pytest.mark.parametrize(
        ("args", "named"),
        [
            (["train", "spine.csv", "-f", "ratings", "--timestamp", NO_UTF8], "--timestamp"),
            (["train", "spine.csv", "-f", NO_UTF8], "--features"),
            (["train", "spine.csv", "-f", "ratings", "--known-at", NO_UTF8], "--known-at"),
            (["explain", "ratings", NO_UTF8], "KEY"),
            (["read", "ratings", "--entity-ids", NO_UTF8], "--entity-ids"),
            (["online", "get", "ratings", "--entity", f"user_id={NO_UTF8}"], "--entity"),
            (["ls", NO_UTF8, "--json"], "GROUP"),
            (["--store", NO_UTF8, "ls", "--json"], "--store"),
            (["init", "--store", NO_UTF8], "--store"),
        ],
    )
    def test_what_is_no_utf8_is_wrong_usage(self, cli, args, named):
        told = " ".join(cli(*args, status=2).stderr.split())
        assert f"Invalid value for {named}: " in told
        assert "not UTF-8" in told

    def test_but_a_file_may_be_called_by_any_bytes(self, cli):
        told = cli.process("train", "spine.csv", "-f", "ratings", "-o", f"{NO_UTF8}.csv")
        assert (told.returncode, told.stderr) == (0, b"")
        assert b"wrote \xef\xbf\xbd.csv" in told.stdout
        told = cli.json(
            "train", f"{NO_UTF8}.csv", "-f", "ratings@0", "-o", f"{NO_UTF8}.parquet", "--full-feature-names"
        )
        assert told["output"] == "\N{REPLACEMENT CHARACTER}.parquet"
        assert Path(f"{NO_UTF8}.parquet.lock.json").exists()

    def test_nor_does_one_that_lies_about_hinder_an_error_from_being_told(self, cli):
        for path in Path().glob("*.*"):
            path.unlink()
        Path(f"{NO_UTF8}.csv").touch()
        failed = cli("save", "t/x", "something_else.json", "--json", status=1)
        assert "there is no file 'something_else.json'" in json.loads(failed.stderr)["error"]["message"]

    def test_debug_shows_where_an_error_came_from(self, cli, monkeypatch):
        assert "Traceback" not in cli("read", "user/x", status=1).stderr
        monkeypatch.setenv("TIFFIN_DEBUG", "1")
        done = cli.process("read", "user/x")
        assert done.returncode == 1
        assert b"Traceback" in done.stderr
        assert b"TableNotFound" in done.stderr

    def test_a_reader_that_goes_away_is_no_error_to_speak_of(self, cli):
        FeatureStore("feature_store").save("t/long", pl.DataFrame({"n": range(200_000)}).sample(40_000, seed=0))
        for form in ("csv", "jsonl", "json", "parquet"):
            args = command("read", "t/long", "--format", form)
            with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
                process.stdout.read(10)
                process.stdout.close()
                assert process.stderr.read() == b""

    @pytest.mark.parametrize("args", [("ls",), ("ls", "--json"), ("read", "user/ratings")])
    def test_an_answer_that_cannot_be_written_is_an_error_of_ours(self, cli, args):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                command(*args), stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=60, check=False
            )
        assert done.returncode == 1
        assert b"cannot write standard output: No space left on device" in done.stderr
        assert b"Traceback" not in done.stderr

    def test_a_terminal_without_our_letters_gets_an_answer(self, cli, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        cli("save", "t/x", "-", "-m", "größer", given="name\nnämé\n")
        assert b"gr??er" in cli.process("history", "t/x").stdout
        assert json.loads(cli.process("read", "t/x", "--json").stdout)["rows"] == [{"name": "nämé"}]

    def test_an_interrupt_ends_quietly_with_130(self, cli):
        args = command("save", "t/x", "-", "--format", "csv")
        with subprocess.Popen(args, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
            # More than a pipe holds: when all of it is written and read, the program waits for the rest.
            process.stdin.write(b"a,b\n" + b"1,2\n" * 100_000)
            process.stdin.flush()
            wait_until(lambda: is_drained(process.stdin) and is_asleep(process.pid))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert process.stderr.read() == b""


def is_drained(pipe: BinaryIO) -> bool:
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"0000"))[0] == 0


def is_asleep(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
