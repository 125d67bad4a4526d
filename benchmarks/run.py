"""A run of the benchmarks as it is written to a file: the machine, its load, and what was measured."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.measure import Result

LIBRARIES = ("tiffin", "polars", "pyarrow", "numpy", "pandas", "duckdb", "deltalake", "lmdb", "msgspec", "uvicorn")


@dataclass(frozen=True)
class Machine:
    """What the figures were measured on."""

    cores: int
    memory_gb: float
    """10**9 bytes."""
    system: str
    python: str
    libraries: dict[str, str]


@dataclass(frozen=True)
class Run:
    """One run: all sides of a case were measured in it, in turns."""

    when: str
    """UTC, ISO 8601."""
    seconds: float
    quick: bool
    load_before: float
    """Processes that ran or waited to, on average over the minute before the run."""
    load_after: float
    """The same over the run's last minute: its own are among them."""
    machine: Machine
    results: Mapping[str, Sequence[Result]]
    """By the part of the benchmarks."""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.encode(self, enc_hook=_plain)
        path.write_bytes(msgspec.json.format(encoded, indent=1))


def _plain(value: Any) -> Any:
    """Give a number of numpy's as Python's."""
    return value.item()


def read(path: Path) -> Run:
    """Read what a run has written.

    Raises
    ------
    msgspec.ValidationError
        The file is not of a run.
    """
    return msgspec.json.decode(path.read_bytes(), type=Run)


class Clock:
    """Notes when a run began, and under what load."""

    def __init__(self) -> None:
        self._when, self._start, self._load = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]

    def stop(self, results: Mapping[str, Sequence[Result]], *, quick: bool) -> Run:
        """Make the run of what was measured since."""
        return Run(
            when=self._when.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._start, 1),
            quick=quick,
            load_before=round(self._load, 2),
            load_after=round(os.getloadavg()[0], 2),
            machine=machine(),
            results=results,
        )


def machine() -> Machine:
    """Describe this machine."""
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES},
    )
