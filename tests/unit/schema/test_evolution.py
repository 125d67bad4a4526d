"""Which column a name means: now, before and since."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tiffin.errors import InvalidInputError, SchemaMismatch
from tiffin.schema.compatibility import compare
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.evolution import column_of, deprecate, drop, names_left, other_names, rename, restored
from tiffin.schema.table import Column, TableSpec, check, from_metadata, to_metadata


def spec(*names: str, **said) -> TableSpec:
    columns = (Column("id", pl.Int64()), *(Column(name, pl.Float64()) for name in names))
    return TableSpec(columns, entity=("id",), **said)


FIRST = spec("a", "b")
SECOND = rename(FIRST, "a", "a2", "g/t")
THIRD = rename(SECOND, "a2", "a3", "g/t")


@pytest.mark.parametrize("at", [FIRST, SECOND, THIRD])
@pytest.mark.parametrize("name", ["a", "a2", "a3", "b", "id", "nope"])
def test_every_name_means_its_column_at_every_version(at, name):
    called = {id(FIRST): "a", id(SECOND): "a2", id(THIRD): "a3"}[id(at)]
    expected = called if name.startswith("a") else None if name == "nope" else name
    assert column_of(at, name, THIRD) == expected
    others = other_names(at, THIRD)
    assert others == {other: called for other in ("a", "a2", "a3") if other != called}


def test_a_rename_is_told_as_one_in_either_direction():
    assert [str(change) for change in compare(FIRST, THIRD)] == ["~ a: renamed to a3"]
    assert [str(change) for change in compare(THIRD, FIRST)] == ["~ a3: renamed to a"]
    wider = TableSpec((*FIRST.columns[:1], Column("a3", pl.String(), aliases=("a",))), entity=("id",))
    assert [str(change) for change in compare(FIRST, wider)] == [
        "~ a: renamed to a3",
        "~ a3: Float64 → String",
        "- b: Float64",
    ]


def test_what_was_not_known_then_has_no_column_then():
    later = TableSpec((*THIRD.columns, Column("new", pl.Int64())))
    assert column_of(FIRST, "new", later) is None
    assert column_of(FIRST, "a3") is None
    assert other_names(FIRST, FIRST) == {}


def test_aliases_and_marks_survive_the_metadata():
    marked = deprecate(THIRD, "b", Deprecation("why", date(2030, 1, 31), "a3"), "g/t")
    marked = deprecate(marked, "a3", Deprecation("why"), "g/t")
    assert from_metadata(*to_metadata(marked), [], "g/t") == marked
    assert deprecate(deprecate(marked, "b", None, "g/t"), "a3", None, "g/t") == THIRD


def test_names_that_stay_where_a_frame_replaces_rows():
    assert names_left(THIRD, ["id", "a"]) == {"id", "a", "a2", "a3"}
    assert names_left(THIRD, ["id", "b", "c"]) == {"id", "b", "c"}


def test_a_drop_begins_a_major_version_where_something_was_promised():
    assert drop(THIRD, ["a3"], "g/t").names == ["id", "b"]
    assert drop(THIRD, ["a3", "b"], "g/t").major == 1
    assert drop(spec("a", rule="none", major=3), ["a"], "g/t").major == 3
    # The names are free again.
    assert rename(drop(THIRD, ["a3"], "g/t"), "b", "a", "g/t").names == ["id", "a"]


def test_a_restored_version_keeps_the_names_given_since():
    again = restored(FIRST, THIRD)
    assert again.names == FIRST.names
    assert again.aliases == {"a2": "a", "a3": "a"}
    assert restored(THIRD, again).aliases == {"a": "a3", "a2": "a3"}
    assert restored(FIRST, spec("a", rule="full")).rule == "full"
    assert restored(FIRST, rename(FIRST, "a", "A", "g/t")).aliases == {"A": "a"}


def test_a_restored_version_takes_no_name_that_has_come_to_mean_another_column():
    # `b` went, and `a` was given its name: at the old version that name is of the old column.
    now = rename(drop(FIRST, ["b"], "g/t"), "a", "b", "g/t")
    again = restored(FIRST, now)
    check(again, "g/t")
    assert again.aliases == {}
    check(restored(FIRST, rename(drop(FIRST, ["b"], "g/t"), "a", "B", "g/t")), "g/t")


def test_two_columns_are_not_known_by_one_name():
    wrong = TableSpec((Column("x", pl.Int64()), Column("y", pl.Int64(), aliases=("X",))))
    with pytest.raises(SchemaMismatch, match="two columns"):
        check(wrong, "g/t")
    with pytest.raises(InvalidInputError, match="a column of its own"):
        rename(FIRST, "a", "b", "g/t")


@pytest.mark.parametrize(
    ("mark", "today", "told"),
    [
        (Deprecation("why"), date(2026, 1, 1), "g/t:a is deprecated: why"),
        (Deprecation("why", None, "b"), date(2026, 1, 1), "g/t:a is deprecated: why; use b instead"),
        (Deprecation("why", date(2026, 1, 2)), date(2026, 1, 1), "…; its removal is planned for 2026-01-02"),
        (Deprecation("why", date(2026, 1, 2)), date(2026, 1, 2), "…; its removal is overdue since 2026-01-02"),
    ],
)
def test_what_is_told_of_a_deprecated_feature(mark, today, told):
    assert mark.warning("g/t:a", today) == told.replace("…", "g/t:a is deprecated: why")
