"""Each kind of constraint against loops in plain Python, on frames with nulls, NaN and every edge."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.schema.constraints.kinds import Range, Unique, Values
from tiffin.schema.constraints.texts import read
from tiffin.schema.names import TableName
from tiffin.schema.table import Column, TableSpec
from tiffin.tables.checking import Standing, check_rows, check_unique

NUMBERS = st.one_of(st.none(), st.integers(-4, 4), st.sampled_from([2**62, -(2**62), 2**53, 2**53 + 1]))
FLOATS = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.5, 1e300]), st.floats(-4, 4))
TEXTS = st.one_of(st.none(), st.text("aäb ", max_size=4))
KINDS = [("min", "below"), ("above", "max"), ("min",), ("above",), ("max",)]
BOUNDS = st.one_of(st.integers(-4, 4), st.sampled_from([2**62, 2**53, 0.5, -0.5, 1e300, 300]))


def broken(frame: pl.DataFrame, constraint: Any) -> list[bool]:
    """Rows that the code under test finds to break a constraint."""
    spec = TableSpec(tuple(Column(name, dtype) for name, dtype in frame.schema.items()))
    (tally,), masks = check_rows(frame, [constraint], spec, "g/t")
    found = masks[constraint.name].to_list() if masks else [False] * frame.height
    assert tally.rows == sum(found)
    assert len(tally.examples) == min(5, sum(found))
    return found


def is_within(value: Any, limits: Range) -> bool:
    """Python compares a whole number and a float exactly."""
    if value is None:
        return True
    if isinstance(value, float) and math.isnan(value):
        return False
    return (
        (limits.min is None or value >= limits.min)
        and (limits.above is None or value > limits.above)
        and (limits.max is None or value <= limits.max)
        and (limits.below is None or value < limits.below)
    )


@given(st.data(), st.sampled_from([pl.Int64, pl.Int8, pl.UInt16, pl.Float64]), BOUNDS, BOUNDS, st.sampled_from(KINDS))
@settings(max_examples=60)
def test_a_range(data, dtype, low, high, kinds):
    if dtype == pl.Float64:
        values = data.draw(st.lists(FLOATS, max_size=12))
    else:
        largest = {pl.Int8: 127, pl.UInt16: 65535}.get(dtype, 2**63 - 1)
        least = 0 if dtype == pl.UInt16 else -largest
        values = data.draw(
            st.lists(NUMBERS.map(lambda n: n if n is None else max(least, min(n, largest))), max_size=12)
        )
    limits = Range(name="r", column="v", **dict(zip(kinds, (low, high), strict=False)))
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype, strict=False)})
    assert broken(frame, limits) == [not is_within(value, limits) for value in values]


@pytest.mark.parametrize("words", ["v >= -9", "v > -9", "v <= 9", "v < 9", "v between -9 and 9"])
def test_a_nan_is_in_no_range_and_null_in_every(words):
    frame = pl.DataFrame({"v": [math.nan, None, 1.0]})
    assert broken(frame, read(words)) == [True, False, False]


@given(st.lists(TEXTS, max_size=12), st.integers(0, 3), st.integers(0, 3), st.sampled_from([pl.String, pl.Categorical]))
def test_length_pattern_and_bounds_of_texts(values, least, more, dtype):
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype, strict=False)})
    length = read({"column": "v", "min_length": least, "max_length": least + more})
    assert broken(frame, length) == [v is not None and not least <= len(v) <= least + more for v in values]
    pattern = read("v matches ^a+.?b|ä$")
    assert broken(frame, pattern) == [v is not None and not re.search("^a+.?b|ä$", v) for v in values]
    bound = read("v >= 'aä'")
    assert broken(frame, bound) == [v is not None and v.encode() < "aä".encode() for v in values]


@given(
    st.data(), st.sampled_from([(NUMBERS, pl.Int64), (FLOATS, pl.Float64), (TEXTS, pl.String), (TEXTS, pl.Categorical)])
)
@settings(max_examples=50)
def test_values_and_not_null(data, kind):
    values, dtype = kind
    held = data.draw(st.lists(values, max_size=12))
    plain = {pl.Int64: 1, pl.Float64: 0.5}.get(dtype, "a")
    finite = values.map(lambda v: plain if v is None or (isinstance(v, float) and not math.isfinite(v)) else v)
    allowed = data.draw(st.lists(finite, min_size=1, max_size=12))
    frame = pl.DataFrame({"v": pl.Series(held, dtype=dtype)})
    assert broken(frame, Values(name="v", column="v", values=tuple(allowed))) == [
        v is not None and v not in allowed for v in held
    ]
    assert broken(frame, read("v is not null")) == [v is None for v in held]


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(-3, 3)), st.one_of(st.none(), st.integers(-3, 3)))))
def test_sql_in_its_three_truths(rows):
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")

    def either(a, b):
        """`a <= b OR b = 0`, as SQL has it."""
        left = None if a is None or b is None else a <= b
        right = None if b is None else b == 0
        return True if True in (left, right) else None if None in (left, right) else False

    answers = [either(a, b) for a, b in rows]
    assert broken(frame, read("a <= b OR b = 0")) == [answer is False for answer in answers]
    strict = read({"sql": "a <= b OR b = 0", "strict": True})
    assert broken(frame, strict) == [answer is not True for answer in answers]


@given(st.lists(st.tuples(NUMBERS, FLOATS), max_size=12))
def test_unique_keys(rows):
    frame = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Float64}, orient="row")
    spec = TableSpec((Column("a", pl.Int64()), Column("b", pl.Float64())))
    standing = Standing(NAMED, None, spec, "overwrite", frame.clear(), None)
    unique = Unique(name="u", columns=("a", "b"))
    _, masks = check_unique(frame, [unique], standing)
    keys = [None if None in row else (row[0], "nan" if math.isnan(row[1]) else row[1]) for row in rows]
    count = Counter(keys)
    found = masks["u"].to_list() if masks else [False] * len(rows)
    assert found == [key is not None and count[key] > 1 for key in keys]


class NAMED:
    """All that is asked of a table that has no rows."""

    name = TableName("g", "t")


AT = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
KINDS_OF_VALUES = [
    (pl.Datetime("us", "UTC"), AT, "2024-01-02"),
    (pl.Datetime("ms", "Asia/Kolkata"), AT, "2024-01-02T05:30:00+05:30"),
    (pl.Datetime("ns"), [at.replace(tzinfo=None) for at in AT], "2024-01-02T01:00:00+01:00"),
    (pl.Date, [at.date() for at in AT], "2024-01-02"),
    (pl.Decimal(10, 2), [Decimal("0.10"), Decimal("0.20"), Decimal("0.30")], 0.2),
    (pl.Float32, [0.1, 0.2, 0.3], 0.2),
    (pl.UInt64, [1, 2, 2**64 - 1], 2),
    (pl.String, ["a", "b", "c"], "b"),
    (pl.Categorical, ["c", "d", "e"], "d"),
]


@pytest.mark.parametrize(("dtype", "values", "middle"), KINDS_OF_VALUES, ids=[str(case[0]) for case in KINDS_OF_VALUES])
def test_values_of_every_kind_are_compared_in_their_own(dtype, values, middle):
    frame = pl.DataFrame({"v": pl.Series([*values, None], dtype=dtype)})
    assert broken(frame, read({"column": "v", "min": middle})) == [True, False, False, False]
    assert broken(frame, read({"column": "v", "above": middle})) == [True, True, False, False]
    assert broken(frame, read({"column": "v", "max": middle})) == [False, False, True, False]
    assert broken(frame, read({"column": "v", "values": [middle]})) == [True, False, True, False]


def test_booleans_and_enums_have_allowed_values():
    assert broken(pl.DataFrame({"v": [True, False, None]}), read("v in [true]")) == [False, True, False]
    enum = pl.DataFrame({"v": pl.Series(["a", "b", None], dtype=pl.Enum(["b", "a"]))})
    assert broken(enum, read('v in ["a", "z"]')) == [False, True, False]
