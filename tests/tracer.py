"""System calls of another process, watched and made to fail by `strace`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = os.environ.get("TIFFIN_REQUIRE_STRACE") == "1"
PROGRAM = shutil.which("strace")
PATIENCE_S = 30


@contextlib.contextmanager
def traced(process: int, log: Path, calls: str, fault: str = "") -> Iterator[None]:
    """Write some system calls of a process and its threads to a file, and make one of them fail.

    Parameters
    ----------
    process : int
        Its id. It must be waiting for something when this begins and when this ends.
    log : Path
        The file: a line for each call, with the paths of open files, and `(INJECTED)` where one was made to fail.
    calls : str
        Names, with commas between them.
    fault : str
        As strace's `inject=` takes it: `fsync:error=EIO:when=2`. Each thread counts for itself.
    """
    assert PROGRAM
    inject = ["-e", f"inject={fault}"] if fault else []
    command = [PROGRAM, "-y", "-o", str(log), "-e", f"trace={calls}", *inject, "-p", str(process)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            if REQUIRED:
                pytest.fail(f"strace cannot follow a process here: {said}")
            pytest.skip(f"NO FAILING SYSTEM CALL WAS TRIED: strace cannot follow a process here: {said}")
        try:
            yield
        finally:
            # It lets go of the process; if that is dead, strace has ended already.
            tracer.send_signal(signal.SIGINT)
            try:
                tracer.communicate(timeout=PATIENCE_S)
            finally:
                tracer.kill()
