"""A small Feast repository to try things on: riders of a bicycle hire, in three files of Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

START = datetime(2024, 5, 1, tzinfo=UTC)

SETTINGS = """\
project: bikes
registry: data/registry.db
provider: local
online_store:
    type: sqlite
    path: data/online_store.db
entity_key_serialization_version: 3
"""

KEYS = """\
from feast import Entity, ValueType

rider = Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.INT64)
station = Entity(name="station_id")
"""

VIEWS = """\
from datetime import timedelta
from pathlib import Path

from feast import FeatureView, Field, FileSource, PushSource
from feast.types import Float32, Int64, Json, Map, String, Struct

from keys import rider, station

DATA = Path(__file__).parent / "data"

trips = FileSource(
    name="trips",
    path="data/trips.parquet",
    timestamp_field="ended_at",
    created_timestamp_column="written_at",
)
rider_trips = FeatureView(
    name="rider_trips",
    entities=[rider],
    ttl=timedelta(days=2),
    schema=[
        Field(name="speed", dtype=Float32),
        Field(name="count", dtype=Int64),
        Field(name="bicycle", dtype=Map),
        Field(name="route", dtype=Json),
        Field(name="helmet", dtype=Struct({"size": String, "colour": String})),
    ],
    source=trips,
    description="What a rider has ridden.",
    tags={"team": "bicycles"},
)
fresh_trips = FeatureView(
    name="fresh_trips",
    entities=[rider],
    ttl=timedelta(hours=1) * 6,
    schema=[Field(name=name, dtype=dtype) for name, dtype in [("speed", Float32), ("count", Int64)]],
    source=PushSource(name="pushed_trips", batch_source=trips),
    online=False,
)
station_load = FeatureView(
    name="station_load",
    entities=[station],
    source=FileSource(path=str(DATA / "load.parquet"), timestamp_field="at", field_mapping={"n": "bicycles"}),
)
"""

SERVICES = """\
import pandas as pd
from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64

import views

asked = RequestSource(name="asked", schema=[Field(name="distance", dtype=Float64)])


@on_demand_feature_view(sources=[views.rider_trips, asked], schema=[Field(name="duration", dtype=Float64)])
def duration(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"duration": inputs["distance"] / inputs["speed"]})


planner = FeatureService(
    name="planner",
    features=[views.rider_trips[["speed", "count"]], duration, "station_load"],
    description="plans the vans",
)
everything = FeatureService(name="everything", features=[views.rider_trips, views.station_load])
"""

FILES = {"feature_store.yaml": SETTINGS, "keys.py": KEYS, "views.py": VIEWS, "services.py": SERVICES}


def trips(count: int = 40) -> pl.DataFrame:
    """Rows of five riders, two for each of their times: the first of them was written last."""
    numbers = range(count)
    return pl.DataFrame(
        {
            "rider_id": [number % 5 for number in numbers],
            "ended_at": [START + timedelta(hours=number // 10) for number in numbers],
            "written_at": [START + timedelta(hours=count - number) for number in numbers],
            "speed": [10 + number / 4 for number in numbers],
            "count": list(numbers),
            "bicycle": [{"kind": "cargo", "gears": str(number)} for number in numbers],
            "route": [f'{{"via": {number}}}' for number in numbers],
            "helmet": [{"size": "M", "colour": "red"}] * count,
            "unused": [b"\\x00"] * count,
        }
    )


def load() -> pl.DataFrame:
    return pl.DataFrame({"station_id": ["a", "b"], "at": [START, START], "n": [3, None]})


def write_repository(folder: Path, **changed: str) -> Path:
    """Write it; `views="…"` gives the file `views.py` another text."""
    (folder / "data").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.partition(".")[0], text))
    trips().write_parquet(folder / "data" / "trips.parquet")
    load().write_parquet(folder / "data" / "load.parquet")
    return folder
