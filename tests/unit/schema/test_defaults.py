"""Defaults of features and the mark `online`: what may be declared, and that it stays as it was declared."""

import msgspec
import polars as pl
import pytest

from tiffin.errors import CorruptData, InvalidInputError, SchemaMismatch
from tiffin.schema.compatibility import fit
from tiffin.schema.table import Column, Declaration, TableSpec, check, check_declaration, declare, from_metadata
from tiffin.schema.table import to_metadata as metadata_of


def declared(dtypes, previous=None, **said) -> TableSpec:
    made = declare([Column(name, dtype) for name, dtype in dtypes.items()], Declaration(**said), previous)
    check(made, "g/t")
    return made


def with_default(dtype, value) -> TableSpec:
    return declared({"id": pl.Int64(), "x": dtype}, entity="id", defaults={"x": value})


@pytest.mark.parametrize(
    ("dtype", "value", "answer"),
    [
        (pl.Int8(), 127, 127),
        (pl.UInt64(), 2**64 - 1, 2**64 - 1),
        (pl.Int128(), -(2**100), -(2**100)),
        (pl.Float64(), 0.1, 0.1),
        (pl.Float64(), 3, 3.0),
        (pl.Float32(), 0.5, 0.5),
        (pl.Boolean(), False, False),
        (pl.String(), "", ""),
        (pl.String(), 'né "au" 서울', 'né "au" 서울'),
        (pl.Categorical(), "new", "new"),
        (pl.Enum(["a", "b"]), "b", "b"),
    ],
    ids=str,
)
def test_a_default_comes_back_from_the_metadata_as_it_was_declared(dtype, value, answer):
    made = with_default(dtype, value)
    assert from_metadata(*metadata_of(made), [], "g/t") == made
    found = from_metadata(*metadata_of(made), [], "g/t").defaults
    assert found == {"x": answer}
    assert type(found["x"]) is type(answer)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pl.Int8(), 128),
        (pl.UInt8(), -1),
        (pl.Int64(), 1.0),
        (pl.Int64(), True),
        (pl.Boolean(), 1),
        (pl.Float64(), 2**53 + 1),
        (pl.Float64(), float("nan")),
        (pl.Float64(), float("inf")),
        (pl.Float64(), "0"),
        (pl.Float32(), 0.1),
        (pl.Float32(), 1e300),
        (pl.String(), 0),
        (pl.String(), "\ud800"),
        (pl.Enum(["a", "b"]), "c"),
        (pl.Date(), "2024-01-01"),
        (pl.List(pl.Int64()), 0),
        (pl.Int64(), []),
    ],
    ids=str,
)
def test_a_default_that_has_no_exact_place_in_its_column_is_refused(dtype, value):
    with pytest.raises(SchemaMismatch, match="'x' of table g/t"):
        with_default(dtype, value)


def test_the_nearest_value_is_named():
    with pytest.raises(SchemaMismatch) as error:
        with_default(pl.Float32(), 0.1)
    assert "0.10000000149011612" in error.value.hint


@pytest.mark.parametrize("name", ["id", "at", "made"])
def test_keys_and_times_have_no_default(name):
    with pytest.raises(SchemaMismatch, match=f"'{name}'"):
        declared(
            {"id": pl.Int64(), "at": pl.Datetime("us"), "made": pl.Date(), "x": pl.Int64()},
            entity="id", timestamp="at", created="made", defaults={name: 1},
        )  # fmt: skip


def test_a_default_of_no_column_is_refused_with_the_close_name():
    with pytest.raises(SchemaMismatch, match="'mena'") as error:
        declared({"id": pl.Int64(), "mean": pl.Float64()}, defaults={"mena": 0})
    assert "mean" in error.value.hint


def test_defaults_stay_until_others_are_said_and_none_takes_one_away():
    columns = {"id": pl.Int64(), "x": pl.Int64(), "y": pl.Float64()}
    first = declared(columns, entity="id", defaults={"x": 1, "y": 2.5})
    assert declared(columns, first).defaults == {"x": 1, "y": 2.5}
    assert declared(columns, first, defaults={}).defaults == {"x": 1, "y": 2.5}
    assert declared(columns, first, defaults={"x": 7}).defaults == {"x": 7, "y": 2.5}
    assert declared(columns, first, defaults={"x": None}).defaults == {"y": 2.5}


def test_a_falsy_default_is_a_default():
    columns = {"id": pl.Int64(), "x": pl.Int64()}
    assert declared(columns, declared(columns, defaults={"x": 0})).defaults == {"x": 0}


def test_a_default_stays_when_its_column_is_widened():
    old = declared({"id": pl.Int64(), "x": pl.Int8(), "y": pl.Float32()}, entity="id", defaults={"x": 3, "y": 0.5})
    for mode in ("append", "overwrite"):
        arriving = declared({"id": pl.Int64(), "x": pl.Int64(), "y": pl.Float64()}, old)
        spec = fit(old, arriving, mode, evolve=False, table="g/t")
        assert spec.dtypes["x"] == pl.Int64
        assert spec.defaults == {"x": 3, "y": 0.5}


def test_a_default_stays_for_a_column_that_a_frame_lacks():
    old = declared({"id": pl.Int64(), "x": pl.Int8(), "y": pl.Int8()}, entity="id", defaults={"x": 3})
    arriving = declared({"id": pl.Int64(), "y": pl.Int8()}, old)
    assert fit(old, arriving, "append", evolve=True, table="g/t").defaults == {"x": 3}


def test_a_default_that_a_new_type_cannot_hold_must_be_taken_away():
    old = declared({"id": pl.Int64(), "x": pl.Int64()}, entity="id", defaults={"x": 3})
    with pytest.raises(SchemaMismatch, match="String") as error:
        declared({"id": pl.Int64(), "x": pl.String()}, old)
    assert "None" in error.value.hint
    assert declared({"id": pl.Int64(), "x": pl.String()}, old, defaults={"x": None}).defaults == {}


def test_online_stays_until_it_is_turned_off():
    columns = {"id": pl.Int64(), "x": pl.Int64()}
    first = declared(columns, entity="id", online=True)
    assert from_metadata(*metadata_of(first), [], "g/t") == first
    assert declared(columns, first).online
    assert not declared(columns, first, online=False).online
    assert not declared(columns).online


def test_online_needs_something_to_tell_the_newest_row_by():
    with pytest.raises(InvalidInputError, match="online"):
        declared({"x": pl.Int64()}, online=True)
    assert declared({"at": pl.Date(), "x": pl.Int64()}, timestamp="at", online=True).online


@pytest.mark.parametrize("said", [{"online": "yes"}, {"online": 1}, {"defaults": 0}, {"defaults": [("x", 1)]}], ids=str)
def test_declarations_of_the_wrong_kind_are_named(said):
    with pytest.raises(InvalidInputError, match=next(iter(said))):
        check_declaration(Declaration(**said), "g/t")


def test_a_default_that_another_program_garbled_is_corrupt():
    schema, configuration = metadata_of(with_default(pl.Int64(), 5))
    for garbage in ("NaN", "[1]", "five", "null"):
        document = msgspec.json.decode(schema)
        document["fields"][1]["metadata"]["tiffin.default"] = garbage
        with pytest.raises(CorruptData, match="g/t"):
            from_metadata(msgspec.json.encode(document).decode(), configuration, [], "g/t")
