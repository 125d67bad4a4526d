"""Caches of frames, in memory and on disk. Keys contain the version, so nothing is ever invalidated."""
