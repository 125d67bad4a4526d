"""Constraints as they are written, named, checked for sense, and told to Delta."""

from __future__ import annotations

import contextlib
import time
from datetime import date, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.schema.constraints import delta
from tiffin.schema.constraints.fitting import check_constraints
from tiffin.schema.constraints.kinds import (
    Constraint,
    Fresh,
    Length,
    NotNull,
    Pattern,
    Range,
    RowChange,
    Rows,
    Sql,
    Unique,
    Values,
    check_shape,
    merged,
    renamed,
    without,
)
from tiffin.schema.constraints.texts import parse, read, read_all, text
from tiffin.schema.durations import parse_duration, write_duration
from tiffin.schema.row_sql import compile_sql
from tiffin.schema.table import Column, TableSpec, from_metadata, to_metadata

DTYPES = {
    "rating": pl.Float64(),
    "user id": pl.Int64(),
    "genre": pl.String(),
    "kind": pl.Categorical(),
    "at": pl.Datetime("us", "UTC"),
    "day": pl.Date(),
    "small": pl.Float32(),
    "price": pl.Decimal(10, 2),
    "ok": pl.Boolean(),
    "tags": pl.List(pl.String()),
}

FORMS = [
    ("rating is not null", NotNull(column="rating"), "rating_not_null"),
    ("rating between 0 and 5.5", Range(column="rating", min=0, max=5.5), "rating_range"),
    ("rating >= -1", Range(column="rating", min=-1), "rating_min"),
    ("rating > 0 and <= 5", Range(column="rating", above=0, max=5), "rating_range"),
    ("`user id` < 10", Range(column="user id", below=10), "user id_max"),
    ("at >= '2024-01-01'", Range(column="at", min="2024-01-01"), "at_min"),
    ('genre in ["a","it\'s"]', Values(column="genre", values=("a", "it's")), "genre_values"),
    ("genre matches ^[a-z ]+$", Pattern(column="genre", pattern="^[a-z ]+$"), "genre_pattern"),
    ("genre has 1 to 20 characters", Length(column="genre", min_length=1, max_length=20), "genre_length"),
    ("genre has at most 20 characters", Length(column="genre", max_length=20), "genre_length"),
    ("unique", Unique(), "unique"),
    ("unique genre, `user id`", Unique(columns=("genre", "user id")), "genre_user id_unique"),
    ("at not older than 7d", Fresh(column="at", max_age=timedelta(days=7)), "at_fresh"),
    ("not ahead by more than 1h30m", Fresh(max_ahead=timedelta(minutes=90)), "fresh"),
    ("at least 10 rows", Rows(min_rows=10), "rows"),
    ("1 to 9 rows", Rows(min_rows=1, max_rows=9), "rows"),
    ("at most 20.0% fewer rows and at most 50.5% more rows", RowChange(max_fall=20.0, max_growth=50.5), "row_change"),
    ("rating <= 5 OR genre = 'x'", Sql(sql="rating <= 5 OR genre = 'x'"), "rating_5_or_genre_x_02db"),
]


@pytest.mark.parametrize(("words", "constraint", "name"), FORMS, ids=[form[0] for form in FORMS])
def test_a_text_is_read_named_and_written_again(words, constraint, name):
    assert parse(words) == constraint
    assert text(constraint) == words
    assert read(words).name == name


@pytest.mark.parametrize(
    ("mapping", "constraint"),
    [
        ({"column": "rating", "min": 0, "max": 5}, Range(name="rating_range", column="rating", min=0, max=5)),
        ({"column": "rating", "not_null": True}, NotNull(name="rating_not_null", column="rating")),
        ({"unique": True}, Unique(name="unique")),
        ({"unique": ["genre"], "name": "one"}, Unique(name="one", columns=("genre",))),
        ({"unique": "genre"}, Unique(name="genre_unique", columns=("genre",))),
        ({"column": "day", "min": date(2024, 1, 2)}, Range(name="day_min", column="day", min="2024-01-02")),
        ({"max_age": "7d", "severity": "warn"}, Fresh(name="fresh", severity="warn", max_age=timedelta(days=7))),
        ({"kind": "rows", "min_rows": 2}, Rows(name="rows", min_rows=2)),
        ({"sql": "rating <= 5", "name": "top"}, Sql(name="top", sql="rating <= 5")),
        ({"column": "genre", "values": ["a"]}, Values(name="genre_values", column="genre", values=("a",))),
    ],
)
def test_a_mapping_is_read(mapping, constraint):
    assert read(mapping) == constraint
    assert read(msgspec.to_builtins(constraint)) == constraint


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"column": "rating"},
        {"column": "rating", "min": 0, "values": [1]},
        {"column": "rating", "min": 0, "maks": 5},
        {"column": "rating", "min": [1]},
        {"column": "rating", "not_null": False},
        {"min": 0},
        {"max_age": "soon"},
        {"kind": "rowz"},
        7,
        'genre in ["a"',
        "genre in [[1]]",
    ],
)
def test_what_is_no_constraint_is_refused(wrong):
    with pytest.raises((InvalidInputError, SchemaMismatch)) as caught:
        check_constraints([read(wrong)], DTYPES, ["user id"], "at", "g/t")
    assert caught.value.hint


def test_expressions_of_the_same_words_have_names_of_their_own():
    words = ["a < b", "a > b", "a LIKE 'b%'", "a LIKE '%b'", "a > 1" + " OR a > 2" * 20, "a > 1" + " OR a > 2" * 21]
    assert len({each.name for each in read_all(words)}) == len(words)


def test_two_of_one_name_are_refused():
    with pytest.raises(InvalidInputError, match="rating_min"):
        read_all(["rating >= 0", "rating > 1"])
    with pytest.raises(InvalidInputError, match="list"):
        read_all("rating >= 0")


@pytest.mark.parametrize(
    ("constraint", "says"),
    [
        (Range(name="a", column="rating"), "no bound"),
        (Range(name="a", column="rating", min=5, max=0), "allows nothing"),
        (Range(name="a", column="rating", min=0, above=0), "two bounds"),
        (Range(name="a", column="rating", min=float("nan")), "no bound"),
        (Length(name="a", column="genre"), "everything"),
        (Length(name="a", column="genre", min_length=5, max_length=2), "from 5 to 2"),
        (Values(name="a", column="genre", values=()), "no value"),
        (Pattern(name="a", column="genre", pattern="x" * 2001), "longer"),
        (Sql(name="a", sql=""), "empty"),
        (Unique(name="a", columns=("genre", "genre")), "twice"),
        (Fresh(name="a"), "no limit"),
        (Fresh(name="a", max_age=timedelta(-1)), "below zero"),
        (RowChange(name="a", max_fall=float("nan")), "below zero"),
        (Rows(name="", min_rows=1), "not allowed"),
        (Rows(name="a\nb", min_rows=1), "not allowed"),
    ],
)
def test_what_makes_no_sense_is_refused(constraint, says):
    with pytest.raises(InvalidInputError, match=says):
        check_shape([constraint], "g/t")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("missing >= 0", "missing"),
        ("genre >= 0", "compares"),
        ("rating >= 'a'", "compares"),
        ("ok >= 0", "no range"),
        ("rating matches a", "about texts"),
        ("rating has at most 3 characters", "about texts"),
        ("price <= 1e40", "compares it with 1e[+]40"),
        ("price <= 'nan'", "compares it with 'nan'"),
        ("genre matches (", "no pattern"),
        ("genre matches (?=a)", "no pattern: look-around"),
        ("genre matches (a{1000}){1000}", "no pattern: Compiled regex exceeds size limit"),
        ("LENGTH(REPLACE(REPLACE('aa', 'a', 'aa'), 'a', genre)) > 1", "replaces twice"),
        ("unique tags", "not compared"),
        ("genre not older than 1d", "no times"),
        ("at >= 'soon'", "not a time"),
        ("rating + 1", "not true or false"),
        ("SUM(rating) > 1", "SUM"),
        ("rating > (SELECT 1)", "SELECT"),
        ("rating > 1; DROP", "';'"),
        ("read_csv('/etc/passwd') = 1", "read_csv"),
        ("ROW_NUMBER() OVER (ORDER BY rating) = 1", "ROW_NUMBER"),
        ("at > NOW()", "NOW"),
        ("1 = 1", "no column"),
        ("ratng > 1", "rating"),
    ],
)
def test_what_does_not_fit_the_table_is_refused(words, says):
    with pytest.raises(SchemaMismatch, match=says) as caught:
        check_constraints([read(words)], DTYPES, ["user id"], "at", "g/t")
    assert "unconstrain" in caught.value.hint


def test_a_table_without_keys_has_none_that_are_unique():
    with pytest.raises(SchemaMismatch, match="no entity"):
        check_constraints([read("unique")], DTYPES, [], None, "g/t")
    with pytest.raises(SchemaMismatch, match="no timestamp"):
        check_constraints([read("not older than 1d")], DTYPES, [], None, "g/t")


def test_names_are_followed_and_compared_without_case():
    old = read_all(["rating >= 0", "unique genre, day"])
    assert renamed(old, {"rating": "stars", "day": "date"}, "g/t") == (
        Range(name="rating_min", column="stars", min=0),
        Unique(name="genre_day_unique", columns=("genre", "date")),
    )
    assert merged(old, [Range(name="RATING_MIN", column="rating", min=1)])[0].min == 1
    assert without(old, "Rating_Min", "g/t") == old[1:]
    with pytest.raises(InvalidInputError, match="may mean"):
        renamed([read("rating + small < 5")], {"rating": "stars"}, "g/t")
    with pytest.raises(InvalidInputError, match="rating_min"):
        without(old, "rating_mni", "g/t")


# As tables of before have them: another text would make a constraint one of another writer's.
CHECKS = [
    ("rating between 0 and 5", "COALESCE(`rating` >= 0 AND `rating` <= 5 AND NOT isnan(`rating`), TRUE)"),
    ("`user id` > 0", "COALESCE(`user id` > 0, TRUE)"),
    ("genre >= 'a'", "COALESCE(`genre` >= 'a', TRUE)"),
    ('kind in ["a", "b"]', "COALESCE(`kind` IN ('a', 'b'), TRUE)"),
    ("ok in [true]", "COALESCE(`ok` IN (TRUE), TRUE)"),
    ("day >= '2024-01-02'", "COALESCE(`day` >= DATE '2024-01-02', TRUE)"),
    ("price <= 9.5", "COALESCE(`price` <= 9.5, TRUE)"),
    ("small <= 0.5", "COALESCE(`small` <= 0.5 AND NOT isnan(`small`), TRUE)"),
    ("genre has 1 to 9 characters", "COALESCE(length(`genre`) >= 1 AND length(`genre`) <= 9, TRUE)"),
    ('rating <= 5 or "user id" = 3', "COALESCE(`rating` <= 5 or `user id` = 3, TRUE)"),
    ("small <= 0.1", None),
    ('genre in ["it\'s"]', None),
    ("genre = 'it''s'", None),
    ("genre matches a", None),
    ("at >= '2024-01-01'", None),
    ("rating / 2 > 1", None),
    ("kind = 'a'", None),
    ("unique", None),
    ("genre is not null", None),
]


@pytest.mark.parametrize(("words", "check"), CHECKS, ids=[case[0] for case in CHECKS])
def test_delta_is_told_what_all_engines_understand_alike(words, check):
    each = read(words)
    assert delta.checks([each], DTYPES) == ({f"delta.constraints.{each.name}": check} if check else {})
    warns = [msgspec.structs.replace(each, severity="warn")]
    assert delta.checks(warns, DTYPES) == {}
    assert delta.without_nulls(warns) == set()


def test_metadata_keeps_constraints_and_follows_other_writers():
    constraints = read_all(["rating is not null", "rating <= 5", "genre matches a", "unique", {"sql": "rating < 9"}])
    spec = TableSpec(
        tuple(Column(name, dtype) for name, dtype in DTYPES.items()), ("user id",), constraints=constraints
    )
    schema, configuration = to_metadata(spec)
    assert from_metadata(schema, configuration, (), "g/t") == spec

    # Another writer drops a CHECK, changes one, adds one, and lets nulls in.
    changed = {**configuration, "delta.constraints.rating_9_1b28": "rating < 8", "delta.constraints.new": "rating > 0"}
    del changed["delta.constraints.rating_max"]
    found = from_metadata(schema.replace('"nullable":false', '"nullable":true'), changed, (), "g/t").constraints
    assert found == (
        constraints[2],
        constraints[3],
        Sql(name="rating_9_1b28", sql="rating < 8", strict=True),
        Sql(name="new", sql="rating > 0", strict=True),
    )
    again = msgspec.structs.replace(spec, constraints=found)
    assert from_metadata(*to_metadata(again), (), "g/t") == again


def test_a_table_without_constraints_has_the_metadata_of_before():
    schema, configuration = to_metadata(TableSpec((Column("a", pl.Int64()),)))
    assert configuration == {"tiffin.table": "{}", "delta.enableExpiredLogCleanup": "false"}
    assert '"nullable":true' in schema


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10**6)))
def test_a_duration_is_read_as_it_was_written(duration):
    assert parse_duration(write_duration(duration)) == duration


def test_a_long_text_is_read_in_no_time():
    begun = time.process_time()
    for words in ("not older than " + "1" * 20_000 + "x", "unique " + "a, " * 20_000 + "!", '"' + '""' * 20_000 + " >"):
        assert isinstance(read(words), Sql)
    assert time.process_time() - begun < 2


@given(st.text(max_size=60))
def test_any_text_is_a_constraint_or_a_clear_error(words):
    try:
        each: Constraint = read(words)
        check_constraints([each], DTYPES, ["user id"], "at", "g/t")
    except (InvalidInputError, SchemaMismatch):
        return
    assert read(text(each)) == each


@pytest.mark.parametrize("sql", ["(" * 900 + "rating > 1" + ")" * 900, "rating > 1" + " OR rating > 1" * 130])
def test_deep_expressions_do_no_harm(sql):
    with contextlib.suppress(InvalidInputError):
        assert compile_sql(sql, DTYPES).columns == ("rating",)
