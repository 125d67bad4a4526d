"""The guides' Parquet storage, and a cache in front of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tiffin.cache import MemoryCache
from tiffin.frames import FeatureFrame
from tiffin.schema.filters import Where
from tiffin.simple.caches import MIB, figures
from tiffin.simple.config import KEEP_VERSIONS
from tiffin.simple.lookup import storage_info
from tiffin.store import FeatureStore

if TYPE_CHECKING:
    import pandas as pd

_MOST_BYTES = 512 * MIB


class OptimizedStorage:
    """Saves and loads pandas frames as tables of a store, without caches.

    Parameters
    ----------
    base_path : str or Path
        The store's folder; made on the first save.

    Attributes
    ----------
    store : FeatureStore
        What it is a layer over.
    """

    def __init__(self, base_path: str | os.PathLike[str]) -> None:
        self.store = FeatureStore(base_path, memory_cache_entries=0, disk_cache_bytes=0, keep_versions=KEEP_VERSIONS)

    def save_feature_data(
        self,
        data: pd.DataFrame,
        feature_group: str,
        feature_name: str,
        partition_cols: Sequence[str] | None = None,
    ) -> str:
        """Save a frame as `group/name`, in place of what that held; no value is changed.

        Parameters
        ----------
        data : pandas.DataFrame, shape (n, k)
            With a default index.
        feature_group, feature_name : str
            Where.
        partition_cols : sequence of str, optional
            Columns by whose values the files are kept apart; left out, as the table has it.

        Returns
        -------
        str
            The table's folder.

        Raises
        ------
        TiffinError
            As `FeatureStore.save`.
        """
        reference = f"{feature_group}/{feature_name}"
        return self.store.save(reference, data, partition_by=partition_cols, evolve=True).path

    def load_feature_data(
        self,
        feature_group: str,
        feature_name: str,
        columns: Sequence[str] | None = None,
        filters: Where | None = None,
    ) -> pd.DataFrame:
        """Load a table, or some of its columns and rows; only what is needed for them is read.

        Parameters
        ----------
        feature_group, feature_name : str
            Which table.
        columns : sequence of str, optional
            Which columns, in which order.
        filters : comparisons, optional
            Which rows: `[("year", ">=", 1990), …]`, all of which must hold, or a list of such lists, of which one must.

        Returns
        -------
        pandas.DataFrame, shape (n, k)
            In the types that were saved.

        Raises
        ------
        TableNotFound, FeatureNotFound, InvalidInputError, CorruptData
            As `FeatureStore.read`.
        """
        read = self.store.read(f"{feature_group}/{feature_name}", columns=columns, where=filters)
        return read.to_pandas()  # type: ignore[no-any-return]  # pandas is imported late

    def get_storage_info(self, feature_group: str, feature_name: str) -> dict[str, Any]:
        """Tell whether a table exists and how large it is, without reading its data.

        Parameters
        ----------
        feature_group, feature_name : str
            Which table.

        Returns
        -------
        dict
            `feature_group`, `feature_name`, `exists`, `file_size_mb` (2**20 bytes, of the newest version),
            `row_count` (None if another writer did not count the rows) and `column_count`.
        """
        return storage_info(self.store, feature_group, feature_name)


class CachedFeatureStore:
    """A memory cache in front of a storage. It sees each save at once, whoever made it.

    Parameters
    ----------
    storage : OptimizedStorage
        Where frames are loaded from.
    cache_size : int
        Most frames held, and no more than 512 MiB of them.
    cache_ttl : float
        Seconds that a frame is served before it is loaded again.
    """

    def __init__(self, storage: OptimizedStorage, cache_size: int = 1000, cache_ttl: float = 3600) -> None:
        self.storage = storage
        self._frames = MemoryCache[FeatureFrame](max_bytes=_MOST_BYTES, max_entries=cache_size, ttl_s=cache_ttl)

    def get_feature_data(
        self, feature_group: str, feature_name: str, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Give a table, or some of its columns.

        Parameters
        ----------
        feature_group, feature_name : str
            Which table.
        columns : sequence of str, optional
            Which columns, in which order.

        Returns
        -------
        pandas.DataFrame, shape (n, k)
            The caller may change it: nobody else sees that.

        Raises
        ------
        TableNotFound, FeatureNotFound, CorruptData
            As `FeatureStore.read`.
        """
        reference = f"{feature_group}/{feature_name}"
        table = self.storage.store.describe(reference)
        # The time tells a table from one of the same name that was dropped before it.
        key = (table.table, table.version, table.updated, None if columns is None else tuple(columns))
        frame = self._frames.get_or_load(key, lambda: self.storage.store.read(reference, columns=columns), _size)
        return frame.to_pandas()  # type: ignore[no-any-return]  # pandas is imported late

    def invalidate_cache(self, feature_group: str, feature_name: str) -> None:
        """Drop what is held of a table. Saves need no such call; it gives the memory back."""
        table = f"{feature_group}/{feature_name}"
        self._frames.discard_where(lambda key: isinstance(key, tuple) and key[0] == table)

    def get_cache_stats(self) -> dict[str, Any]:
        """Return the cache's figures, as `tiffin.simple.caches.figures` lists them."""
        return figures(self._frames.stats())


def _size(frame: FeatureFrame) -> int:
    """Count bytes, the pandas copy that is made of the frame among them."""
    return 2 * int(frame.to_polars().estimated_size())
