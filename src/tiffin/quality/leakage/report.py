"""What a leakage check finds, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

Severity = Literal["warning", "note"]

MOST_NAMED = 3
"""How many features a sentence names, at most."""


class LeakageFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which features may know what is not yet known at the label's time."""

    check: str
    """Which check found it; docs/leakage.md explains each."""
    severity: Severity
    """`warning`: the model may learn what it will not have. `note`: good to know, no fault of this training frame."""
    table: str
    features: tuple[str, ...] = ()
    """The features concerned; all that were asked of the table if it is empty."""
    rows: int
    """Rows of the spine concerned."""
    share: float
    """The same as a share, 0 to 1, of the rows that were looked at."""
    what: str
    advice: str
    by_feature: dict[str, int] = {}
    """Rows by feature, where they differ."""
    statistic: float | None = None
    """How well the feature tells the label, where that is what was found."""
    examples: tuple[dict[str, Any], ...] = ()
    """Some of the rows: keys, times and values."""

    @property
    def subject(self) -> str:
        """What it is about: the table, and the features unless they are many."""
        if len(self.features) > MOST_NAMED:
            return f"{self.table}, {len(self.features)} features"
        return ":".join(filter(None, (self.table, ", ".join(self.features))))


class LeakageReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a leakage check; prints as text."""

    label: str
    rows: int
    """Rows of the spine."""
    features: tuple[str, ...]
    """What was checked, `group/name:feature`."""
    findings: tuple[LeakageFinding, ...]
    """Warnings first."""
    unchecked: tuple[str, ...] = ()
    """What could not be checked, and why."""

    @property
    def ok(self) -> bool:
        """Whether there is no warning."""
        return not self.warnings

    @property
    def warnings(self) -> list[LeakageFinding]:
        """The findings that are warnings."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def notes(self) -> list[LeakageFinding]:
        """The findings that are notes."""
        return [finding for finding in self.findings if finding.severity == "note"]

    def to_dict(self) -> dict[str, Any]:
        """Give the report as values that JSON has; times in ISO 8601, `ok` with the fields."""
        return {"ok": self.ok, **msgspec.to_builtins(self)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        found = f"{_many(len(self.warnings), 'warning')}, {_many(len(self.notes), 'note')}"
        yield f"{found}: {_many(len(self.features), 'feature')}, label {self.label!r}, {_many(self.rows, 'row')}"
        for finding in self.findings:
            yield ""
            yield f"{finding.severity}: {finding.subject} [{finding.check}]"
            yield f"  {finding.what}"
            yield f"  → {finding.advice}"
            for example in finding.examples:
                yield f"  such as {_shown(example.items())}"
        for reason in self.unchecked:
            yield ""
            yield f"not checked: {reason}"


def _shown(pairs: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in pairs)


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
