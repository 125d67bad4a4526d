"""`tiffin serve` as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """Serve a folder; gives the address once requests are answered."""
    command = [sys.executable, "-m", "tiffin", "--store", str(folder), "--json", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            document = "".join(iter(process.stdout.readline, "}\n"))
            assert document, "the server did not start; it has said why"
            yield json.loads(document + "}")["url"]
        finally:
            process.terminate()
            process.wait(40)
