"""The feature store under the guides' import path."""

from tiffin.server.guides import SimpleFeatureStoreAPI
from tiffin.simple import (
    CachedFeatureStore,
    DiskCache,
    FeatureStoreClient,
    FeatureStoreConfig,
    LRUCache,
    OptimizedStorage,
    SimpleFeatureStore,
)

__all__ = [
    "CachedFeatureStore",
    "DiskCache",
    "FeatureStoreClient",
    "FeatureStoreConfig",
    "LRUCache",
    "OptimizedStorage",
    "SimpleFeatureStore",
    "SimpleFeatureStoreAPI",
]
