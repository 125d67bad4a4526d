"""Feast's wire format: what its clients send, read into the frame that is saved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl

from fuzz.drawing import Draw
from fuzz.small_store import store
from tiffin.errors import TiffinError
from tiffin.server.online.feast_format import FeastPush, FeastQuestion, FeastWrite, frame_of
from tiffin.server.options import Limits
from tiffin.server.requests.call import Call, converted

MOST_BYTES = 1024

_TABLE = "user/ratings"
_COLUMNS = ["user_id", "event_timestamp", "created", "mean", "city", "day", "tags", "other"]
_KEYS = ["push_source_name", "feature_view_name", "df", "to", "entities", "features", "feature_service", *_COLUMNS]
_KINDS = (FeastPush, FeastWrite, FeastQuestion)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALL = object.__new__(Call)
_CALL.limits = Limits(json_depth=8)


def check(data: bytes) -> None:
    draw = Draw(data)
    kind = draw.one_of(_KINDS)
    if draw.byte() % 2:
        columns = _columns(draw)
    else:
        try:
            asked = converted(_CALL.decoded(draw.rest()), kind)
        except TiffinError:
            return
        if isinstance(asked, FeastQuestion):
            assert msgspec.json.decode(msgspec.json.encode(asked), type=FeastQuestion) == asked
            return
        columns = asked.df
    _check_frame(columns)


def _columns(draw: Draw) -> dict[str, list[object]]:
    rows = draw.byte() % 4
    names = draw.some(5, lambda: draw.one_of(_COLUMNS))
    return {name: [_value(draw, name) for _ in range(rows)] for name in names}


def _value(draw: Draw, name: str) -> object:
    if draw.byte() % 4 == 0:
        return draw.value()
    if name in {"event_timestamp", "created", "day"} and draw.byte() % 2:
        return draw.moment().isoformat()
    return draw.text() if name == "city" else draw.number()


def _check_frame(columns: dict[str, list[object]]) -> None:
    opened = store()
    dtypes = opened.snapshot(_TABLE).known
    try:
        frame = frame_of(columns, opened.describe(_TABLE), dtypes)
    except TiffinError:
        return
    if not frame.columns:
        return
    assert {len(values) for name, values in columns.items() if name in frame.columns} <= {frame.height}
    for name in ("user_id", "event_timestamp"):
        if name in columns:
            for sent, kept in zip(columns[name], frame[name].to_list(), strict=True):
                _check_value(sent, kept)
    assert frame.select(pl.len()).item() == frame.height


def _check_value(sent: object, kept: object) -> None:
    """Hold a number to being kept as it is, or as so many seconds."""
    if type(sent) is int and isinstance(kept, datetime):
        assert kept == _EPOCH + timedelta(seconds=sent), sent
    elif type(sent) is int:
        assert kept == sent, sent
