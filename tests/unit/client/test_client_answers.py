"""Answers to online reads: what JSON says becomes what the columns hold."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import tiffin
from tiffin import errors
from unit.client.scripted import Scripted, says, scripted

BERLIN = ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 7, 1, 12, 0, 0, 250_000)
SAID = "2024-07-01T10:00:00.250000Z"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


def reply(kind: str, values: list[Any], **about: Any) -> dict[str, Any]:
    """Return what a server says of a feature `x`, of entities 0, 1, …"""
    count = len(values)
    return {
        "rows": [{"k": key, "x": value} for key, value in enumerate(values)],
        "statuses": {"x": ["PRESENT"] * count},
        "timestamps": {"x": [SAID] * count},
        "versions": {"g/t": 3},
        "dtypes": {"k": "Int64", "x": kind},
        **about,
    }


def asked(server: Scripted, *replies: dict[str, Any], entities: int = 1) -> tiffin.client.OnlineAnswer:
    server.script = [says(200, json.dumps(one).encode()) for one in replies]
    with tiffin.connect(server.url) as client:
        return client.get_online_features(["g/t:x"], {"k": [*range(entities)]})


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("Int64", 7, 7),
        ("UInt64", 2**64 - 1, 2**64 - 1),
        ("Float64", 0.1, 0.1),
        ("Float32", "-Infinity", -math.inf),
        ("Boolean", True, True),
        ("String", "NaN", "NaN"),
        ('Enum(["a","b"])', "b", "b"),
        ("Date", "2024-07-01", dt.date(2024, 7, 1)),
        ("Time", "12:00:00.250000", dt.time(12, 0, 0, 250_000)),
        ("Duration(us)", "PT1.5S", dt.timedelta(seconds=1.5)),
        ("Decimal(10, 2)", "1.50", Decimal("1.50")),
        ("Decimal(10, 2)", 0.1, Decimal("0.1")),
        ("Binary", "AP8=", b"\x00\xff"),
        ("Datetime(us)", "2024-07-01T12:00:00.250000Z", NOON),
        ("Datetime(us, UTC)", SAID, dt.datetime(2024, 7, 1, 10, 0, 0, 250_000, ZoneInfo("UTC"))),
        ("Datetime(us, Europe/Berlin)", SAID, NOON.replace(tzinfo=BERLIN)),
        ("List(Date)", ["2024-07-01", None], [dt.date(2024, 7, 1), None]),
        ("List(Float64)", [0.5, "Infinity", None], [0.5, math.inf, None]),
        ("Array(Int64, 2)", [1, 2], [1, 2]),
        ('Struct("a": Date, "b": Int64)', {"a": "2024-07-01", "b": 1}, {"a": dt.date(2024, 7, 1), "b": 1}),
        ('Struct("a": List(Time))', {"a": ["12:00:00"]}, {"a": [dt.time(12)]}),
    ],
)
def test_values_have_the_types_of_their_columns(server, kind, said, value):
    answer = asked(server, reply(kind, [said, None]), entities=2)
    given = answer.to_dict()["x"]
    assert given == [value, None]
    assert type(given[0]) is type(value)
    assert getattr(given[0], "tzinfo", None) == getattr(value, "tzinfo", None)
    frame = answer.to_polars()
    assert frame["x"].to_list() == [value, None]
    assert frame.schema == {"k": pl.Int64(), "x": tiffin.schema.dtypes.decode(kind)}
    assert answer.rows() == [{"k": 0, "x": value}, {"k": 1, "x": None}]


def test_words_for_floats_are_floats_among_numbers(server):
    given = asked(server, reply("Float64", [1.0, "NaN", None, "-Infinity"]), entities=4).to_dict()["x"]
    assert math.isnan(given[1])
    assert [given[0], *given[2:]] == [1.0, None, -math.inf]


def test_an_entity_that_its_column_cannot_hold_is_null_in_a_frame(server):
    said = reply("Int64", [None], rows=[{"k": "seven", "x": None}], statuses={"x": ["NOT_FOUND"]})
    answer = asked(server, said)
    assert answer.to_dict() == {"k": ["seven"], "x": [None]}
    assert answer.to_polars().to_dict(as_series=False) == {"k": [None], "x": [None]}


def test_a_value_that_its_column_cannot_hold_is_not_passed_over(server):
    with pytest.raises(errors.StorageError, match="not what was expected"):
        asked(server, reply("Int64", ["seven"])).to_polars()


def test_what_stands_behind_the_values_is_told(server):
    answer = asked(
        server,
        reply("Int64", [1, None], statuses={"x": ["PRESENT", "NOT_FOUND"]}, timestamps={"x": [SAID, None]}),
        entities=2,
    )
    at = dt.datetime(2024, 7, 1, 10, 0, 0, 250_000, dt.UTC)
    assert answer.statuses == {"x": ["PRESENT", "NOT_FOUND"]}
    assert answer.timestamps == {"x": [at, None]}
    assert answer.versions == {"g/t": 3}
    assert len(answer) == 2
    told = answer.to_dict(include_event_timestamps=True, include_statuses=True)
    assert told["x__ts"] == [int(at.timestamp()), None]
    assert told["x__status"] == ["PRESENT", "NOT_FOUND"]


def test_origins_are_those_of_the_frame(server):
    for origins, dtype in (({}, "int64"), ({"x": "pandas:Int64"}, "Int64")):
        assert str(asked(server, reply("Int64", [1], origins=origins)).to_pandas()["x"].dtype) == dtype


def test_parts_are_one_answer(server):
    """More entities than a server takes at once are asked for in parts, which may meet different versions."""
    many = 10_001
    answer = asked(
        server,
        reply("Date", ["2024-07-01"] * (many - 1)),
        reply("Date", ["2024-07-02"], versions={"g/t": 4, "g/u": 0}, timestamps={"x": [None]}),
        entities=many,
    )
    assert [len(json.loads(one.body)["entity_rows"]["k"]) for one in server.asked] == [many - 1, 1]
    assert json.loads(server.asked[1].body)["entity_rows"]["k"] == [many - 1]
    assert answer.to_dict()["x"][-2:] == [dt.date(2024, 7, 1), dt.date(2024, 7, 2)]
    assert answer.versions == {"g/t": 4, "g/u": 0}
    assert answer.timestamps["x"][-1] is None
    assert (len(answer), len(answer.statuses["x"]), answer.to_polars().height) == (many, many, many)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": {}},
        {"statuses": {"x": ["MAYBE"]}},
        {"timestamps": {"x": ["yesterday"]}},
        {"dtypes": {"k": 1}},
        {"versions": {"g/t": "three"}},
    ],
)
def test_what_is_no_answer_to_an_online_read_is_told(server, wrong):
    with pytest.raises(errors.StorageError, match="not what was expected"):
        asked(server, reply("Int64", [1], **wrong))
