"""`tiffin tmdb` and `tiffin demo`."""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from datetime import datetime

import polars as pl
import pytest
from cli_driver import Cli, environment
from polars.testing import assert_frame_equal

from tiffin import FeatureStore
from tiffin.cli.demo import calling, course, model, prediction, report, serving, so_far, storing
from tiffin.cli.demo.movie_tables import check_ratings, content_tables, made_up_ratings, user_preferences
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor
from tiffin.engineering.tmdb.vocabulary import GENRES

CONTENT = ["movie_facts", "movie_genres", "movie_popularity", "movie_ratings", "movie_release", "movie_text"]
GIVEN = ["--movies", "movies.jsonl.gz", "--ratings", "ratings.parquet"]


@pytest.fixture(autouse=True)
def little_to_do(monkeypatch):
    monkeypatch.setattr(course, "MADE_UP_MOVIES", 80)
    monkeypatch.setattr(serving, "SIZES", {1: 50, 100: 5})


def tables(store: str) -> list[str]:
    return [info.table for info in FeatureStore(store).tables()]


def test_every_feature_is_in_one_table():
    parts = TMDBProcessor(synthetic.movies(50)).extract(MOVIE_PARTS)
    kept = [name for table in content_tables(parts) for name in table.frame.columns if name != "movie_id"]
    assert sorted(kept) == sorted(name for part in parts.values() for name in part.columns if name != "movie_id")
    assert all(len(table.frame.columns) > 1 for table in content_tables(parts))


def test_preferences_are_what_a_plain_loop_finds():
    movies = TMDBProcessor(synthetic.movies(80)).movies
    given = made_up_ratings(movies, seed=3)
    genres = {
        row["movie_id"]: [name for name in GENRES.values() if row[f"genre_{name}"]]
        for row in movies.iter_rows(named=True)
    }
    by_user = defaultdict(list)
    for row in given.iter_rows(named=True):
        by_user[row["user_id"]].append(row)
    found = user_preferences(given, movies)
    assert found["user_id"].to_list() == sorted(by_user)
    for row in found.iter_rows(named=True):
        own = by_user[row["user_id"]]
        values = [each["rating"] for each in own]
        assert row["rating_count"] == len(own)
        assert row["rating_mean"] == pytest.approx(statistics.mean(values))
        assert (row["rating_min"], row["rating_max"]) == (min(values), max(values))
        assert row["last_rated_at"] == max(each["event_timestamp"] for each in own)
        if len(own) > 1:
            assert row["rating_std"] == pytest.approx(statistics.stdev(values))
        shares = {n: sum(n in genres[each["movie_id"]] for each in own) / len(own) for n in GENRES.values()}
        assert {name: row[f"share_{name}"] for name in GENRES.values()} == pytest.approx(shares)
        assert shares[row["favourite_genre"]] == max(shares.values())


def test_preferences_of_unknown_movies_are_null():
    movies = TMDBProcessor(synthetic.movies(3)).movies
    given = pl.DataFrame({"user_id": [1], "movie_id": [99], "rating": [4.0], "event_timestamp": [None]})
    [row] = user_preferences(given, movies).to_dicts()
    assert row["favourite_genre"] is None
    assert row["share_drama"] is None
    assert row["rating_std"] is None


class TestTmdb:
    def test_made_up_movies_become_tables(self, cli):
        told = cli.json("tmdb", "--synthetic", "50", "--seed", "3", "--now", "2024-06-01", "-m", "try", "--store", "s")
        assert (told["movies"], told["features"]) == (50, 89)
        assert tables("s") == [*(f"content/{name}" for name in CONTENT), "interaction/synthetic_interactions"]
        assert FeatureStore("s").history("content/movie_text")[0].message == "try"
        again = cli("tmdb", "--synthetic", "50", "--seed", "3", "--now", "2024-06-01", "--store", "again").stdout
        assert "content/movie_genres version 0" in again
        for name in tables("s"):
            assert_frame_equal(*(FeatureStore(store).read(name).to_polars() for store in ("s", "again")))

    def test_a_file_with_ratings_also_becomes_tables_about_users(self, cli):
        cli("tmdb", "movies.jsonl.gz", "--ratings", "ratings.parquet", "--store", "s")
        assert {"user/user_preferences", "interaction/user_movie_interactions"} < set(tables("s"))
        kept = FeatureStore("s").describe("user_movie_interactions")
        assert (kept.entity, kept.timestamp, kept.rows) == (("user_id", "movie_id"), "event_timestamp", 300)
        assert FeatureStore("s").history("user_preferences")[0].inputs == ("movies.jsonl.gz", "ratings.parquet")

    def test_any_format_gives_the_same_features(self, cli):
        movies = synthetic.movies(60)
        movies.write_parquet("movies.parquet")
        movies.with_columns(pl.col("genre_ids").cast(pl.List(pl.String)).list.join("|")).write_csv("movies.csv")
        for file in ("movies.jsonl.gz", "movies.parquet", "movies.csv"):
            cli("tmdb", file, "--now", "2024-06-01", "--store", file + ".store")
        for name in (f"content/{name}" for name in CONTENT):
            first, *others = (
                FeatureStore(file + ".store").read(name).to_polars()
                for file in ("movies.jsonl.gz", "movies.parquet", "movies.csv")
            )
            for other in others:
                assert_frame_equal(first, other)

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ("user_id,movie_id,rating,when\n1,1,3,2024-05-01\n", "no column 'event_timestamp'"),
            ("user_id,movie_id,rating,event_timestamp\n1,1,3,12345\n", "event_timestamp"),
            ("user_id,movie_id,rating,event_timestamp\n1,1,,2024-05-01T00:00:00Z\n", "null"),
        ],
    )
    def test_ratings_that_cannot_be_used_are_refused_before_anything_is_saved(self, cli, tmp_path, rows, said):
        (tmp_path / "here" / "bad.csv").write_text(rows)
        failed = cli("tmdb", "movies.jsonl.gz", "--ratings", "bad.csv", "--store", "s", status=1)
        assert said in failed.stderr
        assert tables("s") == []


def test_a_model_that_knows_the_answers_looks_better_than_it_is(tmp_path):
    processor = TMDBProcessor(synthetic.movies(1500))
    given = check_ratings(made_up_ratings(processor.movies, seed=0))
    genres = [table for table in content_tables(processor.extract(MOVIE_PARTS)) if table.name == so_far.GENRES]
    store, tables = FeatureStore(tmp_path), [*so_far.tables(given), *genres]
    for table in tables:
        table.save(store, message="", inputs=[])
    spine = so_far.spine(given)
    known = store.get_historical_features(spine, list(so_far.FEATURES), timestamp="asked_at").to_polars()
    found = model.errors(known, so_far.naive(spine, {table.name: table.frame for table in tables}))
    assert found.naive < found.as_of < found.mean
    assert found.as_of < found.naive_in_life


def test_figures_so_far_are_exact_for_equal_ratings_and_know_an_instant_as_one():
    at = [datetime(2024, 5, day) for day in (1, 2, 2, 3)]
    given = pl.DataFrame({"user_id": [1] * 4, "movie_id": [1, 2, 3, 4], "rating": [3.5] * 4, "event_timestamp": at})
    assert so_far.users(given).rows() == [(1, at[0], 1, 3.5, None), (1, at[1], 3, 3.5, 0.0), (1, at[3], 4, 3.5, 0.0)]


@pytest.fixture(scope="module")
def shown(prepared, tmp_path_factory):
    """What one demo told, and its store: for tests that only look."""
    folder = tmp_path_factory.mktemp("demo")
    given = [str(prepared / name) if "." in name else name for name in GIVEN]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiffin.reading._WORTH_A_FILE_BYTES", 0)
        return Cli().json("demo", *given, "--store", folder), FeatureStore(folder)


@pytest.fixture(scope="module")
def printed(prepared, tmp_path_factory):
    """What one demo printed on 80 columns, without a server, and the folder that it was run in."""
    folder = tmp_path_factory.mktemp("printed") / "here"
    shutil.copytree(prepared, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.setenv("TIFFIN_STORE", "feature_store")
        patch.setattr(calling, "call", lambda run, ratings: None)
        patch.setattr(serving, "SIZES", {1: 50, 100: 5})
        return Cli()("demo", *GIVEN).stdout, folder


class TestDemo:
    @pytest.fixture(autouse=True)
    def one_server_is_enough(self, monkeypatch):
        """Serve over HTTP where that is looked at alone: `shown`, and where the demo is a process of its own."""
        monkeypatch.setattr(calling, "call", lambda run, ratings: None)

    def test_the_report_tells_what_is_in_the_store(self, shown):
        told, store = shown
        made = [each["table"] for each in told["tables"]]
        assert tables(store.path) == sorted([*made, so_far.USERS, so_far.MOVIES])
        assert (told["movies"], told["ratings"], told["second_save"]["ratings"]) == (60, 300, 6)
        for each in told["tables"]:
            frame = store.read(f"{each['table']}@{each['version']}").to_polars()
            assert (each["rows"], each["columns"]) == frame.shape
            assert each["memory_bytes"] == pytest.approx(frame.estimated_size(), rel=0.05)
            assert 0 < each["memory_cache_s"] < each["parquet_s"]
            assert each["disk_cache_s"] > 0
        assert [diff["rows_added"] for diff in told["second_save"]["diffs"] if "interaction" in diff["table"]] == [6]

    def test_the_training_frame_is_what_is_in_the_store(self, shown):
        told, store = shown[0]["prediction"], shown[1]
        again = store.reproduce("rating_prediction")
        assert told["result_hash"] == told["reproduced_hash"] == again.lock.result_hash
        assert told["versions"] == again.lock
        recomputed = told["recomputed"]
        assert (told["rows"], recomputed["rows"], recomputed["differences"]) == (300, 300, 0)
        assert recomputed["values"] == 300 * len(told["features"])

    def test_the_leakage_check_tells_asking_too_late_from_asking_before(self, shown):
        told = shown[0]["prediction"]
        then, before = (
            {(leak["check"], leak["table"]) for leak in told[f"leaks_asked_{when}"]} for when in ("then", "before")
        )
        assert then - before == {("same_time", so_far.USERS), ("same_time", so_far.MOVIES)}

    def test_the_value_it_explains_is_that_of_the_training_frame(self, shown):
        told = shown[0]["prediction"]["explanation"]
        frame = shown[1].reproduce("rating_prediction").to_polars()
        asked = (pl.col("user_id") == told["entity"]["user_id"]) & (
            pl.col("asked_at").dt.to_string("iso:strict") == told["at"].replace("Z", "+00:00")
        )
        assert frame.filter(asked)["user_mean"].unique().to_list() == [told["values"]["user_mean"]]
        assert told["row"]["values"] == told["values"]

    def test_a_pushed_rating_is_online_at_once_and_all_agrees(self, shown):
        told, store = shown[0]["serving"], shown[1]
        arrival = told["arrival"]
        assert arrival["count_after"] == arrival["count_before"] + 1
        entity = {name: arrival[name] for name in ("user_id", "movie_id")}
        [now] = store.get_online_features("rating_model", [entity]).rows()
        assert (now["user_count"], now["user_mean"]) == (arrival["count_after"], arrival["mean_after"])
        assert {each["table"] for each in told["materialized"]} == {so_far.USERS, so_far.MOVIES, so_far.GENRES}
        assert [each["entities"] for each in told["latencies"]] == [1, 100]
        assert all(0 < each["p50_s"] <= each["p99_s"] for each in told["latencies"])
        assert all(each["values_compared"] > each["values_different"] == 0 for each in told["verified"])

    def test_a_server_of_its_own_answers_as_the_tables_do(self, shown):
        told, store = shown[0]["called"], shown[1]
        assert told["url"].startswith("http://127.0.0.1:")
        assert told["rows"] == store.training_set("rating_prediction").rows
        assert told["verified_values"] > 0
        assert 0 < told["latency"]["p50_s"] <= told["latency"]["p99_s"]

    def test_without_what_a_server_needs_it_says_so(self, printed):
        assert "pip install 'tiffin[server]'" in " ".join(printed[0].split())

    def test_it_stops_where_a_row_knows_its_own_rating(self, cli, monkeypatch):
        late = lambda ratings: ratings.with_columns(asked_at="event_timestamp")  # noqa: E731
        monkeypatch.setattr(prediction.so_far, "spine", late)
        failed = cli("demo", *GIVEN, status=1).stderr
        assert "values are not what plain loops count" in failed
        assert "user_count is" in failed

    def test_only_users_with_late_ratings_change(self, shown):
        second = shown[0]["second_save"]
        [diff] = [diff for diff in second["diffs"] if diff["table"] == "user/user_preferences"]
        assert diff["rows_changed"] + diff["rows_added"] == second["users"]

    def test_it_needs_no_files_a_seed_repeats_it_and_a_second_run_adds_versions_and_loses_none(self, cli):
        told = [cli.json("demo", "--store", store, "--seed", "7") for store in ("demo_store", "b")]
        for name in tables("demo_store"):
            assert_frame_equal(*(FeatureStore(store).read(name).to_polars() for store in ("demo_store", "b")))
        before = FeatureStore("demo_store").read("user_preferences@1").to_polars()
        second = cli.json("demo", *GIVEN)
        assert [[each["version"] for each in first["tables"]] for first in told] == [[0] * 8] * 2
        assert all(each["version"] in {1, 2} for each in second["tables"])
        assert_frame_equal(FeatureStore("demo_store").read("user_preferences@1").to_polars(), before)

    def test_it_leaves_the_usual_store_alone(self, printed):
        assert tables(printed[1] / "feature_store") == ["user/ratings"]

    def test_every_command_that_it_names_works(self, cli, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        shown = cli("demo", *GIVEN, "--store", "a store").stdout
        lines = [shlex.split(line) for line in shown.partition("Try next:")[2].splitlines() if line]
        assert lines[0] == ["export", "TIFFIN_STORE=a store"]
        monkeypatch.setenv("TIFFIN_STORE", "a store")
        assert len(lines) == len(report.next_commands("user_id=1")) + 1
        for program, *args in lines[1:]:
            assert program == "tiffin"
            cli(*args, *(["--help"] if args == ["serve"] else []))

    @pytest.mark.parametrize(
        ("called", "program"),
        [
            ("the env/bin/tiffin", "'the env/bin/tiffin'"),
            ("/on/path/tiffin", "tiffin"),
            ("/src/tiffin/__main__.py", "tiffin"),
        ],
    )
    def test_it_names_the_program_as_the_shell_finds_it(self, monkeypatch, called, program):
        monkeypatch.setenv("PATH", "/on/path")
        monkeypatch.setattr("sys.argv", [called])
        assert all(command.startswith(f"{program} ") for command in report.next_commands("user_id=1"))

    def test_a_single_rating_will_do(self, cli):
        pl.read_parquet("ratings.parquet").head(1).write_parquet("few.parquet")
        shown = cli("demo", "--movies", "movies.jsonl.gz", "--ratings", "few.parquet").stdout
        assert "1 by 1 user" in shown
        assert "0 later ratings predicted from 1 earlier one" in shown

    def test_without_a_disk_cache_it_says_so(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_DISK_CACHE_BYTES", "0")
        assert " off " in cli("demo", *GIVEN).stdout

    def test_it_stops_at_a_value_that_did_not_come_back(self, cli, monkeypatch):
        monkeypatch.setattr(storing.MovieTable, "expected", lambda self: self.frame.reverse())
        assert "was not read back as it was saved" in cli("demo", *GIVEN, status=1).stderr

    def test_it_fits_a_terminal_of_80_columns(self, printed):
        assert "…" not in printed[0]
        assert max(map(len, printed[0].splitlines())) <= 80

    def test_it_works_without_pandas(self, cli):
        code = (
            "import sys\n"
            "class Absent:\n"
            "    def find_spec(self, name, path, target=None):\n"
            "        if name.partition('.')[0] == 'pandas':\n"
            "            raise ModuleNotFoundError(name)\n"
            "sys.meta_path.insert(0, Absent())\n"
            "from tiffin.cli import main\n"
            "from tiffin.cli.demo import calling, serving\n"
            # The server has a test of its own.
            "calling.call = lambda run, ratings: None\n"
            "serving.SIZES = {1: 50, 100: 5}\n"
            f"sys.argv = ['tiffin', 'demo', '--json', *{GIVEN!r}]; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=False)
        assert done.stderr == b""
        assert json.loads(done.stdout)["movies"] == 60
