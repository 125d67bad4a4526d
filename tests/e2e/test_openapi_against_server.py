"""The whole OpenAPI document against a real server, with every check that schemathesis has."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tiffin
from e2e.server_process import serving
from tiffin.access import keys_of

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "SCHEMATHESIS_HOOKS": "e2e.openapi_hooks", "PYTHONPATH": str(HERE.parent)}


@pytest.fixture
def folder(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as store:
        day = datetime(2024, 5, 1, tzinfo=UTC)
        rows = [{"user_id": number, "event_timestamp": day, "mean": number / 2} for number in range(20)]
        store.save("user/ratings", rows, entity="user_id", timestamp="event_timestamp", online=True)
        store.create_service("recommender", ["user/ratings:mean"])
        store.tag("user/ratings", 0, "prod")
        windows = {"entity": "user_id", "windows": ["7d"], "aggregations": {"mean": "mean"}}
        store.derive("user/activity", {"source": "user/ratings", **windows})
        store.save_training_set("recommender", store.get_historical_features(None, ["user/ratings:mean"]))
    return tmp_path / "store"


def check(folder: Path, cwd: Path, *options: str) -> None:
    _, secret = keys_of(folder).create("everything", ("admin",))
    with serving(folder) as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "openapi_checks.toml"), "run"),
            *(f"{url}/openapi.json", "--header", f"Authorization: Bearer {secret}", "--no-color"),
            *("--continue-on-failure", "--request-timeout", "20", "--seed", "1", *options),
        ]
        done = subprocess.run(
            command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


def test_the_examples_of_every_route_are_answered_as_documented(folder, tmp_path):
    check(folder, tmp_path, "--phases", "examples")


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_nothing_is_found_by_all_checks_in_all_phases(folder, tmp_path):
    check(folder, tmp_path, "--max-examples", "60", "--max-time", "150")
