"""A Redis or Valkey server for the tests: one that is named, or one started for the purpose."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.ports import free_port

REQUIRED = os.environ.get("TIFFIN_REQUIRE_REDIS") == "1"
URL = os.environ.get("TIFFIN_TEST_REDIS_URL")
PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
IS_THERE = bool(URL or PROGRAM)


class Server:
    """A server that keeps nothing, on a free port of this machine."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert PROGRAM
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        nowhere = ["--save", "", "--appendonly", "no", "--dir", str(folder), "--bind", "127.0.0.1"]
        self._command = [PROGRAM, "--port", str(self.port), *nowhere, *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert time.monotonic() < end, "the server does not answer"
            assert self._process.poll() is None, "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
