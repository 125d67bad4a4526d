"""Definitions as TOML: the same after a round trip, and refused with the key that is wrong."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.definitions import ColumnDefinition, Definitions, ServiceDefinition, TableDefinition, read, write
from tiffin.definitions.changes import compare
from tiffin.definitions.model import define, revise, update
from tiffin.errors import FeatureNotFound, InvalidInputError, InvalidName, SchemaMismatch
from tiffin.schema.about import About
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.table import Column, TableSpec

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', "'''", '"""', "\\", "a.b", "\r\n", "\n", "\t", "\x00", "\x7f", "#", "[x]", " = ", "é", "🎬", "\u2028"]
)
LABELS = st.dictionaries(TEXTS, TEXTS, max_size=3)
LINKS = st.lists(TEXTS, max_size=2).map(tuple)
DEFAULTS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | TEXTS
DEPRECATIONS = st.none() | st.builds(Deprecation, TEXTS, st.none() | st.dates(), st.none() | TEXTS)
COLUMNS = st.builds(
    ColumnDefinition,
    description=TEXTS,
    unit=TEXTS,
    owner=TEXTS,
    labels=LABELS,
    links=LINKS,
    default=DEFAULTS,
    deprecated=DEPRECATIONS,
)
TABLES = st.builds(
    TableDefinition,
    description=TEXTS,
    owner=TEXTS,
    labels=LABELS,
    links=LINKS,
    entity=st.none() | st.lists(TEXTS, max_size=2).map(tuple),
    timestamp=st.none() | TEXTS,
    created=st.none() | TEXTS,
    ttl=st.none() | st.timedeltas(timedelta(0), timedelta(days=9999)),
    online=st.booleans(),
    rule=st.sampled_from(["backward", "none"]),
    columns=st.dictionaries(TEXTS, COLUMNS, max_size=3),
)
SERVICES = st.builds(ServiceDefinition, features=st.lists(TEXTS, max_size=2).map(tuple), description=TEXTS)
DEFINITIONS = st.builds(
    Definitions,
    tables=st.dictionaries(st.sampled_from(["user/ratings", "a-b/_c"]), TABLES, max_size=2),
    services=st.dictionaries(st.sampled_from(["ranker", "x-1"]), SERVICES, max_size=2),
)


@settings(max_examples=25)
@given(DEFINITIONS)
def test_definitions_come_back_from_toml_exactly(definitions):
    text = write(definitions)
    again = read(text)
    assert again == definitions
    # 1, 1.0 and True are equal and not the same.
    assert msgspec.json.encode(again, order="sorted") == msgspec.json.encode(definitions, order="sorted")
    assert write(again) == text


def leaves(said: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    if not isinstance(said, dict):
        return {path: said}
    return {key: value for name, one in said.items() for key, value in leaves(one, (*path, name)).items()}


@settings(max_examples=25)
@given(TABLES, TABLES)
def test_a_comparison_lists_exactly_what_differs(old, new):
    """Against the two documents, leaf by leaf; a key that the new one leaves out stays as it was."""
    before, after = (
        leaves(tomllib.loads(write(Definitions(tables={"g/t": one})))["tables"]["g/t"]) for one in (old, new)
    )
    after |= {
        path: before[path] for path in [("entity",), ("timestamp",), ("created",)] if path in before.keys() - after
    }
    changes = compare("g/t", old, new)
    assert len({change.field for change in changes}) == len(changes)
    told = sorted((change.kind, str(change.old), str(change.new)) for change in changes)
    assert told == sorted(
        (
            "removed" if path not in after else "changed" if path in before else "added",
            str(before.get(path)),
            str(after.get(path)),
        )
        for path in {*before, *after}
        if before.get(path) != after.get(path) or (path in before) != (path in after)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tables = 3", "tables is 3"),
        ("[table.x]", "table: there is no such key"),
        ('[tables."user/ratings"]\nowner = 3', 'tables."user/ratings".owner'),
        ('[tables."user/ratings"]\nownr = "x"', 'tables."user/ratings".ownr'),
        ('[tables."user/ratings".columns.mean]\nunti = "x"', 'tables."user/ratings".columns.mean.unti'),
        ('[tables."user/ratings".columns."a.b"]\nunit = 3', 'columns."a.b".unit'),
        ('[tables."user/ratings".columns]\nmean = 3', "columns.mean is 3"),
        ('[tables."user/ratings"]\ncolumns = []', 'tables."user/ratings".columns is []'),
        ('[tables."user/ratings"]\nttl = "soon"', "'soon' is not a duration"),
        ('[tables."user/ratings"]\nttl = 30', 'tables."user/ratings".ttl is 30'),
        ('[tables."user/ratings"]\nrule = "kind"', 'tables."user/ratings".rule'),
        ("[tables.user.ratings]", "tables.user names no table"),
        ('[tables."user/ratings@3"]', "names no table"),
        ('[tables."../x"]', "is not allowed"),
        ("[services.ranker]", "features"),
        ('[services.ranker]\nfeatures = "a/b"', "services.ranker.features"),
        ('[tables."user/ratings"]\nowner = "a"\nowner = "b"\n', "line 3"),
        ("x = ?\n", "line 1"),
        ("x = 1\n" + "a." * 50_000 + "a = 1\n", "in line 2"),
        ("['x' . " + "'.' . " * 50_000 + "a]\n", "in line 1"),
    ],
)
def test_what_is_wrong_is_told_by_its_key_or_line(text, told):
    with pytest.raises((InvalidInputError, InvalidName)) as caught:
        read(text)
    assert told in caught.value.message
    assert caught.value.hint


def test_misspelt_keys_are_guessed():
    with pytest.raises(InvalidInputError) as caught:
        read('[tables."user/ratings"]\nownr = "x"')
    assert "owner" in caught.value.hint


SPEC = TableSpec(
    (Column("id", pl.Int64()), Column("mean", pl.Float64(), default=2.0), Column("at", pl.Datetime("us", "UTC"))),
    entity=("id",),
    timestamp="at",
    ttl=timedelta(days=3),
    description="all",
    about=About("x", {"b": "", "a": "1"}),
)


def test_a_table_that_is_defined_as_it_is_stays_as_it_is():
    assert revise(SPEC, define(SPEC), "g/t") == SPEC
    assert revise(SPEC, read(write(Definitions(tables={"g/t": define(SPEC)}))).tables["g/t"], "g/t") == SPEC


def test_what_a_definition_does_not_say_goes_except_for_the_keys():
    revised = revise(SPEC, TableDefinition(owner="y"), "g/t")
    assert (revised.entity, revised.timestamp) == (("id",), "at")
    assert (revised.ttl, revised.description, revised.about, revised.defaults) == (None, "", About("y"), {})


def test_an_update_changes_what_is_named_only():
    said = {"labels": {"a": None, "c": "3"}, "columns": {"mean": {"unit": "stars", "labels": {"pii": ""}}}, "ttl": None}
    revised = revise(SPEC, update(define(SPEC), said, "g/t"), "g/t")
    assert revised.about == About("x", {"b": "", "c": "3"})
    assert (revised.ttl, revised.description) == (None, "all")
    assert (revised.columns[1].about, revised.columns[1].default) == (About(labels={"pii": ""}, unit="stars"), 2.0)
    assert revise(SPEC, update(define(SPEC), {"defaults": {"mean": None}}, "g/t"), "g/t").defaults == {}


@pytest.mark.parametrize(
    "said",
    [
        {"ownr": "x"},
        {"labels": ["team"]},
        {"labels": {"team": 3}},
        {"links": "https://a"},
        {"columns": {"mean": "stars"}},
        {"columns": {"mean": {"unti": "stars"}}},
        {"columns": {"mean": {"unit": 3}}},
        {"columns": ["mean"]},
        {"online": "yes"},
        {"ttl": 30},
    ],
)
def test_an_update_of_the_wrong_kind_is_refused(said):
    with pytest.raises(InvalidInputError):
        update(define(SPEC), said, "g/t")


def test_columns_that_are_not_there_are_refused_with_close_names():
    with pytest.raises(FeatureNotFound) as caught:
        revise(SPEC, TableDefinition(columns={"meen": ColumnDefinition(unit="x")}), "g/t")
    assert "mean" in caught.value.hint


@pytest.mark.parametrize(
    "definition",
    [TableDefinition(entity=("at",)), TableDefinition(entity=()), TableDefinition(created="mean")],
)
def test_keys_that_need_rows_to_be_sorted_anew_are_refused(definition):
    with pytest.raises(SchemaMismatch, match="rows of table g/t are kept by") as caught:
        revise(SPEC, definition, "g/t")
    assert "evolve=True" in caught.value.hint


def test_times_can_be_taken_away():
    spec = TableSpec((*SPEC.columns, Column("made", pl.Date())), ("id",), "at", "made")
    assert revise(spec, TableDefinition(created=""), "g/t").order == ["id", "at"]
    assert revise(spec, TableDefinition(timestamp="", created=""), "g/t").order == []


def test_a_removal_date_is_a_date_in_toml():
    column = ColumnDefinition(deprecated=Deprecation("old", date(2027, 1, 31)))
    assert "removal = 2027-01-31" in write(Definitions(tables={"g/t": TableDefinition(columns={"mean": column})}))
