"""`tiffin train`, training sets, `tiffin explain`, `tiffin leakage`."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tiffin import FeatureStore

WRITERS = {"csv": "write_csv", "parquet": "write_parquet", "json": "write_json", "jsonl": "write_ndjson"}
MEAN = ["--features", "user/ratings:mean"]


def written(file: str) -> pl.DataFrame:
    return pl.read_parquet(file)


def joined(**how) -> pl.DataFrame:
    """What the store itself gives for the rows of `spine.csv`."""
    return FeatureStore("feature_store").get_historical_features(spine(), ["user/ratings:mean"], **how).to_polars()


def spine() -> pl.DataFrame:
    """The rows of `spine.csv`: users 1 to 6, on the day of the rating of user 4."""
    at = datetime(2024, 5, 4, tzinfo=UTC)
    return pl.DataFrame({"user_id": [1, 2, 3, 4, 5, 99], "event_timestamp": [at] * 6, "clicked": [1, 0, 1, 0, 1, 0]})


class TestTrain:
    def test_a_spine_gets_its_features_as_of_its_times(self, cli):
        told = cli.json("train", "spine.csv", *MEAN, "-o", "frame.parquet")
        assert (told["rows"], told["columns"]) == (6, ["user_id", "event_timestamp", "clicked", "mean"])
        assert written("frame.parquet")["mean"].to_list() == [2.0, 3.0, 4.0, 5.0, None, None]
        assert_frame_equal(written("frame.parquet"), joined())

    @pytest.mark.parametrize("form", WRITERS)
    def test_any_format_of_the_spine_gives_the_same_frame(self, cli, form):
        at = pl.col("event_timestamp")
        rows = spine() if form == "parquet" else spine().with_columns(at.dt.to_string("iso:strict"))
        file = Path(f"given.{form}")
        getattr(rows, {"csv": "write_csv", "json": "write_json", "jsonl": "write_ndjson"}.get(form, "write_parquet"))(
            file
        )
        cli("train", str(file), *MEAN, "-o", "named.parquet")
        cli("train", "-", *MEAN, "-o", "piped.parquet", given=file.read_bytes())
        for made in ("named.parquet", "piped.parquet"):
            assert_frame_equal(written(made), joined())

    def test_keys_that_look_like_numbers_stay_texts_where_the_table_has_texts(self, cli):
        keys = pl.DataFrame({"code": ["007", "7"], "x": [1, 2]})
        FeatureStore("feature_store").save("t/codes", keys, entity="code")
        cli("train", "-", "--features", "t/codes", "-o", "frame.parquet", given="code\n007\n7\n8\n")
        assert written("frame.parquet").rows() == [("007", 1), ("7", 2), ("8", None)]

    def test_the_lock_lies_beside_the_frame(self, cli):
        told = cli.json("train", "spine.csv", *MEAN, "-o", "frame.parquet")
        lock = json.loads(Path("frame.parquet.lock.json").read_text())
        expected = FeatureStore("feature_store").get_historical_features(spine(), ["user/ratings:mean"]).lock
        assert told["lock_file"] == "frame.parquet.lock.json"
        assert told["lock"] == lock
        assert lock["versions"] == {"user/ratings": 1}
        assert lock["references"] == ["user/ratings:mean"]
        assert (lock["spine_hash"], lock["result_hash"]) == (expected.spine_hash, expected.result_hash)
        assert "locked frame.parquet.lock.json" in cli("train", "spine.csv", *MEAN, "-o", "frame.parquet").stdout

    def test_without_an_output_the_rows_are_the_answer(self, cli):
        told = cli.json("train", "spine.csv", *MEAN)
        assert [row["mean"] for row in told["rows"]] == [2.0, 3.0, 4.0, 5.0, None, None]
        assert told["lock"]["versions"] == told["versions"] == {"user/ratings": 1}
        assert cli("train", "spine.csv", *MEAN).stdout.splitlines()[1] == "1,2024-05-04T00:00:00.000000+00:00,1,2.0"
        assert not list(Path().glob("*.lock.json"))

    def test_ttl_version_and_names_are_as_asked_for(self, cli):
        told = cli.json("train", "spine.csv", "-f", "user/ratings@0:mean", "--ttl", "1d", "--full-feature-names")
        assert [row["user__ratings__mean"] for row in told["rows"]] == [None, None, 3.0, 4.0, None, None]
        assert told["lock"]["ttl"] == "P1D"

    def test_known_at_is_a_time_or_a_column(self, cli):
        store = FeatureStore("feature_store")
        first, second = store.history("user/ratings")[1].timestamp, store.history("user/ratings")[0].timestamp
        assert second > first
        [then] = {row["mean"] for row in cli.json("train", "spine.csv", *MEAN, "--known-at", "2020-01-01")["rows"]}
        assert then is None
        late = spine().with_columns(
            seen=pl.Series([first, second] * 3).dt.to_string("iso:strict"), at="event_timestamp"
        )
        late.with_columns(pl.col("at", "event_timestamp").dt.to_string("iso:strict")).write_csv("late.csv")
        told = cli.json("train", "late.csv", *MEAN, "--known-at", "seen", "--timestamp", "at")
        assert [row["mean"] for row in told["rows"]] == [1.0, 3.0, 3.0, 5.0, None, None]

    def test_without_a_spine_there_is_a_row_for_each_entity_or_time(self, cli):
        assert len(cli.json("train", *MEAN)["rows"]) == 12
        told = cli.json("train", *MEAN, "--start", "2024-05-03", "--end", "2024-05-05")
        assert [(row["user_id"], row["mean"]) for row in told["rows"]] == [(3, 4.0), (4, 5.0), (5, 6.0)]

    def test_a_service_stands_for_its_references(self, cli):
        cli("service", "create", "ranker", "user/ratings:mean")
        told = cli.json("train", "spine.csv", "--features", "ranker")
        assert [row["mean"] for row in told["rows"]] == joined()["mean"].to_list()

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (["spine.csv", "--features", "user/rating"], "user/rating"),
            (["spine.csv", "--features", "user/ratings:man"], "did you mean 'mean'?"),
            (["ratings.csv", "--features", "user/ratings:mean"], "'mean'"),
            (["spine.cvs", "--features", "user/ratings"], "does not tell"),
        ],
    )
    def test_what_cannot_be_joined_is_a_clear_error(self, cli, args, said):
        failed = cli("train", *args, "-o", "frame.parquet", status=2 if args[0].endswith("cvs") else 1)
        assert said in " ".join(failed.stderr.split())
        assert not Path("frame.parquet").exists()

    @pytest.mark.parametrize(
        "args",
        [
            ["spine.csv"],
            ["spine.csv", *MEAN, "--ttl", "soon"],
            [*MEAN, "--start", "yesterday"],
            [*MEAN, "--known-at", "some_column"],
            ["spine.csv", *MEAN, "-o", "frame.xls"],
            ["spine.csv", *MEAN, "--service", "ranker"],
            ["spine.csv", *MEAN, "--description", "of what is not saved"],
            ["spine.csv", *MEAN, "--replace"],
        ],
    )
    def test_wrong_usage_ends_with_2(self, cli, args):
        cli("train", *args, status=2)

    @pytest.mark.parametrize("name", ["spine.csv", "./folder/../spine.csv", "link.csv"])
    @pytest.mark.parametrize("read", ["spine.csv", "link.csv"])
    def test_the_spine_is_not_written_over(self, cli, read, name):
        Path("folder").mkdir()
        Path("link.csv").symlink_to("spine.csv")
        before = Path("spine.csv").read_bytes()
        failed = cli("train", read, *MEAN, "-o", name, status=2)
        assert "the file that is read" in " ".join(failed.stderr.split())
        assert Path("spine.csv").read_bytes() == before

    def test_nor_by_the_lock(self, cli):
        shutil.copy("spine.csv", "frame.csv.lock.json")
        cli("train", "frame.csv.lock.json", "--spine-format", "csv", *MEAN, "-o", "frame.csv", status=2)
        assert Path("frame.csv.lock.json").read_bytes() == Path("spine.csv").read_bytes()

    def test_a_service_that_is_called_like_a_table(self, cli):
        cli("service", "create", "ratings", "user/ratings@0:mean")
        failed = cli("train", "spine.csv", "--features", "ratings", status=1)
        assert "--service ratings" in failed.stderr
        told = cli.json("train", "spine.csv", "--service", "ratings")
        assert told["lock"]["versions"] == {"user/ratings": 0}
        assert cli.json("leakage", "spine.csv", "--service", "ratings", "--label", "clicked")["rows"] == 6
        assert "nothing" in cli("train", "spine.csv", "--service", "nothing", status=1).stderr


class TestTrainingSets:
    def test_a_saved_training_set_is_made_again(self, cli):
        cli("train", "spine.csv", *MEAN, "-o", "first.parquet", "--save", "first_try", "--description", "a try")
        [told] = cli.json("training", "ls")
        assert (told["name"], told["rows"], told["description"]) == ("first_try", 6, "a try")
        FeatureStore("feature_store").save("user/ratings", pl.DataFrame({"user_id": [1]}), mode="append", evolve=True)
        again = cli.json("training", "reproduce", "first_try", "-o", "again.parquet")
        assert again["lock"]["result_hash"] == told["lock"]["result_hash"]
        assert_frame_equal(written("again.parquet"), written("first.parquet"))
        shown = cli("training", "ls").stdout
        assert "first_try" in shown
        assert "user/ratings@1" in shown

    def test_a_name_is_taken_until_replace_is_said(self, cli):
        cli("train", "spine.csv", *MEAN, "--save", "first_try")
        failed = cli("train", "spine.csv", *MEAN, "--save", "first_try", status=1)
        assert "first_try" in failed.stderr
        assert "--replace" in failed.stderr
        cli("train", "spine.csv", *MEAN, "--save", "first_try", "--replace")

    @pytest.mark.parametrize("output", ["nowhere/frame.csv", "spine.csv/frame.csv", f"{'x' * 300}.csv"])
    def test_nothing_is_saved_if_the_frame_cannot_be_written(self, cli, output):
        failed = cli("train", "spine.csv", *MEAN, "--save", "first_try", "-o", output, status=1)
        assert "cannot write" in failed.stderr
        assert cli.json("training", "ls") == []

    def test_no_frame_is_written_if_it_cannot_be_saved(self, cli):
        cli("train", "spine.csv", *MEAN, "--save", "first_try", "-o", "frame.csv")
        before = {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}
        cli("train", "spine.csv", *MEAN, "--ttl", "1d", "--save", "first_try", "-o", "frame.csv", status=1)
        cli("train", "spine.csv", *MEAN, "--save", "first_try", "-o", "other.csv", status=1)
        assert {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before

    def test_a_damaged_one_does_not_hide_the_others(self, cli):
        for name in ("first_try", "second_try"):
            cli("train", "spine.csv", *MEAN, "--save", name)
        [log] = Path("feature_store/registry/training_sets/first_try/_delta_log").glob("*.json")
        log.write_bytes(log.read_bytes()[:-20])
        listed = cli("training", "ls")
        assert "second_try" in listed.stdout
        assert "warning: training set 'first_try' is damaged" in listed.stderr
        assert [told["name"] for told in json.loads(cli("training", "ls", "--json").stdout)] == ["second_try"]

    def test_a_dropped_one_is_gone(self, cli):
        cli("train", "spine.csv", *MEAN, "--save", "first_try")
        assert cli.json("training", "drop", "first_try") == {"dropped": "first_try"}
        assert cli.json("training", "ls") == []
        assert "no training sets" in cli("training", "ls").stdout
        assert "first_try" in cli("training", "reproduce", "first_try", status=1).stderr


class TestExplain:
    def test_it_names_the_row_and_the_commit(self, cli):
        told = cli.json("explain", "user/ratings:mean", "4", "--at", "2024-05-06")
        assert (told["values"], told["entity"], told["version"]) == ({"mean": 5.0}, {"user_id": 4}, 1)
        assert (told["row"]["values"], told["row"]["commit"]["message"]) == ({"mean": 5.0}, "second")
        shown = cli("explain", "user/ratings:mean", "4", "--at", "2024-05-06").stdout
        assert "user/ratings@1 of user_id 4 as of 2024-05-06 00:00:00 UTC" in shown
        assert "version 1 · overwrite · second" in shown

    def test_it_says_why_a_row_does_not_count(self, cli):
        for args, reason in (
            (["--at", "2024-05-01"], "after"),
            (["--at", "2024-06-01", "--ttl", "1d"], "ttl"),
            (["--known-at", "2020-01-01"], "known_at"),
        ):
            told = cli.json("explain", "user/ratings", "4", *args)
            assert (told["row"], told["values"]) == (None, {"mean": None})
            assert reason in told["others"][0]["reason"]
            assert told["others"][0]["reason"] in " ".join(cli("explain", "user/ratings", "4", *args).stdout.split())

    def test_an_entity_without_rows_is_said_to_have_none(self, cli):
        assert "there is no row" in cli("explain", "user/ratings", "99").stdout

    def test_a_key_of_two_columns(self, cli):
        cli("save", "t/pairs", "-", "--entity", "a,b", given="a,b,x\n1,u:v,10\n")
        assert cli.json("explain", "t/pairs:x", "1:u:v")["values"] == {"x": 10}
        assert "a:b" in cli("explain", "t/pairs", "1", status=2).stderr

    def test_a_key_that_cannot_be_one_is_a_clear_error(self, cli):
        assert "'x' is not a value of column 'user_id'" in cli("explain", "user/ratings", "x", status=1).stderr
        cli("explain", "user/ratings", status=2)


class TestLeakage:
    ARGS = ("leakage", "spine.csv", "--features", "user/ratings", "--label", "clicked")

    def test_what_is_clean_ends_with_0(self, cli):
        told = cli.json(*self.ARGS)
        assert (told["ok"], told["rows"], told["features"]) == (True, 6, ["user/ratings:mean"])
        assert "no feature is known to leak" in cli(*self.ARGS).stdout

    def test_a_warning_ends_with_1_and_says_what_to_do(self, cli):
        at = pl.read_csv("ratings.csv").select("user_id", event_timestamp="rated_at", clicked=pl.col("user_id") % 2)
        at.write_csv("spine.csv")
        told = cli.json(*self.ARGS, status=1)
        [warning] = [finding for finding in told["findings"] if finding["severity"] == "warning"]
        assert (warning["check"], warning["rows"]) == ("same_time", 12)
        shown = " ".join(cli(*self.ARGS, status=1).stdout.split())
        assert warning["what"] in shown
        assert warning["advice"] in shown
        assert "no feature is known to leak" not in shown

    def test_a_label_that_is_not_there_is_a_clear_error(self, cli):
        failed = cli("leakage", "spine.csv", "-f", "user/ratings", "--label", "clickd", status=1)
        assert "did you mean 'clicked'?" in failed.stderr
