"""A profile says of each column what plain Python counts."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiffin
from tiffin.errors import FeatureNotFound
from tiffin.quality.profiles import profiling
from tiffin.quality.profiles.profile import ColumnProfile, Common, Lengths
from tiffin.quality.profiles.profiling import profile
from tiffin.wire import encode

FEW = settings(max_examples=20)
FLOATS = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]) | st.none()
INTEGERS = st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1) | st.none()
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)) | st.sampled_from([datetime(2024, 1, 1)]) | st.none()
SPANS = st.timedeltas(timedelta(days=-(10**5)), timedelta(days=10**5)) | st.none()
TEXTS = st.text(max_size=3) | st.none()


def column(values: pl.Series) -> ColumnProfile:
    (found,) = profile("g/t", 0, [values.name], lambda _: values).columns
    return found


def present(values: list) -> list:
    return [value for value in values if value is not None]


def quantile(ordered: list[float], at: float) -> float:
    place = at * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] * (1 - place % 1) + ordered[high] * (place % 1)


def most_common(values: list, key=lambda value: value) -> tuple[Common, ...]:
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], key(item[0])))
    return tuple(Common(*item) for item in counts[:10])


def check_bins(found: ColumnProfile, numbers: list[float]) -> None:
    """Each value lies in the bin that counts it, and none is lost."""
    bins = found.histogram
    if not numbers:
        assert bins is None
        return
    edges = [bins.edge(number) for number in range(len(bins.counts) + 1)]
    counted = [sum(low <= value < high for value in numbers) for low, high in pairwise(edges)]
    assert list(bins.counts) == counted
    assert bins.below == sum(value < edges[0] for value in numbers)
    assert bins.above == sum(value >= edges[-1] for value in numbers)


@FEW
@given(st.lists(FLOATS, max_size=30))
def test_floats(values):
    found = column(pl.Series("x", values, dtype=pl.Float64))
    assert found.nulls == values.count(None)
    assert found.nans == sum(map(math.isnan, present(values)))
    assert found.infinities == sum(map(math.isinf, present(values)))
    kept = sorted(filter(math.isfinite, present(values)))
    assert found.zeros == kept.count(0)
    assert found.distinct == len(set(kept))
    assert (found.min, found.max) == ((kept[0], kept[-1]) if kept else (None, None))
    assert found.mean == (pytest.approx(statistics.fmean(kept), abs=1e-6) if kept else None)
    assert found.std == (pytest.approx(statistics.stdev(kept), rel=1e-6, abs=1e-4) if len(kept) > 1 else None)
    expected = {str(at): pytest.approx(quantile(kept, at), abs=1e-6) for at in profiling.QUANTILES} if kept else {}
    assert found.quantiles == expected
    assert found.common == ()
    check_bins(found, kept)


@FEW
@given(st.lists(INTEGERS, max_size=30))
def test_whole_numbers(values):
    found = column(pl.Series("x", values, dtype=pl.Int64))
    kept = present(values)
    assert (found.nulls, found.nans, found.zeros) == (values.count(None), None, kept.count(0))
    assert (found.min, found.max) == ((min(kept), max(kept)) if kept else (None, None))
    assert found.distinct == len(set(kept))
    assert found.common == most_common(kept)
    check_bins(found, [float(value) for value in kept])


@FEW
@given(st.lists(st.decimals(-(10**6), 10**6, places=2) | st.none(), max_size=20))
def test_decimals(values):
    found = column(pl.Series("x", values, dtype=pl.Decimal(12, 2)))
    kept = present(values)
    assert (found.min, found.max) == ((min(kept), max(kept)) if kept else (None, None))
    assert found.mean == (pytest.approx(statistics.fmean(map(float, kept)), abs=1e-6) if kept else None)
    check_bins(found, [float(value) for value in kept])


@FEW
@given(st.lists(TEXTS, max_size=40))
def test_texts(values):
    found = column(pl.Series("x", values, dtype=pl.String))
    kept = present(values)
    assert found.mean == (pytest.approx(statistics.fmean(map(len, kept))) if kept else None)
    lengths = [len(value) for value in kept]
    expected = Lengths(min(lengths), pytest.approx(statistics.fmean(lengths)), max(lengths)) if kept else None
    assert found.lengths == expected
    assert found.common == most_common(kept, str.encode)
    assert found.histogram is None


@FEW
@given(st.lists(MOMENTS, max_size=30), st.sampled_from(["ms", "us"]))
def test_moments(values, unit):
    column_values = pl.Series("x", values, dtype=pl.Datetime(unit))
    found, kept = column(column_values), sorted(present(column_values.to_list()))
    assert (found.min, found.max) == ((kept[0], kept[-1]) if kept else (None, None))
    places = {str(at): kept[int(at * (len(kept) - 1))] for at in profiling.QUANTILES} if kept else {}
    assert found.quantiles == places
    check_bins(found, [(value - datetime(1970, 1, 1)) / timedelta(seconds=1) for value in kept])


@FEW
@given(st.lists(SPANS, max_size=30))
def test_durations(values):
    found, kept = column(pl.Series("x", values, dtype=pl.Duration("us"))), sorted(present(values))
    assert (found.min, found.max) == ((kept[0], kept[-1]) if kept else (None, None))
    check_bins(found, [value / timedelta(seconds=1) for value in kept])


@FEW
@given(st.lists(st.lists(st.integers(0, 9), max_size=5) | st.none(), max_size=20))
def test_lists(values):
    found, lengths = column(pl.Series("x", values, dtype=pl.List(pl.Int64))), [len(each) for each in present(values)]
    mean = pytest.approx(statistics.fmean(lengths)) if lengths else None
    assert found.lengths == (Lengths(min(lengths), mean, max(lengths)) if lengths else None)
    assert (found.nulls, found.distinct, found.min) == (values.count(None), None, None)
    check_bins(found, [float(length) for length in lengths])


@FEW
@given(st.lists(st.booleans() | st.none(), max_size=20))
def test_bools(values):
    found, kept = column(pl.Series("x", values, dtype=pl.Boolean)), present(values)
    assert found.mean == (kept.count(True) / len(kept) if kept else None)
    assert found.distinct == len(set(kept))
    assert found.common == most_common(kept)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([Decimal("0.10"), Decimal("0.30")]), {"min": Decimal("0.10"), "max": Decimal("0.30")}),
        (pl.Series([date(2024, 1, 2), None]), {"min": date(2024, 1, 2), "nulls": 1, "mean": None}),
        (pl.Series([datetime(2024, 1, 2, tzinfo=UTC)]), {"max": datetime(2024, 1, 2, tzinfo=UTC)}),
        (pl.Series([time(1, 2), time(0, 1)]), {"min": time(0, 1), "distinct": 2}),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), {"min": "b", "max": "a", "distinct": 2}),
        (pl.Series(["b", "b"], dtype=pl.Categorical), {"common": (Common("b", 2),), "lengths": Lengths(1, 1.0, 1)}),
        (pl.Series([b"xyz", None, b""]), {"distinct": None, "lengths": Lengths(0, 1.5, 3), "nulls": 1}),
        (pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)), {"lengths": Lengths(2, 2.0, 2), "nulls": 1}),
        (pl.Series([{"a": 1}, None]), {"nulls": 1, "distinct": None, "lengths": None}),
        (pl.Series([None, None]), {"nulls": 2, "distinct": None}),
        (pl.Series([], dtype=pl.Int64), {"nulls": 0, "distinct": 0, "min": None, "mean": None, "quantiles": {}}),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), {"min": 2**64 - 1}),
        (pl.Series([-(2**99)], dtype=pl.Int128), {"min": Decimal(-(2**99)), "common": (Common(Decimal(-(2**99)), 1),)}),
        (pl.Series([1.7e308, -1.7e308]), {"mean": 0.0, "std": None, "min": -1.7e308}),
        (pl.Series([1.7e308, 1.7e308]), {"mean": None, "max": 1.7e308}),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)  # fmt: skip
def test_each_type_has_what_applies_to_it(values, expected):
    found = column(values)
    assert {name: getattr(found, name) for name in expected} == expected


def test_whole_numbers_that_json_has_not_are_decimals():
    found = column(pl.Series([-(2**99), 2**64, 2**64 - 1, -(2**63)], dtype=pl.Int128))
    assert [type(value) for value in (found.min, found.max)] == [Decimal, Decimal]
    assert [type(each.value) for each in found.common] == [Decimal, int, int, Decimal]
    assert b"633825300114114700748351602688" in encode(found)


def test_quantiles_of_the_largest_floats_are_floats():
    assert column(pl.Series([-1.7e308, 1.7e308])).quantiles["0.5"] == 0


def test_of_many_rows_some_are_drawn_and_their_counts_scaled_up(monkeypatch):
    monkeypatch.setattr(profiling, "EXACT_ROWS", 5000)
    rows = 50_000
    found = column(pl.Series("x", [None, *(number % 100 for number in range(1, rows))]))
    assert not found.is_exact
    assert found.sampled == 5000
    assert found.distinct == pytest.approx(100, rel=0.05)
    assert (found.nulls, found.min, found.max) == (1, 0, 99)
    assert found.quantiles["0.5"] == pytest.approx(49.5, abs=3)
    assert sum(found.histogram.counts) == pytest.approx(rows, rel=0.01)
    # The most frequent ones of the sample are by chance somewhat more frequent in it.
    assert all(500 <= each.rows < 900 for each in found.common)
    assert column(pl.Series(range(5000))).is_exact


def test_a_store_profiles_each_version_and_single_features(tmp_path):
    store = tiffin.FeatureStore(tmp_path)
    store.save("g/t", [{"id": 1, "x": 1.0}], entity="id")
    store.save("g/t", [{"id": 1, "x": 3.0}, {"id": 2, "x": None}])
    now, then = store.profile("t"), store.profile("g/t@0")
    assert (now.table, now.version, now.rows, [each.name for each in now.columns]) == ("g/t", 1, 2, ["id", "x"])
    assert (then.version, then.rows, then.columns[1].max) == (0, 1, 1.0)
    assert [each.name for each in store.profile("g/t:x").columns] == ["x"]
    with pytest.raises(FeatureNotFound, match="y"):
        store.profile("g/t:y")


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([2**62, 0]).cast(pl.Datetime("us")),
        pl.Series([2**62, 0]).cast(pl.Datetime("us", "UTC")),
        pl.Series([253402300799 * 10**6, 0]).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Kolkata"),
        pl.Series([2**31 - 1, 0], dtype=pl.Int32).cast(pl.Date),
    ],
    ids=lambda values: str(values.dtype),
)
def test_times_that_python_has_not_are_told_of_in_words(values):
    found = column(values)
    assert found.max == "a time outside the years 1 to 9999"
    assert found.min == values[1]
    assert sum(found.histogram.counts) == 2


def test_long_texts_are_told_by_their_beginning():
    found = column(pl.Series(["a" * 1_000_000, "b" * 200]))
    assert (found.min, found.max) == ("a" * 199 + "…", "b" * 200)
    assert [each.value for each in found.common] == [found.min, found.max]
    assert (found.distinct, found.lengths.max) == (2, 1_000_000)


def test_there_are_no_more_distinct_values_than_values(monkeypatch):
    monkeypatch.setattr(profiling, "EXACT_ROWS", 10)
    assert all(column(pl.Series(range(rows))).distinct <= rows for rows in range(2_000, 3_000, 50))


def test_a_profile_of_a_stage_says_so(tmp_path):
    store = tiffin.FeatureStore(tmp_path)
    store.save("g/t", [{"id": 1, "x": 1.0}], entity="id")
    store.stage("g/t", [{"id": 1, "x": 3.0}], "try")
    for _ in range(2):
        found = store.profile("t@try")
        assert (found.stage, found.version, found.name) == ("try", 0, "g/t stage try on version 0")
    assert store.profile("t").name == "g/t version 0"
