"""Tiffin: a local-first feature store. One folder of open files, one process, nothing else to install."""

from __future__ import annotations

from tiffin.version import __version__

__all__ = ["__version__"]
