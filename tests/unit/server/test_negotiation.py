"""What a caller accepts, read off the headers."""

import pytest

from tiffin.server.answers.negotiation import choose_coding, choose_media, is_known
from tiffin.server.status import NotAcceptable

OFFERED = ("application/json", "text/csv", "application/x-rows")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("application/*;q=0.1, text/csv;q=0.2", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
        ("application/json; charset=utf-8", "application/json"),
        ("text/csv;q=0.5, application/x-rows", "application/x-rows"),
    ],
)
def test_the_most_accepted_of_what_is_offered_is_chosen(accept, chosen):
    assert choose_media(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "nonsense", "application/json;q=x", ";,;="])
def test_what_nobody_offers_is_refused_with_the_list(accept):
    with pytest.raises(NotAcceptable) as refused:
        choose_media(accept, OFFERED)
    assert all(media in refused.value.hint for media in OFFERED)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [("", ""), ("gzip", "gzip"), ("gzip, zstd", "zstd"), ("gzip, zstd;q=0.5", "gzip"), ("zstd;q=0, gzip", "gzip"),
     ("identity", ""), ("br", ""), ("*", "zstd"), ("gzip;q=0, *;q=0", "")],
)  # fmt: skip
def test_compression_is_what_both_know(accept, chosen):
    assert choose_coding(accept) == chosen


@pytest.mark.parametrize(
    ("header", "known"), [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False)]
)
def test_a_tag_is_found_among_those_that_the_caller_has(header, known):
    assert is_known('"a"', header) is known
