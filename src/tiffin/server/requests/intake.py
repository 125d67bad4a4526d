"""Rows that come in: as Arrow, Parquet, CSV or JSON, in the dtypes of the tables that they are meant for."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from tiffin import definitions
from tiffin.errors import InvalidInputError, NotFoundError, TooLarge
from tiffin.frames import FeatureFrame
from tiffin.frames.texts import as_meant, from_json
from tiffin.schema.dtypes import decode
from tiffin.server.answers.forms import FRAMES
from tiffin.server.requests.call import check_media, converted
from tiffin.server.requests.changing import Applying, ApplyingJson
from tiffin.server.requests.parameters import Records
from tiffin.server.status import Malformed
from tiffin.tables.actions import Once
from tiffin.wire import Bounds, from_csv, from_parquet, from_stream
from tiffin.wire.media import ARROW, CSV, IDEMPOTENCY_KEY, JSON, PARQUET, TOML

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.definitions import Definitions
    from tiffin.derived.on_demand import OnDemandFeatures
    from tiffin.server.requests.call import Call
    from tiffin.server.requests.parameters import Parameters
    from tiffin.store import FeatureStore

Dtypes = dict[str, pl.DataType]

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_USUAL_TIME = "event_timestamp"


class Body(NamedTuple):
    """A body, as it came."""

    media: str
    data: bytes


class Sent(NamedTuple):
    """Rows, and what was said about them."""

    frame: FeatureFrame
    given: dict[str, Any]
    """Parameters by name, as the store takes them."""
    once: Once | None
    """Names the request, if it bears an idempotency key."""


class Spine(NamedTuple):
    """Rows that are to be enriched."""

    frame: FeatureFrame | None
    """None: to be made of what the tables hold."""
    given: dict[str, Any]
    """Parameters by name, as the store takes them."""


async def rows_of(call: Call, kind: type[Parameters], table: str, rows: str = "rows") -> Sent:
    """Read rows for a table, and the parameters in the URL or beside them.

    Parameters
    ----------
    call : Call
        The request.
    kind : type of Parameters
        What may be said about the rows.
    table : str
        `group/name`; it need not exist.
    rows : str
        What the rows are called in JSON.

    Returns
    -------
    Sent
        In JSON and CSV, texts are read as what the table's columns hold; of a new table, the columns that are declared
        as times as times.

    Raises
    ------
    UnsupportedMedia
        The body is in none of the formats of frames.
    Malformed, InvalidInputError
        It is not what it should be.
    LimitError
        There is too much of it.
    """
    body = await _body(call)

    def read() -> Sent:
        given, found = _taken(call, kind, body, rows)
        times = [given[name] for name in ("timestamp", "created") if name in given]
        is_new_schema = bool(given.get("evolve")) and given.get("mode", "overwrite") == "overwrite"
        frame = _meant(found, body.media, _known(call.store, table), times, is_new_schema=is_new_schema)
        return Sent(frame, given, _once(call, body))

    return await call.run(read)


async def spine_of(call: Call, kind: type[Parameters]) -> Spine:
    """Read the rows that are to be enriched, if there are any, and what with.

    Parameters
    ----------
    call : Call
        The request.
    kind : type of Parameters
        What may be said about the rows; `features` among it.

    Returns
    -------
    Spine
        In JSON and CSV, texts are read as what the tables hold for keys, and as times where columns are called like
        times of the tables.

    Raises
    ------
    AccessError
        The caller may not read one of the tables.
    InvalidInputError, LimitError
        As for `rows_of`.
    """
    if not await call.request.body():
        given = call.query(kind).given()
        await call.may_use("read", given["features"])
        return Spine(None, given)
    body = await _body(call)
    given, found = await call.run(_taken, call, kind, body, "spine")
    tables = await call.may_use("read", given["features"])

    def read() -> FeatureFrame:
        keys, times = _keys_and_times(call.store, tables)
        said = [name for name in (given.get("timestamp"), given.get("known_at")) if isinstance(name, str)]
        return _meant(found, body.media, keys, sorted({_USUAL_TIME, *times, *said} - set(keys)))

    return Spine(await call.run(read), given)


async def current_of(call: Call, kind: type[Parameters], table: str) -> tuple[dict[str, Any], FeatureFrame | None]:
    """Read what is to be compared with a table: parameters, and rows if there are any.

    Parameters
    ----------
    call : Call
        The request.
    kind : type of Parameters
        What may be said.
    table : str
        `group/name`; says what texts in JSON and CSV are read as.

    Returns
    -------
    dict, FeatureFrame or None
        The parameters as the store takes them.

    Raises
    ------
    UnsupportedMedia, Malformed, InvalidInputError, LimitError
        As for `rows_of`.
    """
    data = await call.request.body()
    if not data or check_media(call.request.headers.get("content-type", ""), FRAMES) == JSON:
        said = await call.run(call.decoded, data)
        if not isinstance(said, dict) or "rows" not in said:
            return _given(call, kind, said), None
    sent = await rows_of(call, kind, table)
    return sent.given, sent.frame


async def sample_of(call: Call, features: OnDemandFeatures) -> FeatureFrame:
    """Read rows that on-demand features are to be computed for: keys of the tables, and columns of the request.

    Raises
    ------
    AccessError, UnsupportedMedia, Malformed, InvalidInputError, LimitError
        As for `spine_of`.
    """
    body = await _body(call)
    tables = await call.may_use("read", features.inputs)

    def read() -> FeatureFrame:
        _, found = _taken(call, Records, body, "rows")
        keys, _ = _keys_and_times(call.store, tables)
        asked = {name: decode(text) for name, text in features.request.items()}
        return _meant(found, body.media, keys | asked, ())

    return await call.run(read)


MOST_DEFINITIONS_BYTES = 4 << 20
"""About as much TOML as is read in some seconds, in which other requests go slowly."""


async def definitions_of(call: Call) -> tuple[Definitions, dict[str, Any]]:
    """Read definitions that are to be applied, and how; a body of TOML has the rest in its URL.

    Raises
    ------
    UnsupportedMedia, Malformed, InvalidInputError
        It is no TOML or JSON, or says what no definition can.
    TooLarge
        It is larger than `MOST_DEFINITIONS_BYTES`.
    """
    size = len(await call.request.body())
    if size > MOST_DEFINITIONS_BYTES:
        raise TooLarge(
            f"definitions of {size:,} bytes are sent; {MOST_DEFINITIONS_BYTES:,} may be", hint="send them in parts"
        )
    if check_media(call.request.headers.get("content-type", ""), (JSON, TOML)) == TOML:
        try:
            text = (await call.request.body()).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"the body is not UTF-8: {error}", hint="send TOML in UTF-8") from error
        return await call.run(definitions.read, text), call.query(Applying).given()
    said = await call.run(call.decoded, await call.request.body())
    given = _given(call, ApplyingJson, said)
    read: dict[str, Any] = {
        name: await call.run(_definitions, given.pop(name)) for name in ("definitions", "expected") if name in given
    }
    return read.pop("definitions"), {**given, **read}


def _definitions(given: Definitions | str) -> Definitions:
    """Read definitions as strictly as a file of them, whatever form they came in."""
    return definitions.read(given if isinstance(given, str) else definitions.write(given))


async def training_frame_of(call: Call) -> FeatureFrame:
    """Read a training frame, which only Arrow brings whole: with its lock.

    Raises
    ------
    UnsupportedMedia
        The body is not Arrow.
    InvalidInputError, LimitError
        As for `rows_of`.
    """
    check_media(call.request.headers.get("content-type", ""), [ARROW])
    data = await call.request.body()
    return (await call.run(from_stream, data, _bounds(call))).frame


def _bounds(call: Call) -> Bounds:
    return Bounds(
        rows=call.limits.rows_per_request,
        size_bytes=call.limits.decompressed_bytes,
        columns=call.limits.columns_per_request,
    )


async def _body(call: Call) -> Body:
    media = check_media(call.request.headers.get("content-type", ""), FRAMES)
    return Body(media, await call.request.body())


def _taken(call: Call, kind: type[Parameters], body: Body, rows: str) -> tuple[dict[str, Any], Any]:
    """Take a body apart: parameters as the store takes them, and the rows as they came."""
    bounds = _bounds(call)
    if body.media == JSON:
        values, found = call.decoded_rows(body.data, rows)
        if found is None or not all(isinstance(row, dict) for row in found):
            raise InvalidInputError(
                f"the body has no list of rows under {rows!r}", hint=f'send {{"{rows}": [{{"column": value}}, …]}}'
            )
        bounds.check_rows(len(found))
        bounds.check_columns(len(set().union(*found)))
        return _given(call, kind, values), found
    given = call.query(kind).given()
    if body.media == ARROW:
        return given, from_stream(body.data, bounds).frame
    return given, (from_parquet if body.media == PARQUET else from_csv)(body.data, bounds)


def _given(call: Call, kind: type[Parameters], values: Any) -> dict[str, Any]:
    """Take parameters from the URL and from a JSON body, which goes before the URL."""
    in_url = call.given(kind)
    if not isinstance(values, dict):
        return converted(values, kind).given()
    if in_url.keys() & values.keys():
        # What nobody asks for any more must make sense all the same.
        converted({**values, **in_url}, kind)
    return converted({**in_url, **values}, kind).given()


def _meant(
    found: Any, media: str, dtypes: Dtypes, times: Sequence[str], *, is_new_schema: bool = False
) -> FeatureFrame:
    if media == JSON:
        return FeatureFrame(from_json(found, dtypes, times, is_new_schema=is_new_schema))
    if media == CSV:
        return FeatureFrame(as_meant(found.to_polars(), dtypes, times, is_new_schema=is_new_schema))
    return found  # type: ignore[no-any-return]  # a frame already


def _known(store: FeatureStore, table: str) -> Dtypes:
    """Return the columns of a table with their dtypes; none if there is no such table."""
    try:
        return store.snapshot(table).known
    except NotFoundError:
        return {}


def _keys_and_times(store: FeatureStore, tables: Sequence[str]) -> tuple[Dtypes, set[str]]:
    """Return the key columns of tables with their dtypes, and the names of their timestamps."""
    keys: Dtypes = {}
    times: set[str] = set()
    for table in tables:
        found = store.snapshot(table)
        keys |= {name: found.dtypes[name] for name in found.entity}
        times |= {found.timestamp} if found.timestamp else set()
    return keys, times


def _once(call: Call, body: Body) -> Once | None:
    """Take the idempotency key of a request, and say what was asked for under it."""
    key = call.request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidInputError(
            f"the header {IDEMPOTENCY_KEY} is {key[:60]!r}",
            hint="give 1 to 255 letters, digits or signs; a UUID is fine",
        )
    asked = f"{call.request.url.path}?{call.request.url.query}\n{body.media}\n".encode()
    return Once(key=_digest(key.encode()), request=_digest(asked, body.data))


def _digest(*parts: bytes) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(part)
    return made.hexdigest()[:32]
