"""What a table or column is about, for the people who look for it: owner, labels, links and unit (pure)."""

from __future__ import annotations

import re

import msgspec

from tiffin.errors import InvalidInputError
from tiffin.schema.names import check_text

LONGEST = {"owner": 200, "unit": 100, "label": 200, "the value of label": 2_000, "link": 2_000}
"""Characters."""
MOST = 100
"""Labels, or links, of one table or column."""

_LINK = re.compile(r"(https?://(?![^/?#]*@)|mailto:)[^\s<>\"]+")
"""None with a user and password: what a table declares is shown to all who read it, and kept in every version."""


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who answers for a table or column, and by which words it is found."""

    owner: str = ""
    labels: dict[str, str] = {}
    """Words by which it is found, each with a value that may be empty."""
    links: tuple[str, ...] = ()
    unit: str = ""
    """What a column's numbers count; a table has none."""


NOTHING = About()
"""What is said of a table or column of which nothing is."""


def check_about(about: About, what: str) -> None:
    """Check that what is said of a table or column can be kept and shown.

    Parameters
    ----------
    about : About
        What is said.
    what : str
        Of what, for the message: "table user/ratings", "column 'mean' of table user/ratings".

    Raises
    ------
    InvalidInputError
        A text is none, too long or spread over lines, a link is none that can be followed, or there are too many.
    """
    if not isinstance(about.labels, dict) or not isinstance(about.links, tuple):
        raise InvalidInputError(
            f"labels of {what} are {about.labels!r}, its links {about.links!r}",
            hint="write labels={'team': 'search'} and links=['https://…']",
        )
    texts = [("owner", about.owner), ("unit", about.unit), *(("label", label) for label in about.labels)]
    texts += [("the value of label", value) for value in about.labels.values()]
    for kind, text in [*texts, *(("link", link) for link in about.links)]:
        check_text(text, f"{kind} of {what}")
        if len(text) > LONGEST[kind] or not (text.isprintable() or not text) or text != text.strip():
            raise InvalidInputError(
                f"{kind} of {what} is {text[:60]!r}",
                hint=f"write one line of at most {LONGEST[kind]} characters, without spaces around it",
            )
    if "" in about.labels:
        raise InvalidInputError(f"a label of {what} is empty", hint="a label is a word; its value may be left empty")
    for link in about.links:
        if not _LINK.fullmatch(link):
            raise InvalidInputError(
                f"{link!r} is no link that {what} can have",
                hint="write it like https://wiki.example/ratings, without a user and password",
            )
    if max(len(about.labels), len(about.links)) > MOST:
        raise InvalidInputError(f"{what} has more than {MOST} labels or links", hint="keep those that people look for")


def to_text(about: About) -> str:
    """Write it as JSON; empty if nothing is said."""
    return msgspec.json.encode(about, order="sorted").decode() if about != NOTHING else ""


def from_text(text: str) -> About:
    """Read what `to_text` wrote.

    Raises
    ------
    InvalidInputError
        It is something else.
    """
    try:
        return msgspec.json.decode(text, type=About) if text else NOTHING
    except msgspec.MsgspecError as error:
        raise InvalidInputError(f"{text[:60]!r} says nothing about a table or column: {error}") from error
