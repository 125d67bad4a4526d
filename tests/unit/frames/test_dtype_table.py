"""Every type goes out as it came in, through a real Parquet file, or is refused with advice."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dtype_cases import ARROW, PANDAS, POLARS, Case
from dtype_document import SECTIONS, table
from pandas.testing import assert_frame_equal as assert_pandas_equal
from polars.testing import assert_frame_equal as assert_polars_equal

from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest
from tiffin.schema import dtypes

DOCUMENT = Path(__file__).parents[3] / "docs" / "dtypes.md"


def through_parquet(frame: object) -> FeatureFrame:
    """Save and read as a table does: text for the metadata, stored types in the file."""
    ingested = ingest(frame)
    file = io.BytesIO()
    dtypes.to_stored(ingested.frame).write_parquet(file)
    remembered = {name: dtypes.encode(dtype) for name, dtype in ingested.frame.schema.items()}
    file.seek(0)
    read = pl.read_parquet(file)
    frame = dtypes.from_stored(read, {name: dtypes.decode(text) for name, text in remembered.items()})
    return FeatureFrame(frame, origins=ingested.origins)


def is_kept(frame: object) -> bool:
    ingested = ingest(frame)
    return not ingested.origins and dtypes.to_stored(ingested.frame).schema == ingested.frame.schema


def by_outcome(cases: list[Case], *, refused: bool) -> pytest.MarkDecorator:
    chosen = [case for case in cases if (case.outcome == "refused") is refused]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


@by_outcome(POLARS, refused=False)
def test_polars_comes_back(case: Case) -> None:
    for frame in (case.values.to_frame(), case.values.clear().to_frame()):
        assert_polars_equal(through_parquet(frame).to_polars(), frame, check_exact=True)
    assert is_kept(frame) is (case.outcome == "kept")


@by_outcome(PANDAS, refused=False)
def test_pandas_comes_back(case: Case) -> None:
    frame = pd.DataFrame({"x": case.values})
    for saved in (frame, frame.iloc[:0]):
        given = through_parquet(saved).to_pandas()
        assert_pandas_equal(given, saved, check_exact=True, check_column_type="exact", check_flags=True)
        assert given["x"].dtype == saved["x"].dtype
        assert [type(value) for value in given["x"]] == [type(value) for value in saved["x"]]
    assert is_kept(frame) is (case.outcome == "kept")


@by_outcome(ARROW, refused=False)
def test_arrow_comes_back(case: Case) -> None:
    frame = pa.table({"x": case.values})
    for saved in (frame, frame.slice(1), frame.slice(0, 0)):
        given = through_parquet(saved).to_arrow()
        assert given.schema == saved.schema
        assert given.to_pylist() == saved.to_pylist()
        given.validate(full=True)
    assert is_kept(frame) is (case.outcome == "kept")


@by_outcome(POLARS, refused=True)
def test_polars_is_refused(case: Case) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x'[^$]*{case.says}") as caught:
        through_parquet(case.values.to_frame())
    assert caught.value.hint


@by_outcome(PANDAS, refused=True)
def test_pandas_is_refused(case: Case) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x'[^$]*{case.says}") as caught:
        through_parquet(pd.DataFrame({"x": case.values}))
    assert caught.value.hint


@by_outcome(ARROW, refused=True)
def test_arrow_is_refused(case: Case) -> None:
    with pytest.raises(InvalidInputError, match=f"column 'x'[^$]*{case.says}") as caught:
        through_parquet(pa.table({"x": case.values}))
    assert caught.value.hint


@pytest.mark.parametrize("section", SECTIONS)
def test_the_document_shows_each_type(section: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8").split(f"\n## {section}\n\n")[1].split("\n\n")[0]
    assert text.strip().splitlines() == table(section).splitlines()
