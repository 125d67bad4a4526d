"""Answers: the store's results as JSON, and frames in the format that the caller accepts."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Generator, Hashable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from starlette.responses import Response, StreamingResponse

from tiffin.errors import TooLarge
from tiffin.frames import FeatureFrame
from tiffin.server.answers import json_rows
from tiffin.server.answers.compression import compress
from tiffin.server.answers.negotiation import choose_coding, choose_media, is_known
from tiffin.version import __version__
from tiffin.wire import encode, to_csv, to_parquet, to_stream
from tiffin.wire.media import ARROW, CSV, JSON, PARQUET

if TYPE_CHECKING:
    import polars as pl
    from starlette.types import Receive, Scope, Send

    from tiffin.server.requests.call import Call

FRAMES = (JSON, ARROW, PARQUET, CSV)
"""The formats of frames; the first is given to who accepts anything."""

KEPT_BYTES = 1 << 20
"""Answers up to this size are made before they are sent, and kept; larger ones are sent as they are made."""

_ENDINGS = {PARQUET: ".parquet", CSV: ".csv"}
_CSV_ROWS = 65_536
_TINY_BYTES = 1024
"""Answers below this size are not compressed: they fit into one packet anyway."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as JSON: times in ISO 8601, decimals as text, bytes in base64."""

    columns: dict[str, str]
    """Column to dtype."""
    row_count: int
    """Rows of this answer."""
    total_rows: int | None
    """Rows that there are where these came from."""
    versions: dict[str, int]
    """Table to the version that the rows came from."""
    rows: list[dict[str, Any]]
    lock: dict[str, Any] | None = None
    """Of a training frame: what it takes to make it again."""


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were removed."""

    rows: int


class Rows(NamedTuple):
    """Rows that are to be answered."""

    frame: FeatureFrame
    total_rows: int | None
    """How many there are where these came from."""


def all_of(frame: FeatureFrame) -> Rows:
    """Say that a frame is all there is."""
    return Rows(frame, len(frame))


Envelope = Callable[[Rows], tuple[str, dict[str, Any]]]
"""Makes what stands beside rows in JSON, with the name that the rows get there."""


class Form(NamedTuple):
    """How rows are answered."""

    media: str
    coding: str
    nan: Literal["null", "text"]
    envelope: Envelope
    name: str
    """What a file of the rows is called, without its ending."""


def form_of(call: Call, *, nan: Literal["null", "text"], envelope: Envelope, name: str) -> Form:
    """Find out how the caller wants rows.

    Raises
    ------
    NotAcceptable
        In a way that is not offered.
    """
    headers = call.request.headers
    media = choose_media(headers.get("accept", ""), FRAMES)
    # A Parquet file is compressed inside.
    coding = "" if media == PARQUET else choose_coding(headers.get("accept-encoding", ""))
    return Form(media, coding, nan, envelope, name)


async def rows(call: Call, form: Form, load: Callable[[], Rows], about: Hashable = None) -> Response:
    """Answer with rows.

    Parameters
    ----------
    call : Call
        The request.
    form : Form
        How the rows are answered.
    load : callable
        Reads them; called in a thread.
    about : hashable, optional
        What the rows follow from: with the same, they are the same for ever. None if there is no such thing.

    Returns
    -------
    Response
        304 without a body, and without a call of `load`, if the caller has the answer already.

    Raises
    ------
    TooLarge
        They are more than JSON or CSV may hold.
    """
    tag = None if about is None else _tag(call.request.url.path, about, form)
    is_get = call.request.method == "GET"
    if tag and is_get and is_known(tag, call.request.headers.get("if-none-match", "")):
        return Response(None, 304, _headers(form, "", tag))
    kept = call.answers.get(tag) if tag else None
    if kept is None:
        most = call.limits.rows_per_answer
        begun = await call.run(_begin, lambda: _made(form, load(), most), form.coding)
        if isinstance(begun, _Stream):
            call.request.state.rows = begun.rows
            return _Streamed(call, begun.pieces, _headers(form, begun.coding, tag), form.media)
        kept = begun
        if tag and len(kept.body) <= KEPT_BYTES:
            call.answers.put(tag, kept, len(kept.body))
    call.request.state.rows = kept.rows
    return Response(kept.body, 200, _headers(form, kept.coding, tag), form.media)


class Made(NamedTuple):
    """An answer in the making."""

    rows: int
    """How many stand in it."""
    pieces: Iterator[bytes]


async def json_of(call: Call, make: Callable[[], Made]) -> Response:
    """Answer with JSON that may be large.

    Parameters
    ----------
    call : Call
        The request.
    make : callable
        Makes the JSON, in pieces; called in a thread.
    """
    coding = choose_coding(call.request.headers.get("accept-encoding", ""))
    begun = await call.run(_begin, make, coding)
    headers = _vary(begun.coding)
    call.request.state.rows = begun.rows
    if isinstance(begun, _Stream):
        return _Streamed(call, begun.pieces, headers, JSON)
    return Response(begun.body, 200, headers, JSON)


class Whole(NamedTuple):
    """An answer that is made."""

    body: bytes
    coding: str
    rows: int
    """How many stand in it."""


class _Stream(NamedTuple):
    """An answer that is being made."""

    pieces: Generator[bytes]
    coding: str
    rows: int


def _begin(make: Callable[[], Made], coding: str) -> Whole | _Stream:
    """Make an answer, or the beginning of a large one: what can fail fails before anything is sent."""
    rows, pieces = make()
    made, size = [], 0
    for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > KEPT_BYTES:
            return _Stream(compress(itertools.chain(made, pieces), coding), coding, rows)
    coding = coding if size >= _TINY_BYTES else ""
    return Whole(b"".join(compress(made, coding)), coding, rows)


def _made(form: Form, loaded: Rows, most_rows: int) -> Made:
    if form.media in {JSON, CSV}:
        check_rows(len(loaded.frame), most_rows)
    return Made(len(loaded.frame), _WRITERS[form.media](form, loaded))


def check_rows(rows: int, most: int) -> None:
    """Refuse to answer with more rows than an answer as JSON or CSV may have.

    Raises
    ------
    TooLarge
        They are more.
    """
    if rows > most:
        raise TooLarge(
            f"the answer has {rows:,} rows or more; as JSON or CSV at most {most:,} are given at once",
            hint=f"ask for pages (limit, offset), or accept {ARROW}",
        )


def _json(form: Form, loaded: Rows) -> Iterator[bytes]:
    name, around = form.envelope(loaded)
    yield encode(around)[:-1] + f',"{name}":['.encode()
    yield from json_rows.rows(loaded.frame.to_polars(), form.nan)
    yield b"]}"


def plain_envelope(loaded: Rows) -> tuple[str, dict[str, Any]]:
    """Say around rows what they are: columns, counts, versions and, of a training frame, the lock."""
    frame = loaded.frame
    around = {
        "columns": {name: str(dtype) for name, dtype in frame.schema.items()},
        "row_count": len(frame),
        "total_rows": loaded.total_rows,
        "versions": dict(frame.lock),
    }
    return "rows", around if frame.lock.recipe is None else {**around, "lock": frame.lock}


def _csv(frame: pl.DataFrame) -> Iterator[bytes]:
    names = to_csv(FeatureFrame(frame.clear()))
    yield names
    for start in range(0, frame.height, _CSV_ROWS):
        yield to_csv(FeatureFrame(frame.slice(start, _CSV_ROWS)))[len(names) :]


_WRITERS: dict[str, Callable[[Form, Rows], Iterator[bytes]]] = {
    JSON: _json,
    ARROW: lambda _, loaded: to_stream(loaded.frame, total_rows=loaded.total_rows),
    PARQUET: lambda _, loaded: iter([to_parquet(loaded.frame)]),
    CSV: lambda _, loaded: _csv(loaded.frame.to_polars()),
}


def _tag(path: str, about: Hashable, form: Form) -> str:
    """Name an answer: the same rows in the same form at the same address have the same name, in every process."""
    named = msgspec.json.encode([__version__, path, about, form.media, form.coding, form.nan])
    return f'"{hashlib.blake2b(named, digest_size=16).hexdigest()}"'


def _headers(form: Form, coding: str, tag: str | None) -> dict[str, str]:
    headers = _vary(coding)
    if tag:
        headers |= {"ETag": tag, "Cache-Control": "private, no-cache"}
    if form.media in _ENDINGS:
        headers["Content-Disposition"] = f'attachment; filename="{form.name}{_ENDINGS[form.media]}"'
    return headers


def _vary(coding: str) -> dict[str, str]:
    headers = {"Vary": "Accept, Accept-Encoding", "Cache-Control": "no-store"}
    return {**headers, "Content-Encoding": coding} if coding else headers


class _Streamed(StreamingResponse):
    """An answer that is sent as it is made."""

    def __init__(self, call: Call, pieces: Generator[bytes], headers: dict[str, str], media: str) -> None:
        super().__init__(_sent(call, pieces), 200, headers, media)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; whoever hangs up leaves nothing of it behind."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # What was cancelled stays, with its frames, until the garbage collector comes: the rows must not.
            self._pieces.close()


async def _sent(call: Call, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Make the pieces of an answer in threads, one when the one before is sent."""
    while (piece := await call.run(next, pieces, b"")) != b"":
        yield piece
