"""Caches of frames, in memory and on disk. Keys contain the version, so nothing is ever invalidated."""

from tiffin.cache.disk import DiskCache, DiskStats
from tiffin.cache.memory import MemoryCache, MemoryStats

__all__ = ["DiskCache", "DiskStats", "MemoryCache", "MemoryStats"]
