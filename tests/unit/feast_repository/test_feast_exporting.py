"""Tables and services become a Feast repository that says what they are, and nothing that they are not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

import tiffin
from feast_repositories import START, write_repository
from tiffin.errors import (
    ConflictError,
    InvalidInputError,
    InvalidName,
    ServiceNotFound,
    StorageError,
    TableNotFound,
)
from tiffin.feast_repository import export_repository, import_repository


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)


@pytest.fixture
def hire(store, tmp_path) -> tiffin.FeatureStore:
    """A store with what the sample repository holds."""
    import_repository(store, write_repository(tmp_path / "feature_repo"))
    return store


def save(store: tiffin.FeatureStore, table: str, **columns) -> None:
    rows = {"id": [1, 2], "at": [START, START], "x": [1, 2], **columns}
    store.save(table, pl.DataFrame(rows), entity="id", timestamp="at")


def left_out(done) -> list[tuple[str, str, str]]:
    return [(each.where, each.what, each.why) for each in done.left_out]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_reads_back_as_it_was(hire, tmp_path):
    done = export_repository(hire, tmp_path / "out")
    assert (done.project, done.left_out) == ("bikes", ())
    again = tiffin.FeatureStore(tmp_path / "again", disk_cache_bytes=0)
    assert import_repository(again, tmp_path / "out").project == "bikes"
    for info in hire.tables():
        other = again.describe(info.table)
        for said in ("entity", "timestamp", "created", "ttl", "online", "description", "owner", "labels"):
            assert getattr(other, said) == getattr(info, said), (info.table, said)
        rows = hire.read(info.table).to_polars()
        assert_frame_equal(again.read(info.table).to_polars().select(rows.columns), rows)
    assert [(one.name, one.features, one.description) for one in again.services()] == [
        (one.name, one.features, one.description) for one in hire.services()
    ]


def test_the_same_store_is_written_in_the_same_way(hire, tmp_path):
    export_repository(hire, tmp_path / "one")
    export_repository(hire, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert [*sorted(files(tmp_path / "one"))] == [
        "data/fresh_trips.parquet",
        "data/rider_trips.parquet",
        "data/station_load.parquet",
        "definitions.py",
        "feature_store.yaml",
    ]


def test_the_definitions_are_what_one_would_write(store, tmp_path):
    save(store, "user/ratings")
    store.save("user/ratings", store.read("user/ratings"), ttl=timedelta(days=1, minutes=2), online=True)
    store.create_service("ranker", ["user/ratings:x"], description='orders "all"\nof it')
    export_repository(store, tmp_path / "out")
    assert (
        (tmp_path / "out" / "definitions.py").read_text()
        == '''\
"""Feature views and feature services that were exported from Tiffin."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

id_entity = Entity(
    name="id",
    join_keys=["id"],
    value_type=ValueType.INT64,
)

ratings_source = FileSource(
    name="ratings_source",
    path="data/ratings.parquet",
    timestamp_field="at",
)

ratings_view = FeatureView(
    name="ratings",
    entities=[id_entity],
    ttl=timedelta(days=1, seconds=120),
    schema=[
        Field(name="id", dtype=Int64),
        Field(name="x", dtype=Int64),
    ],
    online=True,
    source=ratings_source,
    tags={"tiffin_table": "user/ratings", "tiffin_version": "1"},
)

ranker_service = FeatureService(
    name="ranker",
    features=[
        ratings_view[["x"]],
    ],
    description='orders "all"\\nof it',
)
'''
    )


def test_what_is_said_goes_out_and_comes_in_again(store, tmp_path):
    save(store, "user/ratings")
    said = {"description": 'the "x"', "labels": {"pii": "", "a": "it's"}}
    columns = {"x": {**said, "unit": "m"}}
    store.declare("user/ratings", owner="ann", labels={"team": "search"}, links=["https://a.b"], columns=columns)
    done = export_repository(store, tmp_path / "out")
    assert {(each.what, each.why) for each in done.left_out} >= {
        ("links", "Feast has no place for them"),
        ("unit, owner of x", "Feast has no place for them"),
    }
    again = tiffin.FeatureStore(tmp_path / "again")
    import_repository(again, tmp_path / "out")
    info = again.describe("user/ratings")
    column = next(column for column in info.columns if column.name == "x")
    assert (info.owner, info.labels) == ("ann", {"team": "search"})
    assert (column.description, column.labels) == (said["description"], said["labels"])


def test_texts_stay_texts(store, tmp_path):
    odd = 'a"""\n\\N{DASH}\'; import os  # {x} \x7f é \u2028 \\'
    store.save("user/odd", {"it's": [1], 'key "q"': [1], "at": [START], "x": [1]}, entity='key "q"', timestamp="at")
    store.save("user/odd", store.read("user/odd"), description=odd)
    export_repository(store, tmp_path / "out")
    again = tiffin.FeatureStore(tmp_path / "again")
    import_repository(again, tmp_path / "out")
    assert again.describe("user/odd").description == odd
    assert [column.name for column in again.describe("user/odd").columns] == ['key "q"', "at", "it's", "x"]


def test_names_that_look_alike_as_variables_stay_apart(store, tmp_path):
    for name in ("a-b", "a_b", "class", "1st"):
        save(store, f"user/{name}")
    export_repository(store, tmp_path / "out", online_url="http://127.0.0.1:1")
    again = tiffin.FeatureStore(tmp_path / "again")
    import_repository(again, tmp_path / "out")
    assert [info.table for info in again.tables()] == ["user/1st", "user/a-b", "user/a_b", "user/class"]


def test_what_feast_has_no_place_for_is_told(store, tmp_path):
    save(store, "user/good", day=[date(2024, 1, 1)] * 2, wait=[timedelta(1)] * 2)
    store.save("user/good", store.read("user/good"), defaults={"x": 7})
    store.save("user/plain", [{"id": 1, "x": 1}], entity="id")
    store.save("user/dates", [{"day": date(2024, 1, 1), "at": START, "x": 1}], entity="day", timestamp="at")
    store.save("user/flags", [{"flag": True, "at": START, "x": 1}], entity="flag", timestamp="at")
    store.save("user/texts", [{"id": "a", "at": START, "x": 1}], entity="id", timestamp="at")
    store.save("user/bare", [{"id": 1, "at": START, "day": date(2024, 1, 1)}], entity="id", timestamp="at")
    save(store, "user/with-dash")
    save(store, "one/same")
    save(store, "two/Same")
    done = export_repository(store, tmp_path / "out")
    assert left_out(done) == [
        ("one/same", "table", "another table has this name, in its own group: export them one by one"),
        ("two/Same", "table", "another table has this name, in its own group: export them one by one"),
        ("user/bare", "column day", "Feast has no type for Date"),
        ("user/bare", "table", "it has no feature that Feast could have"),
        ("user/dates", "table", "Feast takes no keys of the type Date, as 'day' is"),
        ("user/flags", "table", "Feast takes no keys of the type Boolean, as 'flag' is"),
        ("user/good", "column day", "Feast has no type for Date"),
        ("user/good", "column wait", "Feast has no type for Duration(time_unit='us')"),
        ("user/good", "default of x", "Feast has no defaults"),
        ("user/plain", "table", "Feast needs a timestamp: save the table with one"),
        ("user/texts", "table", "'id' is of another type in a table before it"),
        (
            "user/with-dash",
            "table",
            "Feast's SQLite store takes no '-' in names: export with the address of a server (--online-url)",
        ),
    ]
    assert [table.table for table in done.tables] == ["user/good"]


def test_a_service_keeps_what_is_exported_of_it(store, tmp_path):
    save(store, "user/a", day=[date(2024, 1, 1)] * 2)
    save(store, "user/b", y=[1.5, 2])
    store.save("user/plain", [{"id": 1, "z": 1}], entity="id")
    wanted = ["user/b:y", "user/a:day", "user/b:x", "user/a@0:x", "user/plain"]
    store.create_service("mixed", wanted[:3] + wanted[4:])
    store.create_service("pinned", ["user/a@0:x"])
    done = export_repository(store, tmp_path / "out")
    assert done.services == ("mixed",)
    told = [each for each in left_out(done) if "service" in each[0] or each[1] == "service"]
    assert told == [
        ("service mixed", "user/a:day", "its column is not exported"),
        ("service mixed", "user/plain", "its table is not exported"),
        ("service pinned", "user/a@0:x", "it is pinned to a version, and the newest is exported"),
        ("pinned", "service", "nothing that it asks for is exported"),
    ]
    assert 'b_view[["y", "x"]]' in (tmp_path / "out" / "definitions.py").read_text()


def test_a_service_asks_for_what_was_renamed_by_its_name_of_today(store, tmp_path):
    save(store, "g/t", y=[1.5, 2.5])
    store.create_service("ranker", ["g/t:x", "g/t:y"])
    store.rename("g/t", "x", "z")
    assert left_out(export_repository(store, tmp_path / "out")) == []
    assert 't_view[["z", "y"]]' in (tmp_path / "out/definitions.py").read_text()


def test_values_come_in_the_types_that_feast_has(store, tmp_path):
    naive = datetime(2024, 5, 1)
    rows = pl.DataFrame(
        {
            "id": pl.Series([1], dtype=pl.UInt16),
            "at": pl.Series([naive]).cast(pl.Datetime("ms")),
            "small": pl.Series([7], dtype=pl.Int8),
            "wide": pl.Series([7], dtype=pl.UInt32),
            "half": pl.Series([0.5], dtype=pl.Float32),
            "word": pl.Series(["a"], dtype=pl.Categorical()),
            "local": pl.Series([naive]).dt.replace_time_zone("Asia/Tokyo"),
            "parts": pl.Series([{"a": [1, 2], "b": None}], dtype=pl.Struct({"a": pl.List(pl.Int64), "b": pl.String})),
        }
    )
    store.save("user/all", rows, entity="id", timestamp="at")
    export_repository(store, tmp_path / "out")
    written = pl.read_parquet(tmp_path / "out" / "data" / "all.parquet")
    utc = pl.Datetime("us", "UTC")
    assert dict(written.schema) == {
        "id": pl.Int64,
        "small": pl.Int32,
        "wide": pl.Int64,
        "half": pl.Float32,
        "word": pl.String,
        "local": utc,
        "parts": pl.Struct({"a": pl.List(pl.Int64), "b": pl.String}),
        "at": utc,
    }
    assert written["at"].to_list() == [START]
    assert written["local"].to_list() == [START - timedelta(hours=9)]
    text = (tmp_path / "out" / "definitions.py").read_text()
    assert 'Field(name="parts", dtype=Struct({"a": Array(Int64), "b": String})),' in text
    assert "from feast.types import Array, Float32, Int32, Int64, String, Struct, UnixTimestamp" in text


def test_only_what_is_asked_for_is_written(hire, tmp_path):
    done = export_repository(hire, tmp_path / "one", tables=["fresh_trips"])
    assert ([table.table for table in done.tables], done.services) == (["bikes/fresh_trips"], ())
    done = export_repository(hire, tmp_path / "two", services=["planner"])
    assert [table.table for table in done.tables] == ["bikes/rider_trips", "bikes/station_load"]
    assert done.services == ("planner",)
    done = export_repository(hire, tmp_path / "three", tables=["bikes/fresh_trips"], services=["planner"])
    assert len(done.tables) == 3
    with pytest.raises(TableNotFound):
        export_repository(hire, tmp_path / "four", tables=["bikes/nothing"])
    with pytest.raises(ServiceNotFound):
        export_repository(hire, tmp_path / "four", services=["nothing"])
    assert not (tmp_path / "four").exists()


def test_the_settings_name_the_project_and_who_serves(hire, tmp_path):
    export_repository(hire, tmp_path / "one", project="p2")
    assert yaml.safe_load((tmp_path / "one" / "feature_store.yaml").read_text()) == {
        "project": "p2",
        "provider": "local",
        "registry": "data/registry.db",
        "online_store": {"type": "sqlite", "path": "data/online_store.db"},
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    save(hire, "other/one")
    assert export_repository(hire, tmp_path / "two", online_url="http://127.0.0.1:8001").project == "tiffin"
    settings = yaml.safe_load((tmp_path / "two" / "feature_store.yaml").read_text())
    assert settings["online_store"] == {"type": "remote", "path": "http://127.0.0.1:8001"}
    with pytest.raises(InvalidName, match="no project called 'a-b'"):
        export_repository(hire, tmp_path / "three", project="a-b")


def test_a_folder_that_is_not_empty_is_left_alone_unless_told(hire, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    export_repository(hire, folder, project="before")
    (folder / "mine.py").write_text("")
    before = files(folder)
    with pytest.raises(ConflictError, match="is not empty"):
        export_repository(hire, folder, project="after")
    assert files(folder) == before
    export_repository(hire, folder, project="after", replace=True)
    assert {name for name, content in files(folder).items() if content != before[name]} == {"feature_store.yaml"}
    with pytest.raises(StorageError, match="is a file"):
        export_repository(hire, folder / "mine.py")


def test_nothing_is_written_if_feast_could_take_nothing(store, tmp_path):
    with pytest.raises(InvalidInputError, match="none of the tables\n"):
        export_repository(store, tmp_path / "out")
    store.save("user/plain", [{"id": 1, "x": 1}], entity="id")
    with pytest.raises(InvalidInputError, match="user/plain: Feast needs a timestamp"):
        export_repository(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()
