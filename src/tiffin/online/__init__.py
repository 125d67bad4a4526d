"""The online index: the newest row of each entity, packed, read in microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import InvalidInputError, MissingDependency
from tiffin.online.base import Head, OnlineIndex, Rows, decode_head, encode_head
from tiffin.online.keys import KeyCodec
from tiffin.online.rows import Row, RowCodec
from tiffin.online.whole_numbers import datetimes

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.files import FileSystem

__all__ = [
    "Head",
    "KeyCodec",
    "OnlineIndex",
    "Row",
    "RowCodec",
    "Rows",
    "datetimes",
    "decode_head",
    "encode_head",
    "open_index",
]


def open_index(where: str | None, folder: Path, fs: FileSystem, map_bytes: int) -> OnlineIndex:
    """Choose the backend of an online index; nothing is opened or connected to before it is used.

    Parameters
    ----------
    where : str or None
        `"lmdb"` or None for files in `folder`; or the URL of a Redis or Valkey server: `redis://…` or `rediss://…`.
    folder : Path
        Where LMDB's files go; made when first needed.
    fs : FileSystem
        The file system that the folder is on.
    map_bytes : int
        Most bytes that LMDB's data may take.

    Returns
    -------
    OnlineIndex

    Raises
    ------
    InvalidInputError
        It is neither.
    MissingDependency
        Redis' client is not installed.
    """
    if where is None or where == "lmdb":
        from tiffin.online.lmdb import LmdbIndex  # noqa: PLC0415 - only the backend that is used is imported

        return LmdbIndex(folder, fs, map_bytes)
    if where.startswith(("redis://", "rediss://")):
        try:
            from tiffin.online.redis import RedisIndex  # noqa: PLC0415 - see above
        except ModuleNotFoundError as error:
            raise MissingDependency(
                "an online index on a server needs redis", hint="pip install 'tiffin[redis]'"
            ) from error
        return RedisIndex(where)
    raise InvalidInputError(
        f"the online index cannot be {where.rpartition('@')[2]!r}", hint='it is "lmdb", or a URL: redis://host:6379/0'
    )
