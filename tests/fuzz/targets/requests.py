"""JSON bodies: of each kind of parameters that a route takes, read as the server reads them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fuzz.drawing import Draw
from tiffin.errors import TiffinError
from tiffin.server.online.feast_format import FeastPush  # noqa: F401 - a kind of parameters
from tiffin.server.options import Limits
from tiffin.server.requests import changing, finding  # noqa: F401 - kinds of parameters
from tiffin.server.requests.call import Call, converted
from tiffin.server.requests.intake import _definitions
from tiffin.server.requests.parameters import Parameters

MOST_BYTES = 1024


def _kinds(base: type[Parameters]) -> Iterator[type[Parameters]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


KINDS = sorted({*_kinds(Parameters)}, key=lambda kind: kind.__name__)
_CALL = object.__new__(Call)
_CALL.limits = Limits(json_depth=8)


def check(data: bytes) -> None:
    draw = Draw(data)
    kind = draw.one_of(KINDS)
    is_drawn = draw.byte() % 2
    body = msgspec.json.encode(_sayable(draw.value(kind.__struct_fields__))) if is_drawn else draw.rest()
    try:
        values = _CALL.decoded(body)
        asked = converted(values, kind)
        given = asked.given()
    except TiffinError:
        return
    assert given.keys() <= {*kind.__struct_fields__}, kind
    if kind.__struct_config__.forbid_unknown_fields:
        assert values.keys() <= {*kind.__struct_fields__}, kind
    again = msgspec.json.decode(msgspec.json.encode(asked), type=kind)
    assert msgspec.json.encode(again) == msgspec.json.encode(asked), (kind, body)
    _go_on(asked, given)


def _go_on(asked: Parameters, given: dict[str, object]) -> None:
    """Do what else is done before the store is asked."""
    try:
        if isinstance(asked, changing.NewOnDemand):
            asked.features()
        for name in {"definitions", "expected"} & {*given}:
            _definitions(given[name])
    except TiffinError:
        pass


def _sayable(value: object) -> object:
    """Take out what JSON cannot say."""
    match value:
        case dict():
            return {_sayable(key): _sayable(one) for key, one in value.items()}
        case list():
            return [_sayable(one) for one in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case int() if abs(value) > 2**63:
            return 2**63
    return value
