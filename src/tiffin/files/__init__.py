"""Durable file operations: the only place that touches the disk."""

from tiffin.files.durable import (
    contained,
    keep,
    make_folders,
    not_written,
    publish,
    remove_tree,
    sweep,
    write_durably,
    write_unsynced,
)
from tiffin.files.foreign import read_pieces
from tiffin.files.system import LOCAL, Content, FileSystem, LocalFiles, Stat, translated

__all__ = [
    "LOCAL",
    "Content",
    "FileSystem",
    "LocalFiles",
    "Stat",
    "contained",
    "keep",
    "make_folders",
    "not_written",
    "publish",
    "read_pieces",
    "remove_tree",
    "sweep",
    "translated",
    "write_durably",
    "write_unsynced",
]
