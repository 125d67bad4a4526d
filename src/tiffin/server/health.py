"""Whether a server lives, and whether its store can be read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from tiffin.errors import StorageError
from tiffin.files import LOCAL
from tiffin.server.status import NotReady

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.server.caller import Caller
    from tiffin.store import FeatureStore


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That a server lives."""

    status: Literal["healthy"]
    timestamp: datetime


class OnlineTable(msgspec.Struct, frozen=True, kw_only=True):
    """How far the online index is behind a table."""

    version: int
    online_version: int
    """The version that the index has caught up with; -1 if it has nothing of the table."""
    behind: int
    """Versions between them."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """That a store can be read, and how far the online index is."""

    status: Literal["ready"]
    online: dict[str, OnlineTable]
    """The tables that are online and that the caller may see."""


class Ground:
    """Where a store stands: notices when its folder is away, or when another lies in its place.

    A disk that is not mounted leaves no folder, or an empty one. What is saved then would make a new store there, which
    nobody sees any more once the disk is back.

    Parameters
    ----------
    folder : Path
        The store's; what lies there now is what is served. It need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._served = LOCAL.stat(folder)

    def check(self) -> None:
        """Refuse to go on without the folder.

        Raises
        ------
        NotReady
            It is away.
        """
        found = LOCAL.stat(self._folder)
        if self._served is None:
            self._served = found
        elif found is None or (found.device, found.inode) != (self._served.device, self._served.inode):
            raise NotReady(
                f"the store's folder is gone, or is another than was served: {self._folder}",
                hint="look whether its disk is there; if it was put back from a copy, start the server again",
            )


def readiness(store: FeatureStore, ground: Ground, caller: Caller) -> Ready:
    """Find out whether a store can be read.

    Parameters
    ----------
    store : FeatureStore
        The store.
    ground : Ground
        Where it stands.
    caller : Caller
        Who asks.

    Returns
    -------
    Ready

    Raises
    ------
    NotReady
        It cannot be read.
    """
    ground.check()
    try:
        lags = store.online_lag()
    except StorageError as error:
        raise NotReady(error.message, hint=error.hint) from error
    return Ready(
        status="ready",
        online={
            lag.table: OnlineTable(version=lag.version, online_version=lag.online_version, behind=lag.versions)
            for lag in lags
            if caller.sees(lag.table)
        },
    )
