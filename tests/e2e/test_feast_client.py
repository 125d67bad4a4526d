"""An unmodified Feast client against a real server: it gets what the store itself answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tiffin
from feast_environment import python
from served import served

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("feast_client.py")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path_factory.mktemp("store"), disk_cache_bytes=0)
    full = {
        "conv_rate": 0.1, "trips": 2**60, "name": "Åsa", "active": True, "joined": NOW - 400 * DAY,
        "photo": b"\x00\xff", "scores": [0.1, 0.2],
    }  # fmt: skip
    rows = [
        {"driver_id": 1, "at": NOW - DAY, **full},
        {"driver_id": 2, "at": NOW - DAY, **dict.fromkeys(full)},
        {"driver_id": 3, "at": NOW - 40 * DAY, **full},
    ]
    store.save("driver/stats", rows, entity="driver_id", timestamp="at", ttl=30 * DAY, online=True)
    customers = [{"customer": "ann", "tier": "gold", "balance": 1.5}, {"customer": "bob", "tier": None, "balance": 2.0}]
    store.save("customer/profile", customers, entity="customer", online=True)
    pairs = [{"driver_id": 1, "customer": "ann", "km": 3.25}]
    store.save("pair/distance", pairs, entity=["driver_id", "customer"], online=True)
    store.create_service("driver_model", ["driver/stats:conv_rate", "driver/stats:name", "customer/profile:tier"])
    return store


@pytest.fixture(scope="module")
def said(store, tmp_path_factory) -> dict:
    """What the client was told, and wrote."""
    folder = tmp_path_factory.mktemp("client")
    with served(store.path) as server:
        return json.loads(python(SCRIPT, server.url, folder, cwd=folder).splitlines()[-1])


DRIVERS = {"driver_id": [1, 2, 3, 99]}
PAIRS = {"driver_id": [1, 2, 9], "customer": ["ann", "bob", "x"]}
SERVICE = ["stats:conv_rate", "stats:name", "profile:tier"]
EVERY = [f"stats:{name}" for name in ("conv_rate", "trips", "name", "active", "joined", "photo", "scores")]


@pytest.mark.parametrize(
    ("case", "features", "entities", "full"),
    [
        ("types", EVERY, DRIVERS, False),
        ("full_names", ["stats:conv_rate", "stats:name"], DRIVERS, True),
        ("views", ["stats:conv_rate", "profile:tier", "distance:km", "profile:balance"], PAIRS, False),
        ("texts", ["profile:tier"], {"customer": ["ann", "nobody"]}, False),
        ("service", SERVICE, PAIRS, False),
        ("service_full", SERVICE, PAIRS, True),
        ("more_keys_than_needed", ["profile:tier"], {"customer": PAIRS["customer"]}, False),
    ],
)
def test_the_client_gets_what_the_store_answers(store, said, case, features, entities, full):
    answer = store.get_online_features(features, entities, full_feature_names=full)
    given = said["reads"][case]
    assert given["values"] == {name: [in_feast(value) for value in values] for name, values in answer.to_dict().items()}
    keys = {name: ["PRESENT"] * len(answer) for name in entities}
    assert given["statuses"] == {**keys, **answer.statuses}
    assert {"types": 4, "views": 3}.get(case, len(answer)) == len(answer)


def test_statuses_tell_why_a_value_is_missing(said):
    kinds = ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert said["reads"]["types"]["statuses"]["conv_rate"] == kinds


def test_what_is_not_there_is_refused_with_our_words(said):
    assert "there is: active, conv_rate" in said["refused"]["feature"]
    assert "there is no table 'no_such'" in said["refused"]["view"]
    assert "lacks the entity column 'driver_id'" in said["refused"]["entity"]


def test_values_keep_the_types_that_a_view_declares(said):
    joined = int((NOW - 400 * DAY).timestamp())
    assert said["online_read"] == [
        {"conv_rate": 0.1, "trips": 2**60, "joined": joined},
        {"conv_rate": None, "trips": None, "joined": None},
    ]


def test_what_the_client_writes_and_pushes_is_in_the_table_and_online(store, said):
    assert said["after_writes"]["values"]["conv_rate"] == [0.1, 0.5, 0.25, 0.75]
    rows = store.read("driver/stats", entities=[50, 51, 52]).to_polars()
    assert rows["trips"].to_list() == [500, 510, 520]
    assert rows["scores"].to_list() == [[1.0, 2.5]] * 3
    assert rows["name"].to_list() == [None] * 3
    assert rows["joined"].dt.date().to_list() == [(rows["at"][0] - 400 * DAY).date()] * 3
    assert rows.schema == store.read("driver/stats", version=0).to_polars().schema


def in_feast(value: object) -> object:
    """A value as Feast's clients get it: times as seconds, bytes in base64."""
    if isinstance(value, datetime):
        return int(value.timestamp())
    return {b"\x00\xff": "AP8="}.get(value, value) if isinstance(value, bytes) else value
