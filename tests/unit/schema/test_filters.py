"""Filters and entity keys select the rows they describe, or say what is wrong with them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tiffin.errors import FeatureNotFound, InvalidInputError
from tiffin.schema import filters

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "name": ["a", "b", None, "d"],
        "at": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)],
        "naive": [datetime(2024, 1, day) for day in (1, 2, 3, 4)],
        "day": [date(2024, 1, day) for day in (1, 2, 3, 4)],
        "x": [0.5, float("nan"), None, 2.0],
    }
)


def chosen(where) -> list[int]:
    return FRAME.filter(filters.predicate(where, FRAME.schema, "g/t"))["id"].to_list()


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (("id", ">=", 3), [3, 4]),
        (("id", "=", 2), [2]),
        (("id", "!=", 2), [1, 3, 4]),
        ([("id", ">", 1), ("id", "<", 4)], [2, 3]),
        ([[("id", "==", 1)], [("id", "==", 4), ("name", "==", "d")]], [1, 4]),
        (("name", "in", ["a", "d"]), [1, 4]),
        (("name", "not in", ["a"]), [2, 4]),
        (("name", "is null"), [3]),
        (("name", "is not null"), [1, 2, 4]),
        (("at", ">", "2024-01-02"), [3, 4]),
        (("at", "<=", "2024-01-02T09:00:00+09:00"), [1, 2]),
        (("naive", ">", "2024-01-03T00:00:00Z"), [4]),
        (("at", ">", datetime(2024, 1, 2)), [3, 4]),
        (("at", "<=", datetime(2024, 1, 2, 9, tzinfo=ZoneInfo("Asia/Seoul"))), [1, 2]),
        (("naive", ">", datetime(2024, 1, 3, tzinfo=UTC)), [4]),
        (("naive", "in", [datetime(2024, 1, 3)]), [3]),
        (("day", "==", "20240102T120000"), [2]),
        (("day", "==", "2024-01-02"), [2]),
        (pl.col("id") % 2 == 0, [2, 4]),
    ],
)
def test_a_filter_selects_what_it_says(where, ids):
    assert chosen(where) == ids


@pytest.mark.parametrize(
    "where",
    [
        ("id", "~", 1), ("id",), [], "id > 1", 5, [("id", ">", 1), [("id", ">", 1)]], ("at", ">", "soon"),
        pl.col("id") + 1,
        ("id", "in", "abc"), ("id", ">"), ("id", "==", "x"), ("id", "==", None),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_the_way_to_write_one(where):
    with pytest.raises(InvalidInputError) as error:
        chosen(where)
    assert error.value.hint


def test_a_filter_on_an_unknown_column_suggests_the_near_one():
    with pytest.raises(FeatureNotFound, match="name"):
        chosen(("nmae", "==", "a"))


@pytest.mark.parametrize(
    ("entities", "rows"),
    [
        ([1, 3], [(1,), (3,)]),
        (["1", "3"], [(1,), (3,)]),
        ([{"id": 1}], [(1,)]),
        ([(1,)], [(1,)]),
        (pl.DataFrame({"other": ["x"], "id": [2]}), [(2,)]),
        ([], []),
    ],
)
def test_keys_come_in_many_forms(entities, rows):
    assert filters.keys(entities, ["id"], FRAME.schema, "g/t").rows() == rows


def test_keys_of_several_columns():
    keys = filters.keys([{"name": "a", "id": 1}, (2, "b")], ["id", "name"], FRAME.schema, "g/t")
    assert keys.rows() == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    "entities", [["x"], [7.5], [[1, 2]], [{"other": 1}], "abc", {"id": 1}, 7, pl.DataFrame({"x": [1]})]
)
def test_keys_that_cannot_be_keys_are_refused(entities):
    with pytest.raises(InvalidInputError) as error:
        filters.keys(entities, ["id"], FRAME.schema, "g/t")
    assert error.value.hint


def test_a_table_without_an_entity_has_no_keys():
    with pytest.raises(InvalidInputError, match="declares no entity"):
        filters.keys([1], [], FRAME.schema, "g/t")
