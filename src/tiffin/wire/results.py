"""The store's results as JSON, and back as the same types."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tiffin.errors import StorageError
from tiffin.frames import Lock

T = TypeVar("T")


def encode(result: object) -> bytes:
    """Write a result as JSON.

    Parameters
    ----------
    result : object
        What a method of the store returned, or a list of such.

    Returns
    -------
    bytes
        JSON: times and durations in ISO 8601, decimals as text, bytes in base64, NaN and infinities as null.
    """
    return _ENCODER.encode(result)


def decode(data: bytes, as_type: type[T]) -> T:
    """Read what `encode` wrote.

    Parameters
    ----------
    data : bytes
        JSON.
    as_type : type
        Of the result. Values whose type the result does not declare are what JSON has: a time among them is text.

    Raises
    ------
    StorageError
        It is no such result: what answered is no Tiffin server, or one of another version.
    """
    try:
        return msgspec.json.decode(data, type=as_type, dec_hook=_lock)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StorageError(
            f"the answer is not what was expected: {error}",
            hint="check that a Tiffin server of this version listens there",
        ) from error


def _plain(value: object) -> Any:
    if isinstance(value, Lock):
        return value.to_dict()
    raise TypeError(f"a {type(value).__qualname__} is no result of the store")


def _lock(kind: type, value: Any) -> Any:
    if kind is Lock:
        return read_lock(value)
    raise TypeError(f"a {kind.__qualname__} is no result of the store")


def read_lock(written: Any) -> Lock:
    """Make the lock that `Lock.to_dict` wrote, of a training frame or another.

    Raises
    ------
    msgspec.ValidationError
        It is none.
    """
    said = msgspec.convert(written, dict[str, Any])
    if "sources" in said:
        return Lock.from_dict(said)
    return Lock(msgspec.convert(said.get("versions"), dict[str, int]))


_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
