"""What a server's process does with memory that it no longer needs."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import weakref

import pytest

from tiffin.server.memory import tidy


class Request:
    """Holds itself, as one does that was cut off."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_out_of_reach_is_freed_before_memory_is_given_back():
    gc.disable()
    try:
        request = Request()
        still_there = weakref.ref(request)
        del request
        seen = []
        tidy(lambda kept: seen.append((kept, still_there())))
        assert seen == [(0, None)]
        tidy(None)
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has arenas")
def test_threads_share_a_few_arenas():
    program = """
import ctypes, sys, threading
from tiffin.server.memory import share_arenas
share_arenas()
together = threading.Barrier(13)
def take():
    ctypes.CDLL(None).malloc(4000)
    together.wait()
for _ in range(12):
    threading.Thread(target=take).start()
together.wait()
ctypes.CDLL(None).malloc_stats()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert 1 <= done.stderr.count("Arena ") <= 4
