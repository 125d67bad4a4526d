"""Lineage: what is recorded of a save's inputs, followed up and down, and drawn."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
import xxhash

import tiffin
from tiffin import wire
from tiffin.errors import InvalidInputError, TableNotFound, VersionNotFound
from tiffin.lineage import Lineage, inputs, to_mermaid, to_svg
from tiffin.lineage.graph import Tracer
from tiffin.lineage.layers import layered

AT = datetime(2024, 5, 1, tzinfo=UTC)
ROWS = pl.DataFrame({"user_id": [7], "mean": [4.5], "at": [AT]})
KEYS = {"entity": "user_id", "timestamp": "at"}


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", record_code=False) as opened:
        yield opened


def edges(found: Lineage) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in found.edges}


def versions(found: Lineage) -> dict[str, tuple[int, ...]]:
    return {node.name: node.versions for node in found.nodes if node.kind == "table"}


# What a save records


def test_inputs_are_recorded_as_what_they_are(store, tmp_path):
    store.save("raw/events", ROWS)
    store.save("raw/events", ROWS)
    file = tmp_path / "events.csv"
    file.write_bytes(b"a,b\n1,2\n" * 300_000)
    named = ["raw/events", "raw/events@0", "raw/events:mean", file, str(file), "events", "s3://bucket/x", tmp_path]
    commit = store.save("user/ratings", ROWS, inputs=named)
    assert commit.inputs == tuple(map(str, named))
    tables = [(one.name, one.table, one.version) for one in commit.recognised if one.table]
    assert tables == [
        ("raw/events", "raw/events", 1),
        ("raw/events@0", "raw/events", 0),
        ("raw/events:mean", "raw/events", 1),
    ]
    (recorded,) = [one for one in commit.recognised if not one.table]
    assert (recorded.name, recorded.size_bytes) == (str(file), 8 * 300_000)
    assert recorded.xxh3 == xxhash.xxh3_64_hexdigest(file.read_bytes())
    assert store.history("user/ratings")[0] == commit


def test_a_text_that_names_a_file_is_never_opened(store, tmp_path):
    """It may have come over the network, from someone who must not learn of files here."""
    (tmp_path / "secret").write_text("x")
    commit = store.save("user/ratings", ROWS, inputs=[str(tmp_path / "secret"), f"file://{tmp_path}/secret"])
    assert commit.recognised == ()


def test_of_a_very_large_file_only_the_size_is_recorded(store, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "HASHED_AT_MOST", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    (recorded,) = store.save("user/ratings", ROWS, inputs=tmp_path / "large").recognised
    assert (recorded.size_bytes, recorded.xxh3) == (11, "")


def test_inputs_that_are_not_there_do_not_keep_anyone_from_saving(store, tmp_path):
    commit = store.save("user/ratings", ROWS, inputs=[tmp_path / "gone", "raw/gone", "raw/gone@7", Path("a\0b")])
    assert (commit.version, commit.recognised) == (0, ())


def test_without_inputs_nothing_is_written(store):
    store.save("user/ratings", ROWS)
    text = (store.path / f"features/user/ratings/_delta_log/{0:020}.json").read_text()
    assert "recognised" not in text
    assert '"code"' not in text


# Up and down


@pytest.fixture
def chain(store):
    """raw/events -> user/ratings -> user/deep, with a service and a training set."""
    store.save("raw/events", ROWS, **KEYS, inputs="https://example.org/a")
    store.save("raw/events", ROWS, mode="append", inputs="https://example.org/b")
    store.save("user/ratings", ROWS, **KEYS, inputs=["raw/events"])
    store.save("user/deep", ROWS, **KEYS, inputs=["user/ratings"])
    store.create_service("ranker", ["user/ratings:mean"])
    spine = [{"user_id": 7, "event_timestamp": AT}]
    store.save_training_set("first", store.get_historical_features(spine, ["user/deep:mean"]))
    return store


def test_a_lineage_goes_both_ways(chain):
    found = chain.lineage("user/ratings")
    assert (found.table, found.version, found.nodes[0].name) == ("user/ratings", 0, "user/ratings")
    assert edges(found) == {
        ("text https://example.org/a", "table raw/events"),
        ("text https://example.org/b", "table raw/events"),
        ("table raw/events", "table user/ratings"),
        ("table user/ratings", "table user/deep"),
        ("table user/ratings", "service ranker"),
        ("table user/deep", "training_set first"),
    }
    assert versions(found)["raw/events"] == (0, 1)
    assert next(edge.versions for edge in found.edges if edge.target == "table user/ratings") == ((1, 0),)
    assert wire.decode(wire.encode(found), Lineage) == found


def test_a_lineage_can_be_followed_one_way_and_so_far(chain):
    assert {node.kind for node in chain.lineage("user/ratings", direction="up").nodes} == {"table", "text"}
    down = chain.lineage("user/ratings", direction="down", depth=1)
    assert edges(down) == {("table user/ratings", "table user/deep"), ("table user/ratings", "service ranker")}
    assert edges(chain.lineage("user/deep", direction="up", depth=1)) == {("table user/ratings", "table user/deep")}
    assert edges(chain.lineage("user/deep", depth=0)) == set()


def test_an_overwrite_ends_what_came_before(chain):
    chain.save("raw/events", ROWS, inputs="https://example.org/c")
    assert edges(chain.lineage("raw/events", direction="up")) == {("text https://example.org/c", "table raw/events")}
    old = chain.lineage("raw/events", version=1, direction="up")
    assert {source for source, _ in edges(old)} == {"text https://example.org/a", "text https://example.org/b"}


def test_a_pinned_version_is_read_only_by_what_read_it(chain):
    assert ("table raw/events", "table user/ratings") in edges(chain.lineage("raw/events@1", direction="down"))
    assert edges(chain.lineage("raw/events@0", direction="down")) == set()
    chain.create_service("pinned", ["raw/events@0:mean"])
    chain.create_service("newest", ["raw/events:mean"])
    assert edges(chain.lineage("raw/events@0", direction="down")) == {("table raw/events", "service pinned")}
    assert ("table raw/events", "service newest") in edges(chain.lineage("raw/events@1", direction="down"))


def test_a_restored_version_comes_from_what_the_old_one_came_from(chain):
    chain.restore("raw/events", 0)
    assert edges(chain.lineage("raw/events", direction="up")) == {("text https://example.org/a", "table raw/events")}
    chain.save("raw/events", ROWS)
    assert edges(chain.lineage("raw/events", direction="up")) == set()
    chain.restore("raw/events", 0)
    assert edges(chain.lineage("raw/events", direction="up")) == {("text https://example.org/a", "table raw/events")}


def test_circles_come_to_an_end(store):
    store.save("a/x", ROWS)
    store.save("a/y", ROWS, inputs="a/x")
    store.save("a/x", ROWS, inputs=["a/y", "a/x"])
    store.save("a/y", ROWS, inputs="a/x")
    found = store.lineage("a/x")
    assert edges(found) == {("table a/x", "table a/y"), ("table a/y", "table a/x")}
    ET.fromstring(to_svg(found))
    assert "n0 --> n1" in to_mermaid(found)


def test_each_version_is_looked_at_once_however_many_ways_lead_to_it(store, monkeypatch):
    store.save("a/t0", ROWS)
    for number in range(1, 8):
        store.save(f"a/t{number}", ROWS, inputs=[f"a/t{number - 1}", f"a/t{number - 1}@0", f"a/t{number - 1}:mean"])
    looked = []
    known = Tracer._commits
    monkeypatch.setattr(Tracer, "_commits", lambda *asked: looked.append(asked[2:]) or known(*asked))
    assert len(store.lineage("a/t7", direction="up").nodes) == 8
    assert len(looked) == 8


def test_a_table_that_was_dropped_and_made_anew_is_another(store):
    store.save("raw/events", ROWS)
    store.save("user/ratings", ROWS, inputs="raw/events")
    store.drop("raw/events")
    store.save("raw/events", ROWS)
    up = store.lineage("user/ratings", direction="up")
    assert [(node.name, node.is_gone) for node in up.nodes[1:]] == [("raw/events", True)]
    assert edges(store.lineage("raw/events")) == set()


def test_inputs_that_older_programs_wrote_as_texts_are_followed(store, monkeypatch):
    store.save("raw/events", ROWS)
    monkeypatch.setattr("tiffin.store.save.recognise", lambda *_: ())
    store.save("user/ratings", ROWS, inputs=["raw/events@0"])
    assert edges(store.lineage("raw/events")) == {("table raw/events", "table user/ratings")}


def test_what_was_vacuumed_and_what_is_damaged_is_left_out(chain):
    for _ in range(3):
        chain.save("user/ratings", ROWS, inputs="raw/events")
    chain.vacuum("user/ratings", keep_versions=1)
    assert edges(chain.lineage("user/ratings", direction="up")) >= {("table raw/events", "table user/ratings")}
    log = chain.path / "features/user/deep/_delta_log"
    (log / f"{0:020}.json").write_bytes(b'{"commitInfo":{"checksum":"aaaaaaaaaaaaaaaa-0000000001","x":1}}\n')
    found = tiffin.FeatureStore(chain.path).lineage("user/ratings")
    assert found.unread == ("user/deep",)
    log = chain.path / "features/raw/events/_delta_log"
    (log / f"{1:020}.json").write_bytes(b'{"commitInfo":{"checksum":"aaaaaaaaaaaaaaaa-0000000001","x":1}}\n')
    up = tiffin.FeatureStore(chain.path).lineage("user/ratings", direction="up")
    assert up.unread == ("raw/events",)
    assert [(node.name, node.is_gone) for node in up.nodes[1:]] == [("raw/events", False)]


def test_questions_that_make_no_sense_are_refused(chain):
    with pytest.raises(InvalidInputError):
        chain.lineage("user/ratings", direction="sideways")
    with pytest.raises(InvalidInputError):
        chain.lineage("user/ratings", depth=-1)
    with pytest.raises(TableNotFound):
        chain.lineage("user/rating")
    with pytest.raises(VersionNotFound):
        chain.lineage("user/ratings@9")


# Pictures


def test_layers_hold_each_node_once_and_edges_lead_to_the_right():
    dice = random.Random(7)
    for _ in range(200):
        count = dice.randrange(1, 12)
        nodes = [f"n{number}" for number in range(count)]
        pairs = {(dice.choice(nodes), dice.choice(nodes)) for _ in range(dice.randrange(0, 20))}
        layers = layered(nodes, sorted(pairs))
        assert sorted(node for layer in layers for node in layer) == sorted(nodes)
        assert all(layers)
        downhill = {(a, b) for a, b in pairs if a < b}
        place = {node: number for number, layer in enumerate(layered(nodes, sorted(downhill))) for node in layer}
        assert all(place[a] < place[b] for a, b in downhill)


def test_pictures_hold_every_name_whatever_it_is(store):
    odd = ['a "b" <c> & d', "x\x01\ny", "#quot;", "é" * 60]
    store.save("user/ratings", ROWS, inputs=odd)
    found = store.lineage("user/ratings")
    drawing = ET.fromstring(to_svg(found))
    titles = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert 'a "b" <c> & d' in titles
    assert "é" * 60 in titles
    boxes = list(drawing.iter("{http://www.w3.org/2000/svg}g"))
    assert len(boxes) == 5
    flow = to_mermaid(found)
    assert len(flow.splitlines()) == 1 + 5 + 4 + 1
    assert "#quot;" not in flow
    assert "<c>" not in flow


def test_boxes_of_a_picture_do_not_overlap(chain):
    namespace = "{http://www.w3.org/2000/svg}"
    drawing = ET.fromstring(to_svg(chain.lineage("user/ratings")))
    boxes = [
        tuple(float(group.find(f"{namespace}rect").get(side)) for side in ("x", "y", "width", "height"))
        for group in drawing.iter(f"{namespace}g")
    ]
    for number, (x, y, width, height) in enumerate(boxes):
        assert x + width <= float(drawing.get("width"))
        assert y + height <= float(drawing.get("height"))
        for other_x, other_y, other_width, other_height in boxes[:number]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y


# OpenLineage


def check_event(event: dict) -> None:
    """What OpenLineage 2-0-2 asks of a RunEvent and of the facets that are used, read from its published schemas."""
    from datetime import datetime as moment
    from urllib.parse import urlsplit
    from uuid import UUID

    assert set(event) == {
        "eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL",
    }  # fmt: skip
    assert event["eventType"] == "COMPLETE"
    assert moment.fromisoformat(event["eventTime"]).tzinfo is not None
    UUID(event["run"]["runId"])
    assert all(isinstance(event["job"][key], str) and event["job"][key] for key in ("namespace", "name"))
    assert urlsplit(event["producer"]).scheme
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    required = {
        "dataSource": {"name": str, "uri": str},
        "version": {"datasetVersion": str},
        "schema": {"fields": list},
        "documentation": {"description": str},
        "ownership": {"owners": list},
        "outputStatistics": {"rowCount": int},
    }
    for dataset in [*event["inputs"], *event["outputs"]]:
        assert isinstance(dataset["namespace"], str)
        assert dataset["name"]
        for name, facet in {**dataset.get("facets", {}), **dataset.get("outputFacets", {})}.items():
            own = {key: value for key, value in facet.items() if not key.startswith("_")}
            assert {key: type(value) for key, value in own.items()} == required[name]
            assert urlsplit(facet["_schemaURL"]).netloc == "openlineage.io"
            assert urlsplit(facet["_producer"]).scheme
        for field in dataset.get("facets", {}).get("schema", {}).get("fields", []):
            assert set(field) <= {"name", "type", "description"}
            assert {"name", "type"} <= set(field)


def test_an_input_that_is_no_address_is_told_as_it_was_written(store):
    """Anybody who may save can name one; it must not keep the events from being told."""
    store.save("user/ratings", ROWS, inputs=["http://[bad", "s3://user:secret@bucket/key"])
    (event,) = store.openlineage("user/ratings")
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [
        ("tiffin", "http://[bad"),
        ("s3://bucket", "key"),
    ]


def test_events_are_openlineage(chain, tmp_path):
    (tmp_path / "more.csv").write_text("a")
    chain.save("user/ratings", ROWS, mode="append", inputs=[tmp_path / "more.csv", "s3://bucket/key/x"])
    chain.declare("user/ratings", owner="ann", description="all", columns={"mean": {"description": "m"}})
    events = chain.openlineage("user/ratings")
    for event in events:
        check_event(msgspec.json.decode(msgspec.json.encode(event)))
    assert [event["job"]["name"] for event in events] == [
        "overwrite raw/events",
        "append raw/events",
        "overwrite user/ratings",
        "append user/ratings",
        "declare user/ratings",
    ]
    assert len({event["run"]["runId"] for event in events}) == 5
    made = events[2]
    assert made["inputs"][0]["name"] == chain.describe("raw/events").path
    assert made["inputs"][0]["facets"]["version"]["datasetVersion"] == "1"
    assert made["outputs"][0]["facets"]["version"]["datasetVersion"] == "0"
    assert made["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1
    places = {(one["namespace"], one["name"]) for one in events[3]["inputs"]}
    assert places == {("file", str(tmp_path / "more.csv")), ("s3://bucket", "key/x")}
    assert events[4]["outputs"][0]["facets"]["ownership"]["owners"] == [{"name": "ann"}]
    assert chain.openlineage("user/ratings") == events
