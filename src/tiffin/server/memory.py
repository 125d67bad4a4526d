"""How a server's process keeps memory: what is loaded is not looked at again, and what is freed goes back."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable

_OBJECTS_PER_COLLECTION = 10_000
_TIDIED_EVERY_S = 10.0
_ARENAS = 2
_M_ARENA_MAX = -8
"""What `mallopt` of glibc calls the number of arenas."""


def share_arenas() -> None:
    """Let the threads of this process take memory from a few arenas; before most of them are there.

    What one thread frees stays in its arena, where others do not find it: with sixteen of them, memory grows by what
    each once needed. Sharing costs no measurable time, because Python's threads take turns anyway.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_M_ARENA_MAX, _ARENAS)


def settle() -> None:
    """Settle how this process keeps memory, once all is loaded.

    The garbage collector does not look at all that is loaded, again and again: that took a tenth of a quick request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    # Of glibc; other libraries have no such function, nor the need.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    threading.Thread(target=_tidy_for_ever, args=[give_back], name="tidy-memory", daemon=True).start()


def tidy(give_back: Callable[[int], object] | None) -> None:
    """Free what is out of reach, and give freed memory back to the system.

    A request that was cut off may hold megabytes until the garbage collector finds it, and it counts objects, not
    bytes. Freed, they would stay as holes in the arenas of the threads that had asked for them: hundreds of megabytes
    after an hour.
    """
    gc.collect()
    if give_back is not None:
        give_back(0)


def _tidy_for_ever(give_back: Callable[[int], object] | None) -> None:
    while True:
        time.sleep(_TIDIED_EVERY_S)
        tidy(give_back)
