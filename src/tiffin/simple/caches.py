"""The guides' caches, each a thin layer over one of `tiffin.cache`."""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin import cache
from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest

if TYPE_CHECKING:
    import pandas as pd

MIB = 1024**2

_UNBOUNDED = 2**63 - 1


def figures(stats: cache.MemoryStats) -> dict[str, Any]:
    """Give a memory cache's figures, under the guides' other names too.

    Parameters
    ----------
    stats : MemoryStats
        The figures.

    Returns
    -------
    dict
        As given, with `total_items`, `cache_usage_ratio`, `cache_hits`, `cache_misses` and `total_requests`.
    """
    return {
        **stats,
        "total_items": stats["size"],
        "cache_usage_ratio": stats["size"] / stats["max_size"] if stats["max_size"] else 0.0,
        "cache_hits": stats["hits"],
        "cache_misses": stats["misses"],
        "total_requests": stats["hits"] + stats["misses"],
    }


class LRUCache:
    """Keeps the values used last, for a limited time. What a caller does to a value stays with that caller.

    Parameters
    ----------
    max_size : int
        Most values held.
    ttl_seconds : float
        How long a value is served after it was set.
    clock : callable
        Returns seconds; only differences count.
    """

    def __init__(
        self, max_size: int = 1000, ttl_seconds: float = 3600, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._values = cache.MemoryCache[Any](
            max_bytes=_UNBOUNDED, max_entries=max_size, ttl_s=ttl_seconds, copy=_isolated, clock=clock
        )

    def get(self, key: str) -> Any:
        """Return a copy of the value of a key; None if it was never set, was dropped or has expired."""
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        """Keep a copy of a value under a key, in place of the one it had."""
        self._values.put(key, _isolated(value), size_bytes=0)

    def delete(self, key: str) -> None:
        """Drop one key, if it is there."""
        self._values.discard(key)

    def clear(self) -> None:
        """Drop everything; the figures go on."""
        self._values.clear()

    def get_stats(self) -> dict[str, Any]:
        """Return the figures since the cache was made, as `figures` lists them, but for the bytes: it counts none."""
        stats = figures(self._values.stats())
        del stats["bytes"], stats["max_bytes"]
        return stats


def _isolated(value: Any) -> Any:
    """Copy a value so that a change to one of the two is not seen in the other.

    Pandas copies a column when it is changed, so its frames need no copy now; but the lists and dicts in a column of
    objects can be changed in place.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(value, pandas.DataFrame):
        return copy.deepcopy(value)
    isolated = value.copy(deep=False)
    for place, dtype in enumerate(value.dtypes):
        if str(dtype) == "object":
            cells = [copy.deepcopy(cell) for cell in value.iloc[:, place]]
            isolated.isetitem(place, pandas.Series(cells, index=value.index, dtype=object))
    return isolated


class DiskCache:
    """Keeps pandas frames in a folder, bounded in size; damaged files count as not there. No pickle.

    Parameters
    ----------
    cache_dir : str or Path
        The folder; made when first needed.
    max_size_mb : float
        Most megabytes (2**20 bytes) held; beyond, the least recently used frames go until 80 % are left.
    """

    def __init__(self, cache_dir: str | os.PathLike[str] = "cache/disk", max_size_mb: float = 1000) -> None:
        self._files = cache.DiskCache(Path(cache_dir).absolute(), max_bytes=int(max_size_mb * MIB))

    def get(self, key: str) -> pd.DataFrame | None:
        """Return the frame kept under a key, a new one each time; None if it is not there or was damaged."""
        kept = self._files.get((key,))
        if kept is None:
            return None
        columns = [json.loads(label) for label in kept.columns]
        kept.columns = [name for name, _ in columns]
        return FeatureFrame(kept, origins=dict(columns)).to_pandas()  # type: ignore[no-any-return]  # imported late

    def set(self, key: str, value: pd.DataFrame) -> bool:
        """Keep a frame under a key, in place of the one it had.

        Parameters
        ----------
        key : str
            Any text.
        value : pandas.DataFrame, shape (n, k)
            With a default index: what `save_features` takes can be kept here.

        Returns
        -------
        bool
            Whether it was stored: not if the disk refuses or the frame is larger than the whole cache.

        Raises
        ------
        InvalidInputError
            It is not a pandas frame, or one that cannot be kept exactly.
        """
        given = ingest(value)
        if given.library != "pandas":
            raise InvalidInputError(
                f"the disk cache keeps pandas frames, not a {type(value).__qualname__}", hint="use LRUCache for it"
            )
        # A column's label in the file holds its pandas type too, so that one file is all there is to a frame.
        labels = {name: json.dumps([name, given.origins.get(name, "")]) for name in given.frame.columns}
        return self._files.put((key,), given.frame.rename(labels))

    def delete(self, key: str) -> None:
        """Drop one key, if it is there."""
        self._files.delete((key,))

    def clear(self) -> None:
        """Drop every frame."""
        self._files.clear()

    def get_cache_size_mb(self) -> float:
        """Return the megabytes (2**20 bytes) that the frames take on disk."""
        return self._files.size_bytes() / MIB
