"""After a fork Polars' threads are in the parent alone: work given to it in the child would wait for them for ever."""

from __future__ import annotations

import os

from tiffin.errors import UnavailableError

_has_worked = _lacks_threads = False


def check_threads() -> None:
    """Note that Polars is about to work; refuse that where it would never end.

    Raises
    ------
    UnavailableError
        This process was forked from one in which Polars had worked.
    """
    global _has_worked  # noqa: PLW0603 - of the process, as Polars' threads are
    if _lacks_threads:
        raise UnavailableError(
            "this process was forked from one in which Polars had worked, and has none of its threads",
            hint="start processes with multiprocessing.get_context('spawn') or 'forkserver', or before the first read "
            "or save; online reads work after a fork too",
        )
    _has_worked = True


def _note_fork() -> None:
    global _lacks_threads  # noqa: PLW0603 - see above
    _lacks_threads = _has_worked


os.register_at_fork(after_in_child=_note_fork)
