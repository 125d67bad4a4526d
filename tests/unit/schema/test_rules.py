"""What a save may change of a table under each rule, as a table written by hand."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import pytest

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.schema.compatibility import compare, fit, weigh
from tiffin.schema.rules import check_rule
from tiffin.schema.table import Column, TableSpec, from_metadata, to_metadata

US, NS, UTC, SEOUL = pl.Datetime("us"), pl.Datetime("ns"), pl.Datetime("us", "UTC"), pl.Datetime("us", "Asia/Seoul")
HIGH_LOW, LOW_HIGH = pl.Enum(["high", "low"]), pl.Enum(["low", "high"])
ONE, TWO = pl.Struct({"a": pl.Int64}), pl.Struct({"a": pl.Int64, "b": pl.String})

# Under each rule four outcomes: overwrite, overwrite that evolves, append or upsert, append or upsert that evolves.
#   =  nothing changes: the values take the table's type
#   +  done
#   M  done, and a new major version of the schema begins
#   e  refused, unless it evolves
#   x  refused, whatever is said
ADD = {"backward": "+ + + +", "forward": "+ + + +", "full": "+ + + +", "none": "+ + + +"}
DROP = {"backward": "e M e +", "forward": "e M e +", "full": "e M e +", "none": "+ + + +"}
WIDEN = {"backward": "+ + + +", "forward": "e M e M", "full": "e M e M", "none": "+ + + +"}
NARROW = {"backward": "= M = =", "forward": "= + = =", "full": "= M = =", "none": "+ + = ="}
MEANING = {"backward": "= M = =", "forward": "= M = =", "full": "= M = =", "none": "+ + = ="}
OTHER = {"backward": "e M x x", "forward": "e M x x", "full": "e M x x", "none": "+ + x x"}
FILES = {"backward": "e + x x", "forward": "e + x x", "full": "e + x x", "none": "+ + x x"}


class Case(NamedTuple):
    what: str
    old: dict | TableSpec
    new: dict | TableSpec
    outcomes: dict[str, str]


def spec(columns: dict, **said) -> TableSpec:
    return TableSpec(tuple(Column(name, dtype) for name, dtype in columns.items()), **said)


KEYED = {"id": pl.Int64(), "at": UTC, "kind": pl.String(), "x": pl.Float64()}
CASES = [
    Case("add a column", {"a": pl.Int64()}, {"a": pl.Int64(), "b": pl.String()}, ADD),
    Case("add a column in front", {"a": pl.Int64()}, {"b": pl.String(), "a": pl.Int64()}, ADD),
    Case("leave a column out", {"a": pl.Int64(), "b": pl.String()}, {"a": pl.Int64()}, DROP),
    Case("wider integers", {"a": pl.Int32()}, {"a": pl.Int64()}, WIDEN),
    Case("wider floats", {"a": pl.Float32()}, {"a": pl.Float64()}, WIDEN),
    Case("integers of either sign", {"a": pl.UInt8()}, {"a": pl.Int16()}, WIDEN),
    Case("nulls become texts", {"a": pl.Null()}, {"a": pl.String()}, WIDEN),
    Case("more categories", {"a": pl.Enum(["low"])}, {"a": LOW_HIGH}, WIDEN),
    Case("more digits", {"a": pl.Decimal(10, 2)}, {"a": pl.Decimal(12, 2)}, WIDEN),
    Case("a field more in a struct", {"a": ONE}, {"a": TWO}, WIDEN),
    Case("a wider field in a struct", {"a": pl.Struct({"a": pl.Int8})}, {"a": pl.Struct({"a": pl.Int64})}, WIDEN),
    Case("narrower integers", {"a": pl.Int64()}, {"a": pl.Int32()}, NARROW),
    Case("narrower floats", {"a": pl.Float64()}, {"a": pl.Float32()}, NARROW),
    Case("fewer categories", {"a": LOW_HIGH}, {"a": pl.Enum(["low"])}, NARROW),
    Case("fewer digits", {"a": pl.Decimal(12, 2)}, {"a": pl.Decimal(10, 2)}, NARROW),
    Case("nothing but nulls", {"a": pl.String()}, {"a": pl.Null()}, NARROW),
    Case("categories in another order", {"a": LOW_HIGH}, {"a": HIGH_LOW}, MEANING),
    Case("another time zone", {"a": UTC}, {"a": SEOUL}, MEANING),
    Case("another unit of time", {"a": US}, {"a": NS}, MEANING),
    Case("another unit of a duration", {"a": pl.Duration("ms")}, {"a": pl.Duration("us")}, MEANING),
    Case("whole numbers among floats", {"a": pl.Float64()}, {"a": pl.Int64()}, MEANING),
    Case("texts as categories", {"a": pl.String()}, {"a": pl.Categorical()}, MEANING),
    Case("texts where numbers were", {"a": pl.Int64()}, {"a": pl.String()}, OTHER),
    Case("floats where whole numbers were", {"a": pl.Int64()}, {"a": pl.Float64()}, OTHER),
    Case("a zone where none was", {"a": US}, {"a": UTC}, OTHER),
    Case("no zone where one was", {"a": UTC}, {"a": US}, OTHER),
    Case("dates as datetimes", {"a": pl.Date()}, {"a": US}, OTHER),
    Case("more decimals", {"a": pl.Decimal(12, 2)}, {"a": pl.Decimal(12, 3)}, OTHER),
    Case("a field less in a struct", {"a": TWO}, {"a": ONE}, OTHER),
    Case("a field of another kind", {"a": ONE}, {"a": pl.Struct({"a": pl.String})}, OTHER),
    Case("items of another kind", {"a": pl.List(pl.Int64())}, {"a": pl.List(pl.String())}, OTHER),
    Case("an entity", spec(KEYED), spec(KEYED, entity=("id",)), OTHER),
    Case("another entity", spec(KEYED, entity=("id",)), spec(KEYED, entity=("kind",)), OTHER),
    Case("a timestamp", spec(KEYED, entity=("id",)), spec(KEYED, entity=("id",), timestamp="at"), OTHER),
    Case("no created", spec(KEYED, entity=("id",), created="at"), spec(KEYED, entity=("id",)), OTHER),
    Case("partitions", spec(KEYED, entity=("id",)), spec(KEYED, entity=("id",), partition_by=("kind",)), FILES),
]
COLUMNS = [("overwrite", False), ("overwrite", True), ("append", False), ("append", True)]


def as_spec(given: dict | TableSpec, rule: str) -> TableSpec:
    made = given if isinstance(given, TableSpec) else spec(given)
    return TableSpec(
        made.columns, made.entity, made.timestamp, made.created, partition_by=made.partition_by, rule=rule, major=3
    )


def outcome(old: TableSpec, new: TableSpec, mode: str, evolve: bool) -> str:
    """What becomes of a save, read off what `fit` gives and refuses."""
    try:
        fitted = fit(old, new, mode, evolve=evolve, table="g/t")
    except SchemaMismatch:
        assert not weigh(old, new, mode, evolve=evolve).is_allowed
        try:
            fit(old, new, mode, evolve=True, table="g/t")
        except SchemaMismatch:
            return "x"
        return "e"
    if fitted.major != old.major:
        assert fitted.major == old.major + 1
        return "M"
    # Columns that are left out of rows that join a table change the rows, not the table.
    left_out = mode != "overwrite" and len(new.columns) < len(old.columns)
    return "+" if compare(old, fitted) or left_out else "="


@pytest.mark.parametrize("rule", ["backward", "forward", "full", "none"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_a_save_may_change(case, rule):
    old, new = as_spec(case.old, rule), as_spec(case.new, rule)
    found = [outcome(old, new, mode, evolve) for mode, evolve in COLUMNS]
    assert " ".join(found) == case.outcomes[rule]
    assert [outcome(old, new, "upsert", evolve) for evolve in (False, True)] == found[2:]


def test_the_rule_that_stands_decides_and_not_the_one_that_is_declared():
    old, new = as_spec({"a": pl.Int64()}, "full"), as_spec({"a": pl.String()}, "none")
    with pytest.raises(SchemaMismatch):
        fit(old, new, "overwrite", evolve=False, table="g/t")
    assert fit(old, new, "overwrite", evolve=True, table="g/t").rule == "none"


def test_a_refused_change_says_what_which_rule_and_what_to_do():
    with pytest.raises(SchemaMismatch) as error:
        fit(as_spec({"a": pl.Int32()}, "full"), as_spec({"a": pl.Int64()}, "full"), "append", evolve=False, table="g/t")
    assert "'a' is Int32, and would become Int64" in error.value.message
    assert "rule full" in error.value.message
    assert "cast the frame's column to Int32" in error.value.hint
    assert "new major version" in error.value.hint
    assert "evolve=True, --evolve" in error.value.hint


def test_what_an_append_can_never_do_is_not_said_to_need_evolve_alone():
    with pytest.raises(SchemaMismatch) as error:
        fit(as_spec({"a": US}, "none"), as_spec({"a": UTC}, "none"), "append", evolve=True, table="g/t")
    assert "mode='overwrite', evolve=True" in error.value.hint
    assert "--mode overwrite --evolve" in error.value.hint


def test_many_changes_begin_one_major_version():
    old = as_spec({"a": pl.Int64(), "b": pl.Int64(), "c": pl.Int64()}, "backward")
    new = as_spec({"a": pl.String(), "b": pl.Int8()}, "backward")
    assert fit(old, new, "overwrite", evolve=True, table="g/t").major == 4


def test_a_rule_and_a_major_version_survive_the_metadata_and_take_no_place_where_they_say_nothing():
    for rule, major in [("full", 0), ("backward", 2), ("none", 7)]:
        made = spec({"a": pl.Int64()}, rule=rule, major=major)
        assert from_metadata(*to_metadata(made), [], "g/t") == made
    schema, configuration = to_metadata(spec({"a": pl.Int64()}))
    assert "rule" not in str(configuration)
    assert "major" not in str(configuration)
    assert "alias" not in schema
    assert "deprecated" not in schema


def test_a_rule_is_one_of_four():
    check_rule("forward", "g/t")
    with pytest.raises(InvalidInputError, match="sideways") as error:
        check_rule("sideways", "g/t")
    assert "backward" in error.value.hint
