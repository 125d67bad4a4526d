"""A profile says of each column what plain Python counts."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiffin
from tiffin.errors import FeatureNotFound
from tiffin.quality import profile as profiles
from tiffin.quality.profile import ColumnProfile, Common, profile

FLOATS = st.floats(-1e6, 1e6) | st.just(math.nan) | st.none()


def column(values: pl.Series) -> ColumnProfile:
    (found,) = profile("g/t", 0, [values.name], lambda name: values).columns
    return found


def quantile(ordered: list[float], at: float) -> float:
    place = at * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@given(st.lists(FLOATS, max_size=30))
def test_numbers(values):
    found = column(pl.Series("x", values, dtype=pl.Float64))
    assert found.nulls == values.count(None)
    assert found.nans == sum(value is not None and math.isnan(value) for value in values)
    kept = sorted(value for value in values if value is not None and not math.isnan(value))
    assert found.distinct == len(set(kept))
    assert (found.min, found.max) == ((kept[0], kept[-1]) if kept else (None, None))
    assert found.mean == (pytest.approx(statistics.fmean(kept), abs=1e-6) if kept else None)
    assert found.std == (pytest.approx(statistics.stdev(kept), rel=1e-6, abs=1e-4) if len(kept) > 1 else None)
    expected = {str(at): pytest.approx(quantile(kept, at), abs=1e-6) for at in profiles.QUANTILES} if kept else {}
    assert found.quantiles == expected


@given(st.lists(st.text(max_size=3) | st.none(), max_size=40))
def test_texts(values):
    found = column(pl.Series("x", values, dtype=pl.String))
    kept = [value for value in values if value is not None]
    assert found.mean == (pytest.approx(statistics.fmean(map(len, kept))) if kept else None)
    counts = sorted(Counter(kept).items(), key=lambda item: (-item[1], item[0].encode()))
    assert found.common == tuple(Common(*item) for item in counts[:5])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            pl.Series([True, True, False, None]),
            {"mean": 2 / 3, "distinct": 2, "common": (Common(True, 2), Common(False, 1))},
        ),
        (pl.Series([3, 2**63 - 1]), {"min": 3, "max": 2**63 - 1, "distinct": 2}),
        (pl.Series([Decimal("0.10"), Decimal("0.30")]), {"min": Decimal("0.10"), "max": Decimal("0.30")}),
        (pl.Series([date(2024, 1, 2), None]), {"min": date(2024, 1, 2), "nulls": 1, "mean": None}),
        (pl.Series([datetime(2024, 1, 2, tzinfo=UTC)]), {"max": datetime(2024, 1, 2, tzinfo=UTC)}),
        (pl.Series([timedelta(1), timedelta(2)]), {"max": timedelta(2)}),
        (pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), {"min": "b", "max": "a", "distinct": 2}),
        (pl.Series([[1], None]), {"nulls": 1, "distinct": None, "min": None}),
        (pl.Series([b"x", b"y"]), {"distinct": None}),
        (pl.Series([None, None]), {"nulls": 2, "distinct": None}),
        (pl.Series([], dtype=pl.Int64), {"nulls": 0, "distinct": 0, "min": None, "mean": None, "quantiles": {}}),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_each_type_has_what_applies_to_it(values, expected):
    found = column(values)
    assert {name: getattr(found, name) for name in expected} == expected


def test_many_distinct_values_are_estimated(monkeypatch):
    monkeypatch.setattr(profiles, "EXACT_ROWS", 1000)
    found = column(pl.Series(range(50_000)))
    assert not found.is_exact
    assert found.distinct == pytest.approx(50_000, rel=0.05)
    assert column(pl.Series(range(1000))).is_exact


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
