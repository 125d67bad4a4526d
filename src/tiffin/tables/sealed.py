"""Small JSON files that carry their own checksum: one that was damaged is told from one that says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import xxhash

from tiffin.errors import CorruptData
from tiffin.files import FileSystem, translated

T = TypeVar("T")
_CHECKSUM = "checksum"


def seal(record: msgspec.Struct) -> bytes:
    """Encode a record for a file.

    Parameters
    ----------
    record : Struct
        Has no field `checksum`.
    """
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(record))
    sealed = {_CHECKSUM: _checksum(document), **document}
    return msgspec.json.format(msgspec.json.encode(sealed), indent=2) + b"\n"


def read_sealed(fs: FileSystem, path: Path, kind: type[T]) -> T | None:
    """Read a record that was sealed; None if there is no such file.

    Parameters
    ----------
    fs : FileSystem
        Where it lies.
    path : Path
        The file.
    kind : type
        Of the record.

    Raises
    ------
    CorruptData
        The file is not what was written.
    StorageError
        It cannot be read.
    """
    with translated(path, doing="read"):
        try:
            data = bytes(fs.read(path))
        except FileNotFoundError:
            return None
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
        if document.pop(_CHECKSUM, None) == _checksum(document):
            return msgspec.convert(document, kind)
        problem = "its checksum differs"
    except msgspec.MsgspecError as error:
        problem = str(error)
    raise CorruptData(
        f"{path} is not what was written: {problem}",
        hint="put it back from a copy of the store; if there is none, remove the file and do again what it said",
        path=str(path),
    )


def _checksum(document: dict[str, Any]) -> str:
    """Return the XXH3-64 of a document's values, however they are laid out."""
    return xxhash.xxh3_64_hexdigest(msgspec.json.encode(document))
