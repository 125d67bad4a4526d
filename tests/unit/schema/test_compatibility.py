"""Which frames a table takes: a table of pairs of types, and what a save may change by itself."""

from datetime import timedelta

import polars as pl
import pytest

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.schema.compatibility import align, common_dtype, compare, fit, widened
from tiffin.schema.table import Column, Declaration, TableSpec, check, declare, from_metadata, to_metadata

US, NS, UTC_US = pl.Datetime("us"), pl.Datetime("ns"), pl.Datetime("us", "UTC")


def spec(**dtypes) -> TableSpec:
    return TableSpec(tuple(Column(name, dtype) for name, dtype in dtypes.items()))


@pytest.mark.parametrize(
    ("old", "new", "common"),
    [
        (pl.Int64(), pl.Int64(), pl.Int64()),
        (pl.Int64(), pl.Int8(), pl.Int64()),
        (pl.Int8(), pl.Int64(), pl.Int64()),
        (pl.UInt8(), pl.Int8(), pl.Int16()),
        (pl.Int64(), pl.UInt32(), pl.Int64()),
        (pl.Int64(), pl.UInt64(), None),
        (pl.Float32(), pl.Float64(), pl.Float64()),
        (pl.Float64(), pl.Int64(), pl.Float64()),
        (pl.Int64(), pl.Float64(), None),
        (pl.Null(), pl.String(), pl.String()),
        (pl.String(), pl.Null(), pl.String()),
        (pl.String(), pl.Categorical(), pl.String()),
        (pl.Enum(["a", "b"]), pl.Enum(["b", "c"]), pl.Enum(["a", "b", "c"])),
        (pl.String(), pl.Int64(), None),
        (pl.Boolean(), pl.Int64(), None),
        (US, NS, US),
        (US, UTC_US, None),
        (UTC_US, US, None),
        (UTC_US, pl.Datetime("us", "Asia/Seoul"), UTC_US),
        (pl.Date(), US, None),
        (pl.Duration("ms"), pl.Duration("us"), pl.Duration("ms")),
        (pl.Decimal(10, 2), pl.Decimal(12, 2), pl.Decimal(12, 2)),
        (pl.Decimal(10, 2), pl.Decimal(12, 3), None),
        (pl.List(pl.Int64()), pl.List(pl.Int64()), pl.List(pl.Int64())),
        (pl.List(pl.Int64()), pl.List(pl.String()), None),
        (pl.List(pl.Int64()), pl.Int64(), None),
        (pl.List(pl.Int32()), pl.List(pl.Null()), pl.List(pl.Int32())),
        (pl.List(pl.List(pl.Int32())), pl.List(pl.List(pl.Int64())), pl.List(pl.List(pl.Int64()))),
    ],
)
def test_the_type_that_holds_both(old, new, common):
    assert common_dtype(old, new) == common


def test_a_save_may_add_columns_and_widen_types_by_itself():
    old, new = spec(a=pl.Int32(), b=pl.String()), spec(b=pl.String(), a=pl.Int64(), c=pl.Float64())
    fitted = fit(old, new, "append", evolve=False, table="g/t")
    assert fitted.dtypes == {"a": pl.Int64(), "b": pl.String(), "c": pl.Float64()}
    assert widened(old, fitted)


@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_missing_column_needs_permission(mode):
    old, new = spec(a=pl.Int64(), b=pl.Int64()), spec(a=pl.Int64())
    with pytest.raises(SchemaMismatch) as error:
        fit(old, new, mode, evolve=False, table="g/t")
    assert "'b' is missing" in error.value.message
    assert "table: a Int64, b Int64" in error.value.message
    assert "frame: a Int64" in error.value.message
    assert "evolve=True" in error.value.hint
    kept = fit(old, new, mode, evolve=True, table="g/t").names
    assert kept == (["a"] if mode == "overwrite" else ["a", "b"])


def test_every_problem_is_named_at_once():
    with pytest.raises(SchemaMismatch) as error:
        fit(spec(a=pl.Int64(), b=UTC_US), spec(a=pl.String(), b=US), "append", evolve=True, table="g/t")
    assert "'a'" in error.value.message
    assert "'b'" in error.value.message


def test_the_differences_of_two_specs_are_named():
    old = spec(a=pl.Int32(), b=pl.String(), c=pl.Int64())
    new = TableSpec(spec(a=pl.Int64(), c=pl.String(), d=pl.Date()).columns, entity=("a",))
    assert [str(change) for change in compare(old, new)] == [
        "~ entity: none → a", "~ a: Int32 → Int64", "- b: String", "~ c: Int64 → String", "+ d: Date",
    ]  # fmt: skip


def test_align_casts_only_what_stays_exact():
    frame = pl.DataFrame({"a": [2**53, 2**53 + 1]})
    with pytest.raises(SchemaMismatch, match="row 1"):
        align(frame, spec(a=pl.Float64()), "g/t")
    aligned = align(pl.DataFrame({"a": [1, None]}), spec(b=pl.String(), a=pl.Float64()), "g/t")
    assert aligned.equals(pl.DataFrame({"b": [None, None], "a": [1.0, None]}, schema={"b": pl.String, "a": pl.Float64}))


def test_a_datetime_finer_than_the_table_is_refused_by_row():
    frame = pl.DataFrame({"t": pl.Series([1000, 1001], dtype=pl.Int64).cast(NS)})
    with pytest.raises(SchemaMismatch, match="row 1"):
        align(frame, spec(t=US), "g/t")


def declared(dtypes, **said) -> TableSpec:
    made = declare([Column(name, dtype) for name, dtype in dtypes.items()], Declaration(**said), None)
    check(made, "g/t")
    return made


def test_entity_id_is_the_entity_where_nothing_is_said():
    assert declared({"entity_id": pl.Int64(), "x": pl.Int64()}).entity == ("entity_id",)
    assert declared({"id": pl.Int64(), "x": pl.Int64()}).entity == ()
    assert declared({"entity_id": pl.Float64(), "x": pl.Int64()}).entity == ()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"entity": "nope"}, SchemaMismatch),
        ({"entity": "x"}, SchemaMismatch),
        ({"entity": ["id", "id"]}, SchemaMismatch),
        ({"timestamp": "id"}, SchemaMismatch),
        ({"entity": "id", "timestamp": "at", "ttl": timedelta(0)}, InvalidInputError),
        ({"entity": "id", "ttl": timedelta(days=1)}, InvalidInputError),
        ({"partition_by": "x"}, SchemaMismatch),
        ({"partition_by": ["id", "at", "x"]}, SchemaMismatch),
    ],
)
def test_keys_that_cannot_serve_are_refused(said, error):
    with pytest.raises(error):
        declared({"id": pl.Int64(), "at": UTC_US, "x": pl.Float64()}, **said)


def test_what_a_table_declares_survives_its_metadata():
    made = TableSpec(
        columns=(
            Column("id", pl.UInt64()),
            Column("at", pl.Datetime("ns", "Asia/Seoul"), "datetime64[ns, Asia/Seoul]", "when"),
            Column("made", pl.Date()), Column("kind", pl.Enum(["b", "a"])), Column("x", pl.List(pl.UInt8())),
        ),
        entity=("id",), timestamp="at", created="made", ttl=timedelta(days=30, microseconds=1), partition_by=("kind",),
        description="Ratings, \"quoted\"",
    )  # fmt: skip
    schema, configuration = to_metadata(made)
    assert from_metadata(schema, configuration, ["kind"], "g/t") == made


def test_a_table_of_another_writer_declares_nothing():
    schema = '{"type":"struct","fields":[{"name":"a","type":"long","nullable":true,"metadata":{}}]}'
    assert from_metadata(schema, {}, [], "g/t") == spec(a=pl.Int64())
