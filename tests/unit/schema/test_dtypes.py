"""Dtypes as text, as Delta types, and as stored columns."""

from __future__ import annotations

import datetime as dt
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, create_table_with_add_actions
from polars.testing import assert_frame_equal

from tiffin.errors import CorruptData, InvalidInputError, SchemaMismatch
from tiffin.schema import dtypes

UTC = dt.UTC

TEXTS: list[tuple[Any, str]] = [
    (pl.Int8(), "Int8"),
    (pl.UInt64(), "UInt64"),
    (pl.Int128(), "Int128"),
    (pl.Float16(), "Float16"),
    (pl.Null(), "Null"),
    (pl.Datetime("us"), "Datetime(us)"),
    (pl.Datetime("ns", "Asia/Seoul"), "Datetime(ns, Asia/Seoul)"),
    (pl.Duration("ms"), "Duration(ms)"),
    (pl.Decimal(10, 2), "Decimal(10, 2)"),
    (pl.Categorical(), "Categorical"),
    (pl.Categorical(pl.Categories("fruit", "shop", pl.UInt8)), 'Categorical(["fruit","shop","UInt8"])'),
    (pl.Enum(['a)"', "밥", ""]), 'Enum(["a)\\"","밥",""])'),
    (pl.Enum([]), "Enum([])"),
    (pl.List(pl.List(pl.Int8)), "List(List(Int8))"),
    (pl.Array(pl.UInt8, (2, 3)), "Array(Array(UInt8, 3), 2)"),
    (pl.Map(pl.String, pl.Time), "Map(String, Time)"),
    (pl.Struct({"a, b": pl.Int8, 'c"': pl.List(pl.Date)}), 'Struct("a, b": Int8, "c\\"": List(Date))'),
]


@pytest.mark.parametrize(("dtype", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_a_dtype_is_written_as_text_and_read_again(dtype: pl.DataType, text: str) -> None:
    assert dtypes.encode(dtype) == text
    assert dtypes.decode(text) == dtype


@pytest.mark.parametrize(
    "text",
    [
        "", "Int65", "Int8 ", "Int8\n", "int8", "List(Int8", "List(Int8))", "List()", "Enum(3)", "Enum([1])", "Enum([",
        "Datetime(s)", "Datetime", "Object", "Struct()", "Struct({})", 'Struct("a": Int8,)', "Categorical([1])",
        "Decimal(x, 1)", "Array(Int8)", "Map(Int8)", "__import__('os')", "List(" * 100_000, "Enum(" + "[" * 100_000,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_text_that_is_no_dtype_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptData, match="not a column type"):
        dtypes.decode(text)


DELTA: list[tuple[Any, Any]] = [
    (pl.String(), "string"),
    (pl.Int64(), "long"),
    (pl.Int32(), "integer"),
    (pl.Int16(), "short"),
    (pl.Int8(), "byte"),
    (pl.UInt8(), "short"),
    (pl.UInt16(), "integer"),
    (pl.UInt32(), "long"),
    (pl.UInt64(), "decimal(20,0)"),
    (pl.Int128(), "decimal(38,0)"),
    (pl.Float32(), "float"),
    (pl.Float64(), "double"),
    (pl.Boolean(), "boolean"),
    (pl.Binary(), "binary"),
    (pl.Date(), "date"),
    (pl.Datetime("ms"), "timestamp"),
    (pl.Time(), "long"),
    (pl.Enum(["a"]), "string"),
    (pl.Decimal(5, 2), "decimal(5,2)"),
    (pl.Array(pl.Int8, 2), {"type": "array", "elementType": "byte", "containsNull": True}),
    (
        pl.Map(pl.String, pl.UInt8),
        {"type": "map", "keyType": "string", "valueType": "short", "valueContainsNull": True},
    ),
    (
        pl.Struct({"a": pl.Time}),
        {"type": "struct", "fields": [{"name": "a", "type": "long", "nullable": True, "metadata": {}}]},
    ),
]


@pytest.mark.parametrize(("dtype", "delta"), DELTA, ids=[str(dtype) for dtype, _ in DELTA])
def test_delta_type(dtype: pl.DataType, delta: Any) -> None:
    assert dtypes.delta_type(dtype) == delta
    assert dtypes.from_delta(delta) == dtypes.stored_dtype(dtype)


def test_delta_types_that_only_other_programs_write() -> None:
    assert dtypes.from_delta("timestamp_ntz") == pl.Datetime("us")
    assert dtypes.from_delta("void") == pl.Null()
    assert dtypes.from_delta("decimal(10, 2)") == pl.Decimal(10, 2)
    with pytest.raises(InvalidInputError, match="variant"):
        dtypes.from_delta("variant")


def every_stored_type() -> pl.DataFrame:
    moment = dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    return pl.DataFrame(
        {
            "bytes": pl.Series([b"", b"\x00", None]),
            "text": ["", "a\x00🍱", None],
            "flag": [True, False, None],
            "float": pl.Series([float("nan"), -0.0, None], dtype=pl.Float32),
            "double": [float("nan"), float("-inf"), None],
            "day": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
            "moment": pl.Series([moment, dt.datetime(1, 1, 1, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC")),
            "naive": pl.Series([dt.datetime(2020, 1, 1), None, None], dtype=pl.Datetime("ms")),
            "u64": pl.Series([2**64 - 1, 0, None], dtype=pl.UInt64),
            "i128": pl.Series([10**38 - 1, 1 - 10**38, None], dtype=pl.Int128),
            "money": pl.Series([Decimal("1.25"), Decimal("-0.01"), None], dtype=pl.Decimal(18, 2)),
            "u8": pl.Series([255, 0, None], dtype=pl.UInt8),
            "half": pl.Series([1.5, -0.0, None], dtype=pl.Float16),
            "array": pl.Series([[1, None], [2, 3], None], dtype=pl.Array(pl.Int64, 2)),
            "list": [[], [None, "x"], None],
            "struct": pl.Series(
                [{"a": 1, "b": [None]}, {"a": None, "b": [1.5]}, None],
                dtype=pl.Struct({"a": pl.Int64, "b": pl.List(pl.Float64)}),
            ),
            "map": pl.Series([{"k": 1}, {}, None], dtype=pl.Map(pl.String, pl.Int64)),
        }
    )


def test_other_libraries_read_the_stored_values(tmp_path: Path) -> None:
    frame = every_stored_type()
    stored = dtypes.to_stored(frame)
    stored.write_parquet(tmp_path / "part.parquet")
    fields = [
        {"name": name, "type": dtypes.delta_type(dtype), "nullable": True, "metadata": {}}
        for name, dtype in frame.schema.items()
    ]
    size = (tmp_path / "part.parquet").stat().st_size
    create_table_with_add_actions(
        str(tmp_path),
        Schema.from_json(json.dumps({"type": "struct", "fields": fields})),
        [AddAction("part.parquet", size, {}, 0, True, "{}")],
    )
    read = pl.DataFrame(DeltaTable(str(tmp_path)).to_pyarrow_dataset().to_table())
    assert_frame_equal(read, stored, check_exact=True)


def test_stored_columns_cost_nothing() -> None:
    frame = pl.DataFrame({f"f{column}": np.zeros(1_000_000) for column in range(12)})
    schema = dict(frame.schema)
    assert dtypes.to_stored(frame) is frame
    assert dtypes.from_stored(frame, schema) is frame
    best = min(_seconds(lambda: dtypes.from_stored(dtypes.to_stored(frame), schema)) for _ in range(20))
    assert best < 0.001


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


LOST: list[tuple[str, pl.Series, int]] = [
    ("nanoseconds", pl.Series("x", [0, None, 1]).cast(pl.Datetime("ns")), 2),
    ("nanoseconds before 1970", pl.Series("x", [0, -1]).cast(pl.Datetime("ns", "UTC")), 1),
    ("nanoseconds in a list", pl.Series("x", [[0], None, [0, 1]]).cast(pl.List(pl.Datetime("ns"))), 2),
    ("nanoseconds in a struct", pl.Series("x", [{"a": 0}, {"a": 1}]).cast(pl.Struct({"a": pl.Datetime("ns")})), 1),
    ("milliseconds too far", pl.Series("x", [0, 2**62]).cast(pl.Datetime("ms")), 1),
    ("39 digits", pl.Series("x", [0, 10**38], dtype=pl.Int128), 1),
    ("39 digits, negative", pl.Series("x", [-(10**38)], dtype=pl.Int128), 0),
    ("39 digits, unsigned", pl.Series("x", [10**38], dtype=pl.UInt128), 0),
]


@pytest.mark.parametrize(("series", "row"), [case[1:] for case in LOST], ids=[case[0] for case in LOST])
def test_a_value_that_would_not_come_back_is_refused(series: pl.Series, row: int) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x'.*row {row} ") as caught:
        dtypes.to_stored(series.to_frame())
    assert caught.value.context == {"column": "x", "row": row}


def test_types_that_cannot_be_stored_are_refused_by_name() -> None:
    deep: Any = pl.Int8
    for _ in range(20):
        deep = pl.List(deep)
    for dtype in (deep, pl.List(pl.Struct({})), pl.Object(), pl.Enum(map(str, range(dtypes.MAX_CATEGORIES + 1)))):
        with pytest.raises(InvalidInputError, match="column 'x'"):
            dtypes.to_stored(pl.DataFrame(schema={"x": dtype}))


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [
        (pl.Series("x", [300], dtype=pl.Int16), pl.UInt8()),
        (pl.Series("x", [-1], dtype=pl.Int64), pl.UInt64()),
        (pl.Series("x", ["c"]), pl.Enum(["a"])),
        (pl.Series("x", [[1]]), pl.Array(pl.Int64, 2)),
        (pl.Series("x", ["a"]), pl.Int64()),
    ],
    ids=["too large", "negative", "no such category", "wrong width", "text"],
)
def test_values_that_another_program_wrote_are_refused_where_they_do_not_fit(stored: pl.Series, dtype: Any) -> None:
    with pytest.raises(SchemaMismatch, match="column 'x'"):
        dtypes.from_stored(stored.to_frame(), {"x": dtype})


@pytest.mark.parametrize("inner", [pl.List(pl.Int64), pl.Array(pl.Int64, 2)], ids=str)
def test_null_arrays_that_hide_values_come_back(inner: Any) -> None:
    full = pl.Series("x", [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype=pl.Array(inner, 2))
    frame = pl.select(x=pl.when(pl.Series([False, True])).then(full))
    stored = dtypes.to_stored(frame)
    assert_frame_equal(dtypes.from_stored(stored, dict(frame.schema)), frame)


def test_a_value_inside_a_list_that_does_not_fit_is_refused() -> None:
    stored = pl.Series("x", [[1], [300]], dtype=pl.List(pl.Int16))
    with pytest.raises(SchemaMismatch, match="column 'x'"):
        dtypes.from_stored(stored.to_frame(), {"x": pl.List(pl.UInt8)})


def test_columns_without_a_remembered_dtype_stay_as_they_are() -> None:
    frame = pl.DataFrame({"a": [1], "b": [1]})
    assert dtypes.from_stored(frame, {"a": pl.UInt8(), "gone": pl.Int8()}).dtypes == [pl.UInt8, pl.Int64]
