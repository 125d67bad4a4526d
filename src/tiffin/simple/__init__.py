"""The guides' interface: their names and calls, with pandas frames in and out, as a thin layer over `FeatureStore`."""

from tiffin.client import FeatureStoreClient
from tiffin.simple.caches import DiskCache, LRUCache
from tiffin.simple.config import FeatureStoreConfig
from tiffin.simple.storage import CachedFeatureStore, OptimizedStorage
from tiffin.simple.store import SimpleFeatureStore, StoreCache

__all__ = [
    "CachedFeatureStore",
    "DiskCache",
    "FeatureStoreClient",
    "FeatureStoreConfig",
    "LRUCache",
    "OptimizedStorage",
    "SimpleFeatureStore",
    "StoreCache",
]
