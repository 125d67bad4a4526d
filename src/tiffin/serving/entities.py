"""The entities that a caller asks about, in whichever form they come, as a list of values for each entity column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec
import polars as pl

from tiffin.errors import InvalidInputError, LimitError, did_you_mean
from tiffin.frames import ingest

MOST_ROWS = 100_000
"""Entities that one call may ask about."""

Columns = dict[str, list[Any]]
"""The values of each entity column."""

_AS_TEXT: dict[type[pl.DataType], type] = {
    pl.Binary: bytes, pl.Date: date, pl.Datetime: datetime, pl.Time: time, pl.Duration: timedelta, pl.Decimal: Decimal,
}  # fmt: skip
"""Entity columns whose values JSON has no form for: there they are texts."""

_HINT = "give a list of dicts, a dict of lists, or a frame, with a value for each entity column"


class Intake:
    """Takes apart the entities that a caller asks about.

    Parameters
    ----------
    dtypes : mapping of str to polars.DataType
        The entity columns that each must have.
    """

    def __init__(self, dtypes: Mapping[str, pl.DataType]) -> None:
        self.names = tuple(dtypes)
        kinds = {name: _AS_TEXT.get(dtype.base_type()) for name, dtype in dtypes.items()}
        self._as_text = {name: kind for name, kind in kinds.items() if kind is not None}
        self._getters = [(name, itemgetter(name)) for name in self.names]

    def columns(self, rows: Any) -> tuple[int, Columns]:
        """Return the values of each entity column.

        Parameters
        ----------
        rows : sequence of mappings, mapping of sequences, or frame
            The entities; they have the entity columns and no others.

        Returns
        -------
        tuple of int, dict of str to list
            How many entities, and the values of each column: a new dict.

        Raises
        ------
        InvalidInputError
            An entity column is missing, or there is another column; names it, and the row.
        LimitError
            There are more than `MOST_ROWS`.
        """
        if type(rows) is list:
            count = len(rows)
            try:
                columns = {name: list(map(getter, rows)) for name, getter in self._getters}
                # Each has all entity columns: so none has another.
                fits = sum(map(len, rows)) == count * len(columns)
            except (KeyError, TypeError, IndexError):
                fits = False
            if not fits:
                self._refuse(rows)
        else:
            count, columns = self._of_frame(rows)
        if count > MOST_ROWS:
            raise LimitError(
                f"{count:,} entities are asked about at once; at most {MOST_ROWS:,} can be",
                hint="ask in several calls, or use get_historical_features",
            )
        return count, columns

    def from_json(self, columns: Columns) -> None:
        """Turn texts that stand for times, decimals (as numbers too) and bytes into these.

        Parameters
        ----------
        columns : dict of str to list
            What `columns` gave for entities that were read from JSON; changed in place.

        Raises
        ------
        InvalidInputError
            A text is none of its column; names row and column.
        """
        for name, kind in self._as_text.items():
            try:
                columns[name] = msgspec.convert(columns[name], list[kind | None])  # type: ignore[valid-type]
            except msgspec.ValidationError as error:
                raise InvalidInputError(
                    f"entity column {name!r}: {error}", hint="write times as in ISO 8601, and bytes in base64"
                ) from error

    def _of_frame(self, rows: Any) -> tuple[int, Columns]:
        if isinstance(rows, tuple):
            return self.columns(list(rows))
        if type(rows) is dict and rows.keys() == set(self.names) and self.names:
            lists = list(rows.values())
            # The most usual: no frame is needed to see that they are of one length.
            if all(type(values) is list and len(values) == len(lists[0]) for values in lists):
                return len(lists[0]), {name: rows[name] for name in self.names}
        if isinstance(rows, Mapping):
            for name, values in rows.items():
                is_list = isinstance(values, Sequence) and not isinstance(values, str | bytes)
                if not (is_list or hasattr(values, "__array__")):
                    raise InvalidInputError(f"column {name!r} of the entities is {values!r}, not a list", hint=_HINT)
        frame = ingest(rows).frame
        self._check_columns(frame.columns, "the entities")
        return frame.height, {name: frame.get_column(name).to_list() for name in self.names}

    def _refuse(self, rows: Sequence[Any]) -> None:
        """Say which row is no entity."""
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InvalidInputError(f"row {number} of the entities is {row!r}, not a dict", hint=_HINT)
            self._check_columns(list(row), f"row {number} of the entities")

    def _check_columns(self, found: Sequence[str], what: str) -> None:
        for name in self.names:
            if name not in found:
                hint = did_you_mean(name, map(str, found))
                raise InvalidInputError(f"{what} lacks the entity column {name!r}", hint=hint)
        for name in found:
            if name not in self.names:
                raise InvalidInputError(
                    f"{what} has {name!r}, which is no entity column of what is asked for",
                    hint=f"entity columns: {', '.join(self.names) or 'none, the tables have no entity'}",
                )
