"""Answers of a server that means harm: errors of ours, or results that can be looked at."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import zstandard

from fuzz.drawing import Draw
from fuzz.targets.requests import _sayable
from tiffin.client.call import Call
from tiffin.client.calls import online, services, tables, training, upkeep, versions
from tiffin.client.exchange import Answer, settle
from tiffin.client.options import ClientOptions
from tiffin.errors import TiffinError
from tiffin.wire.media import PROBLEM

MOST_BYTES = 4096

_OPTIONS = ClientOptions(url="http://127.0.0.1:8001", answer_bytes=1 << 20)
_TABLE = "user/ratings"
_CALLS: list[Call[Any]] = [
    online.get_online_features([f"{_TABLE}:mean"], [{"user_id": 7}]),
    online.materialize(_TABLE),
    online.online_lag(),
    online.verify(),
    tables.describe(_TABLE),
    tables.history(_TABLE),
    tables.diff(_TABLE, 0, 1),
    training.explain(f"{_TABLE}:mean", 7),
    training.training_set("a"),
    training.reproduce("a"),
    services.service("ranker"),
    versions.tags(_TABLE),
    versions.stages(_TABLE),
    upkeep.stats(),
    upkeep.examine(),
    upkeep.vacuum(_TABLE),
]
_NAMES = [
    "rows", "statuses", "timestamps", "versions", "dtypes", "origins", "mean", "user_id", "user/ratings", "PRESENT",
    "code",
    "detail", "status", "title", "hint", "context", "violations", "table", "invalid_input", "Int64",
    "Datetime(us, UTC)",
    "name", "version", "timestamp", "lock", "row", "others", "online", "features",
]  # fmt: skip
_TYPES = ["", "application/json", PROBLEM, "text/html"]
_DTYPES = [
    "Int64", "Float64", "Datetime(us, UTC)", "Datetime(us)", "Date", "Binary", "Decimal(10, 2)", "List(Int8)", "Time",
    'Struct("a": Date)', "Duration(us)", "Categorical", 'Enum(["a"])', "Array(Int8, 2)", "Nope",
    "Datetime(us, No/Where)",
]  # fmt: skip


def check(data: bytes) -> None:
    draw = Draw(data)
    call = draw.one_of(_CALLS)
    status = draw.one_of([200, 200, 200, 204, 404, 422, 500, 503, 301])
    headers = {"content-type": draw.one_of(_TYPES), "content-encoding": draw.one_of(["", "", "zstd", "gzip"])}
    if draw.byte() % 4 == 0:
        headers["tiffin-warnings"] = draw.text().encode("utf-8", "replace").decode("latin-1")
    body = _body(draw)
    if headers["content-encoding"] == "zstd" and draw.byte() % 2:
        body = zstandard.compress(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = settle(call, Answer(status, headers, body), _OPTIONS)
        except TiffinError:
            return
    assert status < 300
    _look_at(result)


def _body(draw: Draw) -> bytes:
    kind = draw.byte() % 4
    if kind == 0:
        return draw.rest()
    if kind == 1:
        return msgspec.json.encode(_sayable(draw.value(_NAMES)))
    value: Callable[[], Any] = draw.value
    count = draw.byte() % 3
    reply = {
        "rows": [{"user_id": value(), "mean": value()} for _ in range(count)],
        "statuses": {"mean": [draw.one_of(["PRESENT", "NOT_FOUND", "?"]) for _ in range(draw.byte() % 3)]},
        "timestamps": {"mean": [draw.one_of([None, "2024-05-01T00:00:00Z", "x"]) for _ in range(count)]},
        "versions": {_TABLE: draw.number()},
        "dtypes": {name: draw.one_of(_DTYPES) for name in draw.some(3, lambda: draw.one_of(["user_id", "mean", "x"]))},
        "origins": {"mean": draw.text()},
    }
    return msgspec.json.encode(_sayable(reply))


def _look_at(result: Any) -> None:
    """Do what users do with a result; what it holds may make no sense, but then in an error of ours."""
    for name in ("__repr__", "to_dict", "to_polars", "to_arrow", "to_pandas"):
        if hasattr(result, name):
            with contextlib.suppress(TiffinError):
                getattr(result, name)()
