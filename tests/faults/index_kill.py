"""Processes that change an online index until they are killed, and what must be in it then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from conformance.indexes import Place, Row, head_of, in_batches, key_of, row_of, rows_of
from faults.workload import Notes
from tiffin.online import OnlineIndex

COUNT = 2_000
TABLE = "one"
EVERY = 6
"""Every so many versions all rows are loaded; in between, one in so many is changed."""


def version_of(number: int, version: int) -> int:
    """The version that an entity's row is of, at a version of the table."""
    return max(known for known in range(version + 1) if known % EVERY in (0, number % EVERY))


def advance(index: OnlineIndex, version: int) -> bool:
    """Go to a version from the one before it."""
    if version % EVERY == 0:
        return index.load(TABLE, head_of(version), lambda after: in_batches(rows_of(COUNT, version, after), 400))
    puts: list[Row] = [(key_of(number), row_of(number, version)) for number in range(version % EVERY, COUNT, EVERY)]
    return index.apply(TABLE, head_of(version - 1), head_of(version), puts, [])


def advance_until_killed(place: Place, log: Path) -> None:
    """Go from version to version, and note each when it is there."""
    notes, index = Notes(log), place.open()
    while True:
        head = index.head(TABLE)
        version = 0 if head is None else head.version + 1
        notes.write(event="begin", version=version)
        assert advance(index, version)
        notes.write(event="done", version=version)


def wrong_rows(index: OnlineIndex) -> Iterator[str]:
    """Compare all that is in the index with what must be."""
    head = index.head(TABLE)
    version = -1 if head is None else head.version
    [(_, rows)] = index.get_many([(TABLE, [key_of(number) for number in range(COUNT + 1)])])
    for number, row in enumerate(rows):
        expected = row_of(number, version_of(number, version)) if version >= 0 and number < COUNT else None
        if row != expected:
            yield f"entity {number} at version {version}: {row!r}"
    if index.count(TABLE) != (COUNT if version >= 0 else 0):
        yield f"count {index.count(TABLE)}"


def random_moment(seed: int) -> float:
    return random.Random(seed).uniform(0, 0.15)
