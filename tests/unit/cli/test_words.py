from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cli.views import words
from tiffin.schema.durations import parse_duration


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_340, "12.3 kB"), (999_960, "1.00 MB"), (5e15, "5,000 TB")],
)
def test_sizes(size, text):
    assert words.size(size) == text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(3e-8, "0.03 µs"), (45.67e-6, "45.7 µs"), (0.9996e-3, "1.00 ms"), (0.25, "250 ms"), (75, "75.0 s")],
)
def test_seconds(time_s, text):
    assert words.seconds(time_s) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(milliseconds=10), "just now"),
        (timedelta(seconds=1.5), "1 second ago"),
        (timedelta(hours=47), "1 day ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(seconds=-5), "just now"),
    ],
)
def test_how_long_ago(passed, text):
    now = datetime(2024, 6, 1, tzinfo=UTC)
    assert words.ago(now - passed, now) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_is_written_as_it_is_read(milliseconds):
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(words.span(duration)) == duration
