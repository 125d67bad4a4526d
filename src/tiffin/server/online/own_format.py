"""Online answers as JSON: rows, and by feature what stands behind each value."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from tiffin.derived.answering import OnDemandAnswer
from tiffin.online import datetimes, decode_head
from tiffin.schema import dtypes
from tiffin.server.answers import json_values
from tiffin.server.answers.json_values import Convert
from tiffin.server.requests.parameters import FullNames, Moment, Parameters, ReferenceText
from tiffin.serving import OnlineAnswer, Shape, Status

_MOST_SHAPES = 512

Key = str | int | float | bool | None
"""An entity's key as JSON has it."""

_encode = msgspec.json.Encoder().encode
_find_null = re.compile(b"null").search
_VALUE = b"\0"
"""Stands for a value in what is made beforehand: JSON has no such byte."""


class OnlineQuestion(Parameters, frozen=True):
    """Which features of which entities."""

    features: Annotated[
        ReferenceText | Annotated[list[ReferenceText], Meta(min_length=1)],
        Meta(description="References, or the name of a feature service alone.", examples=[["user/ratings:mean"]]),
    ]
    entity_rows: Annotated[
        list[dict[str, Key]] | dict[str, list[Key]],
        Meta(
            description="The entities: an object for each, or a list for each entity column. Times are written in "
            "ISO 8601, decimals as texts, bytes in base64.",
            examples=[[{"user_id": 7}, {"user_id": 8}]],
        ),
    ]
    full_feature_names: FullNames = False
    at: Moment | None = None


class OnlineReply(msgspec.Struct, frozen=True):
    """Features of entities as of now, in the order in which they were asked for."""

    rows: Annotated[
        list[dict[str, Any]],
        Meta(
            description="For each entity its keys and features. A value is null, or the feature's default, unless its "
            "status is PRESENT.",
            examples=[[{"user_id": 7, "mean": 4.5}]],
        ),
    ]
    statuses: Annotated[
        dict[str, list[Status]],
        Meta(description="For each feature what stands behind the values.", examples=[{"mean": ["PRESENT"]}]),
    ]
    timestamps: Annotated[
        dict[str, list[Annotated[datetime, Meta(tz=True)] | None]],
        Meta(
            description="For each feature the time of the entities' rows; null where there is none.",
            examples=[{"mean": ["2024-05-31T12:00:00.000000Z"]}],
        ),
    ]
    versions: Annotated[
        dict[str, int], Meta(description="The version of each table that answered.", examples=[{"user/ratings": 3}])
    ]
    dtypes: Annotated[
        dict[str, str],
        Meta(
            description="The type of each column, the keys first.", examples=[{"user_id": "Int64", "mean": "Float64"}]
        ),
    ]
    origins: Annotated[
        dict[str, str],
        Meta(description="The pandas or Arrow types that columns were saved with, where they tell more."),
    ]


def write(answer: OnlineAnswer | OnDemandAnswer, *, in_words: bool = False) -> bytes:
    """Write an answer as the JSON of an `OnlineReply`.

    Parameters
    ----------
    answer : OnlineAnswer
        The answer.
    in_words : bool
        Whether NaN and infinities are "NaN", "Infinity" and "-Infinity"; else they are null.
    """
    if isinstance(answer, OnDemandAnswer):
        return _computed(answer, in_words)
    form = _form(answer.shape, in_words)
    columns = shown(answer, form.converters)
    rows = _encode(list(map(form.row, *columns.values())))
    # Where nothing is null all values are there, unless defaults hide that they are not: quicker than to look at each.
    missing = answer.missing() if _find_null(rows) or answer.shape.has_defaults else None
    statuses = _statuses(answer, missing) if missing else _all_there(form.statuses, len(answer))
    rest = _rest(answer.shape, answer.heads)
    for place, times in zip(form.places, answer.times, strict=True):
        rest = rest.replace(place, written_times(times))
    return b'{"rows":%b,"statuses":{%b},%b' % (rows, statuses, rest)


def _computed(answer: OnDemandAnswer, in_words: bool) -> bytes:
    columns = answer.columns
    leaf = json_values.in_words if in_words else json_values.plain
    values = shown(answer, json_values.converters(columns, leaf))
    return _encode(
        OnlineReply(
            rows=[dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)],
            statuses=dict(answer.statuses),
            timestamps=dict(answer.timestamps),
            versions=answer.versions,
            dtypes={name: dtypes.encode(column.dtype) for name, column in columns.items()},
            origins={name: column.origin for name, column in columns.items() if column.origin},
        )
    )


def _statuses(answer: OnlineAnswer, missing: dict[str, list[Status]]) -> bytes:
    present = msgspec.Raw(all_present(len(answer)))
    return _encode(dict.fromkeys(answer.shape.sources, present) | missing)[1:-1]


@lru_cache(maxsize=32)
def _all_there(template: bytes, count: int) -> bytes:
    return template.replace(_VALUE, all_present(count))


@lru_cache(maxsize=_MOST_SHAPES)
def _rest(shape: Shape, heads: tuple[bytes, ...]) -> bytes:
    """Write what is the same for all entities, given what the index says of the tables; the times are left out."""
    columns = shape.columns.items()
    rest = {
        "timestamps": {
            name: msgspec.Raw(place)
            for place, (features, _) in zip(_places(shape), shape.places, strict=True)
            for name in features
        },
        "versions": {head.table: head.version for head in map(decode_head, heads)},
        "dtypes": {name: dtypes.encode(column.dtype) for name, column in columns},
        "origins": {name: column.origin for name, column in columns if column.origin},
    }
    return _encode(rest)[1:]


@lru_cache(maxsize=32)
def all_present(count: int) -> bytes:
    """Write as many statuses of values that are there as a JSON array."""
    return _encode([Status.PRESENT] * count)


def written_times(times: Sequence[int | None]) -> bytes:
    """Write times as a JSON array.

    Parameters
    ----------
    times : sequence of int or None
        Microseconds since 1970-01-01 UTC.

    Returns
    -------
    bytes
        In ISO 8601 with `Z`.
    """
    # Those without a zone are made and written many times faster.
    written = _encode(datetimes(times))
    if len(times) > 1:
        written = written.replace(b'",', b'Z",')
    return written.replace(b'"]', b'Z"]')


def shown(answer: OnlineAnswer | OnDemandAnswer, converters: dict[str, Convert]) -> dict[str, list[Any]]:
    """Return the columns of an answer, with what JSON has no form for converted."""
    columns = answer.to_dict()
    for name, convert in converters.items():
        columns[name] = list(map(convert, columns[name]))
    return columns


class _Form(NamedTuple):
    """How the answers of a plan are written."""

    row: Callable[..., Any]
    """Makes of the values of a row what is encoded."""
    converters: dict[str, Convert]
    """For the columns whose values need it."""
    statuses: bytes
    """An object's inside that has the same value for each feature."""
    places: tuple[bytes, ...]
    """For each table what stands for the times of its rows in what `_rest` writes."""


@lru_cache(maxsize=_MOST_SHAPES)
def _form(shape: Shape, in_words: bool) -> _Form:
    shown_as = json_values.in_words if in_words else json_values.plain
    return _Form(
        _row(tuple(shape.columns)),
        json_values.converters(shape.columns, shown_as),
        b",".join(_encode(name) + b":" + _VALUE for features, _ in shape.places for name in features),
        _places(shape),
    )


def _places(shape: Shape) -> tuple[bytes, ...]:
    return tuple(b"\0%d\0" % number for number in range(len(shape.places)))


def _row(names: tuple[str, ...]) -> Callable[..., Any]:
    """Make a type for rows with these names, which is filled and encoded faster than a dict."""
    fields = [f"f{number}" for number in range(len(names))]
    try:
        return msgspec.defstruct(
            "Row", [(field, Any) for field in fields], rename=dict(zip(fields, names, strict=True)), gc=False
        )
    except ValueError:
        # A name has characters that JSON must escape.
        return lambda *values: dict(zip(names, values, strict=True))
