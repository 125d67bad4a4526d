"""Small JSON files that carry their own checksum: one that was damaged is told from one that says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import xxhash

from tiffin.errors import CorruptData
from tiffin.files.system import FileSystem, translated

T = TypeVar("T", bound=msgspec.Struct)
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


def unseal(data: bytes, kind: type[T], *, is_always_sealed: bool = True) -> T:
    """Decode a record that was sealed.

    Parameters
    ----------
    data : bytes
        The file.
    kind : type
        Of the record.
    is_always_sealed : bool
        Whether there were never files of this kind without a checksum. One without is read if it has no fields but the
        record's: then it is no damaged name of a field that makes the checksum look missing.

    Raises
    ------
    MsgspecError
        It is not what was written.
    """
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    found = document.pop(_CHECKSUM, None)
    if found is None and not is_always_sealed:
        unknown = document.keys() - {field.encode_name for field in msgspec.structs.fields(kind)}
        if unknown:
            raise msgspec.ValidationError(f"unknown fields: {', '.join(sorted(unknown))}")
    elif found != _checksum(document):
        raise msgspec.ValidationError("its checksum differs")
    return msgspec.convert(document, kind)


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
        return unseal(data, kind)
    except msgspec.MsgspecError as error:
        raise CorruptData(
            f"{path} is not what was written: {error}",
            hint="put it back from a copy of the store; if there is none, remove the file and do again what it said",
            path=str(path),
        ) from error


def _checksum(document: dict[str, Any]) -> str:
    """Return the XXH3-64 of a document's values, however they are laid out."""
    return xxhash.xxh3_64_hexdigest(msgspec.json.encode(document))
