"""What a soak has measured, as it is kept in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.run import Machine


class Taken(msgspec.Struct, frozen=True):
    """What one kind of call took in one stretch of time."""

    count: int
    errors: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    processor_ms: float = 0.0
    """Of one call, in the middle; 0 where it was done by another process."""


class Window(msgspec.Struct, frozen=True):
    """What all kinds of call took in one stretch of time, while all of them went on."""

    at_s: float
    """Since the run began."""
    kinds: Mapping[str, Taken]


class Probe(msgspec.Struct, frozen=True):
    """What each kind of call took when nothing else went on."""

    at_s: float
    ms: Mapping[str, float]
    """By kind, in the middle."""
    server_ms: Mapping[str, float]
    """Processor time of all of the server's processes for one call."""
    work_ms: float
    """The reference, by the clock."""
    work_processor_ms: float
    sync_ms: float
    """The reference: a page, written and synced."""


class Process(msgspec.Struct, frozen=True):
    """What a process had at a moment."""

    rss_mb: float
    uss_mb: float
    """Of its own: what would be freed if it ended."""
    files: int
    """Open file descriptors."""
    threads: int
    """But for those of Polars' pool."""
    pool_threads: int
    """Of Polars' pool for reading files, which keeps as many as were ever busy at once, up to a most."""
    processor_s: float
    """Since it began."""


class Sample(msgspec.Struct, frozen=True):
    """The state of everything at a moment."""

    at_s: float
    is_at_rest: bool
    """Whether no call was under way."""
    processes: Mapping[str, Process]
    disk_mb: Mapping[str, float]
    """By part of the store: blocks of its files."""
    files: Mapping[str, int]
    """By table, and of the other parts: how many there are."""
    online_pages: int
    """Of the online index, in use."""
    work_ms: float
    """The reference, by the clock."""
    work_processor_ms: float
    sync_ms: float
    """The reference: a page, written and synced."""


class Soak(msgspec.Struct, frozen=True):
    """A whole run."""

    when: str
    """UTC, ISO 8601."""
    seconds: float
    load_before: float
    load_after: float
    pace: float
    workers: int
    machine: Machine
    samples: Sequence[Sample]
    windows: Sequence[Window]
    probes: Sequence[Probe]
    wrong: Mapping[str, int]
    """Answers that were stale, torn, or otherwise not what was acknowledged; what was lost; what failed."""
    checked: int
    """Answers whose values were checked."""
    faults: Sequence[str]
    """The first of them, in words."""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def read(path: Path) -> Soak:
    """Read what a run has written.

    Raises
    ------
    msgspec.ValidationError
        The file is not of a soak.
    """
    return msgspec.json.decode(path.read_bytes(), type=Soak)
