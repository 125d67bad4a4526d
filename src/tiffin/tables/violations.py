"""What is told of constraints that rows break: which, how many rows, and some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from tiffin.errors import ConstraintViolated
from tiffin.schema.constraints.kinds import Constraint, Severity
from tiffin.schema.constraints.texts import text
from tiffin.schema.dtypes import python_rows

_EXAMPLES = 5
_LONGEST = 60


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint that is broken."""

    constraint: str
    """Its name."""
    text: str
    """What it says, in words."""
    severity: Severity
    rows: int | None = None
    """How many rows break it; None if it is about the table as a whole."""
    found: str = ""
    """What was found instead, where it is about the table as a whole."""
    examples: tuple[dict[str, Any], ...] = ()
    """Some of the rows, at most five: their keys and the columns that the constraint looks at."""

    def __str__(self) -> str:
        told = self.found if self.rows is None else f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        such = f", such as {', '.join(map(_shown, self.examples[:2]))}" if self.examples else ""
        return f"{self.constraint} ({self.text}): {told}{such}"


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What checking a version of a table found."""

    table: str
    version: int
    rows: int | None
    """None if another writer did not count them."""
    constraints: int
    """How many were checked."""
    violations: tuple[Violation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no constraint is broken but such as only warn."""
        return all(violation.severity == "warn" for violation in self.violations)


@dataclass
class Tally:
    """Counts the rows that break one constraint."""

    constraint: Constraint
    rows: int = 0
    found: str = ""
    examples: list[dict[str, Any]] = field(default_factory=list)

    def count(self, broken: pl.DataFrame) -> None:
        """Count rows, of which only the columns are left that are to be shown."""
        self.rows += broken.height
        self.examples += python_rows(broken.head(_EXAMPLES - len(self.examples)))

    def add(self, other: Tally) -> None:
        """Count what another has counted of other rows."""
        self.rows += other.rows
        self.examples += other.examples[: _EXAMPLES - len(self.examples)]

    def violation(self) -> Violation | None:
        """Tell what was found; None if nothing breaks it."""
        if not (self.rows or self.found):
            return None
        return Violation(
            constraint=self.constraint.name,
            text=text(self.constraint),
            severity=self.constraint.severity,
            rows=None if self.found else self.rows,
            found=self.found,
            examples=tuple(self.examples),
        )


def violations(tallies: Iterable[Tally]) -> list[Violation]:
    """List the constraints that are broken."""
    return [found for tally in tallies if (found := tally.violation()) is not None]


def refuse(broken: Sequence[Violation], table: str, *, hint: str) -> None:
    """Raise an error if a constraint is broken that does more than warn.

    Raises
    ------
    ConstraintViolated
        It shows each, how many rows break it, and some of them; also in its context, for programs.
    """
    told = [violation for violation in broken if violation.severity == "error"]
    if told:
        what = "a constraint" if len(told) == 1 else f"{len(told)} constraints"
        raise ConstraintViolated(
            f"{what} of table {table} would be broken\n" + "\n".join(f"  {violation}" for violation in told),
            hint=hint,
            table=table,
            violations=msgspec.to_builtins(told, enc_hook=str),
        )


def warnings(broken: Iterable[Violation]) -> tuple[str, ...]:
    """Tell of the constraints that are broken and only warn."""
    return tuple(f"a constraint is broken: {violation}" for violation in broken if violation.severity == "warn")


def _shown(row: dict[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in row.items())


def _short(value: Any) -> str:
    shown = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
