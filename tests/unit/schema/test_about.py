"""What is said of tables and columns: kept exactly, and refused where it could not be shown."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

from tiffin.errors import CorruptData, InvalidInputError
from tiffin.schema.about import MOST, About, check_about
from tiffin.schema.compatibility import fit
from tiffin.schema.table import Column, Declaration, TableSpec, declare, from_metadata, to_metadata

SAID = About("search team", {"team": "search", "pii": ""}, ("https://wiki.example/a",), "stars")


def again(spec: TableSpec) -> TableSpec:
    schema, configuration = to_metadata(spec)
    return from_metadata(schema, configuration, (), "g/t")


def test_what_is_said_comes_back():
    spec = TableSpec((Column("mean", pl.Float64(), about=SAID), Column("id", pl.Int64())), about=SAID)
    assert again(spec) == spec


def test_where_nothing_is_said_nothing_is_written():
    schema, configuration = to_metadata(TableSpec((Column("mean", pl.Float64()),)))
    assert "about" not in schema + "".join(configuration.values())


def test_damaged_words_are_named_as_damage():
    schema, configuration = to_metadata(TableSpec((Column("mean", pl.Float64(), about=SAID),)))
    broken = msgspec.json.decode(schema)
    broken["fields"][0]["metadata"]["tiffin.about"] = '{"owner": 7}'
    with pytest.raises(CorruptData, match="g/t"):
        from_metadata(msgspec.json.encode(broken).decode(), configuration, (), "g/t")


@pytest.mark.parametrize("mode", ["overwrite", "append", "upsert"])
def test_a_save_leaves_what_was_said(mode):
    column = Column("mean", pl.Float32(), description="the mean", default=2.5, about=SAID)
    old = TableSpec((column,), about=SAID)
    arriving = declare([Column("mean", pl.Float64()), Column("new", pl.Int64())], Declaration(), old)
    spec = fit(old, arriving, mode, evolve=True, table="g/t")
    kept = spec.columns[0]
    assert (spec.about, kept.about, kept.description, kept.default) == (SAID, SAID, "the mean", 2.5)
    assert spec.columns[1].about == About()


@pytest.mark.parametrize(
    "about",
    [
        About(owner="x" * 201),
        About(owner="a\nb"),
        About(owner=" search"),
        About(unit="\x1b[31m"),
        About(labels={"": "x"}),
        About(labels={"a": "x\0"}),
        About(labels={f"l{n}": "" for n in range(MOST + 1)}),
        About(links=("javascript:alert(1)",)),
        About(links=("https://a b",)),
        About(links=tuple(f"https://a/{n}" for n in range(MOST + 1))),
        About(owner="\ud800"),
        About(labels=["team"]),
    ],
)
def test_what_could_not_be_shown_is_refused(about):
    with pytest.raises(InvalidInputError) as caught:
        check_about(about, "table g/t")
    assert "g/t" in caught.value.message
    assert caught.value.hint
