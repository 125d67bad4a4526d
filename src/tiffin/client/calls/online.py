"""Calls about online features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from tiffin.agreement import Verification
from tiffin.client.answer import OnlineAnswer, Reply
from tiffin.client.call import Call, Steps, as_type, post, table_path, to_json, unpinned
from tiffin.client.calls.services import service
from tiffin.client.calls.training import wanted
from tiffin.errors import NotFoundError
from tiffin.features import Features
from tiffin.frames import ingest
from tiffin.materialize import Lag, Materialized
from tiffin.wire import decode

MOST_ENTITIES = 10_000
"""As many as a server takes in one request, unless it is set otherwise."""


def get_online_features(
    features: Features, entity_rows: Any, *, full_feature_names: bool = False
) -> Call[OnlineAnswer] | Steps[OnlineAnswer]:
    """Read the features of some entities as they are now, from the online index.

    As `FeatureStore.get_online_features`. Of more than 10,000 entities, so many at a time are asked about.
    """
    return _ask(wanted(features), entity_rows, {"full_feature_names": full_feature_names})


class Plan(NamedTuple):
    """What was found out of features that are to be read again and again."""

    references: tuple[str, ...]
    full_feature_names: bool

    def read(self, entity_rows: Any, *, at: datetime | None = None) -> Call[OnlineAnswer] | Steps[OnlineAnswer]:
        """Read them; see `OnlinePlan.read`."""
        return _ask([*self.references], entity_rows, {"full_feature_names": self.full_feature_names, "at": at})


def plan(features: Features, *, full_feature_names: bool = False) -> Steps[Plan]:
    """Find out which references are asked for, and that they can be read; see `FeatureStoreClient.prepare`."""
    asked = wanted(features)
    if isinstance(asked, str):
        try:
            asked = list((yield service(asked)).features)
        except NotFoundError:
            asked = [asked]
    yield _request(asked, [], {"full_feature_names": full_feature_names})
    return Plan(tuple(asked), full_feature_names)


def materialize(reference: str | None = None, *, from_scratch: bool = False) -> Call[list[Materialized]]:
    """Bring the online index up to the newest version of a table, at a cost that follows what has changed.

    As `FeatureStore.materialize`.
    """
    path = "/online/materialize" if reference is None else table_path(unpinned(reference), "materialize")
    # Done twice it is the same, and nearly free the second time.
    return post(path, as_type(list[Materialized]), {"from_scratch": from_scratch}, is_repeatable=not from_scratch)


def online_lag() -> Call[list[Lag]]:
    """Tell how far the online index is behind each table that is online.

    As `FeatureStore.online_lag`.
    """
    return Call(method="GET", path="/ready", decode=_lag, is_repeatable=True)


def verify(features: Features | None = None, *, sample: int = 1000, seed: int = 0) -> Call[Verification]:
    """Prove on samples that the online index answers what the tables say.

    As `FeatureStore.verify`; values that differ are as JSON has them.
    """
    asked = {"features": None if features is None else wanted(features), "sample": sample, "seed": seed}
    return post("/verify", as_type(Verification), asked, is_repeatable=True)


class _TableLag(msgspec.Struct, frozen=True):
    version: int
    online_version: int


class _Ready(msgspec.Struct, frozen=True):
    online: dict[str, _TableLag]


def _lag(body: bytes) -> list[Lag]:
    found = decode(body, _Ready).online
    return [Lag(table=name, version=one.version, online_version=one.online_version) for name, one in found.items()]


def _ask(
    asked: str | list[str], entity_rows: Any, about: Mapping[str, Any]
) -> Call[OnlineAnswer] | Steps[OnlineAnswer]:
    rows = entity_rows
    if not isinstance(rows, list | tuple | Mapping):
        rows = ingest(rows).frame.to_dict(as_series=False)
    count = _count(rows)
    if count <= MOST_ENTITIES:
        return _request(asked, rows, about)
    return _one_by_one([_request(asked, _part(rows, start), about) for start in range(0, count, MOST_ENTITIES)])


def _one_by_one(calls: Sequence[Call[OnlineAnswer]]) -> Steps[OnlineAnswer]:
    replies = []
    for call in calls:
        answer = yield call
        replies.extend(answer.replies)
    return OnlineAnswer(replies)


def _request(asked: str | list[str], rows: Any, about: Mapping[str, Any]) -> Call[OnlineAnswer]:
    question = {"features": asked, "entity_rows": _written(rows), **about}
    return post("/online?nan=text", _answer, question, is_repeatable=True)


def _written(rows: Any) -> msgspec.Raw:
    """Write entities as JSON, with words for floats that it has no number for."""
    written = to_json(rows)
    # It has null for those, as for what is missing.
    return msgspec.Raw(to_json(_in_words(rows)) if b"null" in written else written)


def _in_words(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {name: _in_words(inner) for name, inner in value.items()}
        case list() | tuple():
            return list(map(_in_words, value))
    # Of Polars, of NumPy.
    listed = getattr(value, "to_list", None) or getattr(value, "tolist", None)
    return value if listed is None else _in_words(listed())


def _answer(body: bytes) -> OnlineAnswer:
    return OnlineAnswer([decode(body, Reply)])


def _count(rows: Any) -> int:
    """Count entities; of columns of unequal length the server will say that they are."""
    if not isinstance(rows, Mapping):
        return len(rows)
    return max((len(values) for values in rows.values() if hasattr(values, "__len__")), default=0)


def _part(rows: Any, start: int) -> Any:
    if isinstance(rows, Mapping):
        return {name: values[start : start + MOST_ENTITIES] for name, values in rows.items()}
    return rows[start : start + MOST_ENTITIES]
