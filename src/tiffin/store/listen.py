"""The verb that serves the store to others: start_api_server."""

from __future__ import annotations

import os
import subprocess
import sys

from tiffin import config
from tiffin.errors import StorageError
from tiffin.store.opened import Opened


class Listening(Opened):
    """Methods of `FeatureStore` that start the server."""

    def start_api_server(
        self, host: str = "127.0.0.1", port: int = 8001, *, workers: int = 1, insecure: bool = False
    ) -> None:
        """Serve the store over HTTP until the server is stopped: Ctrl-C, or SIGTERM.

        The server is a program of its own, `tiffin serve`, with the settings of this store; it ends with this process.
        `tiffin serve --help` shows what else can be set.

        Parameters
        ----------
        host : str
            The address to listen on. Any but this machine's own needs API keys: `tiffin keys create`.
        port : int
            The port; 0 takes any that is free, and the server says which.
        workers : int
            Processes that share the port.
        insecure : bool
            Serve other machines although no key exists: whoever reaches the port may do everything.

        Raises
        ------
        StorageError
            The server could not start, or failed; it has said why on standard error.
        """
        command = [sys.executable, "-m", "tiffin", "--store", str(self.path), "serve", "--attached"]
        command += ["--host", host, "--port", str(port), "--workers", str(workers)]
        command += ["--insecure"] if insecure else []
        environment = {**os.environ, **config.to_environment(self.settings)}
        # The server ends when its standard input does, as it does when this process ends in whatever way.
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as server:  # noqa: S603 - our own program
            status = _wait(server)
        if status:
            raise StorageError(
                f"the server of {str(self.path)!r} on {host}:{port} ended with status {status}",
                hint="see what it said on standard error",
            )


def _wait(server: subprocess.Popen[bytes]) -> int:
    """Wait for the server; at Ctrl-C, which reaches it too, let it finish."""
    try:
        return server.wait()
    except KeyboardInterrupt:
        return server.wait()
