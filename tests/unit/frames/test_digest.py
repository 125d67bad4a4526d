"""The digests are what their definition says, and depend on nothing but names, dtypes and values."""

import json
import math
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
import xxhash

from tiffin.frames.digest import column_digests, frame_digest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def sizes(values) -> bytes:
    return b"".join(struct.pack("<Q", len(value)) for value in values)


def texts(values) -> bytes:
    encoded = [value if isinstance(value, bytes) else str(value).encode() for value in values]
    return sizes(encoded) + b"".join(encoded)


def numbers(code: str):
    return lambda values: b"".join(struct.pack("<" + code, value) for value in values)


def micros(values) -> bytes:
    return numbers("q")([(value - EPOCH) // MICROSECOND for value in values])


def column(dtype: str, values: list, encode) -> bytes:
    """One column by the definition in the module's docstring, in plain Python."""
    nulls = sum(value is None for value in values)
    data = json.dumps([dtype, len(values), nulls], separators=(",", ":"), ensure_ascii=False).encode()
    if nulls:
        flags = [value is not None for value in values] + [False] * (-len(values) % 8)
        data += bytes(
            sum(flag << place for place, flag in enumerate(flags[begin : begin + 8]))
            for begin in range(0, len(flags), 8)
        )
    return data + encode([value for value in values if value is not None])


def lists(dtype: str, encode):
    return lambda values: sizes(values) + column(dtype, [item for value in values for item in value], encode)


def fields(dtypes: dict):
    return lambda values: b"".join(
        column(dtype, [value[name] for value in values], encode) for name, (dtype, encode) in dtypes.items()
    )


AT = datetime(2024, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
CASES = [
    ("Int8", pl.Int8, [1, None, -128], numbers("b")),
    ("Int64", pl.Int64, list(range(20)), numbers("q")),
    ("UInt64", pl.UInt64, [2**64 - 1, None] * 5, numbers("Q")),
    ("Float32", pl.Float32, [1.5, None, -0.0], numbers("f")),
    ("Float64", pl.Float64, [1.5, None, math.inf], numbers("d")),
    ("Boolean", pl.Boolean, [True, None, False], numbers("?")),
    ("String", pl.String, ["é", None, "", "a long text that does not fit into a view"], texts),
    ("Binary", pl.Binary, [b"\0x", None, b""], texts),
    ("Categorical", pl.Categorical, ["b", None, "a", "b"], texts),
    ('Enum(["b","a"])', pl.Enum(["b", "a"]), ["b", None, "a"], texts),
    ("Decimal(9, 2)", pl.Decimal(9, 2), [Decimal("1.50"), None, Decimal("-2.00")], texts),
    ("Int128", pl.Int128, [2**100, None, -1], texts),
    ("Date", pl.Date, [date(1970, 1, 3), None], lambda values: numbers("i")([2])),
    ("Datetime(us, Asia/Seoul)", pl.Datetime("us", "Asia/Seoul"), [AT, None], micros),
    ("Duration(us)", pl.Duration("us"), [timedelta(1), None], lambda values: numbers("q")([86_400_000_000])),
    ("Time", pl.Time, [time(0, 0, 1), None], lambda values: numbers("q")([1_000_000_000])),
    ("Null", pl.Null, [None, None], lambda values: b""),
    ("List(Int64)", pl.List(pl.Int64), [[1, None], None, []], lists("Int64", numbers("q"))),
    ("Array(Int64, 2)", pl.Array(pl.Int64, 2), [[1, None], None, [3, 4]], lists("Int64", numbers("q"))),
    (
        'Struct("x": Float64, "y": String)',
        pl.Struct({"x": pl.Float64, "y": pl.String}),
        [{"x": 1.5, "y": None}, None, {"x": None, "y": "é"}],
        fields({"x": ("Float64", numbers("d")), "y": ("String", texts)}),
    ),
]


@pytest.mark.parametrize(("dtype", "polars", "values", "encode"), CASES, ids=lambda case: str(case)[:20])
def test_a_column_is_digested_as_the_definition_says(dtype, polars, values, encode):
    series = pl.Series("x", values, dtype=polars)
    expected = xxhash.xxh3_128_hexdigest(column(dtype, values, encode))
    assert column_digests(series.to_frame()) == {"x": expected}


@pytest.mark.parametrize(("polars", "values"), [case[1:3] for case in CASES], ids=lambda case: str(case)[:20])
def test_chunks_offsets_and_what_lies_under_nulls_do_not_matter(polars, values):
    series = pl.Series("x", values, dtype=polars)
    expected = column_digests(series.to_frame())
    chunked = pl.concat([series[:1], series[1:]], rechunk=False)
    inside = pl.concat([series, series, series], rechunk=True)[len(values) : 2 * len(values)]
    assert column_digests(chunked.to_frame()) == column_digests(inside.to_frame()) == expected


def test_values_under_nulls_do_not_matter():
    hidden = pl.DataFrame({"x": [1, 2, 3]}).with_columns(pl.when(pl.col("x") != 2).then("x"))
    assert column_digests(hidden) == column_digests(pl.DataFrame({"x": [1, None, 3]}))


@pytest.mark.parametrize(
    "other",
    [
        pl.Series("x", [1, 2, 4]),
        pl.Series("x", [2, 1, 3]),
        pl.Series("x", [1, 2, None]),
        pl.Series("x", [1, 2, 3], dtype=pl.Int32),
        pl.Series("x", [1, 2]),
    ],
)
def test_another_value_order_dtype_or_length_gives_another_digest(other):
    assert column_digests(other.to_frame()) != column_digests(pl.DataFrame({"x": [1, 2, 3]}))


def test_texts_and_nulls_cannot_be_shifted_into_one_another():
    frames = [["ab", "c"], ["a", "bc"], ["abc", None], [None, "abc"], ["abc", ""]]
    assert len({column_digests(pl.DataFrame({"x": values}))["x"] for values in frames}) == len(frames)


def test_a_frame_is_digested_by_names_and_digests_in_order():
    digests = column_digests(pl.DataFrame({"é": [1], "b": [2]}))
    text = json.dumps([["é", digests["é"]], ["b", digests["b"]]], separators=(",", ":"), ensure_ascii=False)
    assert frame_digest(digests.items()) == xxhash.xxh3_128_hexdigest(text.encode())
    assert frame_digest(digests.items()) != frame_digest(reversed(digests.items()))
