"""Judging: which of the rows that arrive may be saved, and whether what is there satisfies its constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from tiffin.errors import InvalidInputError
from tiffin.schema.constraints.kinds import Constraint, Fresh, RowChange
from tiffin.schema.table import TableSpec
from tiffin.tables.checking import (
    Standing,
    check_number,
    check_own_keys,
    check_rows,
    check_standing,
    check_unique,
    check_whole,
    of_keys,
    of_rows,
    of_whole,
)
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.tables.violations import Tally, Violation, refuse, violations, warnings

Checked = tuple[list[Tally], dict[str, pl.Series]]
"""Of each constraint what was found; of each that is broken, by name, which rows break it."""

OnViolation = Literal["refuse", "quarantine"]
"""What is done with rows that break a constraint: the save is refused, or they are kept apart and the others saved."""

REASON, TIME, VERSION, LANDED = "quarantine_reason", "quarantine_time", "quarantine_version", "quarantine_landed"
"""Columns of rows that are kept apart: which constraints a row broke, when, by the save of which version, and whether
that was made."""

_MEND = (
    "mend the rows, keep them apart (on_violation='quarantine', --on-violation quarantine), or change what the table "
    "declares (store.constrain, tiffin constrain)"
)
_MEND_TABLE = "see what the rows are made from, or change what the table declares (store.constrain, tiffin constrain)"


@dataclass(frozen=True)
class Judgement:
    """What may be saved of the rows that arrive."""

    frame: pl.DataFrame
    """The rows to save, as people see them."""
    apart: pl.DataFrame | None = None
    """The rows to be kept apart, with the reason of each; None if there are none."""
    warnings: tuple[str, ...] = ()
    """Of constraints that only warn."""


def judge(frame: pl.DataFrame, standing: Standing, on_violation: OnViolation) -> Judgement:
    """Check the rows that arrive, alone and together with those that stay.

    Parameters
    ----------
    frame : DataFrame
        The rows, as people see them.
    standing : Standing
        The rows that stay, and what the table declares after the save.
    on_violation : {"refuse", "quarantine"}
        What is done with rows that break a constraint.

    Raises
    ------
    ConstraintViolated
        Rows break a constraint and are not to be kept apart, or the table as a whole would break one.
    InvalidInputError, StorageError
        A constraint cannot be evaluated.
    """
    if on_violation == "quarantine":
        return _sieved(frame, standing)
    found = violated(frame, standing)
    refuse(found, str(standing.table.name), hint=_MEND)
    return Judgement(frame, warnings=warnings(found))


def hold(frame: pl.DataFrame, spec: TableSpec, table: str) -> None:
    """Refuse rows that break a constraint which can be asked of every row by itself.

    Raises
    ------
    ConstraintViolated
        Some do.
    """
    refuse(violations(check_rows(frame, of_rows(spec.constraints), spec, table)[0]), table, hint=_MEND_TABLE)


def hold_number(rows: int, before: int, spec: TableSpec, table: str) -> None:
    """Refuse a number of rows that breaks a constraint, after so many in the version before.

    Raises
    ------
    ConstraintViolated
        It does.
    """
    refuse(violations(check_number(of_whole(spec.constraints), rows, before)), table, hint=_MEND_TABLE)


def violated(frame: pl.DataFrame, standing: Standing) -> list[Violation]:
    """List the constraints that a save would break; as `judge`, which also tells what the arguments are."""
    rows, _ = _check_rows(frame, standing)
    shared, _ = _check_keys(frame, standing)
    return violations([*rows, *shared, *_check_together(frame, standing)])


def _sieved(frame: pl.DataFrame, standing: Standing) -> Judgement:
    """Keep the rows apart that break a constraint."""
    table, good = str(standing.table.name), frame
    taken = [name for name in (REASON, TIME, VERSION, LANDED) if name in frame.columns]
    if taken:
        raise InvalidInputError(
            f"table {table} has a column {taken[0]!r}, which rows that are kept apart get",
            hint="rename the column, or refuse such rows (on_violation='refuse')",
        )
    told: list[Tally] = []
    parts: list[pl.DataFrame] = []
    for check in (_check_rows, _check_keys):
        tallies, masks = check(good, standing)
        told += tallies
        names = [each.constraint.name for each in tallies if each.rows and each.constraint.severity == "error"]
        if names:
            reasons = _reasons({name: masks[name] for name in names})
            parts.append(good.with_columns(reasons).filter(reasons.is_not_null()))
            good = good.filter(reasons.is_null())
    together = violations(_check_together(good, standing))
    found = violations(told)
    if parts and good.is_empty() and standing.mode == "overwrite":
        refuse([*found, *together], table, hint="no row would be left: mend them, or save none at all")
    refuse(together, table, hint=_MEND_TABLE)
    return Judgement(good, pl.concat(parts) if parts else None, warnings([*found, *together]))


def _reasons(broken: Mapping[str, pl.Series]) -> pl.Series:
    """Name the constraints that each row breaks; null for one that breaks none."""
    masks = pl.DataFrame({str(number): mask for number, mask in enumerate(broken.values())})
    told = [pl.when(pl.col(str(number))).then(pl.lit(name)) for number, name in enumerate(broken)]
    joined = pl.concat_str(told, separator=", ", ignore_nulls=True)
    return masks.select(pl.when(pl.any_horizontal(pl.all())).then(joined).alias(REASON)).to_series()


def _check_rows(frame: pl.DataFrame, standing: Standing) -> Checked:
    return check_rows(frame, of_rows(standing.spec.constraints), standing.spec, str(standing.table.name))


def _check_keys(frame: pl.DataFrame, standing: Standing) -> Checked:
    return check_unique(frame, of_keys(standing.spec.constraints), standing)


def _check_together(frame: pl.DataFrame, standing: Standing) -> list[Tally]:
    """Check what no row can be blamed for that arrives: the table as a whole, and what is new to the rows that stay."""
    declared = standing.spec.constraints
    known = standing.state.spec.constraints if standing.state else ()
    fresh = [each for each in declared if each not in known] if standing.adds else []
    whole = check_whole(frame, of_whole(declared), standing)
    return [*whole, *check_standing(of_rows(fresh), standing), *check_own_keys(of_keys(fresh), standing)]


def still_fits(judged: Judgement, standing: Standing) -> bool:
    """Tell whether rows that were judged may still be saved, now that others stay."""
    shared, _ = _check_keys(judged.frame, standing)
    return all(found.severity == "warn" for found in violations([*shared, *_check_together(judged.frame, standing)]))


def existing(
    table: Table, state: State, spec: TableSpec, constraints: Iterable[Constraint], before: int | None = None
) -> list[Violation]:
    """List the constraints that the rows of a version break.

    Parameters
    ----------
    table : Table
        The table.
    state : State
        The version; its files stay while they are read.
    spec : TableSpec
        What the table declares, or is to declare.
    constraints : iterable of Constraint
        Those of it that are asked.
    before : int, optional
        Rows of the version before, if it is to be compared with it.
    """
    asked = list(constraints)
    standing = Standing(table, state, spec, "append", pl.DataFrame(), before)
    tallies = [*check_standing(of_rows(asked), standing), *check_own_keys(of_keys(asked), standing)]
    tallies += check_whole(pl.DataFrame(), of_whole(asked), standing)
    return violations(tallies)


def newly_broken(table: Table, state: State, spec: TableSpec) -> list[Violation]:
    """List the constraints that the rows of a version break and were not held to; as `existing`.

    What is about saves, their times and how they change the number of rows, is not asked of rows that are there.
    """
    known = state.spec.constraints
    fresh = [each for each in spec.constraints if each not in known and not isinstance(each, Fresh | RowChange)]
    return existing(table, state, spec, fresh) if fresh else []
