"""Calls about training: frames, the checks before them, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import structs

from tiffin.client.call import (
    Call,
    Steps,
    accept_frame,
    as_frame,
    as_nothing,
    as_type,
    get,
    named,
    post,
    table_path,
    to_frame,
    with_query,
)
from tiffin.client.calls.upkeep import examine
from tiffin.doctor import Finding
from tiffin.errors import InvalidInputError
from tiffin.features import Features
from tiffin.frames import FeatureFrame
from tiffin.quality.leakage.checking import Limits
from tiffin.quality.leakage.report import LeakageReport
from tiffin.registry import Service
from tiffin.schema.names import parse_reference
from tiffin.training.explanation import Explanation, Row
from tiffin.training.sets import TrainingSet
from tiffin.wire import decode
from tiffin.wire.media import ARROW

_SETS = "training-sets"


def get_historical_features(
    spine: Any,
    features: Features,
    *,
    timestamp: str | None = None,
    ttl: timedelta | None = None,
    known_at: datetime | str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    full_feature_names: bool = False,
) -> Call[FeatureFrame]:
    """Give each row of a spine the features of its entities as of its time.

    As `FeatureStore.get_historical_features`; the frame has the same lock.
    """
    query = {
        "features": wanted(features),
        "timestamp": timestamp,
        "ttl": ttl,
        "known_at": known_at,
        "start": start,
        "end": end,
        "full_feature_names": full_feature_names or None,
    }
    return Call(
        method="POST",
        path=with_query("/historical", query),
        decode=as_frame,
        body=None if spine is None else to_frame(spine),
        accept=ARROW,
        is_repeatable=True,
    )


def check_leakage(
    spine: Any,
    features: Features,
    *,
    label: str,
    timestamp: str | None = None,
    ttl: timedelta | None = None,
    known_at: datetime | str | None = None,
    same_time: float = Limits.same_time,
    auc: float = Limits.auc,
    correlation: float = Limits.correlation,
    errors_avoided: float = Limits.errors_avoided,
    sample: int = Limits.sample,
    seed: int = Limits.seed,
) -> Call[LeakageReport]:
    """Warn of features that know what is not yet known at the label's time.

    As `FeatureStore.check_leakage`; the values of its examples are as JSON has them.
    """
    query = {
        "features": wanted(features),
        "label": label,
        "timestamp": timestamp,
        "ttl": ttl,
        "known_at": known_at,
        "same_time": same_time,
        "auc": auc,
        "correlation": correlation,
        "errors_avoided": errors_avoided,
        "sample": sample,
        "seed": seed,
    }
    return Call(
        method="POST",
        path=with_query("/leakage", query),
        decode=as_type(LeakageReport),
        body=to_frame(spine),
        is_repeatable=True,
    )


def explain(
    reference: str,
    entity: Any = None,
    at: datetime | None = None,
    *,
    ttl: timedelta | None = None,
    known_at: datetime | None = None,
) -> Call[Explanation]:
    """Tell which row of which commit gives a value, and why not another.

    As `FeatureStore.explain`; the values are as JSON has them.
    """
    parsed = parse_reference(reference)
    asked = {
        "feature": parsed.feature,
        "version": parsed.version,
        "entity": entity,
        "at": at,
        "ttl": ttl,
        "known_at": known_at,
    }
    return post(table_path(parsed, "explain"), _explanation, asked, is_repeatable=True)


def save_training_set(
    name: str, frame: FeatureFrame, *, description: str = "", replace: bool = False
) -> Call[TrainingSet]:
    """Keep what it takes to make a training frame again: its lock and its spine.

    As `FeatureStore.save_training_set`.
    """
    if not isinstance(frame, FeatureFrame) or frame.lock.recipe is None:
        raise InvalidInputError(
            "the frame is not one that get_historical_features returned", hint="give that frame as it is"
        )
    path = with_query(named(_SETS, name), {"description": description or None, "replace": replace or None})
    return Call(method="POST", path=path, decode=as_type(TrainingSet), body=frame)


def training_sets() -> Call[list[TrainingSet]]:
    """List the training sets that were saved, by name.

    As `FeatureStore.training_sets`.
    """
    return get(f"/{_SETS}", list[TrainingSet])


def training_set(name: str) -> Call[TrainingSet]:
    """Return a training set: what it was made from, and how.

    As `FeatureStore.training_set`.
    """
    return get(named(_SETS, name), TrainingSet)


def examine_training_sets() -> Steps[list[Finding]]:
    """Check that every training set can be read, as `examine` does with all else; its spines too."""
    findings: list[Finding] = yield examine()
    return [finding for finding in findings if finding.table.startswith("training_sets/")]


def reproduce(name: str) -> Call[FeatureFrame]:
    """Make a saved training frame again, bit for bit.

    As `FeatureStore.reproduce`.
    """
    return post(named(_SETS, name, "reproduce"), as_frame, {}, **accept_frame())


def drop_training_set(name: str) -> Call[None]:
    """Forget a training set; the tables stay, but its versions may be vacuumed from now on.

    As `FeatureStore.drop_training_set`.
    """
    return Call(method="DELETE", path=named(_SETS, name), decode=as_nothing)


def wanted(features: Features) -> Any:
    """Take the references of a service for it, so that it is what it was when it was looked up.

    Raises
    ------
    InvalidInputError
        It is none of what asks for features.
    """
    if isinstance(features, str):
        return features
    if isinstance(features, Service):
        return list(features.features)
    found = list(features) if isinstance(features, Iterable) and not isinstance(features, Mapping | bytes) else [None]
    if not found or not all(type(text) is str for text in found):
        raise InvalidInputError(
            "no feature is asked for" if not found else f"features is {features!r}",
            hint="write ['group/name:feature', …], or the name of a feature service",
        )
    return found


def _explanation(body: bytes) -> Explanation:
    told = decode(body, Explanation)
    return structs.replace(told, row=told.row and _timed(told.row), others=tuple(map(_timed, told.others)))


def _timed(row: Row) -> Row:
    """Give a row the times that JSON has as texts: dates or datetimes, as the table's columns are."""
    return structs.replace(row, timestamp=_moment(row.timestamp), created=_moment(row.created))


def _moment(text: Any) -> datetime | date | None:
    if text is None:
        return None
    return date.fromisoformat(text) if len(text) == len("2024-05-31") else datetime.fromisoformat(text)
