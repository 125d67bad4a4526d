from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tiffin.cli.arguments.conditions import comparison, parse_condition
from tiffin.errors import InvalidInputError

SCHEMA = {
    "year": pl.Int32(),
    "rating": pl.Float64(),
    "title": pl.String(),
    "is_adult": pl.Boolean(),
    "money": pl.Decimal(10, 2),
    "clock": pl.Time(),
    "span": pl.Duration("us"),
    "two words": pl.Int64(),
}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("year >= 1990", ("year", ">=", 1990)),
        ("year>=1990", ("year", ">=", 1990)),
        ("year != -3", ("year", "!=", -3)),
        ("year < 1990.5", ("year", "<", 1990.5)),
        ("rating = 7", ("rating", "=", 7.0)),
        ("title == a = b, or c in d", ("title", "==", "a = b, or c in d")),
        ("title == ' spaced '", ("title", "==", " spaced ")),
        ("title == 1990", ("title", "==", "1990")),
        ("is_adult == TRUE", ("is_adult", "==", True)),
        ("money > 1.10", ("money", ">", Decimal("1.10"))),
        ("clock < 12:30", ("clock", "<", time(12, 30))),
        ("span > 1h30m", ("span", ">", timedelta(minutes=90))),
        ('"two words" > 1', ("two words", ">", 1)),
        ("year in 1990,1991", ("year", "in", [1990, 1991])),
        ("year NOT IN (1990, 1991)", ("year", "not in", [1990, 1991])),
        ("title in 'a,b',c d", ("title", "in", ["a,b", "c d"])),
        ("title is null", ("title", "is null")),
        ("title IS  NOT NULL", ("title", "is not null")),
        ("unknown == 1", ("unknown", "==", "1")),
    ],
)
def test_what_is_written_is_what_is_meant(text, meant):
    found = comparison(parse_condition(text), SCHEMA)
    assert found == meant
    assert [type(part) for part in found] == [type(part) for part in meant]


@pytest.mark.parametrize("text", ["", "year", "year >=", ">= 1990", "year 1990", "year is", "year in", "year => 1"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(InvalidInputError, match="is not a condition"):
        parse_condition(text)


@pytest.mark.parametrize("text", ["year > abc", "rating > x", "is_adult == maybe", "money > x", "clock > noon"])
def test_what_is_no_value_of_the_column_is_refused(text):
    with pytest.raises(InvalidInputError, match="is not a value of column"):
        comparison(parse_condition(text), SCHEMA)
