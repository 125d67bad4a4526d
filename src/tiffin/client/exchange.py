"""A request and its answer as bytes, the same for both transports, and what becomes of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple, TypeVar

import msgspec
from polars.exceptions import PanicException, PolarsError

from tiffin.client.call import Call, not_as_expected
from tiffin.client.options import ClientOptions
from tiffin.client.route import Route
from tiffin.errors import OutcomeUnknown, TiffinError, TimedOut, TooLarge, Unreachable
from tiffin.features import callers_level
from tiffin.frames import FeatureFrame
from tiffin.wire import Problem, to_error, to_stream
from tiffin.wire.media import ARROW, JSON, PROBLEM, WARNINGS
from tiffin.wire.warned import read_warnings

T = TypeVar("T")

_WORTH_COMPRESSING_BYTES = 64 << 10
_WORTH_COMPRESSING_LOCALLY_BYTES = 32 << 20
"""On one machine compressing takes longer than sending; but servers take no more than so many bytes as sent."""
_MOST_PROBLEM_BYTES = 1 << 20
_SLICE_BYTES = 1 << 12
"""Bytes that are decompressed in one go, which cannot be told to stop: four of them may stand for 128 KiB."""
_LESS = "ask for less at once, or let the client take more (answer_bytes)"


class Request(NamedTuple):
    """What is sent."""

    head: bytes
    body: bytes


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


class Broken(NamedTuple):
    """An attempt without an answer."""

    why: str
    was_sent: bool
    """Whether the server may have got the request."""
    was_slow: bool = False
    """Whether time ran out."""
    was_overlong: bool = False
    """Whether an answer came that is longer than may be, as the next one will be."""


class Overlong(ConnectionError):
    """An answer is longer than the client takes."""


Outcome = Answer | Broken


def route(options: ClientOptions) -> Route:
    """Return the way to a server, and say there what this client can decode."""
    return Route(options, "identity" if options.is_local or not _has_zstd() else "zstd, identity;q=0.5")


def written(call: Call[T], options: ClientOptions, way: Route) -> Request:
    """Write a call as a request.

    Parameters
    ----------
    call : Call
        What is asked.
    options : ClientOptions
        How the server is reached.
    way : Route
        The way there.
    """
    body = call.body
    said = f"{call.method} {way.before_path}{call.path} HTTP/1.1\r\n{way.said}Accept: {call.accept}\r\n"
    for name, value in call.headers.items():
        said += f"{name}: {value}\r\n"
    if body is None:
        return Request(f"{said}\r\n".encode("ascii"), b"")
    if isinstance(body, FeatureFrame):
        said += f"Content-Type: {ARROW}\r\n"
        body = b"".join(to_stream(body))
    else:
        said += f"Content-Type: {JSON}\r\n"
    least = _WORTH_COMPRESSING_LOCALLY_BYTES if options.is_local else _WORTH_COMPRESSING_BYTES
    if len(body) >= least and _has_zstd():
        said += "Content-Encoding: zstd\r\n"
        body = _compressed(body)
    return Request(f"{said}Content-Length: {len(body)}\r\n\r\n".encode("ascii"), body)


def broken_off(error: OSError) -> Broken:
    """Say of an attempt at which something was sent why no answer came of it."""
    return Broken(
        str(error), was_sent=True, was_slow=isinstance(error, TimeoutError), was_overlong=isinstance(error, Overlong)
    )


def settle(call: Call[T], outcome: Outcome, options: ClientOptions) -> T:
    """Make the result of a call of what became of its last attempt.

    Raises
    ------
    TiffinError
        What the server said, as the class that it raised there.
    Unreachable
        The server was not reached, or what answered was no Tiffin server.
    OutcomeUnknown
        The connection broke after something was sent that may have changed the store.
    StorageError
        The answer is not what a server of this version sends.
    TimedOut
        Time ran out.
    TooLarge
        The answer is longer than the client takes.
    """
    if isinstance(outcome, Broken):
        raise _no_answer(call, outcome, options)
    if 200 <= outcome.status < 300:
        for kind, text in read_warnings(outcome.headers.get(WARNINGS.lower(), "")):
            warnings.warn(text, kind, stacklevel=callers_level())
        return _decoded(call, _plain(outcome, options.answer_bytes))
    raise problem(outcome) or _no_tiffin(call, outcome, options)


def _decoded(call: Call[T], body: bytes) -> T:
    """Read an answer that says that it is one: what is in it is still the word of whoever listens there."""
    try:
        return call.decode(body)
    except TiffinError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, PolarsError, PanicException) as error:
        raise not_as_expected(f"{type(error).__name__}: {error}") from error


def problem(answer: Answer) -> TiffinError | None:
    """Return the error that an answer tells of; None if it is none of a Tiffin server's."""
    if answer.headers.get("content-type", "").partition(";")[0] != PROBLEM:
        return None
    try:
        return to_error(msgspec.json.decode(_plain(answer, _MOST_PROBLEM_BYTES), type=Problem))
    except (msgspec.MsgspecError, ValueError, RecursionError, TooLarge):
        return None


def _no_answer(call: Call[T], broken: Broken, options: ClientOptions) -> TiffinError:
    where = f"{call.method} {call.path.partition('?')[0]} at {options.url}"
    if broken.was_slow and broken.was_sent:
        hint = "give the client more time (timeout_s, read_timeout_s), or ask for less"
        if call.is_write:
            hint = f"look at the store before repeating it; {hint}"
        return TimedOut(f"{where} took too long: {broken.why}", hint=hint)
    if broken.was_sent and call.is_write:
        return OutcomeUnknown(
            f"the connection broke during {where}: {broken.why}", hint="look at the store before repeating it"
        )
    if broken.was_overlong:
        return TooLarge(f"{broken.why}: {where}", hint=_LESS)
    return Unreachable(
        f"the server cannot be reached: {where}: {broken.why}",
        hint="check the address, and that the server runs: `tiffin serve`",
    )


def _no_tiffin(call: Call[T], answer: Answer, options: ClientOptions) -> TiffinError:
    if call.is_write and answer.status >= 500:
        return OutcomeUnknown(
            f"what stands before {options.url} says HTTP {answer.status}; it may have let the request through",
            hint="look at the store before repeating it",
            status=answer.status,
        )
    return Unreachable(
        f"what answers at {options.url} says HTTP {answer.status}, as no Tiffin server does",
        hint="check the address, its path, and what stands between",
        status=answer.status,
    )


@cache
def _has_zstd() -> bool:
    return find_spec("zstandard") is not None


def _compressed(body: bytes) -> bytes:
    import zstandard  # noqa: PLC0415 - small bodies do without

    return zstandard.ZstdCompressor(level=1).compress(body)


def _plain(answer: Answer, most: int) -> bytes:
    if answer.headers.get("content-encoding", "") != "zstd":
        return answer.body
    import zstandard  # noqa: PLC0415 - servers on other machines only

    stream = zstandard.ZstdDecompressor().decompressobj()
    body, pieces, size = memoryview(answer.body), [], 0
    try:
        for start in range(0, len(body), _SLICE_BYTES):
            pieces.append(piece := stream.decompress(body[start : start + _SLICE_BYTES]))
            size += len(piece)
            if size > most:
                raise TooLarge(f"the answer has more than {most:,} bytes inside", hint=_LESS)
            if stream.eof:
                break
    except zstandard.ZstdError as error:
        raise not_as_expected(error) from error
    if not stream.eof:
        raise not_as_expected("it ends too early")
    return b"".join(pieces)
