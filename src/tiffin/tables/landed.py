"""Saves that land once, however often they are tried: each is named in the commit that it made.

The name stands in the log, so it is found again after a restart and by every process. Only recent commits are looked
through: a save is tried again within minutes.
"""

from __future__ import annotations

import contextlib

from tiffin.errors import ConflictError, CorruptData
from tiffin.locks import new_lock
from tiffin.tables.actions import Once
from tiffin.tables.log import Log
from tiffin.tables.state import State

RECENT = 1000
"""Versions, counted from the newest, in which a name is found again."""


class Landed:
    """The named saves among the recent commits of one table, read from its log once.

    Parameters
    ----------
    log : Log
        The table's log.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = new_lock()
        self._read: State | None = None
        """Up to where the log has been read."""
        self._versions: dict[str, tuple[int, str]] = {}
        """By name: the version that the save made, and what it asked for."""

    def find(self, once: Once | None, now: State | None) -> int | None:
        """Return the version that a save has made already; None if it has not landed.

        Parameters
        ----------
        once : Once or None
            What names the save, if anything does.
        now : State or None
            The newest version.

        Raises
        ------
        ConflictError
            The name was used for another save.
        """
        if once is None or now is None:
            return None
        with self._lock:
            self._follow(now)
            version, request = self._versions.get(once.key, (None, once.request))
        if request != once.request:
            raise ConflictError(
                f"the idempotency key of this request was used for another one on table {self._log.table}",
                hint="choose a new key for each request; send the same key only with the same request",
            )
        return version

    def _follow(self, now: State) -> None:
        read = self._read
        if read is not None and not self._leads_to(read, now):
            self._versions, read = {}, None
        oldest = max(now.version - RECENT + 1, self._log.oldest())
        for version in range(max(oldest, read.version + 1 if read else 0), now.version + 1):
            # A damaged commit is told by those who need what it says.
            with contextlib.suppress(CorruptData):
                details = self._log.read_commit(version).info.tiffin
                if details is not None and details.once is not None:
                    self._versions[details.once.key] = version, details.once.request
        self._read = now
        self._versions = {key: made for key, made in self._versions.items() if made[0] >= oldest}

    def _leads_to(self, read: State, now: State) -> bool:
        """Tell whether the log still is the one that was read: a table may be dropped, or put back from a copy."""
        if read.metadata.id != now.metadata.id or read.version > now.version:
            return False
        try:
            return self._log.read_commit(read.version).info.timestamp == read.timestamp
        except CorruptData:
            return False
