"""Look at the processes and at the store's folder, from outside."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import lmdb
import psutil

from benchmarks.soak import reference
from benchmarks.soak.measured import Process, Sample

_MB = 1e6
_POOL = "tokio-"
PARTS = ("features", "online", "cache", "metadata", "registry", "logs", "config")


def sample(
    store: Path, processes: Mapping[str, psutil.Process], beside: Path, at_s: float, *, is_at_rest: bool
) -> Sample:
    """Take a sample.

    Parameters
    ----------
    store : Path
        The store's folder.
    processes : mapping of str to psutil.Process
        By name; one that has ended is an error.
    beside : Path
        Where the reference writes its file: on the same disk, not in the store.
    at_s : float
        Seconds since the run began.
    is_at_rest : bool
        Whether no call is under way.
    """
    disk, files = _folders(store)
    wall, used = reference.work()
    return Sample(
        at_s=at_s,
        is_at_rest=is_at_rest,
        processes={name: _process(process) for name, process in processes.items()},
        disk_mb=disk,
        files=files,
        online_pages=_pages(store / "online"),
        work_ms=wall * 1e3,
        work_processor_ms=used * 1e3,
        sync_ms=reference.sync(beside) * 1e3,
    )


def processor_s(pid: int) -> float:
    """Give the processor time that a process has used since it began, its own alone, to the nanosecond.

    Linux makes the number of a process's clock of its id: see `clock_getcpuclockid(3)`.
    """
    return time.clock_gettime((~pid << 3) | 2)


def _process(process: psutil.Process) -> Process:
    memory, threads = process.memory_full_info(), _threads(process.pid)
    pool = sum(name.startswith(_POOL) for name in threads)
    return Process(
        rss_mb=memory.rss / _MB,
        uss_mb=memory.uss / _MB,
        files=process.num_fds(),
        threads=len(threads) - pool,
        pool_threads=pool,
        processor_s=processor_s(process.pid),
    )


def _threads(pid: int) -> list[str]:
    """Give the names of the process's threads."""
    names = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            names.append((task / "comm").read_text())
    return names


def _folders(store: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Add up what each part takes on disk, and count its files; those of `features` by table."""
    taken, files = dict.fromkeys(PARTS, 0.0), Counter[str]()
    for path in store.rglob("*"):
        try:
            stat = path.lstat()
        except FileNotFoundError:
            continue  # removed meanwhile
        parts = path.relative_to(store).parts
        taken[parts[0]] = taken.get(parts[0], 0.0) + stat.st_blocks * 512 / _MB
        if not path.is_dir():
            files["/".join(parts[1:3]) if parts[0] == "features" else parts[0]] += 1
    return taken, dict(files)


def _pages(folder: Path) -> int:
    with lmdb.open(str(folder), readonly=True, lib_version=0) as environment:
        stat = environment.stat()
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
