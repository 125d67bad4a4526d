"""Entities as keys."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiffin.errors import IndexDamaged, InvalidInputError, SchemaMismatch
from tiffin.online.base import MAX_KEY_BYTES
from tiffin.online.keys import KeyCodec

SEOUL = ZoneInfo("Asia/Seoul")
INSTANTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
DURATIONS = st.timedeltas(dt.timedelta(-100_000_000), dt.timedelta(100_000_000))


def whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


VALUES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    *[(getattr(pl, f"Int{bits}")(), whole(bits, signed=True)) for bits in (8, 16, 32, 64, 128)],
    *[(getattr(pl, f"UInt{bits}")(), whole(bits, signed=False)) for bits in (8, 16, 32, 64, 128)],
    (pl.Boolean(), st.booleans()),
    (pl.String(), st.text(max_size=5)),
    (pl.Binary(), st.binary(max_size=5)),
    (pl.Date(), st.dates()),
    (pl.Time(), st.times()),
    (pl.Datetime("us"), INSTANTS),
    (pl.Datetime("us", "UTC"), INSTANTS.map(lambda time: time.replace(tzinfo=dt.UTC))),
    (pl.Datetime("us", "Asia/Seoul"), INSTANTS.map(lambda time: time.replace(tzinfo=dt.UTC).astimezone(SEOUL))),
    (pl.Duration("us"), DURATIONS),
    (pl.Duration("ms"), DURATIONS.map(lambda span: dt.timedelta(seconds=span.days))),
    (pl.Decimal(20, 3), st.integers(-(10**20) + 1, 10**20 - 1).map(lambda units: Decimal(units).scaleb(-3))),
]
DTYPES = st.sampled_from(VALUES)


@st.composite
def entities(draw: st.DrawFn) -> tuple[dict[str, pl.DataType], list[tuple[Any, ...]]]:
    """Dtypes of one to three entity columns, and some entities."""
    kinds = draw(st.lists(DTYPES, min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(*[values for _, values in kinds]), min_size=1, max_size=20))
    return {f"c{number}": dtype for number, (dtype, _) in enumerate(kinds)}, rows


TWO_TEXTS = {"a": pl.String(), "b": pl.String()}


class TestAllDtypes:
    @given(entities())
    @example((TWO_TEXTS, [("a", "\0b"), ("a\0", "b"), ("a\0b", ""), ("", "a\0b"), ("\0", ""), ("", "\0"), ("", "")]))
    @example(({"a": pl.String()}, [("",), ("\0",), ("\0\0",), ("a",), ("\1",)]))
    @example(({"a": pl.Binary(), "b": pl.Binary()}, [(b"\0\1", b""), (b"\0", b"\1"), (b"", b"\0\1"), (b"\0\2", b"")]))
    def test_a_key_is_of_one_entity_sorts_like_it_and_tells_it(self, case):
        dtypes, rows = case
        codec = KeyCodec(dtypes)
        frame = pl.DataFrame(rows, schema=dtypes, orient="row")
        rows = frame.rows()
        keys = codec.encode_frame(frame).to_list()
        assert keys == [codec.encode_one(row) for row in rows]
        assert [codec.decode(key) for key in keys] == rows
        assert [row for _, row in sorted(zip(keys, rows, strict=True))] == sorted(rows)
        assert all(0 < len(key) < MAX_KEY_BYTES for key in keys)

    @pytest.mark.parametrize("dtype", [dtype for dtype, _ in VALUES], ids=str)
    def test_a_missing_value_has_no_key(self, dtype: pl.DataType):
        for dtypes in ({"a": dtype}, {"a": pl.Int64(), "b": dtype}, {"b": dtype, "c": pl.Int64()}):
            codec = KeyCodec(dtypes)
            others = [1 if name != "b" and len(dtypes) > 1 else None for name in dtypes]
            assert codec.encode_one(others) is None
            assert codec.encode_frame(pl.DataFrame([others], schema=dtypes, orient="row")).to_list() == [None]

    @pytest.mark.parametrize(
        "dtype", [pl.Float64(), pl.Float32(), pl.List(pl.Int64()), pl.Struct({"a": pl.Int8()}), pl.Null()], ids=str
    )
    def test_what_cannot_be_a_key_is_refused(self, dtype: pl.DataType):
        with pytest.raises(SchemaMismatch, match="'a'"):
            KeyCodec({"a": dtype})

    @pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["b", "a"])], ids=str)
    def test_categories_are_texts(self, dtype: pl.DataType):
        codec, texts = KeyCodec({"a": dtype}), KeyCodec({"a": pl.String()})
        frame = pl.DataFrame({"a": ["a", None, "b"]}, schema={"a": dtype})
        assert codec.encode_frame(frame).to_list() == texts.encode_frame(frame.cast(pl.String)).to_list()
        assert codec.decode(codec.encode_one(("b",))) == ("b",)


def key_of(dtype: pl.DataType, value: Any) -> bytes | None:
    return KeyCodec({"a": dtype}).encode_one((value,))


class TestValues:
    @pytest.mark.parametrize(
        ("dtype", "value", "same"),
        [
            (pl.Int64(), np.int64(7), 7),
            (pl.Int64(), np.uint8(7), 7),
            (pl.Boolean(), np.bool_(True), True),
            (pl.String(), np.str_("a"), "a"),
            (pl.Binary(), np.bytes_(b"a"), b"a"),
            (pl.Date(), np.datetime64("2024-02-29"), dt.date(2024, 2, 29)),
            (pl.Datetime("us"), np.datetime64("2024-02-29T01:02:03.000004"), dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
            (pl.Datetime("us"), np.datetime64("2024-02-29T01:02:03.000004000"), dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
            (pl.Datetime("us"), pd.Timestamp(2024, 2, 29), dt.datetime(2024, 2, 29)),
            (pl.Datetime("us"), dt.datetime(2024, 2, 29, tzinfo=dt.UTC), dt.datetime(2024, 2, 29)),
            (pl.Datetime("us"), dt.datetime(2024, 2, 29, 9, tzinfo=SEOUL), dt.datetime(2024, 2, 29)),
            (pl.Duration("us"), np.timedelta64(5, "s"), dt.timedelta(seconds=5)),
            (pl.Duration("ms"), pd.Timedelta(seconds=5), dt.timedelta(seconds=5)),
            (pl.Decimal(10, 2), 3, Decimal("3.00")),
            (pl.Decimal(10, 2), Decimal("3.1"), Decimal("3.10")),
        ],
        ids=repr,
    )
    def test_the_same_value_in_another_library_has_the_same_key(self, dtype: pl.DataType, value: Any, same: Any):
        assert key_of(dtype, value) == key_of(dtype, same) is not None

    @pytest.mark.parametrize(
        "value", [None, float("nan"), np.float64("nan"), pd.NA, pd.NaT, np.datetime64("NaT")], ids=repr
    )
    def test_a_missing_value_of_any_library_has_no_key(self, value: Any):
        for dtype in (pl.Int64(), pl.String(), pl.Datetime("us")):
            assert key_of(dtype, value) is None

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            (pl.Int8(), 128),
            (pl.Int8(), np.int64(-129)),
            (pl.UInt64(), -1),
            (pl.Int64(), 2**63),
            (pl.Int128(), 2**127),
            (pl.Datetime("us"), pd.Timestamp("2024-02-29 00:00:00.000000001")),
            (pl.Datetime("us"), np.datetime64("2024-02-29T00:00:00.000000001")),
            (pl.Duration("ms"), dt.timedelta(microseconds=1)),
            (pl.Decimal(10, 2), Decimal("3.001")),
            (pl.Decimal(10, 2), 10**40),
            (pl.Decimal(10, 2), Decimal("NaN")),
            (pl.Decimal(10, 2), Decimal("100000000.00")),
            (pl.String(), "\ud800"),
            (pl.Datetime("us"), np.datetime64(2**62, "s")),
            (pl.Datetime("us"), dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))),
        ],
        ids=repr,
    )
    def test_what_the_column_cannot_hold_has_no_key(self, dtype: pl.DataType, value: Any):
        assert key_of(dtype, value) is None
        assert KeyCodec({"a": dtype, "b": pl.Int8()}).encode_one((value, 1)) is None

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            (pl.Int64(), "7"),
            (pl.Int64(), 7.0),
            (pl.Int64(), True),
            (pl.Int64(), np.bool_(True)),
            (pl.Int64(), np.float32(7)),
            (pl.Boolean(), 1),
            (pl.String(), 7),
            (pl.String(), b"a"),
            (pl.Binary(), "a"),
            (pl.Date(), dt.datetime(2024, 2, 29)),
            (pl.Date(), "2024-02-29"),
            (pl.Datetime("us"), dt.date(2024, 2, 29)),
            (pl.Time(), dt.time(1, tzinfo=dt.UTC)),
            (pl.Duration("us"), 7),
            (pl.Decimal(10, 2), 3.5),
            (pl.Int64(), [7]),
            (pl.String(), {"a": 1}),
            (pl.Int64(), np.array([7, 8])),
            (pl.Int64(), np.array([])),
            (pl.Int64(), np.longdouble(7)),
            (pl.Int64(), pl.Series([7, 8])),
            (pl.Int64(), pd.Series([7, 8])),
        ],
        ids=repr,
    )
    def test_a_value_of_another_kind_is_refused_by_name(self, dtype: pl.DataType, value: Any):
        for dtypes, values in (({"user": dtype}, (value,)), ({"x": pl.Int64(), "user": dtype}, (1, value))):
            with pytest.raises(InvalidInputError, match="'user'"):
                KeyCodec(dtypes).encode_one(values)

    @pytest.mark.parametrize("dtypes", [{"a": pl.Int64()}, {"a": pl.String()}, {"a": pl.Int64(), "b": pl.Int64()}])
    def test_the_number_of_values_must_fit(self, dtypes: dict[str, pl.DataType]):
        for values in ((), (1, 2, 3)):
            with pytest.raises(InvalidInputError, match="entity"):
                KeyCodec(dtypes).encode_one(values)

    def test_a_frame_of_other_columns_is_refused(self):
        codec = KeyCodec({"a": pl.Int64()})
        for frame in (pl.DataFrame({"b": [1]}), pl.DataFrame({"a": ["1"]}), pl.DataFrame({"a": [1]}).cast(pl.Int32)):
            with pytest.raises(SchemaMismatch, match="'a'"):
                codec.encode_frame(frame)


class TestLongKeys:
    @pytest.mark.parametrize("dtypes", [{"a": pl.String()}, {"a": pl.Int64(), "b": pl.String()}])
    def test_are_told_apart_and_bounded(self, dtypes: dict[str, pl.DataType]):
        codec = KeyCodec(dtypes)
        texts = ["x" * size for size in (MAX_KEY_BYTES - 20, MAX_KEY_BYTES - 1, MAX_KEY_BYTES, 5000, 5001)]
        texts += ["x" * 5000 + "y", "\0" * (MAX_KEY_BYTES - 1), "é" * 300]
        rows = [(text,) if len(dtypes) == 1 else (1, text) for text in texts]
        keys = [codec.encode_one(row) for row in rows]
        assert len(set(keys)) == len(texts)
        assert codec.encode_frame(pl.DataFrame(rows, schema=dtypes, orient="row")).to_list() == keys
        for row, key in zip(rows, keys, strict=True):
            assert len(key) <= MAX_KEY_BYTES
            assert codec.decode(key) == (None if len(key) == MAX_KEY_BYTES else row)
        assert codec.decode(keys[0]) == rows[0]
        assert codec.decode(keys[3]) is None


class TestBytesThatAreNoKey:
    @pytest.mark.parametrize(
        ("dtype", "key"),
        [
            (pl.Int64(), b"short"),
            (pl.Int64(), b"nine bytes"),
            (pl.String(), b"\xff"),
            (pl.Date(), b"\xff" * 4),
            (pl.Time(), b"\xff" * 8),
            (pl.Datetime("us"), b"\xff" * 8),
        ],
        ids=repr,
    )
    def test_are_known_to_be_damaged(self, dtype: pl.DataType, key: bytes):
        with pytest.raises(IndexDamaged):
            KeyCodec({"a": dtype}).decode(key)
        with pytest.raises(IndexDamaged):
            KeyCodec({"a": pl.String(), "b": dtype}).decode(key)
