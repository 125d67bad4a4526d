"""Warnings travel in a header: short, in ASCII, and only those that are known on the other side."""

from __future__ import annotations

import pytest

from tiffin.errors import DeprecatedFeature, MajorChanged
from tiffin.wire.warned import read_warnings, write_warnings


def test_what_is_written_is_read():
    told = [(DeprecatedFeature, 'g/t:x is deprecated: “old”\r\nX-Evil: "1"; 100%'), (MajorChanged, "🍱")]
    header = write_warnings(told)
    assert header.isascii()
    assert header.isprintable()
    assert read_warnings(header) == told


def test_headers_stay_short():
    header = write_warnings([(DeprecatedFeature, "é" * 100_000)] * 50)
    assert len(header) < 15_000
    assert [len(text) for _, text in read_warnings(header)] == [500] * 4


@pytest.mark.parametrize(
    "header", ["", "no", "[", "[[1, 2]]", '[["DeprecatedFeature"]]', '[["SystemExit", "x"]]', "%ff"]
)
def test_what_is_no_warning_is_passed_over(header):
    assert read_warnings(header) == []
