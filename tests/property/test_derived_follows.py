"""Whatever is done to the source of a derived table, a refresh makes it what a backfill would, to the last bit."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings

import tiffin
from tiffin.derived.windows import rows
from tiffin.schema.derivation import definition
from tiffin.schema.names import TableName

START = datetime(2024, 1, 1)
KEY = ["user", "at"]
SCHEMA = {"user": pl.Int64(), "item": pl.Int64(), "at": pl.Datetime("us"), "value": pl.Float64(), "word": pl.String()}
WHAT = {
    "source": "a/events",
    "entity": "user",
    "windows": ["1h", "1d", "all"],
    "aggregations": {"value": ["sum", "std", "last", "min"], "word": ["distinct", "first"], "*": "count"},
}
EVENTS = st.fixed_dictionaries(
    {
        "user": st.sampled_from([None, 0, 1, 1, 1, 2]),
        "item": st.integers(0, 2),
        "at": st.integers(0, 9).map(lambda n: START + timedelta(minutes=20 * n)),
        # Sums of these differ in their last bits by the order of the additions.
        "value": st.sampled_from([None, 0.1, 0.7, 1e5 + 0.3, -2e5 / 3, 1e-3, float("nan")]),
        "word": st.none() | st.sampled_from(["a", "b"]),
    }
)
BATCHES = st.lists(EVENTS, min_size=1, max_size=6)
DEEDS = st.one_of(
    st.tuples(st.just("append"), BATCHES),
    st.tuples(st.just("upsert"), BATCHES),
    st.tuples(st.just("again"), st.integers(0, 99)),
    st.tuples(st.just("overwrite"), BATCHES),
    st.tuples(st.just("restore"), st.integers(0, 9)),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("vacuum"), st.none()),
    st.tuples(st.just("drop"), BATCHES),
    st.tuples(st.just("restore derived"), st.integers(0, 9)),
    st.tuples(st.just("refresh"), st.none()),
)


def frame_of(events: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(events, schema=SCHEMA, orient="row")


def save(store: tiffin.FeatureStore, events: list[dict[str, Any]], mode: str = "overwrite") -> None:
    store.save("a/events", frame_of(events), entity=["user", "item"], timestamp="at", created=None, mode=mode)


def do(store: tiffin.FeatureStore, deed: str, given_: Any) -> None:
    if deed == "upsert":
        whole = [event for event in given_ if event["user"] is not None]
        unique = {(e["user"], e["item"], e["at"]): e for e in whole}
        save(store, list(unique.values()), "upsert")
    elif deed == "again":
        rows_ = store.read("a/events").to_polars().drop_nulls("user")
        if rows_.height:
            same = rows_.slice(given_ % rows_.height, 1)
            store.save("a/events", same, mode="upsert")
    elif deed in {"append", "overwrite"}:
        save(store, given_, deed)
    elif deed == "restore":
        readable = [commit.version for commit in store.history("a/events")]
        store.restore("a/events", readable[given_ % len(readable)])
    elif deed == "restore derived":
        readable = [commit.version for commit in store.history("a/windows")]
        store.restore("a/windows", readable[given_ % len(readable)])
    elif deed == "compact":
        store.compact("a/events")
    elif deed == "vacuum":
        store.vacuum("a/events", keep_versions=1)
    elif deed == "drop":
        store.drop("a/events", force=True)
        save(store, given_)
    else:
        store.refresh()


FIRST = st.lists(EVENTS, min_size=8, max_size=16)


@settings(max_examples=8)
@given(FIRST, st.lists(DEEDS, max_size=5))
def test_a_refresh_is_what_a_backfill_would_be(first, deeds):
    check(first, deeds)


@pytest.mark.slow
@settings(max_examples=200)
@given(FIRST, st.lists(DEEDS, max_size=9))
def test_a_refresh_is_what_a_backfill_would_be_at_length(first, deeds):
    check(first, deeds)


def check(first, deeds):
    folder = tempfile.mkdtemp()
    try:
        store = tiffin.FeatureStore(folder)
        save(store, first)
        store.derive("a/windows", WHAT)
        for deed, given_ in deeds:
            do(store, deed, given_)
        store.refresh()
        spec = store._catalog.table(TableName("a", "events")).log.require().spec
        expected = rows(definition(WHAT), spec, store.read("a/events").to_polars())
        found = store.read("a/windows").to_polars()
        assert found.sort("user", "at").equals(expected)
        assert store.refresh() == []
        (info,) = store.derived()
        assert info.behind == 0
    finally:
        shutil.rmtree(folder)
