"""Feast's wire format: what its clients send and expect of a feature server.

A feature view is the table of that name. In this format a time among the values is whole seconds since 1970-01-01 UTC,
and the time of a row that is not there is that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
import polars as pl
from msgspec import UNSET, Meta, UnsetType

from tiffin.derived.answering import OnDemandAnswer
from tiffin.errors import InvalidInputError
from tiffin.frames.texts import from_json
from tiffin.online import decode_head
from tiffin.server.answers import json_values
from tiffin.server.answers.json_values import Convert
from tiffin.server.online.own_format import Key, all_present, shown, written_times
from tiffin.server.requests.parameters import Parameters, ReferenceText
from tiffin.serving import OnlineAnswer, Shape
from tiffin.tables.catalog import TableInfo

_SECOND = timedelta(seconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode

Name = Annotated[str, Meta(min_length=1, max_length=257, examples=["driver_stats"])]
Columns = Annotated[
    dict[str, list[Any]],
    Meta(
        description="Rows, as a list for each column.",
        examples=[{"driver_id": [1001], "event_timestamp": ["2024-05-31T12:00:00"], "conv_rate": [0.5]}],
    ),
]


class FeastQuestion(Parameters, kw_only=True, frozen=True, forbid_unknown_fields=False):
    """Which features of which entities, as Feast's clients ask."""

    entities: Annotated[
        dict[str, list[Key]],
        Meta(description="A list for each entity column; others are passed over.", examples=[{"driver_id": [1001]}]),
    ]
    features: Annotated[
        tuple[ReferenceText, ...],
        Meta(description="`feature_view:feature`, or references.", examples=[["driver_stats:conv_rate"]]),
    ] = ()
    feature_service: Annotated[Name, Meta(description="A feature service, instead of `features`.")] | None = None
    full_feature_names: Annotated[bool, Meta(description="Call features `feature_view__feature`.")] = False
    include_feature_view_version_metadata: Annotated[
        bool, Meta(description="Whether to tell the versions of the tables.")
    ] = False


class FeastView(msgspec.Struct, frozen=True):
    """A table that answered."""

    name: str
    version: int


class FeastMetadata(msgspec.Struct, frozen=True):
    """What the results are of."""

    feature_names: Annotated[
        list[str],
        Meta(description="The entity columns, then the features.", examples=[["driver_id", "conv_rate"]]),
    ]
    feature_view_metadata: list[FeastView] | UnsetType = UNSET


class FeastVector(msgspec.Struct, frozen=True):
    """One column of the answer."""

    values: Annotated[list[Any], Meta(examples=[[0.5]])]
    statuses: Annotated[
        list[Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]], Meta(examples=[["PRESENT"]])
    ]
    event_timestamps: Annotated[list[Annotated[datetime, Meta(tz=True)]], Meta(examples=[["2024-05-31T12:00:00Z"]])]


class FeastReply(msgspec.Struct, frozen=True):
    """Features of entities, as Feast's clients read them."""

    metadata: FeastMetadata
    results: Annotated[list[FeastVector], Meta(description="In the order of `feature_names`.")]


class FeastPush(Parameters, kw_only=True, frozen=True, forbid_unknown_fields=False):
    """Rows for a push source, as Feast's clients send them."""

    push_source_name: Annotated[Name, Meta(description="The table.")]
    df: Columns
    to: Annotated[
        Literal["online", "offline", "online_and_offline"],
        Meta(
            description="Rows are always kept in the table, and are online if it is; the first and last put it online."
        ),
    ] = "online"


class FeastWrite(Parameters, kw_only=True, frozen=True, forbid_unknown_fields=False):
    """Rows for a feature view, as Feast's clients send them."""

    feature_view_name: Annotated[Name, Meta(description="The table.")]
    df: Columns


def write(answer: OnlineAnswer | OnDemandAnswer, asked: FeastQuestion) -> bytes:
    """Write an answer as the JSON of a `FeastReply`.

    Parameters
    ----------
    answer : OnlineAnswer
        The answer, with full names if those are asked for.
    asked : FeastQuestion
        What was asked.
    """
    if isinstance(answer, OnDemandAnswer):
        return _computed(answer, asked)
    shape = answer.shape
    columns = shown(answer, _converters(shape))
    present, always = _constants(len(answer))
    statuses: dict[str, Any] = answer.missing()
    times = [msgspec.Raw(written_times([time or 0 for time in found])) for found in answer.times]
    vectors = [_Vector(columns[name], present, always) for name in shape.intake.names]
    vectors += [
        _Vector(columns[name], statuses.get(name) or present, times[table])
        for name, (table, _) in shape.sources.items()
    ]
    about = _metadata(shape, answer.heads, asked.full_feature_names, asked.include_feature_view_version_metadata)
    return b'{"metadata":%b,"results":%b}' % (about, _encode(vectors))


def _computed(answer: OnDemandAnswer, asked: FeastQuestion) -> bytes:
    found = answer.columns
    columns = shown(answer, json_values.converters(found, _in_seconds))
    present, always = _constants(len(answer))
    statuses, times, tables = answer.statuses, answer.timestamps, answer.tables
    vectors = [
        _Vector(values, statuses[name], [time or _EPOCH for time in times[name]])
        if name in tables
        else _Vector(values, present, always)
        for name, values in columns.items()
    ]
    groups = {name: table.partition("/")[0] for name, table in tables.items()}
    names = _names([*found], groups) if asked.full_feature_names else [*found]
    views = [FeastView(table.partition("/")[2], version) for table, version in answer.versions.items()]
    with_versions = asked.include_feature_view_version_metadata
    return _encode({"metadata": FeastMetadata(names, views if with_versions else UNSET), "results": vectors})


class _Vector(msgspec.Struct, gc=False):
    """A `FeastVector` in the making, whose parts may be JSON already."""

    values: list[Any]
    statuses: list[Any] | msgspec.Raw
    event_timestamps: list[datetime] | msgspec.Raw


@lru_cache(maxsize=32)
def _constants(count: int) -> tuple[msgspec.Raw, msgspec.Raw]:
    """Write the statuses of so many values that are there, and the times of so many keys, which have none."""
    return msgspec.Raw(all_present(count)), msgspec.Raw(written_times([0] * count))


@lru_cache(maxsize=512)
def _metadata(shape: Shape, heads: tuple[bytes, ...], full_names: bool, with_versions: bool) -> bytes:
    """Write what is the same for all entities, given what the index says of the tables."""
    tables = [decode_head(head) for head in heads]
    groups = {
        feature: head.table.partition("/")[0]
        for head, (features, _) in zip(tables, shape.places, strict=True)
        for feature in features
    }
    names = list(shape.columns)
    views = [FeastView(head.table.partition("/")[2], head.version) for head in tables]
    return _encode(FeastMetadata(_names(names, groups) if full_names else names, views if with_versions else UNSET))


def _names(full: list[str], groups: dict[str, str]) -> list[str]:
    """Leave the groups out of full names, which Feast does not have, unless two would then be the same."""
    short = [name.removeprefix(f"{groups[name]}__") if name in groups else name for name in full]
    return short if len(set(short)) == len(short) else full


def frame_of(columns: dict[str, list[Any]], info: TableInfo, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Make the rows that a client sent into a frame for a table.

    Parameters
    ----------
    columns : dict of str to list
        The values by column. Feast's clients call the times `event_timestamp` and `created`, whatever the table does.
    info : TableInfo
        The table.
    dtypes : mapping of str to polars.DataType
        Its columns.

    Returns
    -------
    polars.DataFrame
        In the table's dtypes; a column that it does not have as the values are.

    Raises
    ------
    InvalidInputError
        The columns are of different lengths, or a value is not of its column's dtype.
    """
    own = {"event_timestamp": info.timestamp, "created": info.created}
    named: dict[str, list[Any]] = {}
    for name, values in columns.items():
        # What is no column of the table is its time, if that is what Feast calls a time; else it has none.
        column = own[name] if name in own and name not in dtypes else name
        if column is not None:
            named[column] = _without_seconds(values, dtypes.get(column))
    if info.created in named:
        # Feast's clients need not say when a row was made: then it is now.
        now = datetime.now(UTC).isoformat()
        named[info.created] = [now if value is None else value for value in named[info.created]]
    if len({len(values) for values in named.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in named.items())
        raise InvalidInputError(f"the columns of df are of different lengths: {lengths}", hint="give a value per row")
    return from_json([dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)], dtypes)


def _without_seconds(values: list[Any], dtype: pl.DataType | None) -> list[Any]:
    """Write seconds since 1970-01-01 UTC in ISO 8601, where a column holds times."""
    match dtype:
        case pl.Datetime():
            return [_instant(value).isoformat() if _is_number(value) else value for value in values]
        case pl.Date():
            return [_instant(value).date().isoformat() if _is_number(value) else value for value in values]
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _instant(seconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise InvalidInputError(
            f"{seconds!r} is no time", hint="give seconds since 1970-01-01 UTC, or ISO 8601"
        ) from error


@lru_cache(maxsize=512)
def _converters(shape: Shape) -> dict[str, Convert]:
    return json_values.converters(shape.columns, _in_seconds)


def _in_seconds(dtype: pl.DataType) -> Convert | None:
    match dtype:
        case pl.Datetime():
            return lambda value: ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _SECOND
        case pl.Date():
            return lambda value: (value - _EPOCH.date()) // _SECOND
    return None
