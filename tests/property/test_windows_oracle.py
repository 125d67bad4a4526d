"""Windowed features against plain Python: every row, and every instant at which something could change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from windows_oracle import inside, ordered, same, value

from tiffin.derived.windows import columns_of, rows
from tiffin.schema.derivation import AGGREGATIONS, definition
from tiffin.schema.table import Column, TableSpec

START = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
NUMBERS = {"count", "sum", "mean", "std", "min", "max", "first", "last", "distinct"}
COLUMNS: dict[str, tuple[pl.DataType, st.SearchStrategy, set[str]]] = {
    "f": (pl.Float64(), st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), float("inf"), 1e300, -0.0]), NUMBERS),
    "i": (pl.Int32(), st.integers(-(2**31), 2**31 - 1), NUMBERS),
    "u": (pl.UInt8(), st.integers(0, 255), NUMBERS),
    "b": (pl.Boolean(), st.booleans(), NUMBERS),
    "c": (pl.Decimal(10, 2), st.decimals(-1000, 1000, places=2), NUMBERS),
    "d": (pl.Duration("us"), st.timedeltas(timedelta(-5), timedelta(5)), NUMBERS),
    "s": (pl.String(), st.text("ab", max_size=2), NUMBERS - {"sum", "mean", "std"}),
    "t": (pl.Datetime("ms"), st.datetimes().map(lambda t: t.replace(microsecond=0)), NUMBERS - {"sum", "mean", "std"}),
}
TIMES = st.integers(0, 8).map(lambda n: START + timedelta(minutes=30 * n)) | st.integers(0, 36_000).map(
    lambda s: START + timedelta(seconds=s, microseconds=s % 3)
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=2, unique=True))
    windows = draw(
        st.lists(st.sampled_from(["1s", "30m", "1h", "2h", "1d", "all"]), min_size=1, max_size=3, unique=True)
    )
    wanted = {
        n: draw(st.lists(st.sampled_from(sorted(COLUMNS[n][2])), min_size=1, max_size=4, unique=True)) for n in names
    }
    has_made = draw(st.booleans())
    fields = {"user": st.none() | st.sampled_from("xy"), "kind": st.sampled_from([1, 2]), "at": st.none() | TIMES}
    fields |= {n: st.none() | COLUMNS[n][1] for n in names}
    if has_made:
        fields["made"] = st.none() | TIMES
    events = draw(st.lists(st.fixed_dictionaries(fields), max_size=25))
    given = {"source": "a/b", "entity": ["user", "kind"], "windows": windows, "aggregations": {"*": "count", **wanted}}
    return given, events, has_made


def source_of(names: list[str], has_made: bool) -> tuple[TableSpec, dict[str, pl.DataType]]:
    schema = {"user": pl.String(), "kind": pl.Int64(), "at": pl.Datetime("us", "UTC")}
    schema |= {n: COLUMNS[n][0] for n in names}
    if has_made:
        schema["made"] = pl.Datetime("us", "UTC")
    columns = tuple(Column(name, dtype) for name, dtype in schema.items())
    spec = TableSpec(columns, entity=("user",), timestamp="at", created="made" if has_made else None)
    return spec, schema


def oracle(made: Any, events: list[dict[str, Any]], at: datetime) -> dict[str, Any]:
    """What the features of an entity are at an instant, given its events in order."""
    found = {}
    for name, (column, aggregation, window) in made.features().items():
        within = inside(events, window, at)
        found[name] = len(within) if column == "*" else value(aggregation, [event[column] for event in within])
    return found


def check(made: Any, row: dict[str, Any], events: list[dict[str, Any]], at: datetime) -> None:
    for name, expected in oracle(made, events, at).items():
        column, aggregation, window = made.features()[name]
        scale = 0.0
        if aggregation in {"sum", "mean", "std"}:
            held = [event[column] for event in inside(events, window, at)]
            scale = sum(abs(float(x)) for x in held if isinstance(x, float | int | Decimal) and abs(x) < 1e305)
        if aggregation == "std" and scale > 1e150:
            continue
        assert same(row[name], expected, scale), (name, at, row[name], expected)


@settings(max_examples=30)
@given(cases())
def test_the_newest_row_is_right_at_every_instant(case):
    look_at_every_instant(case)


@pytest.mark.slow
@settings(max_examples=600)
@given(cases())
def test_the_newest_row_is_right_at_every_instant_of_many(case):
    look_at_every_instant(case)


def look_at_every_instant(case):
    given_, events, has_made = case
    made = definition(given_)
    spec, schema = source_of(made.columns, has_made)
    out = rows(made, spec, pl.DataFrame(events, schema=schema, orient="row"))
    assert dict(out.schema) == columns_of(made, spec)
    assert out.select("user", "kind", "at").is_unique().all()
    assert out.equals(out.sort("user", "kind", "at"))
    whole = [event for event in events if event["user"] is not None and event["at"] is not None]
    keys = {(event["user"], event["kind"]) for event in whole}
    assert set(out.select("user", "kind").rows()) == keys
    for key in keys:
        mine = ordered([e for e in whole if (e["user"], e["kind"]) == key], made.columns)
        table = out.filter(pl.col("user") == key[0], pl.col("kind") == key[1]).to_dicts()
        for row in table:
            check(made, row, mine, row["at"])
        widths = [timedelta(0), timedelta(seconds=1), timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)]
        instants = {e["at"] + width + tick for e in mine for width in widths for tick in (-TICK, timedelta(0))}
        for at in instants:
            newest = [row for row in table if row["at"] <= at]
            if newest:
                check(made, newest[-1], mine, at)
            else:
                assert not [e for e in mine if e["at"] <= at]


@settings(max_examples=8)
@given(cases())
def test_without_expiry_there_is_a_row_for_each_time_of_an_event(case):
    given_, events, has_made = case
    whole, at_events = (definition({**given_, "expiry": expiry}) for expiry in (True, False))
    spec, schema = source_of(whole.columns, has_made)
    frame = pl.DataFrame(events, schema=schema, orient="row")
    every, some = (rows(made, spec, frame) for made in (whole, at_events))
    key = ["user", "kind", "at"]
    assert some.equals(every.join(frame.select(key).drop_nulls().unique(), on=key, how="semi", maintain_order="left"))
    assert some.height == frame.select(key).drop_nulls().n_unique()


@pytest.mark.parametrize("aggregation", sorted(set(AGGREGATIONS) - {"count", "first", "last"}))
def test_what_cannot_be_aggregated_is_refused(aggregation):
    from tiffin.errors import SchemaMismatch

    made = definition({"source": "a/b", "entity": "user", "windows": "1d", "aggregations": {"x": aggregation}})
    columns = (Column("user", pl.String()), Column("at", pl.Date()), Column("x", pl.List(pl.Int64())))
    with pytest.raises(SchemaMismatch, match="'x' is List"):
        columns_of(made, TableSpec(columns, entity=("user",), timestamp="at"))
