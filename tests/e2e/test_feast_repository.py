"""Repositories in and out, against the real Feast: what it makes is taken over, what is written it takes over."""

from __future__ import annotations

import json
import random
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from feast_environment import feast, python
from feast_repositories import write_repository
from tiffin.feast_repository import export_repository, import_repository
from tiffin.feast_repository.collecting import read_definitions
from tiffin.feast_repository.sources import read_rows

pytestmark = pytest.mark.slow

UTC_TIME = pl.Datetime("us", "UTC")
SCRIPT = Path(__file__).with_name("feast_historical.py")


@pytest.fixture(scope="module", params=["local", "pytorch_nlp"])
def template(request, tmp_path_factory) -> Path:
    """A repository that `feast init` made, applied to its registry."""
    folder = tmp_path_factory.mktemp(request.param)
    feast("init", "made", "-t", request.param, cwd=folder)
    feast("apply", cwd=folder / "made" / "feature_repo")
    return folder / "made" / "feature_repo"


@pytest.fixture(scope="module")
def store(template, tmp_path_factory) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path_factory.mktemp("store"), disk_cache_bytes=0)
    import_repository(store, template)
    return store


@pytest.fixture(scope="module")
def exported(template, store, tmp_path_factory) -> Path:
    """The tables, written as a repository, and applied to its registry."""
    folder = tmp_path_factory.mktemp("exported")
    export_repository(store, folder)
    feast("apply", cwd=folder)
    return folder


def spine_of(store: tiffin.FeatureStore, table: str) -> pl.DataFrame:
    """Keys that are there and one that is not, at times in, before and after the rows'."""
    info = store.describe(table)
    (key,) = info.entity
    rows = store.read(table).to_polars().filter(pl.col(info.timestamp) > datetime.now(UTC) - timedelta(days=60))
    first, last = rows[info.timestamp].min(), rows[info.timestamp].max()
    draw = random.Random(7)
    keys = rows[key].unique().sort().to_list()
    unknown = -1 if rows.schema[key] == pl.Int64 else "nobody"
    span = (last - first).total_seconds()
    times = [first + timedelta(seconds=draw.uniform(-0.1, 1.1) * span) for _ in range(300)]
    # The very times of rows too: they count.
    times += rows[info.timestamp].sample(50, seed=7).to_list()
    drawn = [draw.choice([*keys, unknown]) for _ in times]
    spine = pl.DataFrame({key: drawn, "event_timestamp": times}, schema_overrides={"event_timestamp": UTC_TIME})
    # Feast gives rows that are asked for twice once.
    return spine.unique(maintain_order=True).with_row_index("row").cast({"row": pl.Int64})


def check_same(ours: pl.DataFrame, theirs: pl.DataFrame, names: list[str]) -> None:
    """Feast leaves rows out for which it finds nothing; the others are the same."""
    assert len(theirs) > 20
    missing = ours.join(theirs, on="row", how="anti")
    assert missing.select(pl.all_horizontal(pl.col(name).is_null().all() for name in names)).item()
    found = ours.join(theirs, on="row", how="semi").sort("row")
    for name in names:
        assert_frame_equal(found.select(name), theirs.select(pl.col(name).cast(found.schema[name])), check_exact=True)


def tables_with_rows(store: tiffin.FeatureStore) -> list[str]:
    return [info.table for info in store.tables() if info.rows]


def test_the_template_becomes_tables_and_services(template, store):
    heights = {pl.read_parquet(path).height for path in template.rglob("*.parquet")}
    assert {store.describe(info.table).rows for info in store.tables()} == heights
    assert len(store.services()) == 3


def test_the_definitions_are_read_as_feast_reads_them_by_running_them(template):
    check_definitions(template)


def test_a_repository_of_several_files_is_read_as_feast_reads_it(tmp_path):
    repository = write_repository(tmp_path / "sample")
    feast("apply", cwd=repository)
    check_definitions(repository)


def check_definitions(repository: Path) -> None:
    theirs = json.loads(python(Path(__file__).with_name("feast_definitions.py"), cwd=repository))
    ours = read_definitions(repository)
    assert {view.name for view in ours.views} == set(theirs["views"])
    for view in ours.views:
        known = theirs["views"][view.name]
        assert [*view.keys] == known["keys"]
        assert (view.ttl or timedelta()).total_seconds() == known["ttl_s"]
        assert (view.online, view.description) == (known["online"], known["description"])
        assert (view.owner, view.labels) == (known["owner"], known["tags"])
        said = {field.name: [field.description, field.labels] for field in view.fields if field.name not in view.keys}
        assert said == {name: known["said"][name] for name in said}
        assert view.source.path == repository / known["path"]
        assert (view.source.timestamp, view.source.created) == (known["timestamp"], known["created"])
        if view.features:
            kinds = [[field.name, str(field.kind).replace('"', "")] for field in view.fields]
            assert [pair for pair in kinds if pair[0] not in view.keys] == known["features"]
        else:
            assert read_rows(view).frame.columns[len(view.keys) + 1 :] == [name for name, _ in known["features"]]
    features = {name: [each for each, _ in known["features"]] for name, known in theirs["views"].items()}
    for service in ours.services:
        parts = [[part.view, [*(part.features or features[part.view])]] for part in service.parts]
        assert parts == theirs["services"][service.name]
    assert {service.name for service in ours.services} == set(theirs["services"])


def test_historical_features_are_feasts_before_and_after_the_round_trip(template, store, exported, tmp_path):
    jobs, expected = [], []
    for number, table in enumerate(tables_with_rows(store)):
        names = [column.name for column in store.describe(table).columns if column.role == "feature"]
        spine = spine_of(store, table)
        spine.write_parquet(tmp_path / f"{number}.spine")
        ours = store.get_historical_features(spine, [f"{table}:{name}" for name in names]).to_polars()
        features = [f"{table.partition('/')[2]}:{name}" for name in names]
        for repository in (template, exported):
            answer = tmp_path / f"{len(jobs)}.answer"
            jobs.append([str(repository), str(tmp_path / f"{number}.spine"), str(answer), features])
            expected.append((ours, answer, names))
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    python(SCRIPT, tmp_path / "jobs.json", cwd=tmp_path)
    for ours, answer, names in expected:
        check_same(ours, pl.read_parquet(answer).sort("row"), names)


def test_every_type_comes_back_from_feast_as_it_was_saved(tmp_path):
    start = datetime(2024, 5, 1, tzinfo=UTC)
    rows = {
        "id": [1, 2],
        "at": [start, start],
        "flag": [True, None],
        "data": [b"a", None],
        "when": [start, None],
        "words": [["a"], []],
        "times": [[start], []],
        "nested": [[[1, 2], [3]], []],
        "records": [[{"a": 1}], []],
        "record": [{"a": 1.5, "b": ["x"]}, {"a": None, "b": None}],
        "small": pl.Series([1.5, None], dtype=pl.Float32),
        "whole": [1, None],
        "tags": pl.Series([[{"key": "a", "value": "b"}], []]).cast(pl.Map(pl.String(), pl.String())),
    }
    store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
    store.save("g/wide", pl.DataFrame(rows), entity="id", timestamp="at")
    assert not export_repository(store, tmp_path / "out").left_out
    feast("apply", cwd=tmp_path / "out")
    names = [*rows][2:]
    spine = pl.DataFrame({"row": [0, 1], "id": [1, 2], "event_timestamp": [start + timedelta(hours=1)] * 2})
    spine.write_parquet(tmp_path / "spine")
    features = [f"wide:{name}" for name in names]
    jobs = [[str(tmp_path / "out"), str(tmp_path / "spine"), str(tmp_path / "answer"), features]]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    python(SCRIPT, tmp_path / "jobs.json", cwd=tmp_path)
    theirs = pl.read_parquet(tmp_path / "answer").sort("row")
    ours = store.read("g/wide").to_polars()
    for name in names[:-1]:
        assert_frame_equal(ours.select(name), theirs.select(pl.col(name).cast(ours.schema[name])))
    # pandas has maps as lists of pairs.
    assert [dict(pairs) for pairs in theirs["tags"].to_list()] == [{"a": "b"}, {}]


def test_the_export_comes_back_as_it_was(store, exported, tmp_path):
    again = tiffin.FeatureStore(tmp_path / "again", disk_cache_bytes=0)
    import_repository(again, exported, group="made")
    for info in store.tables():
        other = again.describe(info.table)
        for said in ("entity", "timestamp", "created", "ttl", "online", "description", "rows"):
            assert getattr(other, said) == getattr(info, said), (info.table, said)
    assert [(one.name, one.features) for one in again.services()] == [
        (one.name, one.features) for one in store.services()
    ]


@pytest.mark.parametrize("template", ["local"], indirect=True)
def test_feast_serves_the_export_from_its_own_online_store(store, exported):
    feast("materialize-incremental", "2100-01-01T00:00:00", cwd=exported)
    with sqlite3.connect(exported / "data" / "online_store.db") as index:
        names = [name for (name,) in index.execute("select name from sqlite_master where type = 'table'")]
        counts = {name: index.execute(f"select count(*) from '{name}'").fetchone()[0] for name in names}
    index.close()
    assert all(counts[f"made_{table.partition('/')[2]}"] for table in tables_with_rows(store))


@pytest.mark.parametrize("template", ["local"], indirect=True)
def test_an_export_for_a_server_is_taken_over_too(store, tmp_path):
    export_repository(store, tmp_path / "remote", online_url="http://127.0.0.1:8001")
    feast("apply", cwd=tmp_path / "remote")
    assert "remote" in (tmp_path / "remote" / "feature_store.yaml").read_text()
