"""At which instants the windows of an entity change, and which of its events lie in each window then (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tiffin.derived.folding import Ints

LAST = 253_402_300_799_999_999
"""The last microsecond of the year 9999, counted from 1970-01-01 UTC: tables hold no later time."""


@dataclass(frozen=True)
class Events:
    """When the events of entities occurred, by entity, then time.

    Attributes
    ----------
    starts : array, shape (e + 1,)
        Where the events of each entity begin.
    times : array, shape (n,)
        Microseconds since 1970-01-01 UTC.
    """

    starts: Ints
    times: Ints


@dataclass(frozen=True)
class Span:
    """Which events lie in the windows of one length; what changes nothing is not repeated.

    Attributes
    ----------
    length : int or None
        Microseconds; None for the window that never empties.
    low, high : array, shape (s,)
        Where the events of each different window begin and end.
    index : array of 32-bit whole numbers, shape (instants,)
        Which of these it is at each instant.
    """

    length: int | None
    low: Ints
    high: Ints
    index: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Instants:
    """The instants that have a row: of each its entity and time, and for each window what is in it.

    Attributes
    ----------
    entities : array, shape (m,)
        Numbers of the entities.
    times : array, shape (m,)
        Microseconds since 1970-01-01 UTC.
    spans : list of Span
        One for each window.
    """

    entities: Ints
    times: Ints
    spans: list[Span]


def instants(events: Events, lengths: list[int | None], *, expiry: bool) -> Instants:
    """Find out when windows change, and what is in them.

    The window of length w at r holds the events in (r - w, r]: an event at t enters at t and is out of it at t + w. So
    it changes at these instants and no others, and the number of instants t + w up to r tells how many have left by r.

    Parameters
    ----------
    events : Events
        The events.
    lengths : list of int or None
        How long each window is, microseconds.
    expiry : bool
        Whether the instants at which events leave get a row too.

    Returns
    -------
    Instants
    """
    finite = sorted({length for length in lengths if length is not None})
    parts = [_part(events, block, finite, expiry=expiry) for block in _blocks(events, finite)]
    entities, times, high, *left = (np.concatenate(column) for column in zip(*parts, strict=True))
    lows: dict[int | None, Ints] = dict(zip(finite, left, strict=True))
    lows[None] = events.starts[entities]
    return Instants(entities, times, [_span(length, lows[length], high) for length in lengths])


class _Block(NamedTuple):
    """Entities whose events can be told apart, with their times, by one whole number of 64 bits each."""

    first: int
    last: int
    start: int
    """The time from which theirs are counted."""
    width: int
    """How many instants each entity has."""


def _blocks(events: Events, finite: Sequence[int]) -> list[_Block]:
    count = len(events.starts) - 1
    start, end = (int(events.times.min()), int(events.times.max())) if count else (0, 0)
    width = end - start + max(finite, default=0) + 1
    size = max((1 << 62) // width, 1)
    return [_Block(first, min(first + size, count), start, width) for first in range(0, max(count, 1), size)]


def _part(events: Events, block: _Block, finite: Sequence[int], *, expiry: bool) -> tuple[Ints, ...]:
    """Find the instants of some entities, and for each how many events have entered by then, and left each window."""
    low, high = events.starts[block.first], events.starts[block.last]
    owners = np.arange(block.last - block.first)
    owner = np.repeat(owners, np.diff(events.starts[block.first : block.last + 1]))
    enter = owner * block.width + (events.times[low:high] - block.start)
    leave = [enter + length for length in finite]
    every = np.sort(np.concatenate([enter, *(leave if expiry else ())]))
    every = every[_changes(every)]
    owner = every // block.width
    times = every - owner * block.width + block.start
    if len(times) and times.max() > LAST:
        every, owner, times = (column[times <= LAST] for column in (every, owner, times))
    passed = (low + np.searchsorted(stream, every, side="right") for stream in (enter, *leave))
    return owner + block.first, times, *passed


def _span(length: int | None, low: Ints, high: Ints) -> Span:
    differs = _changes(low) | _changes(high)
    return Span(length, low[differs], high[differs], np.cumsum(differs, dtype=np.uint32) - 1)


def _changes(values: Ints) -> npt.NDArray[np.bool_]:
    """Tell which elements are not equal to the one before them."""
    changes = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes
