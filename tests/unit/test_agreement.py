"""`verify` finds every way in which the online index can differ from its table, and says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import tiffin
from tiffin.errors import InvalidInputError, NotOnline
from tiffin.materialize import layout

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0, compact_files=0) as opened:
        rows = [{"id": key, "ts": NOW - HOUR, "x": key / 2, "s": None if key % 3 else "s"} for key in range(50)]
        old = {"id": 50, "ts": NOW - 5 * HOUR, "x": 1.0, "s": "old"}
        opened.save("g/t", [*rows, old], entity="id", timestamp="ts", ttl=2 * HOUR, defaults={"s": "none"}, online=True)
        yield opened


def tamper(store, key, values=None, *, time=None):
    """Put another row of an entity into the index, or none."""
    state = store._catalog.table(store._catalog.names()[0]).log.require()
    how, index = layout.new(state.spec), store._materializer.index
    head, packed_key = index.head(state.metadata.id), how.keys.encode_one((key,))
    micros = (time or NOW - HOUR - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    puts = [] if values is None else [(packed_key, how.rows.pack(packed_key, [[micros, *values]]))]
    assert index.apply(state.metadata.id, head, head, puts, [] if puts else [packed_key])


def test_all_values_statuses_and_entities_agree(store):
    found = store.verify("g/t")
    assert found.ok
    (table,) = found.tables
    assert (table.table, table.version, table.lag) == ("g/t", 0, 0)
    assert (table.entities_compared, table.values_compared, table.values_different) == (51, 102, 0)
    assert (table.entities_offline, table.entities_online) == (51, 51)
    assert str(found) == "g/t version 0: 102 values of 51 of 51 entities agree"


def test_a_value_that_differs_is_shown_with_both_sides_and_what_to_do(store):
    tamper(store, 8, [9.5, None])
    found = store.verify("g/t")
    assert not found.ok
    (difference,) = found.tables[0].differences
    assert (difference.entity, difference.feature) == ({"id": 8}, "x")
    assert (difference.offline, difference.online) == (4.0, 9.5)
    text = str(found)
    assert "id=8, x: offline 4.0 (PRESENT), online 9.5 (PRESENT)" in text
    assert "store.materialize('g/t', from_scratch=True)" in text
    store.materialize("g/t", from_scratch=True)
    assert store.verify("g/t").ok


def test_equal_values_of_other_statuses_differ(store):
    """The default hides that the row is missing: the status does not."""
    tamper(store, 7)
    features = [difference.feature for difference in store.verify("g/t:s").tables[0].differences]
    assert features == ["s"]
    assert store.verify("g/t:s").tables[0].differences[0].online_status == "NOT_FOUND"


def test_an_entity_too_few_or_too_many_is_noticed_even_if_it_is_not_sampled(store):
    tamper(store, 7)
    found = [store.verify("g/t", sample=1, seed=seed) for seed in range(3)]
    assert not any(one.ok for one in found)
    assert "the table has 51 entities, the index 50" in str(found[0])
    store.materialize("g/t", from_scratch=True)
    tamper(store, 99, [1.0, None])
    (table,) = store.verify("g/t").tables
    assert not table.ok
    assert {difference.entity["id"] for difference in table.differences} == {99}


def test_which_entities_are_compared_is_repeatable(store):
    tamper(store, 8, [9.5, None])
    found = [store.verify("g/t", sample=20, seed=seed).tables[0].values_different for seed in (0, 0, 1, 1, 2, 2)]
    assert found[::2] == found[1::2]


def test_an_index_that_lagged_is_said_to_have_caught_up(store):
    made, store._materializer = store._materializer, _Broken()
    store.save("g/t", [{"id": 1, "ts": NOW, "x": 9.0, "s": "s"}], mode="append")
    store._materializer = made
    found = store.verify("g/t")
    assert (found.ok, found.tables[0].lag, found.tables[0].version) == (True, 1, 1)
    assert "the index was 1 versions behind" in str(found)


def test_nan_equals_nan_and_null_does_not(store):
    frame = pl.DataFrame({"id": [1, 2], "x": [float("nan"), None], "l": [[float("nan")], []]})
    store.save("g/nan", frame, entity="id", online=True)
    assert store.verify("g/nan").ok


def test_all_online_tables_are_compared_or_those_of_a_service(store):
    store.save("g/other", [{"k": "a", "y": 1}], entity="k", online=True)
    store.save("g/offline", [{"k": "a", "z": 1}], entity="k")
    assert [table.table for table in store.verify().tables] == ["g/other", "g/t"]
    store.create_service("ranker", ["g/other:y", "g/t:x"])
    assert [table.values_compared for table in store.verify("ranker").tables] == [1, 51]
    with pytest.raises(NotOnline):
        store.verify("g/offline")


def test_without_online_tables_there_is_nothing_to_compare(tmp_path):
    found = tiffin.FeatureStore(tmp_path / "empty").verify()
    assert found.ok
    assert str(found) == "no table is online"


def test_a_series_is_compared_too(store):
    store.save("g/series", [{"ts": NOW - HOUR, "y": 1}], entity=[], timestamp="ts", online=True)
    (table,) = store.verify("g/series").tables
    assert (table.ok, table.values_compared, table.entities_online) == (True, 1, 1)


@pytest.mark.parametrize("sample", [0, 50_001, True, "all"])
def test_a_sample_of_no_sense_is_refused(store, sample):
    with pytest.raises(InvalidInputError, match="sample"):
        store.verify("g/t", sample=sample)


class _Broken:
    """A materializer that leaves everything as it is."""

    @staticmethod
    def after_commit(_table, commit, **_):
        return commit


def test_a_server_that_answers_otherwise_is_found_out(store, tmp_path):
    agrees = store.verify("g/t", server=store)
    assert (agrees.ok, agrees.tables[0].server_different) == (True, 0)
    with tiffin.FeatureStore(tmp_path / "other", disk_cache_bytes=0) as other:
        rows = store.read("g/t").to_polars().with_columns(x=pl.when(pl.col("id") == 8).then(9.5).otherwise("x"))
        other.save("g/t", rows, entity="id", timestamp="ts", ttl=2 * HOUR, defaults={"s": "none"}, online=True)
        found = store.verify("g/t", server=other)
    assert not found.ok
    assert (found.tables[0].values_different, found.tables[0].server_different) == (0, 1)
    (difference,) = found.tables[0].differences
    assert (difference.by_server, difference.entity, difference.online) == (True, {"id": 8}, 9.5)
    assert "id=8, x: offline 4.0 (PRESENT), server 9.5 (PRESENT)" in str(found)
