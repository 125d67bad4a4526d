"""The two ways to the same store: in this process, and over a real socket to a server process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tiffin

_SERVER = """
import sys, socket, uvicorn, tiffin
from tiffin.server.app import create_app
from tiffin.server.options import ServerOptions

bound = socket.create_server(("127.0.0.1", 0))
app = create_app(tiffin.FeatureStore(sys.argv[1]), ServerOptions(port=bound.getsockname()[1]))
server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools"))
print(bound.getsockname()[1], flush=True)
server.run([bound])
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; gives the address. Connections wait in the socket's queue until the server takes them."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdigit(), "the server did not start; it has said why"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


Store = tiffin.FeatureStore | tiffin.FeatureStoreClient
