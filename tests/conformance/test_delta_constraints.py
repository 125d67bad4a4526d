"""Constraints and other writers of Delta tables: they are held to ours, and we to theirs."""

from __future__ import annotations

import json

import deltalake
import polars as pl
import pytest

import tiffin
from tiffin.errors import ConstraintViolated, StorageError

SCHEMA = {"user_id": pl.Int64, "rating": pl.Float64, "genre": pl.String}
CONSTRAINTS = [
    "rating between 0 and 5",
    "user_id is not null",
    'genre in ["drama", "comedy"]',
    "genre has at most 5 characters",
    "rating > 1 OR user_id < 5",
]


def frame(**values):
    return pl.DataFrame({name: [values.get(name)] for name in SCHEMA}, schema=SCHEMA)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        opened.save("g/t", frame(user_id=1, rating=4.0, genre="drama"))
        yield opened


def folder(store):
    return str(store.path / "features/g/t")


@pytest.mark.parametrize(
    "bad",
    [
        {"user_id": 2, "rating": 5.5, "genre": "drama"},
        {"user_id": 2, "rating": float("nan"), "genre": "drama"},
        {"rating": 1.0, "genre": "drama"},
        {"user_id": 2, "rating": 2.0, "genre": "noir"},
        {"user_id": 2, "rating": 2.0, "genre": "comedy"},
        {"user_id": 9, "rating": 0.5, "genre": "drama"},
    ],
)
def test_other_writers_are_held_to_our_constraints_as_we_are(store, bad):
    store.constrain("g/t", *CONSTRAINTS)
    with pytest.raises(ConstraintViolated):
        store.save("g/t", frame(**bad), mode="append")
    with pytest.raises(deltalake.exceptions.DeltaError, match="validation"):
        deltalake.write_deltalake(folder(store), frame(**bad), mode="append")
    good = frame(user_id=3, rating=None, genre=None)
    deltalake.write_deltalake(folder(store), good, mode="append")
    assert store.read("g/t").to_polars().height == 2
    assert deltalake.DeltaTable(folder(store)).to_pyarrow_table().num_rows == 2
    assert store.check("g/t").ok


def test_the_protocol_says_that_there_are_checks_only_where_there_are(store):
    assert deltalake.DeltaTable(folder(store)).protocol().min_writer_version == 2
    store.constrain("g/t", "user_id is not null", "genre matches ^d", "unique user_id")
    assert deltalake.DeltaTable(folder(store)).protocol().min_writer_version == 2
    assert not deltalake.DeltaTable(folder(store)).schema().fields[0].nullable
    store.constrain("g/t", "rating <= 5")
    found = deltalake.DeltaTable(folder(store))
    assert (found.protocol().min_reader_version, found.protocol().min_writer_version) == (1, 3)
    store.unconstrain("g/t", "rating_max", "user_id_not_null")
    found = deltalake.DeltaTable(folder(store))
    assert "delta.constraints.rating_max" not in found.metadata().configuration
    assert found.schema().fields[0].nullable


def test_we_are_held_to_the_checks_of_others(store):
    deltalake.DeltaTable(folder(store)).alter.add_constraint({"low": "rating < 5"})
    with pytest.raises(ConstraintViolated, match="low"):
        store.save("g/t", frame(user_id=2, rating=5.0), mode="append")
    # Where Delta declares it, null breaks it too.
    with pytest.raises(ConstraintViolated, match="low"):
        store.save("g/t", frame(user_id=2, rating=None), mode="append")
    store.save("g/t", frame(user_id=2, rating=4.5), mode="append")
    assert deltalake.DeltaTable(folder(store)).metadata().configuration["delta.constraints.low"] == "rating < 5"


def test_we_are_held_to_columns_without_nulls_of_others(tmp_path):
    path = tmp_path / "store/features/g/t"
    schema = deltalake.Schema([deltalake.Field("a", "long", nullable=False), deltalake.Field("b", "long")])
    deltalake.DeltaTable.create(str(path), schema)
    with tiffin.FeatureStore(tmp_path / "store") as store:
        with pytest.raises(ConstraintViolated, match="a_not_null"):
            store.save("g/t", [{"a": 1, "b": 1}, {"a": None, "b": 1}])
        store.save("g/t", [{"a": 1, "b": 1}], description="of both")
        assert not deltalake.DeltaTable(str(path)).schema().fields[0].nullable


def test_a_check_that_we_cannot_evaluate_refuses_writing_and_not_reading(store):
    alien = {"commitInfo": {"timestamp": 1}}
    log = store.path / "features/g/t/_delta_log"
    first = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    metadata = next(line["metaData"] for line in first if "metaData" in line)
    metadata["configuration"]["delta.constraints.odd"] = "some_udf(rating) > 0"
    protocol = {"minReaderVersion": 1, "minWriterVersion": 3}
    lines = [alien, {"protocol": protocol}, {"metaData": metadata}]
    (log / f"{1:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert store.read("g/t").to_polars().height == 1
    with pytest.raises(StorageError, match="some_udf") as caught:
        store.save("g/t", frame(user_id=2), mode="append")
    assert "unconstrain" in caught.value.hint
    with pytest.raises(StorageError, match="cannot be checked .*some_udf"):
        store.check("g/t")
    assert store.unconstrain("g/t", "odd").version == 2
    store.save("g/t", frame(user_id=2), mode="append")
