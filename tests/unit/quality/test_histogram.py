"""Bins hold what they should, and those of two versions fit each other."""

from __future__ import annotations

import math
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.quality.profiles.histogram import MOST_BINS, choose, fence, histogram, label

NUMBERS = st.floats(-1e200, 1e200).filter(lambda value: not 0 < abs(value) < 1e-100) | st.integers(-5, 5).map(float)


@settings(max_examples=30)
@given(NUMBERS, NUMBERS)
def test_bins_hold_both_ends_and_are_as_narrow_as_they_may_be(one, other):
    low, high = min(one, other), max(one, other)
    bins = choose(low, high)
    edges = [Fraction(bins.first + number) * Fraction(bins.width) for number in range(bins.count + 1)]
    assert edges[0] <= Fraction(low) < edges[1]
    assert edges[-2] <= Fraction(high) < edges[-1]
    assert 1 <= bins.count <= MOST_BINS
    if bins.count < MOST_BINS // 2:
        assert low == high or bins.width <= math.ulp(max(abs(low), abs(high)))


@settings(max_examples=30)
@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_the_wider_bins_of_two_histograms_are_made_of_whole_narrower_ones(a, b, c, d):
    one, other = sorted((choose(min(a, b), max(a, b)), choose(min(c, d), max(c, d))), key=lambda bins: bins.width)
    assert (Fraction(other.width) / Fraction(one.width)).denominator == 1


def test_whole_numbers_have_bins_of_their_own_where_there_is_room():
    bins = choose(0.0, 10.0, is_whole=True)
    assert (bins.width, bins.count) == (1.0, 11)


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1.7976931348623157e308, -1e-300, 12345.678])
def test_a_constant_has_one_bin(value):
    found = histogram(pl.Series([value, value]), choose(value, value))
    assert (found.counts, found.below, found.above) == ((2,), 0, 0)


def test_the_largest_range_has_bins():
    largest = 1.7976931348623157e308
    assert sum(histogram(pl.Series([-largest, 0.0, largest]), choose(-largest, largest)).counts) == 3


def test_far_outliers_do_not_put_all_others_into_one_bin():
    ordered = pl.Series([float(number) for number in range(1000)] + [1e9])
    low, high = fence(ordered)
    assert (low, 1000 < high < 2000) == (0.0, True)
    found = histogram(ordered, choose(low, high))
    assert (found.above, sum(found.counts)) == (1, 1000)
    assert fence(pl.Series([1.0] * 999 + [2.0])) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("number", "dtype", "expected"),
    [
        (0.0, "Date", "1970-01-01"),
        (86_400 * 366.5, "Datetime(time_unit='us', time_zone=None)", "1971-01-02 12:00"),
        (90.0, "Time", "0:01:30"),
        (90.0, "Duration(time_unit='us')", "0:01:30"),
        (1e30, "Date", "1e+30"),
        (1234.5678, "Float64", "1235"),
    ],
)
def test_edges_are_written_as_the_columns_values(number, dtype, expected):
    assert label(number, dtype) == expected
