from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from tiffin import FeatureStore
from tiffin.cli.app import app
from tiffin.engineering import synthetic

SOURCE = Path(__file__).parents[3] / "src"
START = datetime(2024, 5, 1, tzinfo=UTC)


class Cli:
    """The program, run in this process, on the store `feature_store` of the current folder."""

    def __call__(self, *args: str, given: str | bytes | None = None, status: int = 0):
        result = CliRunner().invoke(app, [*map(str, args)], input=given, prog_name="tiffin", catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *args: str, **how):
        return json.loads(self(*args, "--json", **how).stdout)

    def process(self, *args: str, **how) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command(*args), capture_output=True, env=environment(), timeout=60, check=False, **how)


def command(*args: str) -> list[str]:
    return [sys.executable, "-c", "from tiffin.cli import main; main()", *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


def ratings(count: int = 12, days_later: int = 0) -> pl.DataFrame:
    numbers = range(count)
    return pl.DataFrame(
        {
            "user_id": [number + 1 for number in numbers],
            "mean": [1.0 + number % 5 for number in numbers],
            "rated_at": [START + timedelta(days=number + days_later) for number in numbers],
        }
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A folder with a store of one table in two versions, and the files that the examples name."""
    folder = tmp_path_factory.mktemp("prepared")
    store = FeatureStore(folder / "feature_store", disk_cache_bytes=0)
    keys = {"entity": "user_id", "timestamp": "rated_at"}
    store.save("user/ratings", ratings(), message="first", **keys)
    store.save("user/ratings", ratings().with_columns(pl.col("mean") + 1), message="second", **keys)
    ratings().with_columns(pl.col("rated_at").dt.to_string("iso:strict")).write_csv(folder / "ratings.csv")
    late = [{"user_id": 99, "mean": 3.5, "rated_at": "2024-06-01T00:00:00Z"}]
    (folder / "late.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, late)).encode()))
    movies = synthetic.movies(60)
    (folder / "movies.jsonl.gz").write_bytes(gzip.compress(movies.write_ndjson().encode()))
    synthetic.ratings(movies, 20, 300).write_parquet(folder / "ratings.parquet")
    return folder


@pytest.fixture
def cli(prepared, tmp_path, monkeypatch) -> Cli:
    """The program, in a copy of the prepared folder that is the current one."""
    for name in [name for name in os.environ if name.startswith("TIFFIN_")]:
        monkeypatch.delenv(name)
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    return Cli()
