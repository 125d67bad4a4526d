"""A fixed piece of work, timed beside ours: what it takes longer, the machine takes longer."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from statistics import median

_TEXT = b"".join(b"%d tiffin " % (number * number) for number in range(20_000))
_PAGE = bytes(4096)
_TIMES = 5


def work() -> tuple[float, float]:
    """Do the fixed work a few times.

    Returns
    -------
    wall_s, processor_s : float
        Seconds that it took in the middle, on the clock and of the processor.
    """
    taken = []
    for _ in range(_TIMES):
        wall, used = time.perf_counter(), time.thread_time()
        total = 0
        for number in range(40_000):
            total += number & 7
        zlib.compress(_TEXT, 1)
        taken.append((time.perf_counter() - wall, time.thread_time() - used))
    return median(wall for wall, _ in taken), median(used for _, used in taken)


def sync(folder: Path) -> float:
    """Write a page to a file in a folder and sync it, a few times; seconds that it took in the middle."""
    taken = []
    for _ in range(3 * _TIMES):
        start = time.perf_counter()
        descriptor = os.open(folder / "reference", os.O_CREAT | os.O_WRONLY)
        try:
            os.write(descriptor, _PAGE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        taken.append(time.perf_counter() - start)
    return median(taken)
