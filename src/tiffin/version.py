"""The version of Tiffin, which every commit records."""

__version__ = "0.1.0"
