"""The process that looks after workers."""

from __future__ import annotations

import logging
import multiprocessing.connection
import signal
import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

_START_S = 60
_LOOK_EVERY_S = 0.2
_STOPPING = {signal.SIGINT, signal.SIGTERM}
LAST_S = 5
"""How long threads that are still at work get after `shutdown_s`, before their process ends without them, seconds."""

_log = logging.getLogger("tiffin.server")


class Worker(multiprocess.Process):
    """A worker of Uvicorn's that is known to have started once it has, and to be dead once it is."""

    def start(self) -> None:
        """Start it, and leave its end of the pipe to it alone.

        Were that end open here too, whoever waits for the answer of a worker that dies would wait for the whole time
        that a worker has to answer.
        """
        super().start()
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run it, in the process, with a server that is there before another thread tells whether it has started.

        Uvicorn makes the server when it is first asked for. If both threads ask at once it makes two: one runs, and of
        the other it is told for ever that it has not started.
        """
        self._server = uvicorn.Server(self.config)
        super().target(sockets)

    def join(self) -> None:
        """Wait until it has ended, or kill it: a thread of it that never ends would hold up the supervisor."""
        self.process.join((self.config.timeout_graceful_shutdown or 0) + LAST_S)
        if self.process.is_alive():
            self.process.kill()
        super().join()


# It has no other place to say of what class its processes are.
multiprocess.Process = Worker  # type: ignore[misc]


class _Told(threading.Event):
    """Whether the server is to stop: known as soon as a signal says so, while workers are replaced too.

    The signal's own handler cannot set it, for it may interrupt a wait that holds its lock.
    """

    def __init__(self, heard: list[int]) -> None:
        super().__init__()
        self._heard = heard

    def is_set(self) -> bool:
        """Tell whether it is."""
        return super().is_set() or not _STOPPING.isdisjoint(self._heard)


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
        self.should_exit = _Told(self.signal_queue)

    @property
    def has_failed(self) -> bool:
        """Whether a worker could not start, which is why all were stopped."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def init_processes(self) -> None:
        """Start the workers, and wait until they answer."""
        super().init_processes()
        if all(process.wait_until_ready(_START_S, self.should_exit) for process in self.processes):
            self._ready()
        elif not self.should_exit.is_set():
            _log.error("not all workers answer, %d s after they were started", _START_S)

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
            if not _STOPPING.isdisjoint(self.signal_queue) or time.monotonic() > end:
                for process in alive:
                    process.kill()
