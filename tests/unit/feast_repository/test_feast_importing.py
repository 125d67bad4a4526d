"""A Feast repository becomes tables and services, or nothing at all."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import feast_repositories
import tiffin
from feast_repositories import START, VIEWS, trips, write_repository
from tiffin.errors import (
    ConflictError,
    FeatureNotFound,
    InUse,
    InvalidInputError,
    InvalidName,
    MissingDependency,
    SchemaMismatch,
    StorageError,
    TiffinError,
)
from tiffin.feast_repository import import_repository


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)


@pytest.fixture
def repository(tmp_path):
    return write_repository(tmp_path / "feature_repo")


def one_view(tmp_path, rows: pl.DataFrame, schema: str, source: str = 'timestamp_field="at"', keys: str = "[]"):
    """Write a repository of one view, `bikes/view`, over these rows."""
    views = (
        "from feast import Entity, FeatureView, Field, FileSource\n"
        "from feast.types import *\n"
        "from feast.types import Array, Decimal, Float32, Float64, Int32, Int64, String, Struct, UnixTimestamp\n"
        f"view = FeatureView(name='view', entities={keys}, schema=[{schema}],\n"
        f"    source=FileSource(path='data/rows.parquet', {source}))\n"
    )
    folder = write_repository(tmp_path / "one", views=views, services="", keys="")
    rows.write_parquet(folder / "data" / "rows.parquet")
    return folder


def test_views_become_tables_with_their_rows(store, repository):
    done = import_repository(store, repository)
    assert [(table.table, table.rows, table.version) for table in done.tables] == [
        ("bikes/rider_trips", 40, 1),  # version 0 has its rows, version 1 its tags
        ("bikes/fresh_trips", 40, 0),
        ("bikes/station_load", 2, 0),
    ]
    info = store.describe("bikes/rider_trips")
    assert (info.entity, info.timestamp, info.created) == (("rider_id",), "ended_at", "written_at")
    assert (info.ttl, info.online, info.description) == (timedelta(days=2), True, "What a rider has ridden.")
    rows = store.read("bikes/rider_trips").to_polars()
    expected = trips().drop("unused").cast({"speed": pl.Float32})
    assert_frame_equal(rows, expected.select(rows.columns), check_row_order=False)
    assert rows.schema["speed"] == pl.Float32
    assert store.history("bikes/rider_trips")[-1].inputs == (str(repository / "data" / "trips.parquet"),)


def test_a_view_takes_what_it_declares_or_all_and_by_its_own_names(store, repository):
    import_repository(store, repository, group="hire")
    fresh = store.describe("hire/fresh_trips")
    assert [column.name for column in fresh.columns] == ["rider_id", "ended_at", "written_at", "speed", "count"]
    assert (fresh.ttl, fresh.online) == (timedelta(hours=6), False)
    load = store.read("hire/station_load").to_polars()
    assert load.to_dict(as_series=False) == {"station_id": ["a", "b"], "at": [START, START], "bicycles": [3, None]}


def test_what_was_imported_is_served_as_feast_would(store, repository):
    import_repository(store, repository)
    spine = [{"rider_id": 1, "event_timestamp": START + timedelta(hours=1)}]
    frame = store.get_historical_features(spine, ["bikes/rider_trips:count"]).to_polars()
    # Of rows at one time the one that was written last.
    assert frame["count"].to_list() == [11]
    late = store.get_historical_features(
        [{"rider_id": 1, "event_timestamp": START + timedelta(days=9)}], ["bikes/rider_trips:count"]
    )
    assert late.to_polars()["count"].to_list() == [None]
    assert store.get_online_features(["station_load"], [{"station_id": "a"}]).to_dict()["bicycles"] == [3]


def test_services_ask_for_what_is_taken_over(store, repository):
    done = import_repository(store, repository)
    assert store.service("planner").features == (
        "bikes/rider_trips:speed",
        "bikes/rider_trips:count",
        "bikes/station_load",
    )
    assert store.service("planner").description == "plans the vans"
    assert store.service("everything").features == ("bikes/rider_trips", "bikes/station_load")
    told = {each.what: each.why for each in done.left_out}
    assert told["a part of FeatureService planner"] == "OnDemandFeatureView duration is not taken over"
    assert not any("tags" in what for what in told)


def test_a_plan_says_the_same_and_saves_nothing(store, repository):
    plan = import_repository(store, repository, plan=True)
    assert plan.is_plan
    assert not store.path.exists()
    done = import_repository(store, repository)
    assert [(table.table, table.rows, table.features) for table in plan.tables] == [
        (table.table, table.rows, table.features) for table in done.tables
    ]
    assert (plan.services, plan.left_out) == (done.services, done.left_out)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (None, None, r"load.parquet' of feature view 'station_load' \(views.py:\d+\) cannot be read as Parquet"),
        ("at", pl.Series([1, 2]).cast(pl.Datetime("ns")), "column 'at'"),
        ("at", pl.Series(["a", "b"]), "timestamp column 'at' of table bikes/station_load is String"),
        ("station_id", pl.Series([0.5, 1]), "entity column 'station_id' of table bikes/station_load is Float64"),
        ("AT", pl.Series([1, 2]), "two columns are named"),
    ],
)
def test_nothing_is_saved_if_the_last_view_cannot_be(store, repository, column, values, said):
    path = repository / "data" / "load.parquet"
    if column is None:
        path.write_bytes(b"PAR1 and then nothing of the kind PAR1")
    else:
        feast_repositories.load().with_columns(values.alias(column)).write_parquet(path)
    with pytest.raises(TiffinError, match=said):
        import_repository(store, repository)
    assert store.tables() == []


def test_what_is_there_is_replaced_only_if_told(store, repository):
    import_repository(store, repository)
    with pytest.raises(ConflictError, match=r"table bikes/fresh_trips, .* service everything"):
        import_repository(store, repository)
    feast_repositories.load().head(1).write_parquet(repository / "data" / "load.parquet")
    done = import_repository(store, repository, replace=True)
    assert {table.table: table.version for table in done.tables} == {
        "bikes/rider_trips": 2,  # what Feast says of it was a version of its own the first time
        "bikes/fresh_trips": 1,
        "bikes/station_load": 1,
    }
    assert store.read("bikes/station_load").to_polars().height == 1
    assert store.read("bikes/station_load@0").to_polars().height == 2


def test_what_a_view_does_not_have_any_more_is_taken_away(store, tmp_path, repository):
    import_repository(store, repository)
    views = VIEWS.replace("    ttl=timedelta(days=2),\n", "").replace('tags={"team": "bicycles"}', 'owner="ann"')
    other = write_repository(tmp_path / "other", views=views)
    import_repository(store, other, replace=True)
    info = store.describe("bikes/rider_trips")
    assert (info.ttl, info.owner, info.labels) == (None, "ann", {})


def test_owners_tags_and_what_is_said_of_fields_are_taken_over(store, tmp_path):
    field, tags = 'Field(name="speed", dtype=Float32', 'tags={"team": "bicycles"'
    views = VIEWS.replace(f"{field}),", field + ', description="km/h", tags={"a": ""}),', 1)
    views = views.replace(tags + "}", tags + ', "tiffin_version": "7"}, owner="ann@example.org"')
    done = import_repository(store, write_repository(tmp_path / "said", views=views))
    info = store.describe("bikes/rider_trips")
    assert (info.owner, info.labels) == ("ann@example.org", {"team": "bicycles"})
    speed = next(column for column in info.columns if column.name == "speed")
    assert (speed.description, speed.labels) == ("km/h", {"a": ""})
    assert not any("tags" in each.what for each in done.left_out)


def test_words_that_cannot_be_shown_are_left_out(store, tmp_path):
    views = VIEWS.replace('tags={"team": "bicycles"}', 'tags={"team": "two\\nlines"}')
    done = import_repository(store, write_repository(tmp_path / "odd", views=views))
    assert store.describe("bikes/rider_trips").labels == {}
    assert "one line" in next(each.why for each in done.left_out if each.what.startswith("tags, owner"))


@pytest.mark.parametrize("asked", ["bikes/rider_trips:route", "bikes/rider_trips"])
def test_columns_that_a_service_uses_do_not_go(store, tmp_path, repository, asked):
    import_repository(store, repository)
    store.create_service("mine", [asked])
    views = VIEWS.replace('        Field(name="route", dtype=Json),\n', "")
    other = write_repository(tmp_path / "other", views=views)
    with pytest.raises(InUse, match="'route' of table bikes/rider_trips would go and is used by .* mine"):
        import_repository(store, other, replace=True)
    store.drop_service("mine")
    import_repository(store, other, replace=True)
    assert "route" not in {column.name for column in store.describe("bikes/rider_trips").columns}


AT = [START, START + timedelta(days=1)]


@pytest.mark.parametrize(
    ("values", "declared", "dtype"),
    [
        (pl.Series([1.0, 2.5]), "Float32", pl.Float32),
        (pl.Series([1, 2], dtype=pl.Int8), "Int64", pl.Int64),
        (pl.Series([1.0, None]), "Int64", pl.Int64),
        (pl.Series([1, 2]), "Float64", pl.Float64),
        (pl.Series(["a", None], dtype=pl.Categorical()), "String", pl.String),
        (pl.Series([None, None]), "Array(String)", pl.List(pl.String)),
        (pl.Series([[1.0], []]), "Array(Float32)", pl.List(pl.Float32)),
        (pl.Series([{"a": 1}, {"a": 2}]), "Struct({'a': Int32})", pl.Struct({"a": pl.Int32})),
        (pl.Series(AT).dt.date(), "UnixTimestamp", pl.Datetime("us", "UTC")),
        (pl.Series(AT).dt.replace_time_zone(None), "UnixTimestamp", pl.Datetime("us")),
        (pl.Series(["1.5", "2"]).cast(pl.Decimal(5, 2)), "Decimal", pl.Decimal(5, 2)),
    ],
)
def test_columns_take_the_declared_type_where_that_changes_no_value(store, tmp_path, values, declared, dtype):
    rows = pl.DataFrame({"at": AT, "x": values})
    folder = one_view(tmp_path, rows, f"Field(name='x', dtype={declared})")
    assert not import_repository(store, folder).left_out
    assert store.read("bikes/view").to_polars().schema["x"] == dtype


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        (pl.Series([0.1, 2.5]), "Float32"),
        (pl.Series([2**40, 1]), "Int32"),
        (pl.Series([2**53 + 1, 1]), "Float64"),
        (pl.Series([[0.1], []]), "Array(Float32)"),
        (pl.Series([{"a": 0.1}, None]), 'Struct({"a": Float32})'),
    ],
)
def test_numbers_that_need_a_wider_type_keep_it_and_that_is_told(store, tmp_path, values, declared):
    folder = one_view(tmp_path, pl.DataFrame({"at": AT, "x": values}), f"Field(name='x', dtype={declared})")
    (left_out,) = import_repository(store, folder).left_out
    assert left_out.what == f"{declared} of 'x', which needs {values.dtype}"
    assert_frame_equal(store.read("bikes/view").to_polars().select("x"), values.alias("x").to_frame())


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        (pl.Series([1, 2]), "String"),
        (pl.Series(["1", "2"]), "Int64"),
        (pl.Series([1.5, 2]), "Int64"),
        (pl.Series([float("nan"), 1.0]), "Int64"),
        (pl.Series([True, False]), "Int64"),
        (pl.Series([{"a": 1}, {"a": 2}]), "Struct({'b': Int64})"),
        (pl.Series([["a"], ["b"]]), "Array(Int64)"),
    ],
)
def test_values_of_another_kind_are_an_error_that_names_column_and_types(store, tmp_path, values, declared):
    folder = one_view(tmp_path, pl.DataFrame({"at": AT, "x": values}), f"Field(name='x', dtype={declared})")
    kind = declared.split("(")[0]
    with pytest.raises(SchemaMismatch, match=rf"column 'x' of feature view 'view' \(views.py:4\) is declared {kind}"):
        import_repository(store, folder)
    assert store.tables() == []


def test_a_folder_of_files_is_one_table(store, tmp_path):
    schema = "Field(name='x', dtype=Int64), Field(name='year', dtype=Int64)"
    folder = one_view(tmp_path, pl.DataFrame({"at": AT[:1], "x": [1]}), schema)
    path = folder / "data" / "rows.parquet"
    rows = path.read_bytes()
    path.unlink()
    for year in (2023, 2024):
        (path / f"year={year}").mkdir(parents=True)
        (path / f"year={year}" / "0.parquet").write_bytes(rows)
    import_repository(store, folder)
    assert store.read("bikes/view").to_polars().select("x", "year").rows() == [(1, 2023), (1, 2024)]


@pytest.mark.parametrize(
    ("columns", "source", "timestamp"),
    [
        (["at", "x"], "", "at"),
        (["at", "x"], "field_mapping={'at': 'when'}", "when"),
        (["at", "x"], "timestamp_field='when', field_mapping={'at': 'when'}", "when"),
        (["at", "x"], "event_timestamp_column='at'", "at"),
        (["at", "x", "__index_level_0__"], "timestamp_field='at'", "at"),
    ],
)
def test_times_and_features_are_found_as_feast_finds_them(store, tmp_path, columns, source, timestamp):
    rows = pl.DataFrame({"at": AT, "x": [1, 2], "__index_level_0__": [0, 1]}).select(columns)
    import_repository(store, one_view(tmp_path, rows, "", source))
    info = store.describe("bikes/view")
    assert (info.timestamp, [column.name for column in info.columns]) == (timestamp, [timestamp, "x"])


@pytest.mark.parametrize(
    ("schema", "source", "keys", "error", "said"),
    [
        ("Field(name='y', dtype=Int64)", "timestamp_field='at'", "[]", SchemaMismatch, "column 'y' of feature view"),
        ("", "timestamp_field='xat'", "[]", SchemaMismatch, "column 'xat' of feature view"),
        ("", "timestamp_field='at'", "[Entity(name='id')]", SchemaMismatch, "column 'id' of feature view"),
        ("", "", "[]", SchemaMismatch, "names no timestamp, and it has several times: at, made"),
        ("", "timestamp_field='x'", "[]", SchemaMismatch, "timestamp column 'x' of table bikes/view is Int64"),
        ("", "timestamp_field='at'", "[Entity(name='f')]", SchemaMismatch, "entity column 'f' of table bikes/view"),
    ],
)
def test_columns_that_do_not_serve_are_an_error(store, tmp_path, schema, source, keys, error, said):
    rows = pl.DataFrame({"at": AT, "made": AT, "x": [1, 2], "f": [0.5, 1]})
    with pytest.raises(error, match=said):
        import_repository(store, one_view(tmp_path, rows, schema, source, keys))
    assert store.tables() == []


def test_a_file_that_is_not_there_is_told_with_its_view(store, repository):
    (repository / "data" / "trips.parquet").unlink()
    with pytest.raises(
        StorageError, match=r"'data/trips.parquet' of feature view 'rider_trips' \(views.py:\d+\) is not"
    ):
        import_repository(store, repository)


def test_names_are_held_to_our_rule(store, tmp_path):
    odd = write_repository(tmp_path / "odd", views=VIEWS.replace('name="rider_trips"', 'name="rider trips"'))
    with pytest.raises(InvalidName, match="table name 'rider trips' is not allowed"):
        import_repository(store, odd)
    with pytest.raises(InvalidName, match="group name '../x' is not allowed"):
        import_repository(store, odd, group="../x")


def test_a_service_that_asks_for_what_its_view_has_not_is_an_error(store, tmp_path):
    services = feast_repositories.SERVICES.replace('[["speed", "count"]]', '[["sped"]]')
    with pytest.raises(FeatureNotFound, match=r"service 'planner' \(services.py:16\) asks for 'sped'"):
        import_repository(store, write_repository(tmp_path / "odd", services=services))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("registry: x\n", "does not name its project"),
        ("- project\n", "does not name its project"),
        ("project: [\n", "cannot be read as YAML"),
        ("project: !!python/object/apply:os.system ['touch was_run']\n", "cannot be read as YAML"),
        ("project: \xff\n", "group name"),
    ],
)
def test_settings_that_cannot_be_used_are_an_error_and_run_nothing(store, tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    folder = write_repository(tmp_path / "odd", feature_store=text)
    with pytest.raises(InvalidInputError, match=said):
        import_repository(store, folder)
    assert not (tmp_path / "was_run").exists()


def test_a_folder_that_is_no_repository_is_told_which_one_is(store, tmp_path, repository):
    with pytest.raises(StorageError, match="is no Feast repository") as raised:
        import_repository(store, tmp_path)
    assert raised.value.hint == f"give {repository}"


def test_without_pyyaml_it_says_what_to_install(store, repository, monkeypatch):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingDependency) as raised:
        import_repository(store, repository)
    assert raised.value.hint == "pip install 'tiffin[feast]'"


def test_feast_itself_is_not_needed(store, repository):
    import_repository(store, repository)
    assert "feast" not in sys.modules
    assert store.describe("bikes/rider_trips").updated > datetime(2024, 1, 1, tzinfo=UTC)
