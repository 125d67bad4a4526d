"""How many bytes a column is taken for, whatever Arrow type it comes in."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tiffin.wire.bounds import expanded_bytes

TEXTS = ["é", "b" * 100, None, ""]
BYTES = 102
TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_texts_count_as_long_as_they_are(kind):
    values = pa.array(TEXTS, pa.string()).cast(kind)
    assert BYTES <= expanded_bytes(values) <= BYTES + 16 * len(values)
    assert 100 <= expanded_bytes(values[1:2]) <= 100 + 16
    assert expanded_bytes(values[:0]) <= 16


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_text_that_stands_many_times_counts_each_time(kind):
    values = pa.array(TEXTS, pa.string()).cast(kind)
    words = pa.DictionaryArray.from_arrays(pa.array([1] * 1000, pa.int8()), values)
    assert 100_000 <= expanded_bytes(words) <= 102_000
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([10, 1010, 1011, 1012], pa.int32()), values)
    assert 100_020 <= expanded_bytes(runs) <= 101_000


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_texts_within_lists_and_structs_count(kind):
    values = pa.array(TEXTS, pa.string()).cast(kind)
    for made in (pa.ListArray, pa.LargeListArray):
        assert expanded_bytes(made.from_arrays([0, 2, 4], values)) >= BYTES
    assert expanded_bytes(pa.StructArray.from_arrays([values], ["x"])) >= BYTES
    assert expanded_bytes(pa.MapArray.from_arrays([0, 4], pa.array([1, 2, 3, 4]), values)) >= BYTES
