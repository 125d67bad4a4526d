"""The open connections of a server process: how many there may be, and how long they may keep it waiting."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from tiffin.errors import Busy, LimitError, TooMany

if TYPE_CHECKING:
    from tiffin.server.options import Limits

_TICK_S = 0.5


class Connection(Protocol):
    """What is known here of a connection."""

    address: str
    """Where it comes from."""

    def is_waiting(self, *, for_first: bool) -> bool:
        """Tell whether it waits for its client to send a request, the first one or any."""

    def check(self, now: float) -> None:
        """Close it if the client is too slow."""

    def dismiss(self) -> None:
        """Close it for the sake of another."""


class Connections:
    """The open connections of a process.

    Many that send nothing must not keep out those that do. So where there is one too many, the oldest that waits for
    its client is closed: first of those that never sent a request, then of those kept open for the next one. Only if
    all are at work is the new one refused.

    Parameters
    ----------
    limits : Limits
        How many there may be.
    """

    def __init__(self, limits: Limits) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The other half of the files is for the store.
        self._most = limits.connections if files == resource.RLIM_INFINITY else min(limits.connections, files // 2)
        self._most_per_address = limits.connections_per_address
        # Dicts, because they keep the order in which connections came.
        self._open: dict[Connection, None] = {}
        self._by_address: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._ticks_in: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> LimitError | None:
        """Count a new connection in, or say why not."""
        siblings = self._by_address[connection.address]
        if len(siblings) >= self._most_per_address and not self._dismiss_one(siblings):
            return TooMany("this address has too many connections open", hint="use fewer, and keep them open")
        if len(self._open) >= self._most and not self._dismiss_one(self._open):
            return Busy("the server has too many connections open", hint="try again in a moment")
        self._open[connection] = None
        self._by_address[connection.address][connection] = None
        if self._ticks_in is not loop:
            self._ticks_in = loop
            loop.call_later(_TICK_S, self._tick, loop)
        return None

    def leave(self, connection: Connection) -> None:
        """Count a connection out, if it is still in."""
        if connection not in self._open:
            return
        del self._open[connection]
        siblings = self._by_address[connection.address]
        del siblings[connection]
        if not siblings:
            del self._by_address[connection.address]

    def _dismiss_one(self, connections: Iterable[Connection]) -> bool:
        for for_first in (True, False):
            oldest = next((each for each in connections if each.is_waiting(for_first=for_first)), None)
            if oldest is not None:
                self.leave(oldest)
                oldest.dismiss()
                return True
        return False

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._open:
            loop.call_later(_TICK_S, self._tick, loop)
        else:
            self._ticks_in = None
        now = loop.time()
        for connection in list(self._open):
            # Its socket may be gone already; the loop will say so in a moment.
            with contextlib.suppress(OSError):
                connection.check(now)
