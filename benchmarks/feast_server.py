"""Makes a Feast repository with an online table, to be served by Feast: run by Feast's own Python.

`python feast_server.py FOLDER ENTITIES`
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

NAMES = [f"f{number}" for number in range(10)]

folder, entities = Path(sys.argv[1]), int(sys.argv[2])
(folder / "feature_store.yaml").write_text(
    "project: demo\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
    "online_store:\n  type: sqlite\n  path: online.db\n"
)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
source = FileSource(name="large_source", path="large.parquet", timestamp_field="event_timestamp")
schema = [Field(name=name, dtype=Float64) for name in NAMES]
view = FeatureView(name="large", entities=[user], ttl=timedelta(days=90), schema=schema, source=source)
store = FeatureStore(folder)
store.apply([user, source, view])
chance = np.random.default_rng(0)
rows = {name: chance.random(entities) for name in NAMES}
now = datetime.now(UTC)
store.write_to_online_store("large", pd.DataFrame({"user_id": np.arange(entities), "event_timestamp": now, **rows}))
