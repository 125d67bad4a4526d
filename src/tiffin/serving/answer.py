"""The answer to an online read: a value, a status and a time for each feature of each entity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

import msgspec
import polars as pl

from tiffin.online import KeyCodec, Row, decode_head
from tiffin.serving.columns import AnswerColumns
from tiffin.serving.entities import Intake

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    """What stands behind a value."""

    PRESENT = "PRESENT"
    NULL_VALUE = "NULL_VALUE"
    """The entity's row has no value there."""
    NOT_FOUND = "NOT_FOUND"
    """There is no row of the entity."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """The entity's row is older than the ttl allows."""


_head = lru_cache(maxsize=256)(decode_head)


class Column(NamedTuple):
    """What the values of a column are, where they do not say it themselves."""

    dtype: pl.DataType
    origin: str
    """Type in the pandas or Arrow frame that they came from."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What the answers of a plan have in common; each is only equal to itself."""

    intake: Intake
    """Takes the entity columns."""
    columns: dict[str, Column]
    """The entity columns, then the features, in the order in which they are answered."""
    sources: dict[str, tuple[int, int]]
    """For each feature, which of the tables it is of, and where it stands in the rows of that table."""
    places: tuple[tuple[tuple[str, ...], tuple[tuple[str, int], ...]], ...]
    """For each table the names of its features, and these with where they stand in its rows."""
    has_defaults: bool
    """Whether a value may be there that no row has: a default."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """What one table has of the entities."""

    rows: Sequence[Row | None]
    oldest: int | None
    """Rows of earlier times are outside the ttl, microseconds since 1970-01-01 UTC."""
    head: bytes
    """What the index said of the table."""
    replaced: frozenset[str] = frozenset()
    """Features whose nulls are replaced by defaults in the answer."""

    def times(self) -> list[int | None]:
        """Return the time of each row; None where there is none."""
        return [None if row is None else row[0] for row in self.rows]

    def missing(
        self, places: Iterable[tuple[str, int]], values: Mapping[str, Sequence[Any]]
    ) -> dict[str, list[Status]]:
        """Tell of those features that not all values are there of what stands behind each.

        Parameters
        ----------
        places : iterable of str, int
            The features, and where they stand in the rows.
        values : mapping of str to sequence
            Their values in the answer.
        """
        rows, oldest = self.rows, self.oldest
        if None in rows or (oldest is not None and any(row[0] < oldest for row in cast("Sequence[Row]", rows))):
            return {name: [_status(row, oldest, place) for row in rows] for name, place in places}
        missing = {}
        for name, place in places:
            column = [row[place] for row in cast("Sequence[Row]", rows)] if name in self.replaced else values[name]
            if None in column:
                missing[name] = list(map(_of_value, column))
        return missing


_head_of = attrgetter("head")


class OnlineAnswer(AnswerColumns):
    """Features of entities as of a moment, in the order in which they were asked for.

    A value is null, or the feature's default if it has one, where the entity has no row, its row is older than the
    ttl allows, or holds a null.
    """

    __slots__ = ("_found", "_shape")

    def __init__(self, shape: Shape, values: dict[str, list[Any]], found: Sequence[Found]) -> None:
        self._shape = shape
        self._values = values
        self._found = found

    def to_polars(self) -> pl.DataFrame:
        """Give the answer as a Polars frame, in the tables' dtypes.

        Returns
        -------
        polars.DataFrame, shape (number of entities, number of entity columns + features)
            An entity that its column cannot hold, which so has no row, is null.
        """
        shape, values = self._shape, self._values
        entity = {name: _held(values[name], name, shape.columns[name].dtype) for name in shape.intake.names}
        return pl.DataFrame(
            [pl.Series(name, entity.get(name, values[name]), dtype) for name, (dtype, _) in shape.columns.items()]
        )

    @property
    def versions(self) -> dict[str, int]:
        """The version of each table, `group/name`, that answered."""
        return {head.table: head.version for head in map(_head, self.heads)}

    @property
    def tables(self) -> dict[str, str]:
        """The table of each feature, `group/name`."""
        tables = [_head(head).table for head in self.heads]
        return {name: tables[table] for name, (table, _) in self._shape.sources.items()}

    @property
    def shape(self) -> Shape:
        """What all answers of the same plan have in common."""
        return self._shape

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """What stands behind each value, by feature."""
        missing = self.missing()
        return {name: missing.get(name) or [Status.PRESENT] * len(self) for name in self._shape.sources}

    @property
    def timestamps(self) -> dict[str, list[datetime | None]]:
        """The time of each entity's row, by feature, UTC, also of one that is too old; None where there is none."""
        times = [
            [None if time is None else _EPOCH + timedelta(microseconds=time) for time in found.times()]
            for found in self._found
        ]
        return {name: times[table].copy() for name, (table, _) in self._shape.sources.items()}

    @property
    def heads(self) -> tuple[bytes, ...]:
        """What the index said of each table: as long as it is the same, so is all but the rows."""
        return tuple(map(_head_of, self._found))

    @property
    def times(self) -> list[list[int | None]]:
        """For each table the time of each entity's row, microseconds since 1970-01-01 UTC; None where there is none."""
        return list(map(Found.times, self._found))

    def missing(self) -> dict[str, list[Status]]:
        """Tell what stands behind each value of the features that not all values are there of."""
        missing: dict[str, list[Status]] = {}
        for found, (_, places) in zip(self._found, self._shape.places, strict=True):
            missing |= found.missing(places, self._values)
        return missing

    def __len__(self) -> int:
        return len(self._found[0].rows)

    def _seconds(self) -> dict[str, list[int | None]]:
        times = [[None if time is None else time // 1_000_000 for time in found.times()] for found in self._found]
        return {name: times[table].copy() for name, (table, _) in self._shape.sources.items()}

    @property
    def _origins(self) -> dict[str, str]:
        return {name: column.origin for name, column in self._shape.columns.items() if column.origin}


def _held(values: Sequence[Any], name: str, dtype: pl.DataType) -> list[Any]:
    """Return the values of an entity column as a table holds them; None where it cannot."""
    codec = KeyCodec({name: dtype})
    keys = [codec.encode_one((value,)) for value in values]
    found = [None if key is None else codec.decode(key) or (value,) for key, value in zip(keys, values, strict=True)]
    return [None if entity is None else entity[0] for entity in found]


def _status(row: Row | None, oldest: int | None, place: int) -> Status:
    if row is None:
        return Status.NOT_FOUND
    if oldest is not None and row[0] < oldest:
        return Status.OUTSIDE_MAX_AGE
    return _of_value(row[place])


def _of_value(value: Any) -> Status:
    return Status.NULL_VALUE if value is None else Status.PRESENT
