"""Derived tables under awkward circumstances: other entities, older views of a source, gone sources, large changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import polars as pl
import pytest

import tiffin
from tiffin.derived import source
from tiffin.derived.following import follow
from tiffin.derived.source import Source
from tiffin.errors import CorruptData, InUse, InvalidInputError, SchemaMismatch, TableNotFound
from tiffin.schema.derivation import definition
from tiffin.schema.names import TableName
from tiffin.tables import declaring
from tiffin.tables.publishing import Note

MAY = datetime(2024, 5, 1, tzinfo=UTC)
SUMS = {"source": "a/events", "entity": "user", "windows": "1d", "aggregations": {"x": "sum"}}


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    save(store, (1, 10, 0, 1.0), (2, 10, 0, 2.0), (2, 11, 1, 4.0))
    return store


def save(store, *rows: tuple[int, int, float, float], mode: str = "overwrite", table: str = "a/events") -> None:
    events = [
        {"user": user, "movie": movie, "at": MAY + timedelta(hours=hour), "x": x} for user, movie, hour, x in rows
    ]
    store.save(table, events, entity=["user", "movie"], timestamp="at", mode=mode)


def assert_as_made_anew(store, what: dict, name: str = "a/windows") -> None:
    store.derive("a/anew", what)
    key = [what["entity"], "at"]
    expected = store.read("a/anew").to_polars().sort(key)
    assert store.read(name).to_polars().sort(key).equals(expected)
    store.drop("a/anew")


def test_the_entity_need_not_begin_that_of_the_source(store):
    what = {**SUMS, "entity": "movie"}
    store.derive("a/windows", what)
    save(store, (3, 11, 2, 8.0), mode="append")
    store.refresh()
    assert_as_made_anew(store, what)
    found = store.read("a/windows", entities=[11]).to_polars().sort("at")
    assert found["x_sum_1d"].to_list() == [4.0, 12.0, 8.0, None]


def test_one_who_saw_an_older_source_does_not_take_a_table_back(store):
    store.derive("a/windows", SUMS)
    events, windows = (store._catalog.table(TableName("a", name)) for name in ("events", "windows"))
    older = Source(events, events.log.require(), definition(SUMS))
    save(store, (1, 10, 0, 5.0), mode="append")
    store.refresh()
    assert follow(windows, older, Note()) is None
    assert store.describe("a/windows").behind == 0


def test_a_table_whose_source_is_gone_does_not_keep_the_others_from_being_refreshed(store):
    save(store, (1, 10, 0, 1.0), table="b/events")
    store.derive("a/windows", SUMS)
    store.derive("b/windows", {**SUMS, "source": "b/events"})
    store.drop("a/events", force=True)
    save(store, (1, 10, 0, 5.0), table="b/events", mode="append")
    with pytest.raises(TableNotFound, match=r"table a/windows cannot be refreshed: .*a/events"):
        store.refresh()
    assert [(info.table, info.behind) for info in store.derived()] == [("a/windows", None), ("b/windows", 0)]


@pytest.fixture
def large(store, monkeypatch):
    """A source that counts as many chunks, and the numbers of events that are worked on at once."""
    save(store, *((user, movie, movie + user / 7, movie / 3) for user in range(60) for movie in range(20)))
    store.compact("a/events")
    size = store._catalog.table(TableName("a", "events")).log.require().size_bytes
    monkeypatch.setattr(source, "CHUNK_BYTES", size // 12)
    store.derive("a/windows", SUMS)
    made: list[int] = []
    rows = source.windows.rows
    monkeypatch.setattr(source.windows, "rows", lambda *given: made.append(given[2].height) or rows(*given))
    return made


def test_a_refresh_of_many_entities_works_on_some_after_the_others(store, large):
    save(store, *((user, 99, 3, 1.0) for user in range(7)), mode="append")
    (commit,) = store.refresh()
    assert commit.operation == "refresh"
    assert large == [3 * 21, 3 * 21, 21]
    assert_as_made_anew(store, SUMS)


def test_when_most_events_are_concerned_all_rows_are_made_anew(store, large):
    save(store, *((user, 99, 3, 1.0) for user in range(30)), mode="append")
    (commit,) = store.refresh()
    assert commit.operation == "derive"
    assert_as_made_anew(store, SUMS)


@pytest.mark.parametrize("times", [{"timestamp": ""}, {"created": "at"}])
def test_its_times_are_those_of_its_definition(store, times):
    """Without its timestamp its rows had no keys, and a refresh would double them."""
    store.derive("a/windows", SUMS)
    with pytest.raises(SchemaMismatch, match="derive it anew"):
        store.declare("a/windows", **times)
    assert store.describe("a/windows").timestamp == "at"


def test_an_equal_value_that_comes_as_the_last_one_leaves_is_one_value(tmp_path):
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    events = [{"user": 1, "at": MAY + timedelta(days=day), "x": 7} for day in range(3)]
    store.save("a/events", events, entity="user", timestamp="at")
    store.derive("a/windows", {**SUMS, "aggregations": {"x": ["distinct"]}})
    found = store.read("a/windows").to_polars().sort("at")
    assert found["x_distinct_1d"].to_list() == [1, 1, 1, 0]


def test_a_table_that_lost_its_times_gets_them_back(store):
    store.derive("a/windows", SUMS)
    table = store._catalog.table(TableName("a", "windows"))
    declaring.declare(table, lambda spec: msgspec.structs.replace(spec, timestamp=None), "declare", Note())
    save(store, (1, 10, 1, 1.0), mode="append")
    store.refresh()
    assert_as_made_anew(store, SUMS)


def test_what_leaves_a_window_after_the_year_9999_leaves_no_row(tmp_path):
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    last = datetime(9999, 12, 31, tzinfo=UTC)
    store.save("a/events", [{"user": 1, "at": last, "x": 1.0}], entity="user", timestamp="at")
    store.derive("a/windows", {**SUMS, "windows": ["1h", "7d"]})
    assert store.read("a/windows").to_polars().rows() == [
        (1, last, 1.0, 1.0),
        (1, last + timedelta(hours=1), None, 1.0),
    ]


def test_lists_at_the_same_instant_have_an_order_of_their_own(tmp_path):
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    events = pl.DataFrame({"user": [1, 1], "at": [MAY, MAY], "x": [[1], [2]]})
    what = {**SUMS, "aggregations": {"x": ["first", "last"]}}
    found = []
    for number, rows in enumerate((events, events.reverse())):
        store.save(f"a/events{number}", rows, entity="user", timestamp="at")
        store.derive("a/windows", {**what, "source": f"a/events{number}"})
        found.append(store.read("a/windows").to_polars().select("x_first_1d", "x_last_1d").row(0))
    assert found == [([1], [2])] * 2


def test_decimals_whose_sums_do_not_fit_are_refused(tmp_path):
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    large = pl.Series([Decimal("9e37"), Decimal("9e37"), Decimal("-9e37")], dtype=pl.Decimal(38, 0))
    events = pl.DataFrame({"user": [1, 1, 1], "at": [MAY, MAY, MAY], "x": large})
    store.save("a/events", events, entity="user", timestamp="at")
    with pytest.raises(InvalidInputError, match="38 digits"):
        store.derive("a/windows", SUMS)
    store.derive("a/windows", {**SUMS, "aggregations": {"x": ["max", "std"]}})
    assert store.read("a/windows").to_polars()["x_max_1d"][0] == Decimal("9e37")


@pytest.mark.parametrize("name", ["a/doubled:y", "a/doubled@3", "doubled"])
def test_only_the_whole_name_forgets_on_demand_features(store, name):
    doubled = tiffin.on_demand("a/doubled", inputs=["a/events:x"], outputs={"y": pl.Float64}, sql={"y": "x * 2"})
    store.register(doubled)
    with pytest.raises(InvalidInputError, match="does not name on-demand features"):
        store.unregister(name)
    assert [declared.name for declared in store.registered()] == ["a/doubled"]


@pytest.mark.parametrize("text", ["{", "[]", '"a/events:x"', '"a/doubled"'])
def test_damaged_on_demand_features_stand_in_nobodys_way(store, text):
    doubled = tiffin.on_demand("a/doubled", inputs=["a/events:x"], outputs={"y": pl.Float64}, sql={"y": "x * 2"})
    halved = tiffin.on_demand("a/halved", inputs=["a/events:x"], outputs={"z": pl.Float64}, sql={"z": "x / 2"})
    store.register(doubled)
    store.register(halved)
    file = store.path / "registry" / "on_demand" / "a" / "doubled.json"
    file.write_text(file.read_text().replace(text, '"../x"') if text.startswith('"') else text)
    assert [declared.name for declared in store.registered()] == ["a/halved"]
    assert [match.name for match in store.search("halved")] == ["a/halved"]
    assert [(finding.table, finding.kind) for finding in store.examine()] == [("a/doubled", "corrupt")]
    store.save("a/other", [{"id": 1}], entity="id")
    store.drop("a/other")
    spine = [{"user": 1, "movie": 10, "event_timestamp": MAY}]
    with pytest.raises(CorruptData, match=r"a/doubled is damaged"):
        store.get_historical_features(spine, ["a/doubled:y"])
    assert store.get_historical_features(spine, ["a/halved:z"]).to_polars()["z"].to_list() == [0.5]
    store.register(doubled, replace=True)
    assert len(store.registered()) == 2


def test_a_service_reads_what_its_on_demand_features_are_computed_from(store):
    doubled = tiffin.on_demand("a/doubled", inputs=["a/events:x"], outputs={"y": pl.Float64}, sql={"y": "x * 2"})
    store.register(doubled)
    store.create_service("ranker", ["a/doubled:y"])
    found = store.lineage("a/events", direction="down")
    assert [(edge.source, edge.target) for edge in found.edges] == [("table a/events", "service ranker")]


def test_endless_sql_is_refused_before_anyone_parses_it(store):
    endless = {"y": "+".join(["x"] * 20_000)}
    features = tiffin.on_demand("a/long", inputs=["a/events:x"], outputs={"y": pl.Float64}, sql=endless)
    with pytest.raises(InvalidInputError, match="longer than 2,000 characters"):
        store.register(features)


def test_a_column_that_only_chooses_the_events_is_needed_too(tmp_path):
    store = tiffin.FeatureStore(tmp_path, record_code=False)
    events = [{"user": 1, "at": MAY, "x": 7, "kind": "sale"}]
    store.save("a/events", events, entity="user", timestamp="at")
    store.derive("a/windows", {**SUMS, "aggregations": {"x": ["sum"]}, "where": [["kind", "=", "sale"]]})
    with pytest.raises(InUse, match=r"a/windows is derived from 'kind' of table a/events"):
        store.save("a/events", [{"user": 1, "at": MAY, "x": 8}], evolve=True)
    with pytest.raises(InUse, match="a/windows is derived from 'kind'"):
        store.drop_columns("a/events", "kind")
    store.save("a/events", [{"user": 1, "at": MAY, "x": 8}], evolve=True, force=True)
