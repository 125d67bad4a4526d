"""Marks on features that are to go: why, when, and what to use instead (pure)."""

from __future__ import annotations

from datetime import date

import msgspec


class Deprecation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says that a feature should not be used any more."""

    message: str
    """Why, for people."""
    removal: date | None = None
    """The day on which it is to be removed."""
    instead: str | None = None
    """What to use: a feature of the same table, or a reference to one of another."""

    def warning(self, feature: str, today: date) -> str:
        """Write what those who use the feature are told.

        Parameters
        ----------
        feature : str
            `group/name:feature`.
        today : date
            Tells whether the day of removal has come.
        """
        parts = [f"{feature} is deprecated: {self.message}"]
        if self.instead:
            parts.append(f"use {self.instead} instead")
        if self.removal:
            due = "is overdue since" if self.removal <= today else "is planned for"
            parts.append(f"its removal {due} {self.removal}")
        return "; ".join(parts)
