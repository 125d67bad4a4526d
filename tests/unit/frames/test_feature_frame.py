"""The frame that a read returns: three libraries, no copies, no frame that another caller can spoil."""

from __future__ import annotations

import datetime as dt
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiffin.errors import CorruptData
from tiffin.frames import FeatureFrame, ingest

FLAT = pl.DataFrame(
    {
        "whole": [1, 2, 3],
        "real": [1.5, None, -0.0],
        "text": ["a", None, "c"],
        "flag": [True, False, None],
        "day": [dt.date(2024, 1, 1), None, dt.date(1, 1, 1)],
        "moment": pl.Series([0, None, 1], dtype=pl.Int64).cast(pl.Datetime("us", "Asia/Seoul")),
        "kind": pl.Series(["b", "a", None], dtype=pl.Categorical),
        "maybe": pl.Series([1, None, 2**63 - 1]),
    }
)


def saved(frame: Any) -> FeatureFrame:
    ingested = ingest(frame)
    return FeatureFrame(ingested.frame, origins=ingested.origins)


def test_its_shape_is_the_frames() -> None:
    frame = FeatureFrame(FLAT, lock={"user/ratings": 3})
    assert (len(frame), frame.shape, frame.columns) == (3, (3, 8), FLAT.columns)
    assert frame.schema == FLAT.schema
    assert frame.lock == {"user/ratings": 3}
    head = frame.head(1)
    assert (head.shape, head.lock) == ((1, 8), frame.lock)


def test_a_polars_frame_becomes_pandas_without_losing_integers() -> None:
    frame = FeatureFrame(FLAT).to_pandas()
    assert [str(dtype) for dtype in frame.dtypes] == [
        "int64", "float64", "str", "boolean", "datetime64[ms]", "datetime64[us, Asia/Seoul]", "category", "Int64",
    ]  # fmt: skip
    assert frame["maybe"].to_list() == [1, pd.NA, 2**63 - 1]
    assert frame["moment"][2] == pd.Timestamp("1970-01-01 00:00:00.000001", tz="UTC")
    assert frame["kind"].cat.categories.to_list() == ["a", "b"]
    assert frame["day"].to_list() == [pd.Timestamp("2024-01-01"), pd.NaT, pd.Timestamp("0001-01-01").as_unit("ms")]


def test_polars_types_that_pandas_lacks_become_objects() -> None:
    values = {"big": [2**70], "list": [[1, None]], "struct": [{"a": 1}], "time": [dt.time(1)]}
    frame = FeatureFrame(pl.DataFrame(values, schema_overrides={"big": pl.Int128})).to_pandas()
    assert frame.to_dict("list") == values
    enum = FeatureFrame(pl.DataFrame({"e": pl.Series(["b"], dtype=pl.Enum(["b", "a"]))})).to_pandas()["e"]
    assert (enum.cat.categories.to_list(), enum.cat.ordered) == (["b", "a"], True)


def test_to_df_is_to_pandas() -> None:
    pd.testing.assert_frame_equal(FeatureFrame(FLAT).to_df(), FeatureFrame(FLAT).to_pandas())


def test_arrow_readers_take_it_as_it_is() -> None:
    frame = saved(pa.table({"x": pa.array([1, None], pa.uint8())}))
    assert pa.table(frame).schema == frame.to_arrow().schema
    assert pl.DataFrame(frame).equals(frame.to_polars())
    assert pa.table(FeatureFrame(pl.DataFrame({"x": pl.Series([2**70], dtype=pl.Int128)})))["x"].to_pylist() == [2**70]


def test_not_null_comes_back_while_there_is_no_null() -> None:
    schema = pa.schema([pa.field("x", pa.int32(), nullable=False)])
    frame = saved(pa.table({"x": [1]}, schema=schema))
    assert frame.to_arrow().schema == schema
    with_null = FeatureFrame(pl.DataFrame({"x": pl.Series([None], dtype=pl.Int32)}), origins=frame.origins)
    assert with_null.to_arrow().schema.field("x").nullable


def _set_cell(frame: Any) -> None:
    frame.iloc[0, 0] = 99


def _set_by_label(frame: Any) -> None:
    frame.loc[:, "whole"] = 99


def _add_in_place(frame: Any) -> None:
    frame["whole"] += 98


def _rename_columns(frame: Any) -> None:
    frame.columns = [name.upper() for name in frame.columns]
    frame.index.name = "row"
    frame.columns.name = "column"


def _set_text(frame: Any) -> None:
    frame.loc[0, "text"] = "changed"
    frame.loc[0, "kind"] = "a"
    frame.loc[0, "moment"] = pd.NaT
    frame.loc[0, "flag"] = False


def _drop(frame: Any) -> None:
    del frame["whole"]
    frame.pop("real")


CHANGES = [_set_cell, _set_by_label, _add_in_place, _rename_columns, _set_text, _drop]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_change_stays_with_the_caller_who_made_it(change: Callable[[Any], None]) -> None:
    source = FeatureFrame(FLAT)
    before = source.to_pandas()
    mine = source.to_pandas()
    change(mine)
    untouched = FeatureFrame(FLAT.clone()).to_pandas()
    for other in (before, source.to_pandas()):
        pd.testing.assert_frame_equal(other, untouched)
    assert not mine.equals(untouched)
    assert source.to_polars().equals(FLAT)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_caller_can_change_a_frame_that_outlives_its_source(change: Callable[[Any], None]) -> None:
    polars = FLAT.clone()
    mine = FeatureFrame(polars).to_pandas()
    gc.collect()
    change(mine)
    assert polars.equals(FLAT)


def test_arrays_of_a_frame_cannot_be_used_to_change_another() -> None:
    source = FeatureFrame(FLAT)
    values = source.to_pandas()["whole"].to_numpy()
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 99
    assert source.to_pandas()["whole"][0] == 1


def test_lists_and_dicts_are_not_shared() -> None:
    source = FeatureFrame(pl.DataFrame({"x": [[1, 2]], "y": [{"a": [1]}]}))
    mine = source.to_pandas()
    mine["x"][0].append(3)
    mine["y"][0]["a"].clear()
    assert source.to_pandas()["x"][0] == [1, 2]
    assert source.to_pandas()["y"][0] == {"a": [1]}


def test_a_polars_caller_changes_only_its_own() -> None:
    source = FeatureFrame(FLAT)
    mine = source.to_polars()
    mine[0, "whole"] = 99
    mine.insert_column(0, pl.Series("new", [1, 2, 3]))
    mine.get_column("real").shrink_to_fit(in_place=True)
    assert source.to_polars().equals(FLAT)


def test_one_conversion_serves_all_frames_that_share() -> None:
    made: dict[str, Any] = {}

    def share(name: str, convert: Callable[[], Any]) -> Any:
        if name not in made:
            made[name] = convert()
        return made[name]

    first, second = (FeatureFrame(FLAT, share=share).to_pandas() for _ in range(2))
    assert list(made) == ["pandas"]
    assert np.shares_memory(first["whole"].to_numpy(), second["whole"].to_numpy())


def test_a_shared_conversion_costs_the_same_at_any_length() -> None:
    frame = FeatureFrame(pl.DataFrame({f"f{column}": np.zeros(1_000_000) for column in range(12)}))
    frame.to_pandas()
    assert min(_seconds(frame.to_pandas) for _ in range(50)) < 250e-6
    assert min(_seconds(frame.to_polars) for _ in range(50)) < 30e-6


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("saved_as", "now", "expected"),
    [
        (pd.Series([1, 2], dtype="Int8"), pl.Series([1, 300], dtype=pl.Int16), "int16"),
        (pd.Series([1, 2], dtype="int64"), pl.Series([1, None]), "Int64"),
        (pd.Series(["a"], dtype="string[python]"), pl.Series([1]), "int64"),
        (pd.Series([0], dtype="datetime64[s]"), pl.Series([0, None]), "Int64"),
        (pd.Series([0], dtype="datetime64[s]"), pl.Series([1, None]).cast(pl.Datetime("ms")), "datetime64[ms]"),
        (pd.Series([0], dtype="timedelta64[s]"), pl.Series([1, None]).cast(pl.Duration("ms")), "timedelta64[ms]"),
        (pd.Series([0], dtype="datetime64[s, UTC]"), pl.Series([1, None]).cast(pl.Datetime("ms")), "datetime64[ms]"),
        (pd.Series([1.5], dtype=">f8"), pl.Series(["x"]), "str"),
        (pd.Series([1], dtype=pd.ArrowDtype(pa.uint8())), pl.Series([1, 300], dtype=pl.Int64), "int64[pyarrow]"),
    ],
    ids=[
        "widened",
        "nulls",
        "retyped",
        "datetime retyped",
        "finer",
        "finer durations",
        "zone gone",
        "byte order",
        "ArrowDtype",
    ],
)
def test_a_remembered_type_that_no_longer_fits_gives_way(saved_as: Any, now: pl.Series, expected: str) -> None:
    origins = ingest(pd.DataFrame({"x": saved_as})).origins
    given = FeatureFrame(now.alias("x").to_frame(), origins=origins).to_pandas()["x"]
    assert str(given.dtype) == expected
    assert pl.Series(given.dropna().to_list(), dtype=now.dtype).equals(now.drop_nulls())


def test_values_appended_to_a_category_become_categories() -> None:
    for values, more in ((["b", "a"], ["c", "b", None]), ([2, 1], [3, 2, None])):
        first = ingest(pd.DataFrame({"x": pd.Series(values, dtype=pd.CategoricalDtype(values, ordered=True))}))
        frame = pl.DataFrame({"x": pl.Series(more, dtype=first.frame.schema["x"])})
        given = FeatureFrame(frame, origins=first.origins).to_pandas()["x"]
        assert given.cat.categories.to_list() == [*values, more[0]]
        assert given.cat.ordered
        assert given.dropna().to_list() == more[:2]


@pytest.mark.parametrize(
    "text", ["nonsense", "category {", "category {}", "object Missing", "str[duck]", "arrow ipc !"]
)
def test_a_damaged_origin_is_an_error(text: str) -> None:
    with pytest.raises(CorruptData):
        FeatureFrame(pl.DataFrame({"x": ["a"]}), origins={"x": "pandas:" + text}).to_pandas()


def test_a_damaged_arrow_origin_is_an_error() -> None:
    for text in ("nonsense", "ipc !", "ipc AAAA"):
        with pytest.raises(CorruptData, match="not an Arrow type"):
            FeatureFrame(pl.DataFrame({"x": ["a"]}), origins={"x": "arrow:" + text}).to_arrow()


def test_the_notebook_view_shows_and_escapes() -> None:
    frame = pl.DataFrame({"<script>": ["<b>&", *"abcdefghijklmn"], "x": [None] * 15})
    page = FeatureFrame(frame, lock={"user/ratings": 4})._repr_html_()
    for shown in ("15 rows × 2 columns from user/ratings@4", "&lt;script&gt;", "&lt;b&gt;&amp;", "null", "5 more rows"):
        assert shown in page
    assert "<script>" not in page
    assert "<b>" not in page


def test_the_text_view_says_where_it_came_from() -> None:
    assert repr(FeatureFrame(FLAT, lock={"a/b": 0})).startswith("FeatureFrame: 3 rows × 8 columns from a/b@0\n")
