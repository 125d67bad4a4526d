"""The process that looks after workers."""

from __future__ import annotations

import multiprocessing.connection
import socket
import time
from collections.abc import Callable

import uvicorn
from uvicorn.supervisors import Multiprocess

_START_S = 60
_LOOK_EVERY_S = 0.2


class Supervisor(Multiprocess):
    """Starts workers, replaces those that die, and stops all when it is told to.

    Parameters
    ----------
    config : uvicorn.Config
        Of each worker.
    sockets : list of socket
        Bound; the workers take turns to accept.
    ready : callable
        Called once all workers answer requests.
    patience_s : float
        Seconds that workers get to end once they are told to; then they are killed.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        ready: Callable[[], object],
        *,
        patience_s: float,
    ) -> None:
        super().__init__(config, sockets)
        self._ready = ready
        self._patience_s = patience_s

    def init_processes(self) -> None:
        """Start the workers, and wait until they answer."""
        super().init_processes()
        if all(process.wait_until_ready(_START_S, self.should_exit) for process in self.processes):
            self._ready()

    def terminate_all(self) -> None:
        """Tell the workers to finish, and let no client wait in a queue that nobody serves any more."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait until the workers have finished; another signal kills them, or the end of patience."""
        self.signal_queue.clear()
        end = time.monotonic() + self._patience_s
        alive = [process.process for process in self.processes]
        while alive:
            multiprocessing.connection.wait([process.sentinel for process in alive], timeout=_LOOK_EVERY_S)
            alive = [process for process in alive if process.is_alive()]
            if self.signal_queue or time.monotonic() > end:
                for process in alive:
                    process.kill()
