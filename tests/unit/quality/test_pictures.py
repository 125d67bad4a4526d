"""Pictures are XML that needs nothing else, and their bars are as high as the numbers say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import polars as pl
import pytest

from tiffin.quality import pictures
from tiffin.quality.drift.comparing import Data, compare
from tiffin.quality.drift.thresholds import Thresholds
from tiffin.quality.panels import of_sides, of_values
from tiffin.quality.profiles.profiling import profile

SVG = "{http://www.w3.org/2000/svg}"


def looked(frame: pl.DataFrame):
    return profile("g/t", 3, frame.columns, frame.get_column)


def drifted(before: pl.DataFrame, now: pl.DataFrame):
    sides = [Data(name, None, frame.height, frame.schema, frame.get_column, is_whole=True)
             for name, frame in (("old", before), ("new", now))]  # fmt: skip
    columns = list(dict.fromkeys([*before.columns, *now.columns]))
    return compare("g/t", *sides, columns, Thresholds({}, columns))


def bars(svg: str, style: str) -> dict[str, ElementTree.Element]:
    """The bars of a side by what they say they are."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}rect")
    return {bar.find(f"{SVG}title").text: bar for bar in found if bar.get("class") == style}


def texts(svg: str) -> list[str]:
    return [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_bars_of_a_histogram_are_as_high_as_the_counts():
    svg = pictures.of_profile(looked(pl.DataFrame({"x": [*range(10), 7, 7, 7]})))
    found = bars(svg, "new")
    assert {told: float(bar.get("height")) / 90 for told, bar in found.items()} == {
        f"{number} to {number + 1}: {4 if number == 7 else 1}": 1 if number == 7 else 0.25 for number in range(10)
    }
    assert {float(bar.get("y")) + float(bar.get("height")) for bar in found.values()} == {90}
    places = [float(bar.get("x")) for bar in found.values()]
    assert places == pytest.approx([28 * number for number in range(10)])
    assert {"g/t version 3: 13 rows", "x", "Int64, 0.0% missing", "0", "10"} == set(texts(svg))


def test_the_bars_of_values_are_as_long_as_the_counts():
    svg = pictures.of_profile(looked(pl.DataFrame({"c": ["a"] * 4 + ["b", None]})))
    assert {told: float(bar.get("width")) for told, bar in bars(svg, "new").items()} == {"a: 4": 280, "b: 1": 70}
    assert "String, 16.7% missing" in texts(svg)


def test_two_sides_lie_over_each_other():
    svg = pictures.of_drift(drifted(pl.DataFrame({"x": [1] * 50 + [9] * 50}), pl.DataFrame({"x": [9] * 60})))
    was, now, told_of_nine = bars(svg, "old"), bars(svg, "new"), "9 to 10: 50 → 60"
    assert {told: float(bar.get("height")) for told, bar in was.items()} == {
        "1 to 2: 50 → 0": 45,
        "9 to 10: 50 → 60": 45,
    }
    assert {told: float(bar.get("height")) for told, bar in now.items()} == {told_of_nine: 90.0}
    assert now[told_of_nine].get("x") == was[told_of_nine].get("x")
    assert "g/t, old (grey) and new (blue): drifted" in texts(svg)


def test_categories_of_both_sides():
    svg = pictures.of_drift(drifted(pl.DataFrame({"c": ["a"] * 10}), pl.DataFrame({"c": ["a"] * 5 + ["b"] * 5})))
    assert [float(bar.get("width")) for bar in bars(svg, "old").values()] == [280, 0]
    assert [float(bar.get("width")) for bar in bars(svg, "new").values()] == [140, 140]
    assert list(bars(svg, "new")) == ["a: 10 → 5", "b: 0 → 5"]


def test_what_stands_in_a_table_cannot_break_out_of_the_picture():
    nasty = '</text><script>alert("x")</script>&\x00\x1b\ud7ff'
    frame = pl.DataFrame({nasty: [nasty] * 3})
    for svg in (pictures.of_profile(looked(frame)), pictures.of_drift(drifted(frame, frame))):
        tags = {element.tag for element in ElementTree.fromstring(svg).iter()}
        assert tags <= {f"{SVG}{name}" for name in ("svg", "title", "style", "rect", "g", "text", "line")}
        assert '</text><script>alert("x")</script>&\ufffd\ufffd\ud7ff: 3' in bars(svg, "new") or "drift" in svg


def test_it_needs_nothing_from_elsewhere():
    svg = pictures.of_profile(looked(pl.DataFrame({"x": [1.5], "c": ["a"]})))
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search("<script|href|@import|url\\(", svg)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"x": []}, schema={"x": pl.Float64}),
        pl.DataFrame({"x": [None, None]}),
        pl.DataFrame({"x": [{"a": 1}]}),
        pl.DataFrame({"x": [float("nan"), float("inf")]}),
        pl.DataFrame(),
    ],
)
def test_a_column_with_nothing_to_draw_is_a_picture_too(frame):
    assert ElementTree.fromstring(pictures.of_profile(looked(frame))).tag == f"{SVG}svg"
    assert ElementTree.fromstring(pictures.of_drift(drifted(frame, frame))).tag == f"{SVG}svg"


def test_whole_numbers_of_few_values_are_a_histogram_all_the_same():
    (column,) = looked(pl.DataFrame({"x": [1, 1, 2]})).columns
    assert [each.rows for each in column.common] == [2, 1]
    assert of_values(column, 3).is_histogram


def test_values_far_out_count_for_the_shares_of_the_others():
    frame = pl.DataFrame({"x": [*range(100), *range(100), 10**9]})
    (column,) = drifted(frame, frame).columns
    assert sum(of_sides(column).sides[0]) == pytest.approx(200 / 201)
