"""Feast's paths through the whole app; `tests/e2e/test_feast_client.py` has the real client do it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import polars as pl
import pytest

import tiffin
from app_client import AppClient
from tiffin.access import keys_of
from tiffin.server.app import create_app
from tiffin.server.online.feast_format import FeastReply
from tiffin.server.options import Limits, ServerOptions

NOW = datetime.now(UTC).replace(microsecond=250_000)
DAY = timedelta(days=1)
NEVER = "1970-01-01T00:00:00Z"


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
    rows = [
        {"driver_id": 1, "at": NOW - DAY, "made": NOW, "conv_rate": 0.5, "trips": 3},
        {"driver_id": 2, "at": NOW - 40 * DAY, "made": NOW, "conv_rate": 0.1, "trips": 4},
        {"driver_id": 3, "at": NOW - DAY, "made": NOW, "conv_rate": None, "trips": 5},
    ]
    declared = {"entity": "driver_id", "timestamp": "at", "created": "made", "ttl": 30 * DAY}
    store.save("driver/stats", rows, online=True, **declared)
    store.save("customer/profile", [{"customer": "ann", "tier": "gold"}], entity="customer", online=True)
    return store


@pytest.fixture
def client(store):
    with AppClient(create_app(store, ServerOptions())) as client:
        yield client


def ask(client, features, entities, **options):
    asked = {"feature_service": features} if isinstance(features, str) else {"features": features}
    answer = client.post("/get-online-features", json={**asked, "entities": entities, **options})
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=FeastReply, strict=True)
    return answer.json()


def values(reply):
    return dict(zip(reply["metadata"]["feature_names"], [one["values"] for one in reply["results"]], strict=True))


def write(client, view, columns):
    return client.post("/write-to-online-store", json={"feature_view_name": view, "df": columns, "more": [1]})


def test_an_answer_has_a_vector_for_each_entity_column_and_feature(client):
    reply = ask(client, ["stats:conv_rate", "stats:trips"], {"driver_id": [1, 2, 3, 4]})
    assert reply["metadata"] == {"feature_names": ["driver_id", "conv_rate", "trips"]}
    times = [(NOW - age).isoformat().replace("+00:00", "Z") for age in (DAY, 40 * DAY, DAY)]
    assert reply["results"] == [
        {"values": [1, 2, 3, 4], "statuses": ["PRESENT"] * 4, "event_timestamps": [NEVER] * 4},
        {
            "values": [0.5, None, None, None],
            "statuses": ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"],
            "event_timestamps": [*times, NEVER],
        },
        {
            "values": [3, None, 5, None],
            "statuses": ["PRESENT", "OUTSIDE_MAX_AGE", "PRESENT", "NOT_FOUND"],
            "event_timestamps": [*times, NEVER],
        },
    ]


def test_full_names_have_the_view_and_not_our_group(client, store):
    store.create_service("model", ["driver/stats:conv_rate", "customer/profile"])
    both = {"driver_id": [1], "customer": ["ann"]}
    named = {**both, "stats__conv_rate": [0.5], "profile__tier": ["gold"]}
    assert values(ask(client, "model", both, full_feature_names=True)) == named
    assert values(ask(client, ["stats:conv_rate", "customer/profile"], both, full_feature_names=True)) == named
    assert values(ask(client, "model", both)) == {**both, "conv_rate": [0.5], "tier": ["gold"]}
    store.save("other/stats", [{"driver_id": 1, "conv_rate": 0.75}], entity="driver_id", online=True)
    two = ask(client, ["driver/stats:conv_rate", "other/stats:conv_rate"], {"driver_id": [1]}, full_feature_names=True)
    assert values(two) == {"driver_id": [1], "driver__stats__conv_rate": [0.5], "other__stats__conv_rate": [0.75]}


def test_versions_are_told_if_asked_for(client, store):
    store.push("driver/stats", [{"driver_id": 9, "at": NOW, "made": NOW, "conv_rate": 1.0, "trips": 1}])
    reply = ask(client, ["stats:trips"], {"driver_id": [9]}, include_feature_view_version_metadata=True)
    assert reply["metadata"]["feature_view_metadata"] == [{"name": "stats", "version": 1}]


def test_keys_that_are_not_needed_are_passed_over_and_missing_ones_named(client):
    assert values(ask(client, ["profile:tier"], {"customer": ["ann"], "driver_id": [1]})) == {
        "customer": ["ann"],
        "tier": ["gold"],
    }
    refused = client.post("/get-online-features", json={"features": ["profile:tier"], "entities": {"driver_id": [1]}})
    assert refused.status_code == 422
    assert "lacks the entity column 'customer'" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"entities": {"driver_id": [1]}}, 422, "feature_service"),
        ({"features": ["stats:trips"], "feature_service": "x", "entities": {"driver_id": [1]}}, 422, "feature_service"),
        ({"features": ["nope:trips"], "entities": {"driver_id": [1]}}, 404, "nope"),
        ({"feature_service": "stats", "entities": {"driver_id": [1]}}, 404, "stats"),
        ({"features": ["stats:trips"], "entities": {"driver_id": [[1]]}}, 422, "entities"),
        ({"features": ["stats:trips"], "entities": {"driver_id": [1] * 6}}, 413, "5"),
        ({"features": ["stats:trips"], "entities": {"driver_id": [1], "customer": ["x"] * 6}}, 413, "5"),
    ],
)
def test_what_cannot_be_asked_is_said(store, body, status, word):
    with AppClient(create_app(store, ServerOptions(limits=Limits(entities=5)))) as client:
        refused = client.post("/get-online-features", json=body)
    assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert word in refused.json()["detail"]


def test_rows_are_written_under_feasts_names_of_the_times(client, store):
    naive = NOW.replace(tzinfo=None).isoformat()
    columns = {"driver_id": [7], "event_timestamp": [naive], "created": [None], "conv_rate": [1], "trips": [2]}
    done = write(client, "stats", columns)
    assert (done.status_code, done.json()) == (200, None)
    assert values(ask(client, ["stats:conv_rate"], {"driver_id": [7]})) == {"driver_id": [7], "conv_rate": [1.0]}
    (row,) = store.read("driver/stats", entities=[7]).to_polars().rows(named=True)
    assert row["at"] == NOW
    assert NOW - DAY < row["made"] <= datetime.now(UTC)
    # A table without times has none of them.
    assert write(
        client, "profile", {"customer": ["eve"], "tier": ["new"], "event_timestamp": [naive], "created": [None]}
    )
    assert store.read("customer/profile").columns == ["customer", "tier"]
    assert values(ask(client, ["profile:tier"], {"customer": ["eve"]}))["tier"] == ["new"]


def test_every_kind_of_value_comes_back(client, store):
    row = {
        "id": 1, "day": date(2024, 1, 2), "naive": datetime(2024, 1, 2, 3), "photo": b"\x00\xff",
        "exact": Decimal("1.50"), "kind": "a", "flags": [True, False], "pair": {"x": 1.5, "y": "z"}, "small": 1.5,
        "seen": [datetime(2024, 1, 2)],
    }  # fmt: skip
    dtypes = {"small": pl.Float32(), "kind": pl.Categorical(), "exact": pl.Decimal(10, 2)}
    store.save("all/kinds", pl.DataFrame([row], schema_overrides=dtypes), entity="id", online=True)
    shown = values(ask(client, ["kinds"], {"id": [1]}))
    assert shown == {
        "id": [1], "day": [1704153600], "naive": [1704164400], "photo": ["AP8="], "exact": ["1.50"], "kind": ["a"],
        "flags": [[True, False]], "pair": [{"x": 1.5, "y": "z"}], "small": [1.5], "seen": [[1704153600]],
    }  # fmt: skip
    # As Feast's client sends them: numbers for times, text for structs.
    columns = {**shown, "id": [2], "pair": ['{"x": 1.5, "y": "z"}'], "seen": [["2024-01-02T00:00:00"]]}
    assert write(client, "kinds", columns).status_code == 200
    assert values(ask(client, ["kinds"], {"id": [2]})) == {**shown, "id": [2]}


def test_a_push_goes_to_the_table_and_online(client, store):
    for number, to in enumerate(("online", "online_and_offline"), 20):
        body = {"push_source_name": "driver/stats", "df": pushed(number), "to": to}
        assert client.post("/push", json=body).status_code == 200
        assert values(ask(client, ["stats:trips"], {"driver_id": [number]}))["trips"] == [number]
    assert store.read("driver/stats").to_polars()["driver_id"].to_list() == [1, 2, 3, 20, 21]
    store.save("plain/events", [{"id": 1, "x": 1}], entity="id")
    assert client.post("/push", json={"push_source_name": "events", "df": {"id": [2], "x": [2]}, "to": "offline"})
    assert not store.describe("plain/events").online
    store.save("plain/events", [{"id": 1, "x": NOW}], evolve=True)
    store.rename("plain/events", "x", "at")
    assert client.post("/push", json={"push_source_name": "events", "df": {"id": [2], "x": [7]}, "to": "offline"})
    assert store.read("plain/events").to_polars()["at"].to_list() == [NOW, datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)]
    store.save("plain/events", [{"id": 1, "x": 1}, {"id": 2, "x": 2}], evolve=True)
    store.rename("plain/events", "at", "x")
    assert store.read("plain/events").to_polars()["x"].to_list() == [1, 2]


ROW = {"driver_id": [1], "event_timestamp": [NEVER], "created": [NEVER], "conv_rate": [0.5], "trips": [1]}


@pytest.mark.parametrize(
    ("df", "word"),
    [
        ({"driver_id": [1, 2], "conv_rate": [0.5]}, "lengths"),
        (ROW | {"driver_id": ["x"]}, "driver_id"),
        (ROW | {"event_timestamp": ["soon"]}, "soon"),
        (ROW | {"event_timestamp": [10**30]}, "is no time"),
        ({"driver_id": 1}, "df"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(client, store, df, word):
    refused = write(client, "stats", df)
    assert refused.status_code == 422, refused.text
    assert word in refused.json()["detail"]
    assert store.describe("driver/stats").version == 0


def test_no_rows_are_no_version(client, store):
    assert write(client, "stats", {"driver_id": [], "conv_rate": []}).status_code == 200
    assert store.describe("driver/stats").version == 0


def test_a_key_writes_only_to_the_tables_of_its_groups(store):
    keys = keys_of(store.path)
    reader, writer = (
        {"authorization": f"Bearer {keys.create(name, [scope], groups=[group])[1]}"}
        for name, scope, group in [("reader", "read", "*"), ("writer", "write", "customer")]
    )
    profile = {"push_source_name": "profile", "df": {"customer": ["x"], "tier": ["y"]}}
    stats = {"push_source_name": "stats", "df": pushed(1)}
    asked = {"features": ["stats:trips"], "entities": {"driver_id": [1]}}
    with AppClient(create_app(store, ServerOptions())) as client:
        assert client.post("/push", json=profile).status_code == 401
        assert client.post("/push", json=profile, headers=reader).status_code == 403
        assert client.post("/push", json=profile, headers=writer).status_code == 200
        assert client.post("/push", json=stats, headers=writer).status_code == 403
        assert client.post("/get-online-features", json=asked, headers=reader).status_code == 200
        assert client.post("/get-online-features", json=asked, headers=writer).status_code == 403
    assert store.describe("driver/stats").version == 0


def test_the_document_has_feasts_paths(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/get-online-features", "/push", "/write-to-online-store"):
        assert paths[path]["post"]["requestBody"]["required"]


def pushed(number: int) -> dict[str, list[object]]:
    times = {"at": [NOW.isoformat()], "made": [NOW.isoformat()]}
    return {"driver_id": [number], **times, "conv_rate": [0.5], "trips": [number]}
