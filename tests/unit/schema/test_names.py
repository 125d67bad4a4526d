"""Names are checked wherever they come in, and a reference says what it means."""

import pytest

from tiffin.errors import InvalidName
from tiffin.schema.names import Reference, check_part, parse_reference

BAD_PARTS = [
    "", ".", "..", "a/b", "a\\b", "a.b", "-a", "a b", "a\0b", "é", "a\n", "x" * 129, "CON", "nul", "Com1", "lpt9",
    "%2e%2e", "~", "$HOME", "a:b", "a@b",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_PARTS)
def test_a_part_that_could_be_a_path_or_a_device_is_refused(text):
    with pytest.raises(InvalidName):
        check_part(text, "table")


@pytest.mark.parametrize("text", ["a", "_a", "A-1_b", "x" * 128, "console", "0"])
def test_a_plain_part_is_taken_as_it_is(text):
    assert check_part(text, "table") == text


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("user/ratings", Reference("user", "ratings")),
        ("ratings", Reference(None, "ratings")),
        ("user/ratings:mean", Reference("user", "ratings", None, "mean")),
        ("user/ratings@3", Reference("user", "ratings", 3)),
        ("ratings@0:a:b", Reference(None, "ratings", 0, "a:b")),
        ("user/ratings@prod", Reference("user", "ratings", "prod")),
        ("ratings@v1-2:mean", Reference(None, "ratings", "v1-2", "mean")),
    ],
)
def test_a_reference_means_what_it_says(text, meaning):
    assert parse_reference(text) == meaning
    assert str(meaning) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "a/b:",
        "a/b@",
        "a/b@x y",
        "a/b@x@y",
        "a/b@x/y",
        "a/b@-x",
        "a/b@../x",
        "a/b@nul",
        "a/b@1234567890123456789",
        "a/b@-1",
        "a/b@1.5",
        "a/b@²",
        "../b",
        "a/..",
        "x" * 601,
        None,
        7,
        ["a"],
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InvalidName) as error:
        parse_reference(text)
    assert error.value.hint


def test_a_long_name_is_not_repeated_in_full():
    with pytest.raises(InvalidName) as error:
        check_part("x" * 5000, "table")
    assert len(str(error.value)) < 400
