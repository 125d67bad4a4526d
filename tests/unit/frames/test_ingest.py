"""What is a frame, what is a good one, and what is said about the others."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiffin.errors import InvalidInputError, InvalidName
from tiffin.frames import FeatureFrame, ingest

DAY = dt.date(2024, 2, 29)
NAIVE = dt.datetime(2024, 2, 29, 12)
AWARE = NAIVE.replace(tzinfo=dt.UTC)
EXPECTED = {"a": [1, 2]}


@pytest.mark.parametrize(
    ("frame", "library"),
    [
        (pl.DataFrame(EXPECTED), "polars"),
        (pl.LazyFrame(EXPECTED), "polars"),
        (pd.DataFrame(EXPECTED), "pandas"),
        (pa.table(EXPECTED), "arrow"),
        (pa.record_batch(EXPECTED), "arrow"),
        (pa.table(EXPECTED).to_reader(), "arrow"),
        ([{"a": 1}, {"a": 2}], "rows"),
        ({"a": [1, 2]}, "rows"),
        ({"a": np.array([1, 2])}, "rows"),
        ({"a": pl.Series([1, 2])}, "rows"),
        (FeatureFrame(pl.DataFrame(EXPECTED)), "polars"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_any_frame_is_accepted(frame: Any, library: str) -> None:
    ingested = ingest(frame)
    assert ingested.frame.to_dict(as_series=False) == EXPECTED
    assert ingested.library == library


def test_a_duckdb_relation_is_accepted() -> None:
    with duckdb.connect() as connection:
        ingested = ingest(connection.sql("select unnest([1, 2])::bigint as a"))
    assert (ingested.frame.to_dict(as_series=False), ingested.library) == (EXPECTED, "arrow")


def test_a_subclass_of_a_pandas_frame_is_a_pandas_frame() -> None:
    class GeoFrame(pd.DataFrame):
        pass

    assert ingest(GeoFrame({"a": [1.0, np.nan]})).frame["a"].to_list() == [1.0, None]


@pytest.mark.parametrize(
    "thing",
    [None, 5, "text", object(), pd.Series([1]), pl.Series([1]), pa.array([1]), np.zeros((2, 2))],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_no_frame_is_refused(thing: Any) -> None:
    with pytest.raises(InvalidInputError, match="is not a frame"):
        ingest(thing)


@pytest.mark.parametrize(
    "frame", [[], {}, pd.DataFrame(), pl.DataFrame(), pa.table({})], ids=lambda f: type(f).__name__
)
def test_a_frame_without_columns_is_refused(frame: Any) -> None:
    with pytest.raises(InvalidInputError, match="no columns"):
        ingest(frame)


def test_a_frame_without_rows_keeps_its_types() -> None:
    empty = pd.DataFrame({"a": pd.Series([], dtype="Int8"), "b": pd.Series([], dtype="str")})
    assert FeatureFrame(**_parts(empty)).to_pandas().dtypes.to_list() == empty.dtypes.to_list()


def _parts(frame: Any) -> dict[str, Any]:
    ingested = ingest(frame)
    return {"frame": ingested.frame, "origins": ingested.origins}


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns are named 'a'"),
        (pd.DataFrame([[1, 2]]), "named 0, of type int"),
        (pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])), "2 levels"),
        ([{1: 2}], "named 1, of type int"),
        (pl.DataFrame({"Age": [1], "age": [2]}), "'Age' and 'age'"),
        (pl.DataFrame({"": [1]}), "position 0 has no name"),
        (pl.DataFrame({"a\nb": [1]}), "cannot be the name"),
        (pl.DataFrame({"a\x00": [1]}), "cannot be the name"),
        (pl.DataFrame({"a" * 129: [1]}), "cannot be the name"),
    ],
    ids=["repeated", "number", "levels", "number in rows", "case", "empty", "line break", "NUL", "long"],
)
def test_column_names_that_are_refused(frame: Any, says: str) -> None:
    with pytest.raises(InvalidName, match=says):
        ingest(frame)


def test_repeated_names_in_arrow_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="several columns are named 'a'"):
        ingest(pa.table([[1], [2]], names=["a", "a"]))


@pytest.mark.parametrize("name", ["나이 (years)", "a,b;{c}=d", "🍱", "dot.ted", "a" * 128])
def test_column_names_that_are_accepted(name: str) -> None:
    assert ingest(pd.DataFrame({name: [1]})).frame.columns == [name]


def test_an_index_that_holds_data_is_refused_with_advice() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3, 4]})
    filtered = frame[frame["a"] != 3]
    for indexed in (filtered, frame.set_index("a"), frame.rename_axis("row"), frame.set_index([list("abcd")] * 2)):
        with pytest.raises(InvalidInputError, match=r"index of type .*Index.*\nhint: .*reset_index"):
            ingest(indexed)
    assert ingest(filtered.reset_index(drop=True)).frame["a"].to_list() == [1, 2, 4]
    assert ingest(frame.iloc[1:]).frame["a"].to_list() == [2, 3, 4]


def test_keys_that_a_row_lacks_are_null() -> None:
    frame = ingest([{"a": 1}, {"b": "x"}, {}]).frame
    assert frame.to_dict(as_series=False) == {"a": [1, None, None], "b": [None, "x", None]}


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2.5, None], pl.Float64(), [1.0, 2.5, None]),
        ([2**53, 0.5, -(2**53)], pl.Float64(), [2.0**53, 0.5, -(2.0**53)]),
        ([2**63 - 1, None, -(2**63)], pl.Int64(), [2**63 - 1, None, -(2**63)]),
        ([2**63, -1], pl.Int128(), [2**63, -1]),
        ([True, None], pl.Boolean(), [True, None]),
        ([b"\xff", None, b""], pl.Binary(), [b"\xff", None, b""]),
        ([np.float32(1), None], pl.Float32(), [1.0, None]),
        ([float("nan"), "a"], pl.String(), [None, "a"]),
        ([pd.NA, 1], pl.Int64(), [None, 1]),
        ([pd.NaT, NAIVE], pl.Datetime("us"), [None, NAIVE]),
        ([pd.Timestamp(AWARE)], pl.Datetime("us", "UTC"), [AWARE]),
        ([{"a": 1}, {"b": [None]}], None, [{"a": 1, "b": None}, {"a": None, "b": [None]}]),
        ([(1, 2), []], pl.List(pl.Int64()), [[1, 2], []]),
        ([np.array([1.0, 2.0]), None], pl.List(pl.Float64()), [[1.0, 2.0], None]),
        ([Decimal("1.5"), Decimal("2.25")], pl.Decimal(3, 2), [Decimal("1.50"), Decimal("2.25")]),
        ([None, None], pl.Null(), [None, None]),
    ],
)
def test_python_values(values: list[Any], dtype: Any, expected: list[Any]) -> None:
    column = ingest([{"x": value} for value in values]).frame["x"]
    assert column.to_list() == expected
    assert dtype is None or column.dtype == dtype


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([None, 1, "a"], 2),
        ([True, 1], 1),
        (["a", b"a"], 1),
        ([DAY, NAIVE], 1),
        ([NAIVE, AWARE], 1),
        ([Decimal(1), 1.5], 1),
        ([[DAY], [DAY, NAIVE]], 1),
        ([[1], [2], ["a"]], 2),
        ([dt.time(1), dt.time(1, tzinfo=dt.UTC)], 1),
        ([pd.Timestamp(1)], 0),
        ([0.5, 2**53 + 1], 1),
        (["a", "\ud800"], 1),
        ([Decimal(1), Decimal("NaN")], 1),
        ([1, ...], 1),
        ([{1}, {2}], 0),
        ([{1: 2}], 0),
        ([1j], 0),
        ([np.zeros(2), np.zeros((2, 2))], 1),
    ],
    ids=repr,
)
def test_python_values_that_are_refused_name_column_and_row(values: list[Any], row: int) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x'.*row {row}") as caught:
        ingest([{"x": value} for value in values])
    assert caught.value.context["row"] == row
    assert caught.value.hint


def test_rows_that_are_not_dicts_and_columns_of_different_length_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="row 1 is of type int"):
        ingest([{"a": 1}, 5])
    with pytest.raises(InvalidInputError, match="differ in length"):
        ingest({"a": [1], "b": [1, 2]})
    with pytest.raises(InvalidInputError, match="column 'a' is of type int"):
        ingest({"a": 5})


def test_nan_is_missing_in_pandas_floats_and_a_value_elsewhere() -> None:
    nan = float("nan")
    assert ingest(pd.DataFrame({"x": [1.0, nan]})).frame["x"].null_count() == 1
    kept = pd.DataFrame({"x": pd.arrays.FloatingArray(np.array([1.0, nan, 0.0]), np.array([False, False, True]))})
    for frame in (kept, pl.DataFrame({"x": [1.0, nan, None]}), pa.table({"x": [1.0, nan, None]})):
        column = ingest(frame).frame["x"]
        assert column.is_nan().to_list() == [False, True, None]
    back = FeatureFrame(**_parts(kept)).to_pandas()["x"].array
    assert np.isnan(back._data[1])
    assert back._mask.tolist() == [False, False, True]


def test_a_mixture_of_missing_values_comes_back_as_none() -> None:
    frame = pd.DataFrame({"x": pd.Series(["a", None, np.nan, pd.NA], dtype=object)})
    assert FeatureFrame(**_parts(frame)).to_pandas()["x"].to_list() == ["a", None, None, None]


def test_a_saved_frame_that_is_saved_again_keeps_its_types() -> None:
    frame = pd.DataFrame({"x": pd.Series([1, None], dtype="UInt8")})
    again = ingest(FeatureFrame(**_parts(frame)))
    assert FeatureFrame(again.frame, origins=again.origins).to_pandas()["x"].dtype == "UInt8"


def test_arrow_needs_no_pandas() -> None:
    program = """
import sys
import pyarrow as pa
from tiffin.frames import FeatureFrame, ingest
table = pa.Table.from_batches([], schema=pa.schema([("a", pa.int8()), ("s", pa.dictionary(pa.int32(), pa.string()))]))
found = ingest(table)
FeatureFrame(found.frame, origins=found.origins).to_arrow()
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_polars_and_plain_rows_need_neither_pandas_nor_pyarrow() -> None:
    program = """
import sys
sys.modules["pandas"] = sys.modules["pyarrow"] = None
import polars as pl
from tiffin.errors import MissingDependency
from tiffin.frames import FeatureFrame, ingest
from tiffin.schema import dtypes
frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1], []]}, schema_overrides={"a": pl.UInt8})
stored = dtypes.to_stored(ingest(frame).frame)
given = FeatureFrame(dtypes.from_stored(stored, dict(frame.schema)))
assert given.to_polars().equals(frame)
given._repr_html_()
rows = [{"i": 1, "f": 0.5, "s": "é", "b": b"x", "t": True, "n": 1}, {"i": None, "n": 2.5}]
assert ingest(rows).frame.row(0) == (1, 0.5, "é", b"x", True, 1.0)
for convert in (given.to_pandas, given.to_arrow):
    try:
        convert()
    except MissingDependency as error:
        print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["pip install 'tiffin[pandas]'", "pip install 'pyarrow'"]
