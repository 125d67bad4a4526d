"""The answer to an online read, as it came over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from tiffin.client.call import not_as_expected
from tiffin.schema import dtypes
from tiffin.serving import AnswerColumns, Status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Read = Callable[[Any], Any]


class Reply(msgspec.Struct, frozen=True):
    """What the server sends."""

    rows: list[dict[str, Any]]
    statuses: dict[str, list[Status]]
    timestamps: dict[str, list[datetime | None]]
    versions: dict[str, int]
    dtypes: dict[str, str]
    """Entity column or feature to dtype, as `tiffin.schema.dtypes` writes it."""
    origins: dict[str, str] = {}
    """Column to the pandas or Arrow type that it was saved with."""


class OnlineAnswer(AnswerColumns):
    """Features of entities as of a moment, in the order in which they were asked for.

    Gives what `tiffin.serving.OnlineAnswer` gives, in the same types.

    Parameters
    ----------
    replies : sequence of Reply
        What the server sent, for some of the entities each.
    """

    __slots__ = ("_dtypes", "replies")

    def __init__(self, replies: Sequence[Reply]) -> None:
        first = replies[0]
        self.replies = replies
        kinds = {name: _kind(text) for name, text in first.dtypes.items()}
        self._dtypes = {name: dtype for name, (dtype, _) in kinds.items()}
        rows = [row for reply in replies for row in reply.rows]
        self._values = {name: _typed([row[name] for row in rows], read) for name, (_, read) in kinds.items()}

    def to_polars(self) -> pl.DataFrame:
        """Give the answer as a Polars frame, in the tables' dtypes.

        Returns
        -------
        polars.DataFrame, shape (number of entities, number of entity columns + features)
            An entity that its column cannot hold, which so has no row, is null.
        """
        features = self.replies[0].statuses
        try:
            return pl.DataFrame(
                [
                    pl.Series(name, self._values[name], dtype, strict=name in features)
                    for name, dtype in self._dtypes.items()
                ]
            )
        except (pl.exceptions.PolarsError, ArithmeticError, RuntimeError, TypeError, ValueError) as error:
            raise not_as_expected(error) from error

    @property
    def versions(self) -> dict[str, int]:
        """The version of each table, `group/name`, that answered; the last, if it changed between the parts."""
        return {table: version for reply in self.replies for table, version in reply.versions.items()}

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """What stands behind each value, by feature."""
        return _joined(reply.statuses for reply in self.replies)

    @property
    def timestamps(self) -> dict[str, list[datetime | None]]:
        """The time of each entity's row, by feature, UTC, also of one that is too old; None where there is none."""
        return _joined(reply.timestamps for reply in self.replies)

    def __len__(self) -> int:
        return sum(len(reply.rows) for reply in self.replies)

    def _seconds(self) -> dict[str, list[int | None]]:
        return {
            name: [None if moment is None else (moment - _EPOCH) // _SECOND for moment in times]
            for name, times in self.timestamps.items()
        }

    @property
    def _origins(self) -> dict[str, str]:
        return self.replies[0].origins


def _joined(parts: Iterable[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    joined: dict[str, list[Any]] = {}
    for part in parts:
        for name, values in part.items():
            joined.setdefault(name, []).extend(values)
    return joined


@lru_cache(maxsize=4096)
def _kind(text: str) -> tuple[pl.DataType, Read | None]:
    dtype = dtypes.decode(text)
    return dtype, _reader(dtype)


def _typed(values: list[Any], read: Read | None) -> list[Any]:
    """Make of the values that JSON had those that the column has."""
    # Nearly all floats are numbers as they came.
    if read is None or (read is _float and str not in map(type, values)):
        return values
    return [None if value is None else read(value) for value in values]


def _reader(dtype: pl.DataType) -> Read | None:
    """Return what makes a value of a dtype of what JSON has for it; None where they are the same."""
    match dtype:
        case pl.Datetime():
            zone = None if dtype.time_zone is None else ZoneInfo(dtype.time_zone)
            return lambda text: _moment(text, zone)
        case pl.List() | pl.Array():
            inner = _reader(_instance(dtype.inner))
            return None if inner is None else lambda values: [_read(inner, value) for value in values]
        case pl.Struct():
            fields = {field.name: _reader(_instance(field.dtype)) for field in dtype.fields}
            known = {name: reader for name, reader in fields.items() if reader}
            return (lambda struct: _read_fields(known, struct)) if known else None
    return _float if dtype.is_float() else _SCALARS.get(dtype.base_type())


def _read(read: Read, value: Any) -> Any:
    return None if value is None else read(value)


def _read_fields(readers: dict[str, Read], struct: dict[str, Any]) -> dict[str, Any]:
    return struct | {name: _read(read, struct[name]) for name, read in readers.items()}


def _moment(text: str, zone: ZoneInfo | None) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if zone is None else moment.astimezone(zone)


def _float(value: Any) -> Any:
    """Words are what JSON has no number for: NaN, Infinity, -Infinity."""
    return float(value) if type(value) is str else value


def _instance(dtype: Any) -> pl.DataType:
    """Polars accepts `Int64` for `Int64()` and gives back whichever it was given."""
    return dtype() if isinstance(dtype, type) else dtype  # type: ignore[no-any-return]


_SCALARS: dict[type[pl.DataType], Read] = {
    pl.Date: date.fromisoformat,
    pl.Time: time.fromisoformat,
    pl.Duration: lambda text: msgspec.convert(text, timedelta),
    pl.Decimal: lambda number: Decimal(str(number)),
    pl.Binary: base64.b64decode,
}
