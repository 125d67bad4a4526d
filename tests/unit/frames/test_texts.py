"""Texts and numbers as CSV and JSON have them, read as what a column holds."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import inf

import polars as pl
import pytest

from tiffin.errors import InvalidInputError
from tiffin.frames.texts import as_known, as_time, from_json

NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "dtype", "read"),
    [
        (["2024-05-31T12:00:00Z", None], pl.Datetime("us", "UTC"), [NOON, None]),
        (["2024-05-31T21:00:00+09:00"], pl.Datetime("us", "UTC"), [NOON]),
        (["2024-05-31T12:00:00", "2024-05-31"], pl.Datetime("us"), [datetime(2024, 5, 31, 12), datetime(2024, 5, 31)]),
        (["2024-05-31"], pl.Date(), [date(2024, 5, 31)]),
        (["P1DT2H"], pl.Duration("us"), [timedelta(days=1, hours=2)]),
        (["1.10", "-3"], pl.Decimal(10, 2), [Decimal("1.10"), Decimal("-3.00")]),
        (["eA=="], pl.Binary(), [b"x"]),
        ([0.1], pl.Float32(), [pl.Series([0.1], dtype=pl.Float32)[0]]),
        ([1, 2], pl.Float64(), [1.0, 2.0]),
        ([1.0], pl.Int64(), [1]),
        ([["eA=="], None], pl.List(pl.Binary), [[b"x"], None]),
        ([{"a": ["2024-05-31T12:00:00Z"]}], pl.Struct({"a": pl.List(pl.Datetime("us", "UTC"))}), [{"a": [NOON]}]),
        ([{"a b": 1}], pl.Struct({"a b": pl.Int8}), [{"a b": 1}]),
    ],
)
def test_values_are_read_as_what_the_column_holds(values, dtype, read):
    column = as_known(pl.Series("x", values), dtype)
    assert column.dtype == dtype
    assert column.to_list() == read


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["2024-05-31", "31.5.2024"], pl.Date()),
        (["1", "x"], pl.Int64()),
        (["1.123"], pl.Decimal(10, 2)),
        (["soon"], pl.Duration("us")),
        (["?"], pl.Binary()),
        (["[1"], pl.List(pl.Int64)),
        ([[1000]], pl.List(pl.Int8)),
        ([{"b": 1}], pl.Struct({"a": pl.Int64})),
    ],
)
def test_what_is_no_such_value_is_refused_with_its_column(values, dtype):
    with pytest.raises(InvalidInputError, match="column 'x' is"):
        as_known(pl.Series("x", values), dtype)


@pytest.mark.parametrize(("values", "dtype"), [([1.5], pl.Int64()), ([300], pl.Int8()), ([1e300], pl.Float32())])
def test_numbers_that_have_no_place_there_are_left_for_the_store_to_refuse(values, dtype):
    column = pl.Series("x", values)
    assert as_known(column, dtype).equals(column)


def test_times_of_a_new_table_are_days_or_instants():
    assert as_time(pl.Series(["2024-05-31"])).to_list() == [date(2024, 5, 31)]
    assert as_time(pl.Series(["2024-05-31", "2024-05-31T12:00:00Z"])).to_list()[1] == NOON
    with pytest.raises(InvalidInputError, match="declared as a time"):
        as_time(pl.Series("t", ["tomorrow"]))


def test_rows_may_lack_keys_and_say_floats_in_words():
    frame = from_json([{"x": "Infinity"}, {"y": "NaN"}], {"x": pl.Float64()})
    assert frame["x"].to_list() == [inf, None]
    assert frame["y"].to_list() == [None, "NaN"]
