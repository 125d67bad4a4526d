"""What a server's process does with memory that it no longer needs."""

from __future__ import annotations

import gc
import weakref

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
