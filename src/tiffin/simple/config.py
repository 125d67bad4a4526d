"""How the guides' classes are configured."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tiffin.simple.caches import MIB

KEEP_VERSIONS = 100
"""Versions of each table that the guides' classes keep at least."""


@dataclass(frozen=True)
class FeatureStoreConfig:
    """How a `SimpleFeatureStore` is to be opened.

    What is None is as the environment or the store's `config/tiffin.toml` says, else as `tiffin.config` has it.

    Attributes
    ----------
    base_path : str or Path
        The store's folder; made when the store is opened, with a settings file that explains each setting.
    cache_enabled : bool
        Whether frames are kept in memory and, decoded, on disk.
    compression : str or None
        Of the Parquet files: "zstd", "snappy", "lz4" or "none".
    cache_max_size : int or None
        Most frames held in memory.
    cache_ttl_seconds : float or None
        How long a frame in memory is served before it is read again.
    disk_cache_size_mb : float or None
        Most megabytes (2**20 bytes) of decoded frames on disk.
    keep_versions : int or "all"
        How many of the newest versions of a table stay readable at least. Older ones go with every checkpoint (each
        100 versions, unless `checkpoint_every` says otherwise), so that saving for ever does not fill the disk.
    """

    base_path: str | os.PathLike[str] = "feature_store"
    cache_enabled: bool = True
    compression: str | None = None
    cache_max_size: int | None = None
    cache_ttl_seconds: float | None = None
    disk_cache_size_mb: float | None = None
    keep_versions: int | str = KEEP_VERSIONS

    def settings(self) -> dict[str, object]:
        """Return what it says, as settings of a `FeatureStore`."""
        disk_bytes = None if self.disk_cache_size_mb is None else int(self.disk_cache_size_mb * MIB)
        said = {
            "compression": self.compression,
            "memory_cache_entries": self.cache_max_size if self.cache_enabled else 0,
            "cache_ttl_s": self.cache_ttl_seconds,
            "disk_cache_bytes": disk_bytes if self.cache_enabled else 0,
            "keep_versions": self.keep_versions,
        }
        return {name: value for name, value in said.items() if value is not None}
