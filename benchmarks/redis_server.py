"""A Redis server for the time of a measurement."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.ports import free_port

MOST_WAIT_S = 10


@contextmanager
def redis() -> Iterator[str | None]:
    """Start a server that keeps nothing on disk; gives `127.0.0.1:port`, or None where none is installed."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        yield None
        return
    port = free_port()
    arguments = [program, "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as server:
        try:
            _until_reachable(port)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _until_reachable(port: int) -> None:
    end = time.monotonic() + MOST_WAIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, "the Redis server did not start"
        else:
            return
