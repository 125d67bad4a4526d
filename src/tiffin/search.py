"""Full-text search over what tables, columns, services and training sets are called and said to be (pure).

There is no index that could be out of date: a search looks through the metadata, which is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Literal, NamedTuple

import msgspec

from tiffin.errors import InvalidInputError
from tiffin.registry import Service
from tiffin.schema.about import NOTHING, About
from tiffin.schema.table import Column, TableSpec

Kind = Literal["table", "column", "service", "training_set", "on_demand"]

_KINDS: tuple[Kind, ...] = ("table", "on_demand", "service", "training_set", "column")
"""Which comes first of those that match as well."""
_WEIGHTS = {
    "name": 100,
    "label": 30,
    "owner": 25,
    "unit": 20,
    "description": 15,
    "references": 10,
    "table": 8,
    "link": 5,
}
_WHOLE, _BEGINNING, _PART = 1.0, 0.7, 0.4
"""How much a word counts that is found as a word, as the beginning of one, or within one."""
_WORD = re.compile(r"\w+")
_SHORTEST_WITH_A_MISTAKE = 4
"""Letters: of a shorter word every other differs by one."""
_LONGEST_EXCERPT = 120


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was found."""

    kind: Kind
    name: str
    """A reference, `group/name` or `group/name:column`; or of a service, a training set, on-demand features."""
    field: str
    """Where the first word was found: `name`, `description`, `label`, …"""
    text: str
    """What stands there, at most 120 characters of it."""
    score: float
    """The greater, the better; of use only to compare the matches of one search."""


class Document(NamedTuple):
    """What can be found of one thing."""

    kind: Kind
    name: str
    fields: tuple[tuple[str, str], ...]
    """Pairs of field and text."""
    haystack: str
    """All the texts, folded: what holds none of the words is passed over quickly."""


def _document(kind: Kind, name: str, fields: Iterable[tuple[str, str]]) -> Document:
    said = tuple((field, text) for field, text in fields if text)
    return Document(kind, name, said, "\n".join(text for _, text in said).casefold())


def of_table(name: str, spec: TableSpec, words: Sequence[str] = ()) -> Iterator[Document]:
    """List what can be found of a table: itself, and each of its columns.

    Parameters
    ----------
    name : str
        `group/name`.
    spec : TableSpec
        The table.
    words : sequence of str
        Folded. What cannot hold them all is left out, which is quicker than to look at it; none of them leaves out
        nothing.

    Yields
    ------
    Document
    """
    table = _document("table", name, [("name", name), ("description", spec.description), *_about(spec.about)])
    if all(word in table.haystack for word in words):
        yield table
    folded = name.casefold()
    needed = [word for word in words if word not in folded]
    for column in spec.columns:
        text = _said(column)
        if all(word in text for word in needed) and (not words or any(word in text for word in words)):
            said = [("name", column.name), ("table", name), ("description", column.description), *_about(column.about)]
            yield _document("column", f"{name}:{column.name}", said)


def _said(column: Column) -> str:
    """Join all that is said of a column, folded."""
    if column.about is NOTHING and not column.description:
        return column.name.casefold()
    return "\n".join([column.name, column.description, *(text for _, text in _about(column.about))]).casefold()


def of_service(service: Service) -> Document:
    """Return what can be found of a feature service."""
    fields = [("name", service.name), ("description", service.description), ("references", " ".join(service.features))]
    return _document("service", service.name, fields)


def of_on_demand(name: str, description: str, outputs: Iterable[str]) -> Document:
    """Return what can be found of on-demand features."""
    fields = [("name", name), ("description", description), ("references", " ".join(outputs))]
    return _document("on_demand", name, fields)


def of_training_set(name: str, description: str) -> Document:
    """Return what can be found of a training set."""
    return _document("training_set", name, [("name", name), ("description", description)])


def _about(about: About) -> Iterator[tuple[str, str]]:
    yield "owner", about.owner
    yield "unit", about.unit
    for label, value in about.labels.items():
        yield "label", f"{label}={value}" if value else label
    for link in about.links:
        yield "link", link


Documents = Callable[[Sequence[str]], Iterable[Document]]
"""Lists where to look for folded words, all of which must be found; for no words lists everything."""


def find(text: str, documents: Documents, *, limit: int) -> tuple[Match, ...]:
    """Find the documents that hold all the words of a text.

    Parameters
    ----------
    text : str
        Words; case and what stands between them do not matter.
    documents : callable
        Lists where to look.
    limit : int
        At most this many.

    Returns
    -------
    tuple of Match
        The best first.

    Raises
    ------
    InvalidInputError
        There is no word in it.
    """
    words = list(dict.fromkeys(_words(text))) if isinstance(text, str) else []
    if not words:
        raise InvalidInputError(f"there is no word to look for in {text!r}", hint="write what a feature is about")
    found = _with_all(words, documents(words)) or _with_mistakes(words, documents)
    return tuple(nsmallest(limit, found, key=lambda match: (-match.score, _KINDS.index(match.kind), match.name)))


def _words(text: str) -> list[str]:
    """Split a text into words; names are split at `_` too."""
    return [word for run in _WORD.findall(text.casefold()) for word in run.split("_") if word]


def _with_all(words: Sequence[str], documents: Iterable[Document]) -> list[Match]:
    return [
        match
        for document in documents
        if all(word in document.haystack for word in words) and (match := _match(document, words)) is not None
    ]


def _match(document: Document, words: Sequence[str]) -> Match | None:
    """Score a document by the best place of each word; None if all that is found of a column is its table."""
    best: list[tuple[float, str, str]] = []
    for word in words:
        places = [(_score(word, field, text), field, text) for field, text in document.fields]
        best.append(max(places, key=lambda place: place[0], default=(0.0, "", "")))
    own = [place for place in best if place[1] != "table"]
    if not own or min(score for score, _, _ in best) == 0:
        return None
    _, field, text = own[0]
    # Of two names that hold the words the one that holds less else is meant.
    total = sum(score for score, _, _ in best) / len(words) - 0.01 * min(len(document.name), 100)
    return Match(kind=document.kind, name=document.name, field=field, text=_excerpt(text, words), score=round(total, 3))


def _score(word: str, field: str, text: str) -> float:
    folded = text.casefold()
    if word not in folded:
        return 0.0
    known = _words(text)
    if word in known:
        share = _WHOLE
    elif any(other.startswith(word) for other in known):
        share = _BEGINNING
    else:
        share = _PART
    return _WEIGHTS[field] * share


def _excerpt(text: str, words: Sequence[str]) -> str:
    """Cut a long text to where the words stand."""
    line = " ".join(text.split())
    if len(line) <= _LONGEST_EXCERPT:
        return line
    place = min((found for word in words if (found := line.casefold().find(word)) >= 0), default=0)
    start = max(0, min(place - _LONGEST_EXCERPT // 4, len(line) - _LONGEST_EXCERPT + 2))
    return f"{'…' if start else ''}{line[start : start + _LONGEST_EXCERPT - 2]}…"


def _with_mistakes(words: Sequence[str], documents: Documents) -> list[Match]:
    """Look for the words that stand in names and labels and differ by one letter from those that were written."""
    known = {
        word
        for document in documents(())
        for field, text in document.fields
        if field in {"name", "label", "owner"}
        for word in _words(text)
    }
    meant = [_nearest(word, known) for word in words]
    likely = [word for word in meant if word is not None]
    return _with_all(likely, documents(likely)) if len(likely) == len(words) else []


def _nearest(word: str, known: set[str]) -> str | None:
    if word in known or len(word) < _SHORTEST_WITH_A_MISTAKE:
        return word
    return min((other for other in known if _differ_by_one(word, other)), default=None)


def _differ_by_one(a: str, b: str) -> bool:
    """Tell whether one letter was added, left out, changed, or two neighbours were swapped."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or rest_a[1:] == rest_b[1:]
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )
