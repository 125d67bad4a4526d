"""Every pandas, Polars and Arrow type, and what becomes of it: the table behind docs/dtypes.md.

`kept`: a Delta table holds the type itself. `restored`: a wider type is stored, or the library's own
type is remembered. `refused`: saving says what to do instead.
"""

# ruff: noqa: DTZ901  # datetimes without a zone are among the cases

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

SEOUL = ZoneInfo("Asia/Seoul")
NOW = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)
DAYS = [dt.date(1, 1, 1), None, dt.date(9999, 12, 31), dt.date(1970, 1, 1)]
TIMES = [dt.time(0), None, dt.time(23, 59, 59, 999_999)]
TEXTS = ["", None, "a\x00b", "🍱 도시락", "NaN", "null", " "]
BLOBS = [b"", None, b"\x00\xff", b"a"]
FLOATS = [0.0, -0.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, float("nan"), None]


@dataclass(frozen=True)
class Case:
    """A type as the document names it, values of it, and what becomes of them."""

    name: str
    values: Any
    outcome: str
    says: str = ""


def _polars(dtype: Any, values: list[Any], outcome: str, says: str = "", name: str = "") -> Case:
    return Case(name or str(dtype), pl.Series("x", values, dtype=dtype), outcome, says)


def _int_range(bits: int, *, signed: bool) -> list[int | None]:
    return [-(2 ** (bits - 1)), None, 2 ** (bits - 1) - 1] if signed else [0, None, 2**bits - 1]


POLARS = [
    *[
        _polars(getattr(pl, f"Int{bits}"), _int_range(bits, signed=True), "kept", name=f"Int{bits}")
        for bits in (8, 16, 32, 64)
    ],
    *[
        _polars(getattr(pl, f"UInt{bits}"), _int_range(bits, signed=False), "restored", name=f"UInt{bits}")
        for bits in (8, 16, 32, 64)
    ],
    _polars(pl.Int128, [10**38 - 1, None, 1 - 10**38], "restored", name="Int128"),
    _polars(pl.UInt128, [10**38 - 1, None, 0], "restored", name="UInt128"),
    _polars(pl.Int128, [1, 10**38], "refused", "row 1", name="Int128 beyond 38 digits"),
    _polars(pl.Float16, [1.5, None, float("nan"), float("inf"), -0.0], "restored", name="Float16"),
    _polars(pl.Float32, [1.5, None, float("nan"), float("-inf"), -0.0, 1e-45], "kept", name="Float32"),
    _polars(pl.Float64, FLOATS, "kept", name="Float64"),
    _polars(pl.Decimal(38, 10), [Decimal("1.0000000001"), None, Decimal(-1)], "kept", name="Decimal"),
    _polars(pl.Boolean, [True, None, False], "kept", name="Boolean"),
    _polars(pl.String, TEXTS, "kept", name="String"),
    _polars(pl.Binary, BLOBS, "kept", name="Binary"),
    _polars(pl.Date, DAYS, "kept", name="Date"),
    _polars(pl.Time, TIMES, "restored", name="Time"),
    _polars(pl.Datetime("us", "UTC"), [dt.datetime(1, 1, 1), None, NOW], "kept", name="Datetime(us, UTC)"),
    _polars(pl.Datetime("us"), [dt.datetime(1, 1, 1), None, dt.datetime.max], "restored", name="Datetime(us)"),
    _polars(pl.Datetime("ms"), [dt.datetime(1, 1, 1), None], "restored", name="Datetime(ms)"),
    _polars(pl.Datetime("ns"), [dt.datetime(1970, 1, 1), None, NOW], "restored", name="Datetime(ns)"),
    _polars(pl.Datetime("us", "Asia/Seoul"), [NOW, None], "restored", name="Datetime(us, Asia/Seoul)"),
    Case(
        "Datetime(ns) finer than a microsecond",
        pl.Series("x", [1_000, 1_001], dtype=pl.Int64).cast(pl.Datetime("ns")),
        "refused",
        "row 1.*\n.*microseconds",
    ),
    *[
        _polars(pl.Duration(unit), [dt.timedelta(days=-1), None, dt.timedelta(milliseconds=1)], "restored",
                name=f"Duration({unit})")
        for unit in ("ms", "us", "ns")
    ],
    _polars(pl.Categorical, ["b", None, "a", "b"], "restored", name="Categorical"),
    _polars(pl.Enum(["z", "b", "a"]), ["b", None, "a", "b"], "restored", name="Enum"),
    _polars(pl.Null, [None, None], "restored", name="Null"),
    _polars(pl.List(pl.Int64), [[1, None], [], None], "kept", name="List"),
    _polars(pl.List(pl.Null), [[None], [], None], "restored", name="List(Null)"),
    _polars(pl.Array(pl.Float32, 2), [[1.5, None], None, [float("nan"), -0.0]], "restored", name="Array"),
    _polars(pl.Struct({"a": pl.Int64, "b": pl.String}), [{"a": 1, "b": None}, None, {"a": None, "b": ""}], "kept",
            name="Struct"),
    _polars(pl.Map(pl.String, pl.Int64), [{"a": 1, "b": None}, None, {}], "kept", name="Map"),
    _polars(
        pl.List(pl.Struct({"t": pl.Time, "u": pl.Array(pl.UInt64, 2), "e": pl.Enum(["x"]), "d": pl.Datetime("ns")})),
        [[{"t": dt.time(1), "u": [2**64 - 1, None], "e": "x", "d": dt.datetime(2020, 1, 1)}, None], None, []],
        "restored",
        name="any of these nested",
    ),
    Case("Struct without fields", pl.Series("x", [{}], dtype=pl.Struct({})), "refused", "cannot be stored"),
    Case("Object", pl.Series("x", [object()], dtype=pl.Object), "refused", "cannot be stored"),
]  # fmt: skip


def _pandas(name: str, values: Any, outcome: str, says: str = "") -> Case:
    return Case(name, values if isinstance(values, pd.Series) else pd.Series(values), outcome, says)


def _category(values: list[Any], categories: Any, *, ordered: bool = False) -> pd.Series:
    return pd.Series(values, dtype=pd.CategoricalDtype(categories, ordered=ordered))


PANDAS = [
    *[
        _pandas(name, np.array([np.iinfo(name).min, np.iinfo(name).max], name), outcome)
        for names, outcome in (
            (("int8", "int16", "int32", "int64"), "kept"), (("uint8", "uint16", "uint32", "uint64"), "restored"),
        )
        for name in names
    ],
    _pandas("float16", np.array([1.5, np.nan, -0.0, np.inf], "float16"), "restored"),
    _pandas("float32", np.array([1.5, np.nan, -0.0, np.inf], "float32"), "kept"),
    _pandas("float64", np.array([np.nan if value is None else value for value in FLOATS]), "kept"),
    _pandas("big-endian numbers", np.array([1.5, np.nan], ">f8"), "restored"),
    _pandas("bool", np.array([True, False]), "kept"),
    *[
        _pandas(name, pd.Series([np.iinfo(name.lower()).min, None, np.iinfo(name.lower()).max], dtype=name), "restored")
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    ],
    _pandas("Float32", pd.Series([1.5, None, -0.0, np.inf], dtype="Float32"), "restored"),
    _pandas("Float64", pd.Series([1.5, None, -0.0, np.inf], dtype="Float64"), "restored"),
    _pandas("boolean", pd.Series([True, None, False], dtype="boolean"), "restored"),
    _pandas("str", pd.Series(TEXTS, dtype=pd.StringDtype("pyarrow", na_value=np.nan)), "kept"),
    _pandas("str[python]", pd.Series(TEXTS, dtype=pd.StringDtype("python", na_value=np.nan)), "restored"),
    _pandas("string[pyarrow]", pd.Series(TEXTS, dtype="string[pyarrow]"), "restored"),
    _pandas("string[python]", pd.Series(TEXTS, dtype="string[python]"), "restored"),
    *[
        _pandas(f"datetime64[{unit}]", pd.Series([NOW.replace(microsecond=0), None], dtype=f"datetime64[{unit}]"),
                "restored")
        for unit in ("s", "ms", "us", "ns")
    ],
    *[
        _pandas(f"datetime64[{unit}, Asia/Seoul]",
                pd.Series([NOW.replace(microsecond=0), None]).astype(f"datetime64[{unit}]").dt.tz_localize(SEOUL),
                "restored")
        for unit in ("s", "ms", "us", "ns")
    ],
    _pandas("datetime64[us, UTC]", pd.Series([NOW, None]).dt.tz_localize("UTC"), "kept"),
    _pandas("datetime64[us, UTC+05:30]", pd.Series([NOW, None]).dt.tz_localize("+05:30"), "restored"),
    _pandas("datetime64[ns] finer than a microsecond", pd.Series([0, 1001], dtype="datetime64[ns]"), "refused",
            "row 1"),
    _pandas("datetime64 farther than 292,000 years", np.array([0, 2**62], "M8[s]"), "refused", "too far"),
    *[
        _pandas(f"timedelta64[{unit}]", pd.Series([-1, None, 5], dtype=f"timedelta64[{unit}]"), "restored")
        for unit in ("s", "ms", "us", "ns")
    ],
    _pandas("category of text", _category(["b", None, "a"], ["z", "b", "a"]), "restored"),
    _pandas("category, ordered", _category(["b", None, "a"], ["z", "b", "a"], ordered=True), "restored"),
    _pandas("category of object text", _category(["b", None], pd.Index(["c", "b"], dtype=object)), "restored"),
    _pandas("category of integers", _category([3, None, 1], [7, 3, 1]), "restored"),
    _pandas("category of floats", _category([0.1, None, np.inf], [np.inf, 0.1, -0.5]), "restored"),
    _pandas("category of booleans", _category([True, None], [True, False]), "restored"),
    _pandas("category without categories", _category([None, None], []), "restored"),
    _pandas("category of intervals", pd.Series(pd.cut([1, 5], 2)), "refused", "rename_categories"),
    _pandas("category of times", _category([NOW], [NOW]), "refused", "rename_categories"),
    _pandas("object of text", pd.Series(["a", None, ""], dtype=object), "restored"),
    _pandas("object of text, NaN missing", pd.Series(["a", np.nan], dtype=object), "restored"),
    _pandas("object of text, NA missing", pd.Series(["a", pd.NA], dtype=object), "restored"),
    _pandas("object of bool", pd.Series([True, None, False], dtype=object), "restored"),
    _pandas("object of int", pd.Series([1, None, -(2**63)], dtype=object), "restored"),
    _pandas("object of int beyond 64 bits", pd.Series([2**64, None, -1], dtype=object), "restored"),
    _pandas("object of float", pd.Series([1.5, None], dtype=object), "restored"),
    _pandas("object of bytes", pd.Series(BLOBS, dtype=object), "restored"),
    _pandas("object of Decimal", pd.Series([Decimal("1.25"), None], dtype=object), "restored"),
    _pandas("object of date", pd.Series(DAYS, dtype=object), "restored"),
    _pandas("object of time", pd.Series(TIMES, dtype=object), "restored"),
    _pandas("object of datetime", pd.Series([NOW, None], dtype=object), "restored"),
    _pandas("object of timedelta", pd.Series([dt.timedelta(1), None], dtype=object), "restored"),
    _pandas("object of list", pd.Series([[1, None], None, []], dtype=object), "restored"),
    _pandas("object of ndarray", pd.Series([np.array([1.5, np.nan], "float32"), None]), "restored"),
    _pandas("object of dict", pd.Series([{"a": 1, "b": [{"c": "x"}]}, None]), "restored"),
    _pandas("object of None", pd.Series([None, None], dtype=object), "restored"),
    _pandas("object of dicts with different keys", pd.Series([{"a": 1}, {"b": 1}]), "refused", "row 0.*\n.*JSON"),
    _pandas("object of tuple", pd.Series([(1, 2)]), "refused", "come back as"),
    _pandas("object of set", pd.Series([{1, 2}]), "refused", "come back as"),
    _pandas("object of mixed types", pd.Series([None, 1, "a"], dtype=object), "refused", "int in row 1, str in row 2"),
    _pandas("ArrowDtype", pd.Series([1, None], dtype=pd.ArrowDtype(pa.uint8())), "restored"),
    _pandas("ArrowDtype of any Arrow type below",
            pd.Series([[("a", 1)], None], dtype=pd.ArrowDtype(pa.map_(pa.string(), pa.int32()))), "restored"),
    _pandas("complex128", pd.Series([1j]), "refused", "imaginary"),
    _pandas("period", pd.Series(pd.period_range("2024", periods=2, freq="M")), "refused", "to_timestamp"),
    _pandas("interval", pd.Series(pd.interval_range(0, 2)), "refused", "edges"),
    _pandas("Sparse", pd.Series([0, 1], dtype=pd.SparseDtype("int64")), "refused", "to_dense"),
]  # fmt: skip


def _arrow(kind: Any, values: list[Any], outcome: str, says: str = "", name: str = "") -> Case:
    return Case(name or str(kind), pa.chunked_array([pa.array(values, kind)]), outcome, says)


def _dictionary(index: Any, values: list[Any], value_type: Any, *, ordered: bool = False) -> Any:
    encoded = pa.array(values, value_type).dictionary_encode()
    return pa.chunked_array([pa.DictionaryArray.from_arrays(encoded.indices.cast(index), encoded.dictionary,
                                                            ordered=ordered)])  # fmt: skip


ARROW = [
    _arrow(pa.null(), [None, None], "restored"),
    _arrow(pa.bool_(), [True, None], "kept"),
    *[_arrow(getattr(pa, f"int{bits}")(), _int_range(bits, signed=True), "kept") for bits in (8, 16, 32, 64)],
    *[_arrow(getattr(pa, f"uint{bits}")(), _int_range(bits, signed=False), "restored") for bits in (8, 16, 32, 64)],
    _arrow(pa.float16(), [1.5, None, -0.0], "restored"),
    _arrow(pa.float32(), [1.5, None, -0.0], "kept"),
    _arrow(pa.float64(), [value for value in FLOATS if value == value], "kept"),  # not NaN
    *[_arrow(kind, TEXTS, "restored") for kind in (pa.string(), pa.string_view())],
    _arrow(pa.large_string(), TEXTS, "kept"),
    *[_arrow(kind, BLOBS, "restored") for kind in (pa.binary(), pa.binary_view())],
    _arrow(pa.large_binary(), BLOBS, "kept"),
    _arrow(pa.binary(3), [b"abc", None], "restored", name="fixed_size_binary"),
    _arrow(pa.date32(), DAYS, "kept"),
    _arrow(pa.date64(), DAYS, "restored"),
    *[_arrow(pa.time32(unit), [dt.time(1, 2, 3), None], "restored") for unit in ("s", "ms")],
    *[_arrow(pa.time64(unit), TIMES, "restored") for unit in ("us", "ns")],
    *[_arrow(pa.timestamp(unit), [NOW.replace(microsecond=0), None], "restored") for unit in ("s", "ms", "us", "ns")],
    *[
        _arrow(pa.timestamp(unit, "Asia/Seoul"), [NOW.replace(microsecond=0), None], "restored")
        for unit in ("s", "ms", "us", "ns")
    ],
    _arrow(pa.timestamp("us", "UTC"), [NOW, None], "kept"),
    _arrow(pa.timestamp("us", "+05:30"), [NOW, None], "restored"),
    *[_arrow(pa.duration(unit), [dt.timedelta(days=-1), None], "restored") for unit in ("s", "ms", "us", "ns")],
    *[
        _arrow(kind, [Decimal("1.25"), None], outcome, name=name)
        for kind, outcome, name in (
            (pa.decimal32(5, 2), "restored", "decimal32"), (pa.decimal64(10, 2), "restored", "decimal64"),
            (pa.decimal128(38, 2), "kept", "decimal128"),
            (pa.decimal256(38, 2), "restored", "decimal256 of up to 38 digits"),
        )
    ],
    _arrow(pa.decimal256(39, 2), [Decimal(1)], "refused", "cannot be stored", name="decimal256 of more digits"),
    _arrow(pa.list_(pa.int8()), [[1, None], None, []], "restored", name="list"),
    _arrow(pa.list_(pa.field("item", pa.int8(), nullable=False)), [[1], None], "restored", name="list of not null"),
    _arrow(pa.large_list(pa.int8()), [[1, None], None, []], "kept", name="large_list"),
    _arrow(pa.list_(pa.int8(), 2), [[1, None], None], "restored", name="fixed_size_list"),
    _arrow(pa.struct([("a", pa.int8()), ("b", pa.string())]), [{"a": 1, "b": "x"}, None], "restored", name="struct"),
    _arrow(pa.map_(pa.string(), pa.int8()), [[("a", 1), ("b", None)], None, []], "restored", name="map"),
    _arrow(pa.map_(pa.string(), pa.int8()), [[("a", 1), ("a", 2)]], "refused", "same key",
           name="map with a key twice"),
    _arrow(pa.list_(pa.map_(pa.string(), pa.int8())), [[[("a", 1), ("a", 2)]]], "refused", "same key",
           name="map with a key twice, nested"),
    Case("dictionary of text", _dictionary(pa.int8(), ["a", None, "b"], pa.string()), "restored"),
    Case("dictionary of string views", _dictionary(pa.uint32(), ["a", None, "b"], pa.string_view()), "restored"),
    Case("dictionary, ordered", _dictionary(pa.uint16(), ["a", None], pa.large_string(), ordered=True), "restored"),
    Case("dictionary of numbers", _dictionary(pa.int32(), [1, None], pa.int64()), "restored"),
    _arrow(pa.list_(pa.dictionary(pa.int32(), pa.string())), [["a", None], None], "restored",
           name="list of dictionary"),
    _arrow(pa.uuid(), [b"0123456789abcdef", None], "restored", name="uuid extension"),
    Case("bool8 extension", pa.chunked_array([pa.array([True, None]).cast(pa.bool8())]), "restored"),
    Case("json extension", pa.chunked_array([pa.array(["{}", None]).cast(pa.json_())]), "restored"),
    Case("other extensions", pa.chunked_array([pa.opaque(pa.int8(), "a", "b").wrap_array(pa.array([1], pa.int8()))]),
         "refused", "not known"),
    Case("run_end_encoded", pa.chunked_array([pc.run_end_encode(pa.array([1, 1]))]), "refused", "counterpart"),
    _arrow(pa.list_view(pa.int8()), [[1]], "refused", "counterpart", name="list_view"),
    _arrow(pa.large_list_view(pa.int8()), [[1]], "refused", "counterpart", name="large_list_view"),
    _arrow(pa.struct([]), [{}], "refused", "cannot be stored", name="struct without fields"),
    _arrow(pa.month_day_nano_interval(), [(1, 2, 3)], "refused", "counterpart", name="month_day_nano_interval"),
    Case("union", pa.chunked_array([pa.UnionArray.from_dense(
        pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])]), "refused", "counterpart"),
]  # fmt: skip
