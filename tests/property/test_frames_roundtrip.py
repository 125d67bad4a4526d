"""Random frames come back exactly, through a Parquet file: from Polars to Polars, from pandas to pandas."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes
from polars.testing.parametric import dtypes as polars_dtypes

from tiffin.frames import FeatureFrame, ingest
from tiffin.schema import dtypes

STORABLE: list[Any] = [
    pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128,
    pl.Float16, pl.Float32, pl.Float64, pl.Decimal, pl.String, pl.Binary, pl.Date, pl.Time, pl.Datetime("ms"),
    pl.Datetime("us"), pl.Duration, pl.Categorical, pl.Enum, pl.Null, pl.List, pl.Array, pl.Struct,
]  # fmt: skip

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def through_parquet(frame: Any) -> FeatureFrame:
    ingested = ingest(frame)
    texts = {name: dtypes.encode(dtype) for name, dtype in ingested.frame.schema.items()}
    file = io.BytesIO()
    dtypes.to_stored(ingested.frame).write_parquet(file)
    file.seek(0)
    remembered = {name: dtypes.decode(text) for name, text in texts.items()}
    return FeatureFrame(dtypes.from_stored(pl.read_parquet(file), remembered), origins=ingested.origins)


@FEW
@given(
    dataframes(
        max_cols=4,
        max_size=8,
        allowed_dtypes=[dtype for dtype in STORABLE if dtype not in (pl.Int128, pl.UInt128)],
        allow_time_zones=True,
    )
)
def test_polars_frames(frame: pl.DataFrame) -> None:
    assume(frame.width > 0)
    assert_frame_equal(through_parquet(frame).to_polars(), frame, check_exact=True)


@FEW
@given(st.data())
def test_a_dtype_is_its_text(data: st.DataObject) -> None:
    dtype = data.draw(polars_dtypes(allowed_dtypes=STORABLE, nesting_level=3))
    assume(dtype != pl.Struct([]))
    assert dtypes.decode(dtypes.encode(dtype)) == dtype


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
MOMENTS = st.integers(-(2**53), 2**53)


def columns(size: int) -> st.SearchStrategy[pd.Series]:
    def of(values: st.SearchStrategy[Any], dtype: Any, *, missing: Any = None) -> st.SearchStrategy[pd.Series]:
        cell = values if missing is ... else st.one_of(st.just(missing), values)
        return st.lists(cell, min_size=size, max_size=size).map(lambda cells: pd.Series(cells, dtype=dtype))

    def integers(name: str) -> st.SearchStrategy[int]:
        limits = np.iinfo(name.lower())
        return st.integers(int(limits.min), int(limits.max))

    names = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    nullable = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"]
    categories = st.lists(TEXT, min_size=1, max_size=4, unique=True)
    return st.one_of(
        *[of(integers(name), name, missing=...) for name in names],
        *[of(integers(name), name, missing=pd.NA) for name in nullable],
        *[of(st.floats(width=width), f"float{width}", missing=np.nan) for width in (16, 32, 64)],
        *[of(st.floats(width=width, allow_nan=False), f"Float{width}", missing=pd.NA) for width in (32, 64)],
        of(st.booleans(), "bool", missing=...),
        of(st.booleans(), "boolean", missing=pd.NA),
        *[of(TEXT, dtype, missing=None) for dtype in ("str", "string[python]", "string[pyarrow]", object)],
        *[of(MOMENTS, f"datetime64[{unit}]", missing=pd.NaT) for unit in ("ms", "us")],
        of(MOMENTS, "timedelta64[ns]", missing=pd.NaT),
        of(MOMENTS, "datetime64[us, Asia/Seoul]", missing=pd.NaT),
        of(st.binary(max_size=4), object, missing=None),
        of(st.dates(), object, missing=None),
        of(st.lists(st.integers(-9, 9), max_size=3), object, missing=None),
        st.tuples(categories, st.booleans()).flatmap(
            lambda drawn: of(st.sampled_from(drawn[0]), pd.CategoricalDtype(drawn[0], ordered=drawn[1]))
        ),
    )


@st.composite
def pandas_frames(draw: st.DrawFn) -> pd.DataFrame:
    size = draw(st.integers(0, 5))
    width = draw(st.integers(1, 4))
    return pd.DataFrame({f"c{number}": draw(columns(size)) for number in range(width)}, index=pd.RangeIndex(size))


@FEW
@given(pandas_frames())
def test_pandas_frames(frame: pd.DataFrame) -> None:
    back = through_parquet(frame).to_pandas()
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_column_type="exact")
    for name in frame.columns[frame.dtypes.map(lambda dtype: dtype.kind == "f")]:
        signs = zip(back[name].dropna(), frame[name].dropna(), strict=True)
        assert all(math.copysign(1, one) == math.copysign(1, other) for one, other in signs)


NOTHING = pl.List(pl.Null)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Struct({"a": pl.Int8, "f": NOTHING}), [{"a": 1, "f": [None]}, None, {"a": None, "f": []}]),
        (pl.List(pl.Struct({"f": NOTHING})), [[{"f": None}, None], [], None]),
        (pl.Struct({"f": pl.Array(NOTHING, 2)}), [{"f": [[None], None]}, None]),
    ],
)
def test_lists_of_nothing_deep_inside(dtype, values):
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    assert_frame_equal(through_parquet(frame).to_polars(), frame, check_exact=True)
