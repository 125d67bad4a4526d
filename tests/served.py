"""A server process with limits of the test's choosing, and plain sockets to ill-treat it with."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

import httpx

PATIENCE_S = 30


@dataclass
class Served:
    """A running `tiffin serve`."""

    process: subprocess.Popen[str]
    url: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def get(self, path: str, **options: object) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE_S, **options)  # type: ignore[arg-type]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE_S, source_address=(source, 0))

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def served(
    folder: Path,
    *options: str,
    limits: dict[str, object] | None = None,
    files: int | None = None,
    errors: Path | None = None,
) -> Iterator[Served]:
    """Run `tiffin serve` on a free port, with at most so many open files, its errors in a file."""

    asked = [f"--limit={name}={value}" for name, value in (limits or {}).items()]
    command = [sys.executable, "-m", "tiffin", "--store", str(folder), "--json", "serve", "--port=0", *options, *asked]
    if files is not None:
        command = ["/bin/sh", "-c", 'ulimit -n "$0" && exec "$@"', str(files), *command]
    with (errors or Path("/dev/null")).open("w") as sink:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True)
    with process:
        try:
            assert process.stdout is not None
            yield Served(process, _document(process.stdout)["url"])
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()


def _document(lines: TextIO) -> dict[str, str]:
    """Read one JSON document of several lines; more would come only when the server has stopped."""
    told = ""
    for line in lines:
        told += line
        if line == "}\n":
            break
    assert told, "the server did not start"
    return json.loads(told)


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read all that a server sends until it closes; its status (0: nothing came) and the whole answer."""
    pieces = []
    try:
        while piece := connection.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    answer = b"".join(pieces)
    return (int(answer.split()[1]) if answer else 0), answer


def wait_until(what: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def certified(folder: Path, *names: str) -> tuple[Path, Path]:
    """Make a certificate of this machine, and of other names that it is to have; the certificate and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    alternatives = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in names)])
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName={alternatives}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))
