"""Tiffin: a local-first feature store. One folder of open files, one process, nothing else to install.

>>> import tiffin
>>> store = tiffin.FeatureStore("feature_store")
>>> store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id").version
0
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tiffin.errors import NotYetAvailable, TiffinError
from tiffin.version import __version__

if TYPE_CHECKING:
    from tiffin.frames import FeatureFrame
    from tiffin.store import FeatureStore
    from tiffin.tables.table import Commit

__all__ = ["Commit", "FeatureFrame", "FeatureStore", "TiffinError", "__version__"]

_HOMES = {"Commit": "tiffin.tables.table", "FeatureFrame": "tiffin.frames", "FeatureStore": "tiffin.store"}


def __getattr__(name: str) -> Any:
    """Import what is heavy when it is first used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "connect":
        raise NotYetAvailable(
            "tiffin.connect is not in this version", hint="it comes with the server; see the changelog"
        )
    raise AttributeError(f"module 'tiffin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
