"""Whether a server lives, and whether its store can be read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from tiffin.errors import StorageError
from tiffin.files import LOCAL
from tiffin.server.status import NotReady

if TYPE_CHECKING:
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


def readiness(store: FeatureStore, caller: Caller) -> Ready:
    """Find out whether a store can be read.

    Parameters
    ----------
    store : FeatureStore
        The store.
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
    if not LOCAL.stat(store.path):
        raise NotReady(f"the store's folder is gone: {store.path}", hint="look whether its disk is there")
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
