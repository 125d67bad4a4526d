"""The rows of a spine that look for a match in one table, with what limits their choice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from tiffin.training import units


@dataclass(frozen=True)
class Seekers:
    """Rows of a spine.

    Attributes
    ----------
    keys : DataFrame, shape (n, entity columns)
        As the spine has them.
    limits : DataFrame, shape (n, up to 4)
        Whole numbers, null in rows that match nothing: `time` (not after, in microseconds), `time_up` (the same,
        rounded up), `known` (not made after), `version` (which version of the table is seen).
    """

    keys: pl.DataFrame
    limits: pl.DataFrame

    @classmethod
    def of(cls, keys: pl.DataFrame, times: pl.Series | None, known: pl.Series | datetime | None) -> Seekers:
        """Take a spine's columns; see `joining.join`.

        Raises
        ------
        SchemaMismatch
            What should be times is none.
        """
        limits = []
        if times is not None:
            down, up = units.time_limits(times, f"the spine's column {times.name!r}")
            limits += [down.alias("time"), up.alias("time_up")]
        if isinstance(known, pl.Series):
            limits.append(units.time_limits(known, f"the spine's column {known.name!r}")[0].alias("known"))
        elif known is not None:
            height = keys.height if times is None else len(times)
            limits.append(pl.repeat(units.since_epoch(known), height, dtype=pl.Int64, eager=True).alias("known"))
        return cls(keys, pl.DataFrame(limits))

    @property
    def count(self) -> int:
        """Number of rows."""
        return max(self.keys.height, self.limits.height)

    def limit(self, name: str) -> pl.Series | None:
        """Return one of the limits, if there is it."""
        return self.limits[name] if name in self.limits.columns else None

    def gather(self, rows: pl.Series) -> Seekers:
        """Pick out some rows."""
        return Seekers(self.keys[rows], self.limits[rows])
