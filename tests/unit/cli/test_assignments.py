"""Values that are given to columns on the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cli.arguments.assignments import parse_assignment, parse_row, typed
from tiffin.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("mean=3.5", ("mean", "3.5")),
        (" mean score = 3.5 ", ("mean score", "3.5")),
        ("formula=a=b", ("formula", "a=b")),
        ("mean=", ("mean", "")),
    ],
)
def test_a_column_and_its_value(text, pair):
    assert parse_assignment(text) == pair


@pytest.mark.parametrize("text", ["", "mean", "=3", " =3"])
def test_what_gives_no_column_a_value_is_refused(text):
    with pytest.raises(InvalidInputError, match="gives no column a value"):
        parse_assignment(text)


def test_a_row_of_several_keys():
    assert parse_row("user_id=7,movie_id=42") == {"user_id": "7", "movie_id": "42"}
    assert parse_row("name=Smith, John,city=Bonn") == {"name": "Smith, John", "city": "Bonn"}


def test_a_key_given_twice_is_refused():
    with pytest.raises(InvalidInputError, match="two values"):
        parse_row("user_id=7,user_id=8")


keys = st.dictionaries(
    st.text("abc_", min_size=1, max_size=5), st.text("xyz0,. ", max_size=6).map(str.strip), min_size=1, max_size=4
)


@given(keys)
def test_a_row_is_read_as_it_was_written(row):
    assert parse_row(",".join(f"{column}={value}" for column, value in row.items())) == row


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("7", pl.Int32(), 7),
        ("0.25", pl.Float64(), 0.25),
        ("true", pl.Boolean(), True),
        ("007", pl.String(), "007"),
        ("'true'", pl.String(), "true"),
        ('""', pl.String(), ""),
        ("", pl.String(), None),
        ("2024-05-31", pl.Date(), date(2024, 5, 31)),
        ("2024-05-31T14:00+02:00", pl.Datetime("us", "UTC"), datetime(2024, 5, 31, 12, tzinfo=UTC)),
        ("low", pl.Enum(["low", "high"]), "low"),
    ],
)
def test_a_text_becomes_a_value_of_its_column(text, dtype, value):
    found = typed({"x": text}, {"x": dtype})["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("text", "dtype"), [("x", pl.Int64()), ("1.5", pl.Int64()), ("soon", pl.Date())])
def test_a_text_that_is_no_value_of_its_column_is_refused(text, dtype):
    with pytest.raises(InvalidInputError, match=f"'{text}' is not a value of column 'x'"):
        typed({"x": text}, {"x": dtype})


def test_a_column_that_is_not_known_keeps_its_text():
    assert typed({"y": "'7'"}, {}) == {"y": "7"}
