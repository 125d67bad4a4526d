"""What an unmodified Feast client does against a server: run by Feast's own Python, prints JSON.

`python feast_client.py URL FOLDER`: FOLDER becomes the client's repository.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import requests
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp

NOW = datetime.now(UTC).replace(microsecond=0)


def main(url: str, folder: Path) -> None:
    (folder / "feature_store.yaml").write_text(
        "project: demo\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        f"online_store:\n  type: remote\n  path: {url}\n"
    )
    fs = FeatureStore(folder)
    define(fs)
    said = {"reads": reads(fs), "refused": refusals(fs), "online_read": online_read(fs)}
    writes(fs, url)
    said["after_writes"] = read(fs, ["stats:conv_rate", "stats:trips"], [{"driver_id": n} for n in (1, 50, 51, 52)])
    sys.stdout.write(json.dumps(said))


def define(fs: FeatureStore) -> None:
    """Declare what the server has as tables."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)
    batch = FileSource(name="batch", path="nowhere.parquet", timestamp_field="event_timestamp")
    pushed = PushSource(name="stats_source", batch_source=batch)
    fields = {
        "conv_rate": Float64, "trips": Int64, "name": String, "active": Bool, "joined": UnixTimestamp, "photo": Bytes,
        "scores": Array(Float64),
    }  # fmt: skip
    stats = view("stats", [driver], fields, pushed)
    profile = view("profile", [customer], {"tier": String, "balance": Float64}, batch)
    distance = view("distance", [driver, customer], {"km": Float64}, batch)
    service = FeatureService(name="driver_model", features=[stats[["conv_rate", "name"]], profile[["tier"]]])
    fs.apply([driver, customer, batch, pushed, stats, profile, distance, service])


def view(name: str, entities: list, fields: dict, source: object) -> FeatureView:
    schema = [Field(name=field, dtype=dtype) for field, dtype in fields.items()]
    return FeatureView(name=name, entities=entities, ttl=timedelta(days=30), schema=schema, source=source)


def read(fs: FeatureStore, features: object, rows: list, **options: object) -> dict:
    """Ask, and tell the values and statuses by name."""
    answer = fs.get_online_features(features=features, entity_rows=rows, **options)
    names = list(answer.proto.metadata.feature_names.val)
    kinds = type(answer.proto.results[0]).DESCRIPTOR.fields_by_name["statuses"].enum_type.values_by_number
    statuses = [[kinds[status].name for status in result.statuses] for result in answer.proto.results]
    return {"values": answer.to_dict(), "statuses": dict(zip(names, statuses, strict=True))}


def reads(fs: FeatureStore) -> dict:
    drivers = [{"driver_id": number} for number in (1, 2, 3, 99)]
    pairs = [
        {"driver_id": 1, "customer": "ann"},
        {"driver_id": 2, "customer": "bob"},
        {"driver_id": 9, "customer": "x"},
    ]
    every = ["conv_rate", "trips", "name", "active", "joined", "photo", "scores"]
    return {
        "types": read(fs, [f"stats:{name}" for name in every], drivers),
        "full_names": read(fs, ["stats:conv_rate", "stats:name"], drivers, full_feature_names=True),
        "views": read(fs, ["stats:conv_rate", "profile:tier", "distance:km", "profile:balance"], pairs),
        "texts": read(fs, ["profile:tier"], [{"customer": "ann"}, {"customer": "nobody"}]),
        "service": read(fs, fs.get_feature_service("driver_model"), pairs),
        "service_full": read(fs, fs.get_feature_service("driver_model"), pairs, full_feature_names=True),
        "more_keys_than_needed": read(fs, ["profile:tier"], pairs),
    }


def refusals(fs: FeatureStore) -> dict:
    return {
        name: refusal(fs, features, rows)
        for name, features, rows in [
            ("feature", ["stats:no_such"], [{"driver_id": 1}]),
            ("view", ["no_such:conv_rate"], [{"driver_id": 1}]),
            ("entity", ["stats:conv_rate"], [{"customer": "ann"}]),
        ]
    }


def refusal(fs: FeatureStore, features: list, rows: list) -> str:
    try:
        read(fs, features, rows)
    except Exception as error:  # noqa: BLE001 - whichever it is, it is told
        return str(error)
    return ""


def online_read(fs: FeatureStore) -> list:
    """What Feast's own code reads for materialized views: typed by the view's fields."""
    keys = [EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=number)]) for number in (1, 99)]
    stats = fs.get_feature_view("stats")
    rows = fs._get_provider().online_read(fs.config, stats, keys, ["conv_rate", "trips", "joined"])
    return [{name: plain_value(value) for name, value in row.items()} for _, row in rows]


def plain_value(value: Value) -> object:
    kind = value.WhichOneof("val")
    return getattr(value, kind) if kind else None


def writes(fs: FeatureStore, url: str) -> None:
    fs.write_to_online_store("stats", rows_of(50, 0.5))
    fs.push("stats_source", rows_of(51, 0.25))
    body = {"push_source_name": "stats", "df": plain(rows_of(52, 0.75)), "to": "online_and_offline"}
    requests.post(f"{url}/push", json=body, timeout=20).raise_for_status()


def rows_of(driver: int, conv_rate: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver_id": [driver],
            "event_timestamp": [NOW],
            "conv_rate": [conv_rate],
            "trips": [driver * 10],
            "name": [None],
            "active": [True],
            "joined": [NOW - timedelta(days=400)],
            "photo": [None],
            "scores": [[1.0, 2.5]],
        }
    )


def plain(frame: pd.DataFrame) -> dict:
    """As a caller without Feast would write the rows."""
    times = {name: frame[name].map(pd.Timestamp.isoformat).tolist() for name in ("event_timestamp", "joined")}
    return {**frame.to_dict(orient="list"), **times}


main(sys.argv[1], Path(sys.argv[2]))
