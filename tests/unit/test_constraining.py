"""Constraints of tables in a store: what a save may do, what is kept apart, what is checked of rows that are there."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

import tiffin
from tiffin import wire
from tiffin.errors import ConstraintViolated, InvalidInputError, SchemaMismatch
from tiffin.tables import checking, quarantine, saving

GOOD = [{"user_id": 1, "rating": 4.0, "genre": "drama"}, {"user_id": 2, "rating": 5.0, "genre": None}]
RULES = ["rating between 0 and 5", "rating is not null", 'genre in ["drama", "comedy"]', "unique"]
NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def ratings(store):
    store.save("user/ratings", GOOD, entity="user_id", constraints=RULES)
    return store


def row(user_id, rating, genre="drama"):
    return {"user_id": user_id, "rating": rating, "genre": genre}


def files(store):
    return sorted(path.name for path in (store.path / "features/user/ratings").rglob("*.*") if path.is_file())


def constraints(store, name="user/ratings"):
    table = store._named(name)[0]
    return [each.name for each in table.log.require().spec.constraints]


@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_save_that_breaks_constraints_commits_nothing_and_says_which(ratings, mode):
    before = files(ratings)
    with pytest.raises(ConstraintViolated) as caught:
        ratings.save("user/ratings", [row(3, 9.0), row(4, None, "noir"), row(5, 1.0)], mode=mode)
    assert files(ratings) == before
    assert ratings.read("user/ratings").to_polars().to_dicts() == GOOD
    message = str(caught.value)
    assert "rating_range (rating between 0 and 5): 1 row, such as user_id=3 rating=9.0" in message
    assert "on_violation='quarantine'" in message
    told = json.loads(wire.encode(caught.value.context))["violations"]
    assert [(each["constraint"], each["rows"], each["examples"]) for each in told] == [
        ("rating_range", 1, [{"user_id": 3, "rating": 9.0}]),
        ("rating_not_null", 1, [{"user_id": 4, "rating": None}]),
        ("genre_values", 1, [{"user_id": 4, "genre": "noir"}]),
    ]


def test_a_first_save_is_checked_and_makes_no_table(store):
    with pytest.raises(ConstraintViolated, match="at least 3 rows"):
        store.save("user/ratings", GOOD, constraints=["at least 3 rows"])
    assert store.tables() == []
    assert not (store.path / "features/user").exists()


def test_at_most_five_examples_are_shown(store):
    with pytest.raises(ConstraintViolated) as caught:
        store.save("user/ratings", [row(n, -1.0) for n in range(1000)], constraints=["rating >= 0"])
    (told,) = caught.value.context["violations"]
    assert told["rows"] == 1000
    assert len(told["examples"]) == 5


def test_what_only_warns_is_saved_and_told(store):
    commit = store.save("user/ratings", GOOD, constraints=[{"column": "rating", "max": 4, "severity": "warn"}])
    assert commit.version == 0
    assert any("rating_max" in warning and "1 row" in warning for warning in commit.warnings)
    assert store.check("user/ratings").ok
    assert store.check("user/ratings").violations[0].rows == 1


@pytest.mark.parametrize(("mode", "rows"), [("append", [row(2, 1.0)]), ("append", [row(7, 1.0), row(7, 2.0)])])
def test_keys_are_unique_among_rows_that_arrive_and_that_stay(ratings, mode, rows):
    with pytest.raises(ConstraintViolated, match="unique"):
        ratings.save("user/ratings", rows, mode=mode)
    assert ratings.save("user/ratings", [row(2, 1.0)], mode="upsert").rows == 2


def test_an_upsert_keeps_other_keys_unique_too(store):
    rows = [{"user_id": 1, "mail": "a"}, {"user_id": 2, "mail": "b"}]
    store.save("user/ratings", rows, entity="user_id", constraints=["unique mail"])
    with pytest.raises(ConstraintViolated, match="mail"):
        store.save("user/ratings", [{"user_id": 3, "mail": "a"}], mode="upsert")
    # Who has the address leaves it in the same save.
    store.save("user/ratings", [{"user_id": 1, "mail": "c"}, {"user_id": 3, "mail": "a"}], mode="upsert")
    store.save("user/ratings", [{"user_id": 4, "mail": None}, {"user_id": 5, "mail": None}], mode="append")
    assert store.check("user/ratings").ok


def test_of_two_writers_that_race_for_a_key_one_passes(ratings, monkeypatch):
    both, judge, has_met, outcomes = threading.Barrier(2), saving.judge, threading.local(), []

    def judge_before_either_commits(*arguments):
        judged = judge(*arguments)
        if not hasattr(has_met, "other"):
            has_met.other = True
            both.wait(30)
        return judged

    def write(rating):
        with tiffin.FeatureStore(ratings.path) as other:
            try:
                outcomes.append(other.save("user/ratings", [row(9, rating)], mode="append").version)
            except ConstraintViolated as error:
                outcomes.append(error.code)

    monkeypatch.setattr(saving, "judge", judge_before_either_commits)
    writers = [threading.Thread(target=write, args=(rating,)) for rating in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(map(str, outcomes)) == ["1", "constraint_violated"]
    assert ratings.read("user/ratings", entities=[9]).to_polars().height == 1


def test_new_constraints_hold_for_the_rows_that_stay(ratings):
    with pytest.raises(ConstraintViolated, match="rating_max"):
        ratings.save("user/ratings", [row(3, 1.0)], mode="append", constraints=["rating <= 4"])
    # An overwrite keeps none of them.
    ratings.save("user/ratings", [row(3, 1.0)], constraints=["rating <= 4"])
    with pytest.raises(ConstraintViolated, match="score_not_null"):
        ratings.save("user/ratings", [{**row(4, 1.0), "score": 1}], mode="append", constraints=["score is not null"])


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("on_violation", ["refuse", "quarantine"])
def test_a_new_key_is_one_of_the_rows_that_stay_too(ratings, mode, on_violation):
    ratings.save("user/ratings", [row(2, 5.0)], mode="upsert")
    asked = {"mode": mode, "constraints": ["unique genre"], "on_violation": on_violation}
    with pytest.raises(ConstraintViolated, match=r"genre_unique .*: 2 rows"):
        ratings.save("user/ratings", [row(3, 1.0, "comedy")], **asked)
    assert ratings.history("user/ratings")[0].version == 1


@pytest.mark.parametrize("words", ["rating >= 1", "unique rating"])
def test_no_vacuum_takes_the_rows_that_stay_while_they_are_checked(ratings, monkeypatch, words):
    collect, leases = checking.Standing._collect, []

    def looked_at(self, rows, adds):
        leases.append(list((self.table.folder / ".leases").iterdir()))
        return collect(self, rows, adds)

    monkeypatch.setattr(checking.Standing, "_collect", looked_at)
    ratings.save("user/ratings", [row(3, 1.0)], mode="append", constraints=[words])
    assert leases
    assert all(leases)


def test_constrain_checks_what_is_there_and_declares_once(ratings):
    with pytest.raises(ConstraintViolated, match="rating_max"):
        ratings.constrain("user/ratings", "rating <= 4")
    assert ratings.history("user/ratings")[0].version == 0
    warned = ratings.constrain("user/ratings", {"column": "rating", "max": 4, "severity": "warn"}, message="soon")
    assert (warned.version, warned.operation, warned.message) == (1, "constrain", "soon")
    assert "rating_max" in warned.warnings[0]
    assert ratings.constrain("user/ratings", {"column": "rating", "max": 4, "severity": "warn"}).version == 1
    ratings.unconstrain("user/ratings", "rating_max", "unique")
    assert constraints(ratings) == ["rating_range", "rating_not_null", "genre_values"]
    with pytest.raises(InvalidInputError, match="no constraint"):
        ratings.unconstrain("user/ratings", "nothing")


def test_constrain_reads_rows_a_stretch_at_a_time(ratings, monkeypatch):
    monkeypatch.setattr("tiffin.tables.checking.STRETCH_ROWS", 3)
    ratings.save("user/ratings", [row(n, float(n % 6)) for n in range(3, 20)], mode="append")
    with pytest.raises(ConstraintViolated, match="4 rows"):
        ratings.constrain("user/ratings", "rating < 5")
    with pytest.raises(ConstraintViolated, match="18 rows"):
        ratings.constrain("user/ratings", "unique genre, rating")


def test_a_save_that_was_overtaken_meets_the_new_constraint(ratings, monkeypatch):
    judge = saving.judge

    def constrain_meanwhile(*arguments):
        monkeypatch.setattr(saving, "judge", judge)
        with tiffin.FeatureStore(ratings.path) as other:
            other.constrain("user/ratings", "rating > 3")
        return judge(*arguments)

    monkeypatch.setattr(saving, "judge", constrain_meanwhile)
    with pytest.raises(ConstraintViolated, match="rating_min"):
        ratings.save("user/ratings", [row(3, 1.0)], mode="append")


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_save_that_was_overtaken_is_held_to_the_number_of_rows_by_then(ratings, monkeypatch, mode):
    ratings.constrain("user/ratings", "at most 3 rows")
    judge = saving.judge

    def save_meanwhile(*arguments):
        judged = judge(*arguments)
        monkeypatch.setattr(saving, "judge", judge)
        with tiffin.FeatureStore(ratings.path) as other:
            other.save("user/ratings", [row(3, 1.0)], mode="append")
        return judged

    monkeypatch.setattr(saving, "judge", save_meanwhile)
    with pytest.raises(ConstraintViolated, match="4 rows"):
        ratings.save("user/ratings", [row(4, 1.0)], mode=mode)
    assert ratings.describe("user/ratings").rows == 3


def test_the_number_of_rows_and_its_change_are_limited(store):
    limits = ["2 to 4 rows", "at most 50% fewer rows and at most 60% more rows"]
    store.save("user/ratings", [row(n, 1.0) for n in range(3)], entity="user_id", constraints=limits)
    with pytest.raises(ConstraintViolated, match=r"rows\): 5 rows"):
        store.save("user/ratings", [row(8, 1.0), row(9, 1.0)], mode="append")
    store.save("user/ratings", [row(3, 1.0)], mode="append")
    store.save("user/ratings", [row(3, 2.0)], mode="upsert")
    with pytest.raises(ConstraintViolated, match=r"rows\): 1 rows"):
        store.save("user/ratings", [row(3, 1.0)])
    store.save("user/ratings", [row(3, 1.0), row(4, 1.0)])
    with pytest.raises(ConstraintViolated, match=r"2 rows, and then 4 \(\+100.0%\)"):
        store.save("user/ratings", [row(n, 1.0) for n in range(4)])


def test_times_are_neither_too_old_nor_too_new(store):
    def at(**ago):
        return [{"user_id": 1, "at": NOW - timedelta(**ago)}]

    limits = {"constraints": ["not older than 7d, not ahead by more than 1h"], "entity": "user_id", "timestamp": "at"}
    with pytest.raises(ConstraintViolated, match="9d"):
        store.save("user/ratings", at(days=9), **limits)
    with pytest.raises(ConstraintViolated, match="ahead"):
        store.save("user/ratings", at(days=-2), **limits)
    store.save("user/ratings", at(days=1), **limits)
    # The table is fresh, though these rows are late.
    store.save("user/ratings", at(days=20), mode="append")
    with pytest.raises(ConstraintViolated, match="20d"):
        store.save("user/ratings", at(days=20))
    assert store.check("user/ratings").ok


def test_bad_rows_are_kept_apart_and_good_ones_saved(ratings):
    rows = [row(3, 9.0), row(4, None, "noir"), row(5, 1.0), row(2, 1.0), row(6, 1.0), row(6, 2.0)]
    commit = ratings.save("user/ratings", rows, mode="append", on_violation="quarantine")
    assert (commit.rows_added, commit.quarantined) == (1, 5)
    assert ratings.history("user/ratings")[0].quarantined == 5
    apart = ratings.quarantine("user/ratings").to_polars()
    assert apart.select("user_id", "rating", "quarantine_reason", "quarantine_version", "quarantine_landed").rows() == [
        (3, 9.0, "rating_range", 1, True),
        (4, None, "rating_not_null, genre_values", 1, True),
        (2, 1.0, "unique", 1, True),
        (6, 1.0, "unique", 1, True),
        (6, 2.0, "unique", 1, True),
    ]
    assert ratings.check("user/ratings").ok
    ratings.vacuum("user/ratings", keep_versions=1)
    assert ratings.quarantine("user/ratings").to_polars().height == 5
    assert ratings.clear_quarantine("user/ratings") == 5
    assert ratings.quarantine("user/ratings").to_polars().height == 0


def test_limits_of_the_table_refuse_also_where_rows_are_kept_apart(store):
    store.save("user/ratings", GOOD, constraints=["rating <= 5", "at least 2 rows"])
    with pytest.raises(ConstraintViolated, match=r"rows\): 1 rows"):
        store.save("user/ratings", [row(1, 9.0), row(2, 1.0)], on_violation="quarantine")
    with pytest.raises(ConstraintViolated, match="no row would be left"):
        store.save("user/ratings", [row(1, 9.0), row(2, 9.0)], on_violation="quarantine")
    assert store.quarantine("user/ratings").to_polars().height == 0
    assert store.save("user/ratings", [row(1, 9.0)], mode="append", on_violation="quarantine").rows == 2


def test_rows_of_a_save_that_did_not_land_are_marked(ratings):
    table = ratings._named("user/ratings")[0]
    apart = pl.DataFrame({"user_id": [7], "quarantine_reason": ["unique"]})
    quarantine.write(table, 1, apart)
    assert ratings.quarantine("user/ratings").to_polars()["quarantine_landed"].to_list() == [False]
    ratings.save("user/ratings", [row(8, -1.0)], mode="append", on_violation="quarantine")
    assert ratings.quarantine("user/ratings").to_polars().sort("user_id")["quarantine_landed"].to_list() == [
        False,
        True,
    ]


def test_a_save_that_is_refused_leaves_nothing_in_quarantine(ratings, monkeypatch):
    def refuse(*arguments):
        raise saving.InvalidInputError("no")

    monkeypatch.setattr(saving, "publish", refuse)
    with pytest.raises(InvalidInputError):
        ratings.save("user/ratings", [row(8, -1.0)], mode="append", on_violation="quarantine")
    assert ratings.quarantine("user/ratings").to_polars().height == 0


def test_rows_of_other_types_are_kept_beside_each_other(store):
    store.save("user/ratings", [{"a": 1}], constraints=["a > 0"])
    store.save("user/ratings", [{"a": -1}], mode="append", on_violation="quarantine")
    store.unconstrain("user/ratings", "a_min")
    store.save("user/ratings", [{"a": [1]}], evolve=True, constraints=["at least 1 rows", "a is not null"])
    store.save("user/ratings", [{"a": None}], mode="append", on_violation="quarantine")
    assert store.quarantine("user/ratings").to_polars()["quarantine_reason"].to_list() == ["a_min", "a_not_null"]


def test_an_older_version_must_satisfy_the_constraints_of_today(store):
    store.save("user/ratings", [row(1, 9.0)], entity="user_id")
    store.save("user/ratings", [row(1, 1.0)], constraints=["rating <= 5"])
    store.save("user/ratings", [row(1, 2.0)])
    with pytest.raises(ConstraintViolated, match="rating_max"):
        store.restore("user/ratings", 0)
    store.restore("user/ratings", 1)
    assert constraints(store) == ["rating_max"]
    store.restore("user/ratings", 0, force=True)
    assert constraints(store) == []


def test_columns_with_constraints_do_not_go_unnoticed(ratings):
    with pytest.raises(SchemaMismatch, match="genre"):
        ratings.save("user/ratings", [{"user_id": 1, "rating": 1.0}], evolve=True)
    ratings.unconstrain("user/ratings", "genre_values")
    ratings.save("user/ratings", [{"user_id": 1, "rating": 1.0}], evolve=True)


def test_constraints_follow_a_column_that_is_renamed(ratings):
    ratings.rename("user/ratings", "rating", "stars")
    with pytest.raises(ConstraintViolated, match="stars=9.0"):
        ratings.save("user/ratings", [{"user_id": 3, "stars": 9.0, "genre": None}], mode="append")
    ratings.restore("user/ratings", 0)
    with pytest.raises(ConstraintViolated, match="rating=9.0"):
        ratings.save("user/ratings", [row(3, 9.0)], mode="append")
    ratings.constrain("user/ratings", "genre <> 'x'")
    with pytest.raises(InvalidInputError, match="genre <> 'x'"):
        ratings.rename("user/ratings", "genre", "kind")


def test_an_upsert_keeps_rows_without_a_key_apart(store):
    store.save("user/ratings", GOOD, entity="user_id", constraints=["user_id is not null", "unique"])
    rows = [row(None, 1.0), row(2, 1.0), row(3, 1.0), row(3, 2.0)]
    commit = store.save("user/ratings", rows, mode="upsert", on_violation="quarantine")
    assert (commit.rows, commit.quarantined) == (2, 3)
    assert store.read("user/ratings").to_polars()["rating"].to_list() == [4.0, 1.0]


def test_derived_rows_are_held_to_their_constraints(store):
    what = {"source": "user/ratings", "entity": "user_id", "windows": "all", "aggregations": {"rating": "max"}}
    store.save("user/ratings", [{**row(1, 4.0), "at": NOW}], entity="user_id", timestamp="at")
    store.derive("user/best", what)
    store.constrain("user/best", "rating_max_all <= 5")
    store.save("user/ratings", [{**row(1, 9.0), "at": NOW + timedelta(1)}], mode="append")
    with pytest.raises(ConstraintViolated, match="rating_max_all=9.0"):
        store.refresh("user/best")
    assert store.read("user/best").to_polars()["rating_max_all"].to_list() == [4.0]
    store.unconstrain("user/best", "rating_max_all_max")
    store.constrain("user/best", "at most 40% more rows")
    with pytest.raises(ConstraintViolated, match=r"row_change .*: 1 rows, and then 2 \(\+100.0%\)"):
        store.refresh("user/best")
    store.constrain("user/best", "at most 100% more rows")
    (refreshed,) = store.refresh("user/best")
    assert refreshed.rows == 2


def test_a_column_of_the_table_is_not_mistaken_for_one_of_the_quarantine(store):
    rows = [{"a": -1, "quarantine_reason": "mine"}, {"a": 1, "quarantine_reason": "too"}]
    with pytest.raises(InvalidInputError, match="quarantine_reason"):
        store.save("user/ratings", rows, constraints=["a > 0"], on_violation="quarantine")


def test_check_tells_of_any_version(ratings):
    report = ratings.check("user/ratings", version=0)
    assert (report.ok, report.constraints, report.rows, report.violations) == (True, 4, 2, ())
    assert wire.decode(wire.encode(report), type(report)) == report


def test_an_expression_that_fails_on_a_row_is_told(store):
    with pytest.raises(InvalidInputError, match="fails on the rows"):
        store.save("user/ratings", [{"a": "x"}], constraints=["CAST(a AS INT) > 1"])


def test_wrong_arguments_say_what_is_right(ratings):
    with pytest.raises(InvalidInputError, match="on_violation"):
        ratings.save("user/ratings", GOOD, on_violation="ignore")
    with pytest.raises(InvalidInputError, match="list of constraints"):
        ratings.save("user/ratings", GOOD, constraints="rating > 1")
    assert msgspec.json.encode(ratings.history("user/ratings")[0])


def test_rows_with_times_that_python_has_not_are_shown_too(store):
    far = pl.DataFrame({"id": [1], "at": pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date)})
    with pytest.raises(ConstraintViolated, match="a time outside the years 1 to 9999"):
        store.save("g/t", far, constraints=["at < 2021-01-01"])
