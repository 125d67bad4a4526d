"""Explanations: which row of which commit gave a value, and why not another."""

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin.errors import FeatureNotFound, InvalidInputError, VersionNotFound
from tiffin.training.explanation import MOST_OF_A_KIND


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, number, hour, tzinfo=UTC)


def ratings(*rows) -> pl.DataFrame:
    schema = {"user": pl.Int64, "at": pl.Datetime("us", "UTC"), "mean": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row")


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def rated(store):
    store.save("user/ratings", ratings((1, day(1), 1.0), (1, day(3), 3.0), (2, day(1), 9.0)),
               entity="user", timestamp="at", message="import")  # fmt: skip
    store.save(
        "user/ratings", ratings((1, day(3), 33.0), (1, None, 0.5), (1, day(7), 7.0)), mode="append", message="fix"
    )
    return store


def told(explanation) -> list[tuple]:
    return [(row.values["mean"], row.reason, row.commit and row.commit.version) for row in explanation.others]


def test_it_names_the_row_the_commit_and_why_not_the_others(rated):
    found = rated.explain("user/ratings:mean", 1, day(4))
    assert (found.table, found.version, found.entity, found.at) == ("user/ratings", 1, {"user": 1}, day(4))
    assert found.values == {"mean": 33.0}
    assert (found.row.timestamp, found.row.reason) == (day(3), "the newest row that counts")
    assert (found.row.commit.version, found.row.commit.operation, found.row.commit.message) == (1, "append", "fix")
    assert told(found) == [
        (7.0, "after the time asked", 1),
        (3.0, "of the same timestamp, and committed earlier", 0),
        (1.0, "older than the row that answers", 0),
        (0.5, "has no timestamp", 1),
    ]


def test_an_instant_before_the_row_it_does_not_count_yet(rated):
    at, just_before = day(3), day(3) - timedelta(microseconds=1)
    assert rated.explain("user/ratings:mean", 1, at).values == {"mean": 33.0}
    assert rated.explain("user/ratings:mean", 1, just_before).values == {"mean": 1.0}


def test_a_row_that_is_older_than_the_ttl_is_told(rated):
    edge = day(7) + timedelta(days=1)
    assert rated.explain("user/ratings:mean", 1, edge, ttl=timedelta(days=1)).values == {"mean": 7.0}
    found = rated.explain("user/ratings:mean", 1, edge + timedelta(microseconds=1), ttl=timedelta(days=1))
    assert (found.values, found.row) == ({"mean": None}, None)
    assert told(found)[0] == (7.0, "older than the ttl", 1)
    assert "no row matches" in str(found)


def test_the_tables_own_ttl_holds_unless_the_call_says_another(store):
    store.save("a/t", ratings((1, day(1), 1.0)), entity="user", timestamp="at", ttl=timedelta(days=1))
    assert store.explain("a/t:mean", 1, day(3)).row is None
    assert store.explain("a/t:mean", 1, day(3)).ttl == timedelta(days=1)
    assert store.explain("a/t:mean", 1, day(3), ttl=timedelta.max).values == {"mean": 1.0}


def test_rows_that_were_committed_after_known_at_are_told(rated):
    known = rated.history("user/ratings")[-1].timestamp
    found = rated.explain("user/ratings:mean", 1, day(4), known_at=known)
    assert found.values == {"mean": 3.0}
    assert found.row.commit.version == 0
    assert told(found) == [
        (33.0, "committed after known_at", 1),
        (1.0, "older than the row that answers", 0),
    ]
    before = rated.explain("user/ratings:mean", 1, day(4), known_at=known - timedelta(days=1))
    assert (before.values, before.row) == ({"mean": None}, None)
    assert (33.0, "committed after known_at", 1) in told(before)


def test_created_decides_between_rows_of_one_timestamp_and_under_known_at(store):
    rows = ratings(*[(1, day(1), mean) for mean in (1.0, 2.0, 3.0)])
    made = rows.with_columns(made=pl.Series([day(3), day(2), None]))
    store.save("a/t", made, entity="user", timestamp="at", created="made")
    found = store.explain("a/t:mean", 1, day(9))
    assert (found.values, found.row.created) == ({"mean": 1.0}, day(3))
    assert told(found) == [
        (2.0, "of the same timestamp, and made earlier", 0),
        (3.0, "of the same timestamp, and does not say when it was made", 0),
    ]
    found = store.explain("a/t:mean", 1, day(9), known_at=day(2))
    assert found.values == {"mean": 2.0}
    assert told(found) == [
        (1.0, "made after known_at", 0),
        (3.0, "does not say when it was made, as known_at needs", 0),
    ]


def test_of_equal_rows_of_one_commit_the_later_answers(store):
    store.save("a/t", ratings((1, day(1), 1.0), (1, day(1), 2.0)), entity="user", timestamp="at")
    found = store.explain("a/t:mean", 1, day(9))
    assert found.values == {"mean": 2.0}
    assert told(found) == [(1.0, "of the same timestamp, and an earlier row of the table", 0)]


def test_a_default_is_told_where_it_replaces_what_is_missing(store):
    rows = ratings((1, day(1), None))
    store.save("a/t", rows, entity="user", timestamp="at", defaults={"mean": 2.5})
    found = store.explain("a/t", 1, day(2))
    assert (found.values, found.defaults, found.row.values) == ({"mean": 2.5}, ("mean",), {"mean": None})
    assert "the default answers: mean" in str(found)
    nobody = store.explain("a/t", 9, day(2))
    assert (nobody.values, nobody.defaults, nobody.row, nobody.others) == ({"mean": 2.5}, ("mean",), None, ())


def test_a_reference_to_the_whole_table_explains_all_its_features_at_its_version(rated):
    found = rated.explain("user/ratings@0", 1, day(9))
    assert (found.version, found.values) == (0, {"mean": 3.0})
    with pytest.raises(FeatureNotFound):
        rated.explain("user/ratings:median", 1)
    with pytest.raises(VersionNotFound):
        rated.explain("user/ratings@7", 1)


@pytest.mark.parametrize("key", [True, "1", {"user": True}, {"user": "1"}, ("1",), b"1", date(2024, 1, 1)])
def test_a_key_that_the_join_would_refuse_is_refused_with_the_type_that_is_expected(rated, key):
    with pytest.raises(InvalidInputError, match=r"entity column 'user' of table user/ratings|not a Int64") as error:
        rated.explain("user/ratings:mean", key, day(4))
    assert "Int64" in str(error.value)


@pytest.mark.parametrize("key", [1, 1.0, {"user": 1}, (1,)])
def test_a_key_of_an_equal_number_is_that_key(rated, key):
    assert rated.explain("user/ratings:mean", key, day(4)).values == {"mean": 33.0}


def test_tables_without_timestamp_or_entity_and_composite_keys(store):
    store.save("a/city", pl.DataFrame({"user": [1, 1], "city": ["Pune", "Bonn"]}), entity="user")
    found = store.explain("a/city", 1)
    assert found.values == {"city": "Bonn"}
    assert [row.reason for row in found.others] == ["an earlier row of the table"]
    store.save("a/rate", pl.DataFrame({"on": [date(2024, 1, 1), date(2024, 1, 3)], "usd": [1.0, 3.0]}), timestamp="on")
    assert store.explain("a/rate:usd", at=day(2)).row.timestamp == date(2024, 1, 1)
    pair = pl.DataFrame({"user": [1, 1], "movie": ["x", "y"], "n": [3, 4]})
    store.save("a/pair", pair, entity=["user", "movie"])
    for key in ((1, "y"), {"movie": "y", "user": 1}):
        assert store.explain("a/pair:n", key).values == {"n": 4}


def test_only_the_nearest_few_rows_of_each_kind_are_shown(store):
    store.save(
        "a/t", ratings(*[(1, day(number), float(number)) for number in range(1, 29)]), entity="user", timestamp="at"
    )
    found = store.explain("a/t", 1, day(14))
    shown = [row.values["mean"] for row in found.others]
    assert shown == [17.0, 16.0, 15.0, 13.0, 12.0, 11.0]
    assert len(shown) == 2 * MOST_OF_A_KIND


# Which commit brought a row


def test_merges_do_not_hide_the_commit(rated):
    rated.compact()
    rated.save("user/ratings", ratings((2, day(2), 2.0)), mode="append")
    rated.compact()
    assert rated.describe("user/ratings").files == 1
    found = rated.explain("user/ratings:mean", 1, day(4))
    assert (found.row.values, found.row.commit.version) == ({"mean": 33.0}, 1)
    assert told(found)[1] == (3.0, "of the same timestamp, and committed earlier", 0)


def test_an_upsert_accounts_for_the_rows_it_brings_and_not_for_those_it_leaves(rated):
    rated.save("user/ratings", ratings((1, day(7), 77.0)), mode="overwrite")
    rated.save("user/ratings", ratings((1, day(8), 88.0), (1, day(7), 78.0)), mode="upsert")
    rated.save("user/ratings", ratings((1, day(9), 99.0)), mode="upsert")
    versions = {row.values["mean"]: row.commit.version for row in rated.explain("user/ratings", 1, day(9)).others}
    assert versions == {88.0: 3, 78.0: 3}
    assert rated.explain("user/ratings", 1, day(9)).row.commit.version == 4


def test_a_wider_column_accounts_only_for_the_rows_that_came_with_it(store):
    narrow = pl.DataFrame({"user": [1, 1], "at": [day(1), day(1)], "n": [1, 1]}).cast({"n": pl.Int8})
    store.save("a/t", narrow, entity="user", timestamp="at")
    store.save("a/t", narrow.head(1).with_columns(n=pl.lit(1, pl.Int64)), mode="append")
    found = store.explain("a/t", 1, day(1))
    assert found.row.commit.version == 1
    assert [(row.commit.version, row.reason) for row in found.others] == [
        (0, "of the same timestamp, and committed earlier"),
        (0, "of the same timestamp, and committed earlier"),
    ]


def test_a_restore_brings_back_the_commits_of_its_rows(rated):
    rated.save("user/ratings", ratings((1, day(3), 5.0)))
    rated.restore("user/ratings", 1)
    assert rated.explain("user/ratings", 1, day(4)).row.commit.version == 1


def test_what_a_vacuumed_version_brought_is_told_as_such(rated):
    rated.compact()
    rated.vacuum("user/ratings", keep_versions=1)
    found = rated.explain("user/ratings", 1, day(4))
    assert (found.values, found.row.commit) == ({"mean": 33.0}, None)
    assert "from a version that was vacuumed" in str(found)


# The form of it


def test_it_prints_as_text_and_goes_into_json(rated):
    found = rated.explain("user/ratings:mean", 1, day(4))
    first, second, *_ = str(found).splitlines()
    assert first == "user/ratings@1 of user=1 as of 2024-01-04 00:00:00+00:00: mean=33.0"
    assert "mean=33.0: the newest row that counts; version 1, append at" in second
    assert second.endswith(": fix")
    written = json.loads(json.dumps(found.to_dict()))
    assert written["row"]["timestamp"] == "2024-01-03T00:00:00Z"
    assert [other["reason"] for other in written["others"]] == [row.reason for row in found.others]


@pytest.mark.parametrize(
    ("entity", "options"),
    [
        ("one", {}),
        ((1, 2), {}),
        (None, {}),
        (1, {"ttl": timedelta(0)}),
        (1, {"at": "2024-01-01"}),
        (1, {"known_at": "at"}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(rated, entity, options):
    with pytest.raises(InvalidInputError):
        rated.explain("user/ratings:mean", entity, **options)


def test_a_moment_without_a_zone_is_utc(rated):
    assert rated.explain("user/ratings", 1, datetime(2024, 1, 3)).values == {"mean": 33.0}
