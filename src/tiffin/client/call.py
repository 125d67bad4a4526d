"""What a call asks of the server: plain data, made without knowing how or by whom it will be sent.

Each method of a store is described once, by a function that returns a `Call`; or, where one method takes several
requests, by a generator that yields calls and is sent what they gave.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlencode

import msgspec

from tiffin.errors import InvalidInputError, StorageError
from tiffin.frames import FeatureFrame, ingest
from tiffin.schema.names import Reference, check_part, parse_reference
from tiffin.wire import decode, from_stream
from tiffin.wire.media import ARROW, IDEMPOTENCY_KEY, JSON

T = TypeVar("T")

ANY_GROUP = "-"
"""Stands in a path for a group that was left out; no group can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, and what its answer means.

    Attributes
    ----------
    method : str
        Of HTTP.
    path : str
        Below the server's address, quoted, with its query.
    decode : callable
        Makes the result from the body of the answer.
    body : bytes, FeatureFrame or None
        JSON, or a frame.
    accept : str
        The media type of the answer.
    headers : mapping of str to str
        What this call has beside those that all have.
    is_repeatable : bool
        Whether it can be sent again when it is not known if it arrived: it changes nothing, or lands once.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    decode: Callable[[bytes], T]
    body: bytes | FeatureFrame | None = None
    accept: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it may change the store."""
        return not self.is_repeatable or IDEMPOTENCY_KEY in self.headers


Steps = Generator[Call[Any], Any, T]
"""Several calls, one after the other, and what they make together."""


def as_type(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads an answer as a result of the store."""

    def read(body: bytes) -> T:
        return decode(body, kind)

    return read


def as_frame(body: bytes) -> FeatureFrame:
    """Read an answer as a frame.

    Raises
    ------
    StorageError
        It is none.
    """
    try:
        return from_stream(body).frame
    except InvalidInputError as error:
        raise not_as_expected(error.message) from error


def not_as_expected(why: object) -> StorageError:
    """Return the error that says an answer cannot be read."""
    return StorageError(
        f"the answer is not what was expected: {why}", hint="check that a Tiffin server of this version listens there"
    )


def as_nothing(_body: bytes) -> None:
    """Pass over an answer that says nothing more than that it was done."""


def get(path: str, kind: type[T], query: Mapping[str, Any] | None = None) -> Call[T]:
    """Describe a request that reads a result."""
    return Call(method="GET", path=with_query(path, query), decode=as_type(kind), is_repeatable=True)


def post(path: str, decode: Callable[[bytes], T], asked: Mapping[str, Any], **about: Any) -> Call[T]:
    """Describe a request whose question is JSON."""
    return Call(method="POST", path=path, decode=decode, body=to_json(asked), **about)


def once() -> dict[str, str]:
    """Name a write, so that it lands once however often it is sent."""
    return {IDEMPOTENCY_KEY: str(uuid.uuid4())}


def accept_frame() -> dict[str, Any]:
    """Say that the answer is a frame."""
    return {"accept": ARROW, "is_repeatable": True}


def to_frame(given: Any) -> FeatureFrame:
    """Take a caller's frame as it will travel.

    Raises
    ------
    InvalidInputError, InvalidName
        It is no frame, or holds what cannot be kept.
    """
    if isinstance(given, FeatureFrame):
        return given
    taken = ingest(given)
    return FeatureFrame(taken.frame, origins=taken.origins)


def table_path(reference: Reference, verb: str = "") -> str:
    """Return the path of a table, or of a verb of it."""
    path = f"/tables/{reference.group or ANY_GROUP}/{reference.name}"
    return f"{path}/{verb}" if verb else path


def unpinned(text: str) -> Reference:
    """Parse a reference to a table alone.

    Raises
    ------
    InvalidInputError
        It names a version or a feature.
    """
    parsed = parse_reference(text)
    if parsed.version is not None or parsed.feature is not None:
        raise InvalidInputError(f"{text!r} names more than a table", hint="write group/name alone")
    return parsed


def full_name(text: str) -> Reference:
    """Parse the full name of a table, which need not exist.

    Raises
    ------
    InvalidInputError
        The group is left out, or it names more than a table.
    """
    parsed = unpinned(text)
    if parsed.group is None:
        raise InvalidInputError(
            f"{text!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{text}'"
        )
    return parsed


def one_version(parsed: Reference, version: int | str | None) -> int | str | None:
    """Return the version that a reference or a parameter beside it chooses.

    Raises
    ------
    InvalidInputError
        Both do.
    """
    if parsed.version is not None and version is not None:
        raise InvalidInputError(f"the reference {parsed} and version both choose a version", hint="give one of them")
    return version if parsed.version is None else parsed.version


def named(collection: str, name: str, verb: str = "") -> str:
    """Return the path of a service or a training set, or of a verb of it.

    Raises
    ------
    InvalidName
        It cannot be one's name.
    """
    path = f"/{collection}/{check_part(name, collection.rstrip('s').replace('-', ' '))}"
    return f"{path}/{verb}" if verb else path


def with_query(path: str, query: Mapping[str, Any] | None) -> str:
    """Append a query: lists repeat the name, mappings are JSON, times and durations ISO 8601, None is left out.

    Raises
    ------
    InvalidInputError
        A text has no form in UTF-8.
    """
    pairs = [(name, text) for name, value in (query or {}).items() for text in _texts(value)]
    try:
        return f"{path}?{urlencode(pairs)}" if pairs else path
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"a text cannot be sent: {error}", hint="leave out what UTF-8 has no form for"
        ) from error


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list | tuple | set | frozenset):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, date):
        return [value.isoformat()]
    if isinstance(value, timedelta):
        return [str(msgspec.to_builtins(value))]
    if isinstance(value, Mapping):
        return [to_json(value).decode()]
    return [str(value)]


def to_json(value: Any) -> bytes:
    """Write a question as JSON.

    Raises
    ------
    InvalidInputError
        It holds what JSON has no form for.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidInputError(
            f"the question cannot be written as JSON: {error}", hint="give numbers, texts, times, or lists of them"
        ) from error


def _plain(value: Any) -> Any:
    """Take scalars and columns of NumPy, pandas and Polars for the values they hold."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return timedelta(microseconds=value // _MICROSECOND)
    for method in ("to_list", "tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is no value that can be sent")


_MICROSECOND = timedelta(microseconds=1)
_ENCODER = msgspec.json.Encoder(enc_hook=_plain)
