"""From where on a difference is drift, by measure and column."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal

from tiffin.errors import InvalidInputError, did_you_mean

MeasureName = Literal["psi", "ks", "js", "missing", "new", "gone", "volume"]

DEFAULTS: dict[MeasureName, float] = {
    "psi": 0.25,
    "ks": 0.2,
    "js": 0.2,
    "missing": 0.05,
    "new": 0.05,
    "gone": 0.05,
    "volume": 2.0,
}
"""The first three stand for the same: a normal distribution that moved by half a standard deviation."""

MEANINGS: dict[MeasureName, str] = {
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov distance",
    "js": "Jensen-Shannon distance",
    "missing": "change of the share that is null or NaN",
    "new": "share of rows with values that the baseline does not have",
    "gone": "share of the baseline's rows with values that are gone",
    "volume": "how many times as many rows, or as few",
}

Given = Mapping[str, float | None]
"""By measure (`"psi"`, for all columns) or column and measure (`"mean.psi"`); None does not watch it."""


class Thresholds:
    """The thresholds in force.

    Parameters
    ----------
    given : mapping of str to float or None
        What the caller set; the defaults hold for the rest.
    columns : collection of str
        Columns that are compared.

    Raises
    ------
    InvalidInputError
        There is no such measure or column, or the threshold is no number of zero or more.
    """

    def __init__(self, given: Given, columns: Collection[str]) -> None:
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"thresholds is {given!r}", hint="give a mapping: {'psi': 0.1, 'mean.ks': None}")
        self._given = dict(given)
        for key, value in self._given.items():
            column, _, measure = str(key).rpartition(".")
            if measure not in DEFAULTS:
                raise InvalidInputError(
                    f"there is no measure {measure!r} to set a threshold of",
                    hint=f"write psi, or column.psi; {did_you_mean(measure, DEFAULTS)}",
                )
            if column and measure == "volume":
                raise InvalidInputError("a column has no volume of its own", hint="write volume alone")
            if column and column not in columns:
                raise InvalidInputError(
                    f"the threshold {key!r} is of no column that is compared", hint=did_you_mean(column, columns)
                )
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and math.isfinite(value) and value >= 0):
                raise InvalidInputError(
                    f"the threshold {key!r} is {value!r}", hint="give a number of zero or more, or None (off)"
                )

    def of(self, measure: MeasureName, column: str = "") -> float | None:
        """Return the threshold of a measure for a column; None if it is not watched."""
        return self._given.get(f"{column}.{measure}", self._given.get(measure, DEFAULTS[measure]))
