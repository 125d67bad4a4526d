"""A diff counts what changed, by key where rows have one and as whole rows where they have none."""

import math
from collections import Counter
from datetime import UTC, datetime

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

import tiffin
from tiffin.diff import diff
from tiffin.schema.table import Column, TableSpec


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


def test_rows_are_matched_by_entity_and_time(store):
    at = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 1, 1)]
    before = pl.DataFrame({"id": [1, 1, 2, 3], "at": at, "x": [1.0, 2.0, None, float("nan")], "y": list("abcd")})
    after = pl.DataFrame(
        {"id": [1, 2, 3, 4], "at": [at[0], at[0], at[0], at[0]], "x": [1.5, None, float("nan"), 9.0], "y": list("azdq")}
    )
    store.save("g/t", before, entity="id", timestamp="at")
    store.save("g/t", after)
    found = store.diff("g/t", 0)
    assert (found.old, found.new, found.rows_old, found.rows_new) == (0, 1, 4, 4)
    assert found.key == ("id", "at")
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (1, 1, 2)
    assert {column.name: column.changed for column in found.columns} == {"x": 1, "y": 1}
    assert found.examples[0] == {"id": 1, "at": at[0], "x": {"old": 1.0, "new": 1.5}}
    assert found.examples[1] == {"id": 2, "at": at[0], "y": {"old": "c", "new": "z"}}
    assert not found.is_empty


def test_null_keys_match_each_other(store):
    store.save("g/t", pl.DataFrame({"id": [None, 1], "x": [1, 2]}, schema={"id": pl.Int64, "x": pl.Int64}), entity="id")
    store.save("g/t", pl.DataFrame({"id": [None, 1], "x": [5, 2]}, schema={"id": pl.Int64, "x": pl.Int64}))
    found = store.diff("g/t", 0)
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 1)


@pytest.mark.parametrize("entity", [None, "id"])
def test_rows_without_a_key_of_their_own_are_counted_as_whole_rows(store, entity):
    store.save("g/t", pl.DataFrame({"id": [1, 1, 2], "x": ["a", "a", "b"]}), entity=entity)
    store.save("g/t", pl.DataFrame({"id": [1, 2, 2], "x": ["a", "b", "c"]}))
    found = store.diff("g/t", 0)
    assert (found.key, found.rows_added, found.rows_removed, found.rows_changed) == ((), 1, 1, 0)


def test_nested_values_are_compared_too(store):
    store.save("g/t", pl.DataFrame({"l": [[1, 2], [3]], "s": [{"a": 1}, {"a": 2}]}))
    store.save("g/t", pl.DataFrame({"l": [[1, 2], [4]], "s": [{"a": 1}, {"a": 2}]}))
    found = store.diff("g/t", 0)
    assert (found.rows_added, found.rows_removed) == (1, 1)


def test_schemas_are_compared_and_only_shared_columns_matched(store):
    store.save("g/t", pl.DataFrame({"id": [1], "x": [1], "gone": [1]}), entity="id")
    store.save("g/t", pl.DataFrame({"id": [1], "x": ["1"], "new": [1.0]}), evolve=True)
    found = store.diff("g/t", 0)
    assert found.schema == ("~ x: Int64 → String", "- gone: Int64", "+ new: Float64")
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (0, 0, 0)


def test_equal_versions_have_an_empty_diff(store):
    store.save("g/t", pl.DataFrame({"x": [1.0, float("nan"), None]}))
    store.save("g/t", pl.DataFrame({"x": [1.0, float("nan"), None]}))
    assert store.diff("g/t", 0, 1).is_empty


def test_means_that_differ_by_rounding_alone_are_no_difference(store):
    values = [0.1, 0.2, 0.3, 1e16, -1e16]
    store.save("g/t", pl.DataFrame({"id": range(5), "x": values}))
    store.save("g/t", pl.DataFrame({"id": [4, 3, 2, 1, 0], "x": values[::-1]}))
    assert store.diff("g/t", 0).columns == ()
    store.save("g/u", pl.DataFrame({"id": range(3), "x": [0.1] * 3}), entity="id")
    store.save("g/u", pl.DataFrame({"id": range(10), "x": [0.1] * 10}))
    assert store.diff("g/u", 0).columns == ()


def test_whole_rows_are_told_of_by_column_too(store):
    store.save("g/t", pl.DataFrame({"x": [1, 1, 4], "kind": ["a", "b", "b"], "at": [datetime(2024, 1, 1)] * 3}))
    store.save("g/t", pl.DataFrame({"x": [1, None, 5], "kind": ["b", "b", "c"], "at": [datetime(2024, 1, 1)] * 3}))
    x, kind = store.diff("g/t", 0).columns
    assert (x.name, x.changed, x.nulls_old, x.nulls_new) == ("x", 0, 0, 1)
    assert (x.numbers.mean_old, x.numbers.mean_new, x.numbers.mean_change) == (2.0, 3.0, None)
    assert (kind.values.come, kind.values.gone, kind.values.come_count) == (("c",), ("a",), 1)


def test_values_are_named_up_to_a_bound_the_most_frequent_first(store):
    store.save("g/t", pl.DataFrame({"kind": ["old"]}))
    store.save("g/t", pl.DataFrame({"kind": [f"k{number:02}" for number in range(30)] + ["k29", "k07"]}))
    (kind,) = store.diff("g/t", 0).columns
    assert kind.values.come == ("k07", "k29", *(f"k{number:02}" for number in range(19) if number != 7))
    assert (kind.values.come_count, kind.values.gone_count, kind.values.distinct_new) == (30, 1, 30)


INTEGERS = st.one_of(st.none(), st.sampled_from([0, 1, -7, 2**63 - 1, -(2**63)]))
FLOATS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, -2.25, 1e300, math.inf, math.nan]))
KINDS = st.one_of(st.none(), st.sampled_from(["a", "b", "c", ""]))
FLAGS = st.one_of(st.none(), st.booleans())
LISTS = st.one_of(st.none(), st.lists(st.integers(0, 1), max_size=1))
SCHEMA = {"id": pl.Int64, "i": pl.Int64, "f": pl.Float64, "k": pl.Categorical, "b": pl.Boolean, "l": pl.List(pl.Int64)}
TABLE = st.lists(
    st.tuples(st.integers(0, 4), INTEGERS, FLOATS, KINDS, FLAGS, LISTS), max_size=5, unique_by=lambda row: row[0]
)


def is_same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def close(found, expected, of):
    """Tell whether two sums of some numbers are the same, as far as floats can tell."""
    if None in (found, expected):
        return found is expected
    return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12 * max(map(abs, of)))


def finite(values):
    return [value for value in values if value is not None and math.isfinite(value)]


def mean(values):
    return math.fsum(value / len(values) for value in values) if values else None


@given(TABLE, TABLE)
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_a_loop_over_the_rows(old, new):
    spec = TableSpec(
        columns=tuple(Column(name, pl.DataFrame(schema=SCHEMA)[name].dtype) for name in SCHEMA), entity=("id",)
    )
    frames = [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in (old, new)]
    found = {one.name: one for one in diff("g/t", (0, 1), (spec, spec), tuple(frames)).columns}
    before, after = {row[0]: row for row in old}, {row[0]: row for row in new}
    for place, name in enumerate(SCHEMA):
        if name == "id":
            continue
        pairs = [(before[key][place], after[key][place]) for key in before if key in after]
        changed = [pair for pair in pairs if not is_same(*pair)]
        sides = [[row[place] for row in rows] for rows in (old, new)]
        nulls = [side.count(None) for side in sides]
        column = found.get(name)
        if column is None:
            assert not changed
            assert nulls[0] == nulls[1]
            assert name not in "kb" or {*sides[0]} - {None} == {*sides[1]} - {None}
            continue
        assert (column.changed, column.nulls_old, column.nulls_new) == (len(changed), *nulls)
        if name in "if":
            assert column.values is None
            steps = [abs(b - a) for a, b in changed if finite([a]) and finite([b])]
            olds, news = map(finite, sides)
            assert close(column.numbers.mean_old, mean(olds), olds)
            assert close(column.numbers.mean_new, mean(news), news)
            assert close(column.numbers.mean_change, mean(steps), steps)
            assert close(column.numbers.largest_change, max(steps, default=None), steps)
            continue
        counts = [Counter(repr(value) for value in side if value is not None) for side in sides]
        assert column.numbers is None
        assert (column.values.distinct_old, column.values.distinct_new) == (len(counts[0]), len(counts[1]))
        if name in "kb":
            assert sorted(map(repr, column.values.come)) == sorted(counts[1].keys() - counts[0].keys())
            assert sorted(map(repr, column.values.gone)) == sorted(counts[0].keys() - counts[1].keys())
            assert column.values.come_count == len(column.values.come)


def test_a_renamed_column_is_compared_under_its_new_name(store):
    store.save("g/t", [{"id": 1, "a": 1.0}, {"id": 2, "a": 2.0}], entity="id")
    store.rename("g/t", "a", "b")
    store.save("g/t", [{"id": 1, "b": 1.0}, {"id": 2, "b": 9.0}])
    found = store.diff("g/t", 0)
    assert (found.rows_changed, found.columns[0].name, found.columns[0].numbers.mean_change) == (1, "b", 7.0)
    assert found.examples == ({"id": 2, "b": {"old": 2.0, "new": 9.0}},)
    back = store.diff("g/t", 2, 0)
    assert (back.rows_changed, back.columns[0].name) == (1, "a")


def test_examples_name_what_changed_and_nothing_else(store):
    nan = float("nan")
    frame = pl.DataFrame({"id": [1, 2], "l": [[nan], [1.0]], "x": [1, 2]})
    store.save("g/t", frame, entity="id")
    store.save("g/t", frame.with_columns(l=pl.Series([[nan], [2.0]]), x=pl.Series([5, 2])))
    assert store.diff("g/t", 0).examples == (
        {"id": 1, "x": {"old": 1, "new": 5}},
        {"id": 2, "l": {"old": [1.0], "new": [2.0]}},
    )


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("us"), pl.Datetime("us", "Asia/Kolkata")])
def test_times_that_python_has_not_are_told_of_in_words(store, dtype):
    far = 2**31 - 1 if dtype == pl.Date else 2**61
    for x in (far, far - 1):
        store.save(
            "g/t",
            pl.DataFrame(
                {"id": [1], "at": pl.Series([x]).cast(pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)}
            ),
            entity="id",
        )
    outside = "a time outside the years 1 to 9999"
    assert store.diff("g/t", 0).examples == ({"id": 1, "at": {"old": outside, "new": outside}},)


def test_differences_of_large_whole_numbers_are_not_rounded(store):
    for x in (2**53, 2**53 + 1):
        store.save("g/t", [{"id": 1, "x": x}], entity="id")
    assert store.diff("g/t", 0).columns[0].numbers.largest_change == 1
