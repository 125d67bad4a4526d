"""The clock that other processes see, turned by `libfaketime`."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

REQUIRED = os.environ.get("TIFFIN_REQUIRE_FAKETIME") == "1"
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class FakeClock:
    """A clock for processes that are started with its `environment`; it can be turned while they run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.turn(timedelta(0))

    def turn(self, by: timedelta) -> None:
        """Let the clock be ahead of the real one."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}")
        new.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # What measures durations goes on as it did, as on a machine whose clock is set.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
