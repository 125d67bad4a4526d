"""Does with Feast what it is asked, and tells how long it took: run by Feast's own Python, `python feast_worker.py`.

Reads a JSON document a line, `{"do": name, …}`, and answers each with one line. The first is `make`.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_source import PushMode
from feast.types import Float64, String

TTL = timedelta(days=36_500)


class Worker:
    """A Feast repository with one feature view over a Parquet file."""

    def make(
        self, *, folder: str, file: str, floats: list[str], text: str, engine: str, online: dict[str, str]
    ) -> dict[str, Any]:
        """Make the repository."""
        settings = {
            "project": "demo",
            "provider": "local",
            "registry": "registry.db",
            "entity_key_serialization_version": 3,
            "offline_store": {"type": engine},
            "online_store": online,
        }
        # YAML reads JSON.
        (Path(folder) / "feature_store.yaml").write_text(json.dumps(settings))
        self.features = [f"m:{name}" for name in [*floats, text]]
        user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
        source = FileSource(name="m_source", path=file, timestamp_field="event_timestamp")
        pushed = PushSource(name="m_push", batch_source=source)
        fields = [Field(name=name, dtype=Float64) for name in floats] + [Field(name=text, dtype=String)]
        view = FeatureView(name="m", entities=[user], ttl=TTL, schema=fields, source=pushed)
        self.store = FeatureStore(folder)
        self.store.apply([user, source, pushed, view])
        return {"version": version("feast")}

    def join(self, spine: str) -> dict[str, Any]:
        """Make a training frame of a spine in a file."""
        rows = pd.read_parquet(spine)
        start = time.perf_counter()
        frame = self.store.get_historical_features(rows, self.features).to_df()
        taken = time.perf_counter() - start
        return {"seconds": taken, "rows": len(frame), "sum": float(frame["feature_0"].sum())}

    def materialize(self, end: str) -> dict[str, Any]:
        """Put the newest row of each entity online."""
        start = time.perf_counter()
        self.store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime.fromisoformat(end))
        return {"seconds": time.perf_counter() - start}

    def online(self, asked: list[list[int]]) -> dict[str, Any]:
        """Read each list of entities online; tells the median."""
        features, taken = self.features[:10], []
        for users in asked:
            rows = [{"user_id": user} for user in users]
            start = time.perf_counter()
            found = self.store.get_online_features(features, rows).to_dict()
            taken.append(time.perf_counter() - start)
        return {"seconds": median(taken), "found": sum(value is not None for value in found["feature_0"])}

    def push(self, row: dict[str, Any], times: int) -> dict[str, Any]:
        """Push a row, again and again; tells the median."""
        taken = []
        for _ in range(times):
            frame = pd.DataFrame([{**row, "event_timestamp": datetime.now(UTC)}])
            start = time.perf_counter()
            self.store.push("m_push", frame, to=PushMode.ONLINE)
            taken.append(time.perf_counter() - start)
        return {"seconds": median(taken)}


def main() -> None:
    # What libraries print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        asked = json.loads(line)
        action: Callable[..., dict[str, Any]] = getattr(worker, asked.pop("do"))
        try:
            answer = action(**asked)
        except Exception as error:  # noqa: BLE001 - whatever stops it is what the benchmark tells of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


main()
