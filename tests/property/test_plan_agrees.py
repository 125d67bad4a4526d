"""A plan says that a save would be made exactly where it is made, and what it makes."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiffin
from tiffin.errors import ConflictError, InvalidInputError

NOON = datetime(2026, 1, 1, 12)
VALUES: dict[pl.DataType, list] = {
    pl.Int8(): [1, 2],
    pl.Int64(): [1, 2**53 + 1],
    pl.Float32(): [0.5, None],
    pl.Float64(): [0.1, 1e300],
    pl.String(): ["a", ""],
    pl.Boolean(): [True, None],
    pl.Date(): [date(2026, 1, 1), None],
    pl.Datetime("us"): [NOON, None],
    pl.Datetime("us", "UTC"): [NOON.replace(tzinfo=UTC), None],
    pl.Enum(["a", "b"]): ["a", "b"],
    pl.Enum(["b", "a", "c"]): ["a", "c"],
    pl.Decimal(10, 2): [Decimal("1.25"), None],
    pl.Struct({"f": pl.Int64}): [{"f": 1}, None],
    pl.Struct({"f": pl.Int64, "g": pl.String}): [{"f": 1, "g": "x"}, None],
}
KEYS = [pl.Int64(), pl.Int64(), pl.String(), pl.Float64()]
dtypes = st.sampled_from(list(VALUES))
numbers = count()


@st.composite
def frames(draw) -> pl.DataFrame:
    key = draw(st.sampled_from(KEYS))
    ids = draw(st.lists(st.sampled_from([1, 2, 3, None]), max_size=3))
    columns = [pl.Series("entity_id", ids, dtype=pl.Int64).cast(key)] if draw(st.integers(0, 9)) else []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c", "old", "A"]), max_size=3, unique=True)):
        dtype = draw(dtypes)
        values = draw(st.lists(st.sampled_from(VALUES[dtype]), min_size=len(ids), max_size=len(ids)))
        columns.append(pl.Series(name, values, dtype=dtype))
    return pl.DataFrame(columns)


keys = st.fixed_dictionaries(
    {},
    optional={
        "entity": st.sampled_from(["entity_id", "a", "nope"]),
        "timestamp": st.sampled_from(["a", "b"]),
        "partition_by": st.sampled_from(["a", "b", "old"]),
        "online": st.booleans(),
        "rule": st.sampled_from(["backward", "forward", "full", "none"]),
        "defaults": st.sampled_from([{"a": 1}, {"b": None}, {"c": "x"}, {"old": 1.5}]),
    },
)
asks = st.fixed_dictionaries(
    {"mode": st.sampled_from(["overwrite", "append", "upsert"]), "evolve": st.booleans()},
    optional={
        "expected_version": st.integers(-1, 3),
        "dtypes": st.sampled_from(["exact", "compact"]),
        "force": st.booleans(),
    },
)


def listing(folder: Path) -> dict[str, int]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {os.fspath(path): path.stat().st_size for path in found}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with tiffin.FeatureStore(tmp_path_factory.mktemp("plans"), disk_cache_bytes=0) as opened:
        yield opened


def found_or_refused(call):
    try:
        return call()
    except (InvalidInputError, ConflictError) as error:
        return error


def check(store, first, first_keys, second, second_keys, ask, is_used) -> None:
    table = f"g/t{next(numbers)}"
    made = found_or_refused(lambda: store.save(table, first, **first_keys))
    if isinstance(made, tiffin.Commit):
        features = [column.name for column in store.describe(table).columns if column.role == "feature"]
        if "b" in features:
            store.rename(table, "b", "old_b" if "old" in first.columns else "old")
        if is_used and features:
            store.create_service("user", [f"{table}:{features[0]}"], replace=True)
    before = listing(store.path)
    plan = found_or_refused(lambda: store.plan(table, second, **second_keys, **ask))
    assert listing(store.path) == before
    saved = found_or_refused(lambda: store.save(table, second, **second_keys, **ask))
    if not isinstance(saved, tiffin.Commit):
        told = plan if isinstance(plan, Exception) else plan.refusal
        assert (told.code, told.message, told.hint) == (saved.code, saved.message, saved.hint)
        return
    assert plan.ok, plan.refusal
    assert all(change.verdict == "allowed" for change in plan.changes)
    info = store.describe(table)
    after, files = {column.name: column.dtype for column in info.columns}, store.files(f"{table}@{saved.version}")
    assert (plan.rows_after, plan.major) == (saved.rows, info.major)
    assert (plan.rows_added, plan.rows_removed) == (saved.rows_added, saved.rows_removed)
    changed = {change.name: change.new for change in plan.changes if change.kind not in {"keys", "partitions"}}
    if plan.version is None:
        return
    assert plan.files_rewritten == len(set(store.files(f"{table}@{plan.version}")) - set(files))
    old = {column.name: column.dtype for column in store.describe(f"{table}@{plan.version}").columns}
    for name in {*old, *after}:
        if old.get(name) != after.get(name):
            assert changed.pop(name) == after.get(name, "")
    assert all(change.kind == "missing" for change in plan.changes if change.name in changed)


@settings(max_examples=15)
@given(frames(), keys, frames(), keys, asks, st.booleans())
def test_a_plan_and_the_save_agree(store, first, first_keys, second, second_keys, ask, is_used):
    check(store, first, first_keys, second, second_keys, ask, is_used)


@pytest.mark.slow
@settings(max_examples=150)
@given(frames(), keys, frames(), keys, asks, st.booleans())
def test_many_plans_and_saves_agree(store, first, first_keys, second, second_keys, ask, is_used):
    check(store, first, first_keys, second, second_keys, ask, is_used)
