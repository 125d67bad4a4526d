"""Whether the index keeps up with the tables that are read: what it missed would stay missed until the next save."""

from __future__ import annotations

import contextlib
import time

from tiffin.errors import ConflictError, StorageError, UnavailableError
from tiffin.materialize import Materializer
from tiffin.online.base import Head
from tiffin.tables.state import State
from tiffin.tables.table import Table

LOOK_AFTER_S = 1.0
"""A plan has its tables looked at this often. A lag that is as old is nobody's who is just about to catch up."""
RETRY_AFTER_S = 60.0
"""After an attempt to catch up that failed: it may have read a whole table for nothing."""


class Watch:
    """Looks whether the index keeps up with tables, and catches up where nobody else does.

    Parameters
    ----------
    materializer : Materializer
        Fills the index.
    """

    def __init__(self, materializer: Materializer) -> None:
        self._materializer = materializer
        self._lagging: dict[str, tuple[Head | None, float]] = {}
        """Of each table that the index is behind: what it knew when that was seen, and when to catch up."""

    def is_of(self, table: Table, table_id: str) -> bool:
        """Tell whether the rows of an id still are those of a table that is online; if so, see that they keep up.

        A table that cannot be reached, or an index that cannot be written, does not keep the rows from answering.

        Raises
        ------
        OnlineUnavailable
            The index cannot be read.
        """
        try:
            state = table.log.latest()
        except StorageError:
            return True
        if state is None or state.metadata.id != table_id or not state.spec.online:
            return False
        if self._materializer.is_caught_up(state):
            self._lagging.pop(table_id, None)
        elif self._is_due(state):
            self._lagging[table_id] = self._materializer.head(state), time.monotonic() + RETRY_AFTER_S
            with contextlib.suppress(StorageError, ConflictError, UnavailableError):
                self._materializer.catch_up_if_free(table)
        return True

    def _is_due(self, state: State) -> bool:
        """Tell whether the index has stood still behind its table for long enough."""
        table_id, head, now = state.metadata.id, self._materializer.head(state), time.monotonic()
        known, due = self._lagging.get(table_id, (head, None))
        if due is None or known != head:
            due = now + LOOK_AFTER_S
        self._lagging[table_id] = head, due
        return now >= due
