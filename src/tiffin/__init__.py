"""Tiffin: a local-first feature store. One folder of open files, one process, nothing else to install.

>>> import tiffin
>>> store = tiffin.FeatureStore("feature_store")
>>> store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id").version
0
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tiffin.errors import TiffinError
from tiffin.version import __version__

if TYPE_CHECKING:
    from tiffin.client import AsyncFeatureStoreClient, FeatureStoreClient, connect
    from tiffin.derived.on_demand import on_demand
    from tiffin.frames import FeatureFrame
    from tiffin.store import FeatureStore
    from tiffin.tables.table import Commit

__all__ = [
    "AsyncFeatureStoreClient",
    "Commit",
    "FeatureFrame",
    "FeatureStore",
    "FeatureStoreClient",
    "TiffinError",
    "__version__",
    "connect",
    "on_demand",
]

_HOMES = {
    "AsyncFeatureStoreClient": "tiffin.client",
    "Commit": "tiffin.tables.table",
    "FeatureFrame": "tiffin.frames",
    "FeatureStore": "tiffin.store",
    "FeatureStoreClient": "tiffin.client",
    "connect": "tiffin.client",
    "on_demand": "tiffin.derived.on_demand",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tiffin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
