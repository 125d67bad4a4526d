"""`tiffin tmdb` and `tiffin demo`."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict

import polars as pl
import pytest
from cli_driver import environment
from polars.testing import assert_frame_equal

from tiffin import FeatureStore
from tiffin.cli import demo, demo_report
from tiffin.cli.movie_tables import content_tables, made_up_ratings, user_preferences
from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor
from tiffin.engineering.tmdb.vocabulary import GENRES

CONTENT = ["movie_facts", "movie_genres", "movie_popularity", "movie_ratings", "movie_release", "movie_text"]
GIVEN = ["--movies", "movies.jsonl.gz", "--ratings", "ratings.parquet"]


@pytest.fixture(autouse=True)
def few_movies(monkeypatch):
    monkeypatch.setattr(demo, "MADE_UP_MOVIES", 200)


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


class TestDemo:
    def test_the_report_tells_what_is_in_the_store(self, cli, monkeypatch):
        monkeypatch.setattr("tiffin.reading._WORTH_A_FILE_BYTES", 0)
        told = cli.json("demo", *GIVEN)
        store = FeatureStore("demo_store")
        assert tables("demo_store") == sorted(each["table"] for each in told["tables"])
        assert (told["movies"], told["ratings"], told["second_save"]["ratings"]) == (60, 300, 6)
        for each in told["tables"]:
            frame = store.read(f"{each['table']}@{each['version']}").to_polars()
            assert (each["rows"], each["columns"]) == frame.shape
            assert each["memory_bytes"] == pytest.approx(frame.estimated_size(), rel=0.05)
            assert 0 < each["memory_cache_s"] < each["parquet_s"]
            assert each["disk_cache_s"] > 0
        assert [diff["rows_added"] for diff in told["second_save"]["diffs"] if "interaction" in diff["table"]] == [6]

    def test_only_users_with_late_ratings_change(self, cli):
        second = cli.json("demo", *GIVEN)["second_save"]
        [diff] = [diff for diff in second["diffs"] if diff["table"] == "user/user_preferences"]
        assert diff["rows_changed"] + diff["rows_added"] == second["users"]

    def test_it_needs_no_files_and_a_seed_repeats_it(self, cli):
        for store in ("a", "b"):
            cli("demo", "--store", store, "--seed", "7")
        for name in tables("a"):
            assert_frame_equal(*(FeatureStore(store).read(name).to_polars() for store in ("a", "b")))

    def test_a_second_run_adds_versions_and_loses_none(self, cli):
        first = cli.json("demo", *GIVEN)
        before = FeatureStore("demo_store").read("user_preferences@1").to_polars()
        second = cli.json("demo", "--seed", "1")
        assert [each["version"] for each in first["tables"]] == [0] * 8
        assert all(each["version"] in {1, 2} for each in second["tables"])
        assert_frame_equal(FeatureStore("demo_store").read("user_preferences@1").to_polars(), before)

    def test_it_leaves_the_usual_store_alone(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_STORE", "feature_store")
        cli("demo", *GIVEN)
        assert tables("feature_store") == ["user/ratings"]

    def test_every_command_that_it_names_works(self, cli):
        shown = cli("demo", *GIVEN, "--store", "a store").stdout
        for command in demo_report.next_commands("a store"):
            assert command in shown
            program, *args = shlex.split(command)
            assert program == "tiffin"
            cli(*args)

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
        assert all(command.startswith(f"{program} ") for command in demo_report.next_commands("x"))

    def test_without_a_disk_cache_it_says_so(self, cli, monkeypatch):
        monkeypatch.setenv("TIFFIN_DISK_CACHE_BYTES", "0")
        told = cli.json("demo", *GIVEN)
        assert {each["disk_cache_s"] for each in told["tables"]} == {None}
        assert " off " in cli("demo", *GIVEN).stdout

    def test_it_stops_at_a_value_that_did_not_come_back(self, cli, monkeypatch):
        monkeypatch.setattr(demo.MovieTable, "expected", lambda self: self.frame.reverse())
        assert "was not read back as it was saved" in cli("demo", *GIVEN, status=1).stderr

    def test_it_fits_a_terminal_of_80_columns(self, cli, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")
        shown = cli("demo", *GIVEN).stdout
        assert "…" not in shown
        assert max(map(len, shown.splitlines())) <= 80

    def test_it_works_without_pandas(self, cli):
        code = (
            "import sys\n"
            "class Absent:\n"
            "    def find_spec(self, name, path, target=None):\n"
            "        if name.partition('.')[0] == 'pandas':\n"
            "            raise ModuleNotFoundError(name)\n"
            "sys.meta_path.insert(0, Absent())\n"
            "from tiffin.cli import main\n"
            f"sys.argv = ['tiffin', 'demo', '--json', *{GIVEN!r}]; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=False)
        assert done.stderr == b""
        assert json.loads(done.stdout)["movies"] == 60
