"""The server as users start it, for the time of a measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil


@contextmanager
def served(folder: Path, *options: str, errors: IO[str] | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """Run `tiffin serve`, its errors in a file; gives the address once requests are answered, and the process."""
    command = [sys.executable, "-m", "tiffin", "--store", str(folder), "--json", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout
            document = "".join(iter(process.stdout.readline, "}\n"))
            assert document, "the server did not start; it has said why"
            yield json.loads(document + "}")["url"], psutil.Process(process.pid)
        finally:
            process.terminate()
