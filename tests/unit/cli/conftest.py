from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest
from cli_driver import Cli, ratings

import feast_repositories
from tiffin import FeatureStore
from tiffin.definitions import write
from tiffin.engineering import synthetic


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """A folder with a store of one table in two versions, and the files that the examples name."""
    folder = tmp_path_factory.mktemp("prepared")
    store = FeatureStore(folder / "feature_store", disk_cache_bytes=0)
    keys = {"entity": "user_id", "timestamp": "rated_at"}
    store.save("user/ratings", ratings(), message="first", **keys)
    store.save("user/ratings", ratings().with_columns(pl.col("mean") + 1), message="second", **keys)
    ratings().with_columns(pl.col("rated_at").dt.to_string("iso:strict")).write_csv(folder / "ratings.csv")
    days = pl.datetime(2024, 5, 4).dt.to_string("iso:strict")
    spine = pl.DataFrame({"user_id": [1, 2, 3, 4, 5, 99], "clicked": [1, 0, 1, 0, 1, 0]})
    spine.select("user_id", days.alias("event_timestamp"), "clicked").write_csv(folder / "spine.csv")
    late = [{"user_id": 99, "mean": 3.5, "rated_at": "2024-06-01T00:00:00Z"}]
    (folder / "late.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, late)).encode()))
    movies = synthetic.movies(60)
    (folder / "movies.jsonl.gz").write_bytes(gzip.compress(movies.write_ndjson().encode()))
    synthetic.ratings(movies, 20, 300).write_parquet(folder / "ratings.parquet")
    feast_repositories.write_repository(folder / "feature_repo")
    (folder / "definitions.toml").write_text(write(store.definitions()))
    (folder / "features.toml").write_text(
        '["user/activity"]\nsource = "user/ratings"\nentity = "user_id"\nwindows = ["7d", "all"]\n'
        'aggregations.mean = ["mean", "count"]\n'
    )
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
