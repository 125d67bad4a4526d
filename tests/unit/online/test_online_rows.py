"""The row codec."""

from __future__ import annotations

import datetime as dt
import math
import random
import struct
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import IndexDamaged
from tiffin.online.rows import CHUNK_ROWS, RowCodec
from unit.frames.dtype_cases import POLARS

SECOND = 1_000_000
FLOATS = {f"f{number}": pl.Float64() for number in range(3)}


def keys_of(count: int) -> list[bytes]:
    return [struct.pack(">Q", number) for number in range(count)]


def same(found: Any, expected: Any) -> bool:
    """Equal, of one type, and NaN like NaN, zero unlike minus zero."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, float):
        return struct.pack("d", found) == struct.pack("d", expected) or (math.isnan(found) and math.isnan(expected))
    if isinstance(found, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, dict):
        return list(found) == list(expected) and all(map(same, found.values(), expected.values()))
    return found == expected


def unpacked(codec: RowCodec, frame: pl.DataFrame) -> list[Any]:
    keys = keys_of(frame.height)
    packed = codec.pack_frame(keys, None, frame)
    rows = codec.unpack_many(keys, packed)
    assert all(same(codec.unpack(key, row), found) for key, row, found in zip(keys, packed, rows, strict=True))
    return rows


SAVED = [case for case in POLARS if case.outcome != "refused" and isinstance(case.values, pl.Series)]


class TestEveryDtype:
    @pytest.mark.parametrize("case", SAVED, ids=lambda case: case.name)
    def test_a_value_comes_back_as_polars_gives_it(self, case):
        column = case.values.rename("x")
        codec = RowCodec({"x": column.dtype})
        expected = [[None, *row] for row in column.to_frame().rows()]
        assert same(unpacked(codec, column.to_frame()), expected)
        assert same([codec.unpack(b"key", codec.pack(b"key", [row])) for row in expected], expected)
        assert same([codec.unpack(b"key", codec.pack(b"key", [row])) for row in expected], expected), "pack changed it"

    def test_all_at_once(self):
        height = max(len(case.values) for case in SAVED)
        frame = pl.DataFrame(
            [case.values.gather([n % len(case.values) for n in range(height)]).rename(case.name) for case in SAVED]
        )
        codec = RowCodec(frame.schema)
        assert set(codec.order) == set(frame.columns)
        expected = [[None, *row] for row in frame.select(codec.order).rows()]
        assert same(unpacked(codec, frame), expected)


class TestNulls:
    @given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.02, 0.3, 0.9]))
    def test_may_lie_anywhere(self, seed: int, width: int, share: float):
        chance = random.Random(seed)
        kinds = [
            (pl.Float64(), 0.5),
            (pl.Int8(), -3),
            (pl.Boolean(), True),
            (pl.String(), "text"),
            (pl.Date(), dt.date.max),
        ]
        columns = []
        for number in range(width):
            dtype, value = chance.choice(kinds)
            values = [None if chance.random() < share else value for _ in range(30)]
            columns.append(pl.Series(f"c{number}", values, dtype=dtype))
        frame = pl.DataFrame(columns)
        codec = RowCodec(frame.schema)
        assert same(unpacked(codec, frame), [[None, *row] for row in frame.select(codec.order).rows()])

    def test_many_chunks_keep_their_order(self):
        count = 2 * CHUNK_ROWS + 7
        frame = pl.DataFrame({"a": range(count), "b": [None if n % 3 else n / 2 for n in range(count)]})
        assert unpacked(RowCodec(frame.schema), frame) == [[None, *row] for row in frame.rows()]

    def test_there_may_be_no_rows_and_no_features(self):
        assert RowCodec(FLOATS).pack_frame([], None, pl.DataFrame(schema=FLOATS)) == []
        assert unpacked(RowCodec({}), pl.DataFrame(height=2)) == [[None], [None]]


class TestOrder:
    def test_values_of_fixed_size_come_first(self):
        dtypes = {"a": pl.String(), "b": pl.Float64(), "c": pl.List(pl.Int8()), "d": pl.Date()}
        assert RowCodec(dtypes).order == ("b", "d", "a", "c")

    def test_another_order_is_kept(self):
        frame = pl.DataFrame({"a": ["x", None], "b": [1.5, 2.5], "c": ["y", "z"], "d": [1, None]})
        codec = RowCodec(frame.schema, ["a", "b", "c", "d"])
        assert codec.order == ("a", "b", "c", "d")
        assert unpacked(codec, frame) == [[None, "x", 1.5, "y", 1], [None, None, 2.5, "z", None]]

    def test_features_that_came_later_are_null(self):
        old, new = RowCodec({"a": pl.Int64()}), RowCodec({"a": pl.Int64(), "b": pl.Date()})
        row = old.pack(b"key", [[5, 1]])
        assert new.unpack(b"key", row) == [5, 1, None]
        assert new.unpack_many([b"key"], [row]) == [[5, 1, None]]
        assert new.chain(b"key", row) == [[5, 1, None]]


class TestTimes:
    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            (
                pl.Series([dt.datetime(1970, 1, 1, 0, 0, 1), None, dt.datetime(1969, 12, 31)]),
                [SECOND, None, -86_400 * SECOND],
            ),
            (pl.Series([dt.date(1970, 1, 2)]), [86_400 * SECOND]),
            (pl.Series([5]).cast(pl.Datetime("ms")), [5000]),
            (pl.Series([5000]).cast(pl.Datetime("ns", "Asia/Seoul")), [5]),
        ],
        ids=["us", "date", "ms", "ns in Seoul"],
    )
    def test_are_microseconds(self, times: pl.Series, expected: list[int | None]):
        codec, keys = RowCodec({"a": pl.Int64()}), keys_of(len(times))
        packed = codec.pack_frame(keys, times, pl.DataFrame({"a": range(len(times))}))
        assert [row[0] for row in codec.unpack_many(keys, packed)] == expected

    def test_a_row_is_there_from_its_time_on(self):
        codec = RowCodec(FLOATS)
        row = codec.pack(b"key", [[10, 1.0, 2.0, 3.0]])
        assert codec.unpack(b"key", row, 9) is None
        assert codec.unpack(b"key", row, 10) == [10, 1.0, 2.0, 3.0]
        assert codec.unpack_many([b"key", b"other"], [row, None], 9) == [None, None]

    def test_rows_that_are_still_to_come_wait_before_the_one_that_is_true(self):
        codec = RowCodec({"day": pl.Date(), "n": pl.Int64()})
        rows = [[20, dt.date(2024, 3, 1), 3], [10, None, 2], [5, dt.date(2024, 1, 1), 1]]
        packed = codec.pack(b"key", rows)
        assert codec.chain(b"key", packed) == rows
        assert codec.unpack(b"key", packed) == rows[0]
        for at, expected in ((4, None), (5, rows[2]), (9, rows[2]), (10, rows[1]), (19, rows[1]), (20, rows[0])):
            assert codec.unpack(b"key", packed, at) == expected
            assert codec.unpack_many([b"key"], [packed], at) == [expected]

    def test_any_number_of_them_may_wait(self):
        codec = RowCodec({"n": pl.Int64()})
        rows = [[time, time] for time in range(5000, 0, -1)]
        packed = codec.pack(b"key", rows)
        assert codec.chain(b"key", packed) == rows
        assert codec.unpack(b"key", packed, 7) == [7, 7]

    def test_before_them_may_be_a_row_without_a_time(self):
        codec = RowCodec({"n": pl.Int64()})
        packed = codec.pack(b"key", [[10, 2], [None, 1]])
        assert codec.unpack(b"key", packed, 9) == [None, 1]
        assert codec.unpack(b"key", packed, 10) == [10, 2]


class TestDamage:
    def test_any_flipped_bit_is_noticed(self):
        codec = RowCodec(FLOATS)
        row = codec.pack(b"key", [[10, 1.0, None, 3.0]])
        for place in range(8 * len(row)):
            damaged = bytearray(row)
            damaged[place // 8] ^= 1 << place % 8
            for read in (codec.unpack, codec.chain, lambda key, found: codec.unpack_many([key], [found])):
                with pytest.raises(IndexDamaged, match="6b6579"):
                    read(b"key", bytes(damaged))

    @pytest.mark.parametrize("row", [b"", b"abc", b"\0" * 50])
    def test_so_are_other_bytes(self, row: bytes):
        with pytest.raises(IndexDamaged):
            RowCodec(FLOATS).unpack(b"key", row)

    def test_so_is_the_row_of_another_entity(self):
        codec = RowCodec(FLOATS)
        row = codec.pack(b"key", [[10, 1.0, None, 3.0]])
        with pytest.raises(IndexDamaged):
            codec.unpack(b"kex", row)


class TestTheForm:
    def test_it_is_msgpack_behind_four_bytes(self):
        frame = pl.DataFrame({"a": [1], "b": [2.5], "c": ["text"], "d": [True], "e": [None]})
        [row] = RowCodec(frame.schema).pack_frame([b"key"], pl.Series([dt.datetime(1970, 1, 1)]), frame)
        assert msgspec.msgpack.decode(row[4:]) == [0, 1, 2.5, True, "text", None]

    def test_ten_floats_take_little_more_than_themselves(self):
        frame = pl.DataFrame({f"f{number}": [0.5] for number in range(10)})
        [row] = RowCodec(frame.schema).pack_frame([b"key"], pl.Series([dt.datetime(2024, 1, 1)]), frame)
        assert len(row) == 4 + 1 + 9 + 90
