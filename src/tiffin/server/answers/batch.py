"""The guides' answers: pages, saves, facts about a table, and rows of several tables at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tiffin.errors import TooLarge
from tiffin.server.answers import forms, json_rows
from tiffin.server.answers.forms import Envelope, Made, Rows
from tiffin.server.answers.negotiation import choose_media
from tiffin.simple.lookup import rows_of
from tiffin.wire import encode
from tiffin.wire.media import JSON

if TYPE_CHECKING:
    from starlette.responses import Response

    from tiffin.frames import FeatureFrame
    from tiffin.server.requests.call import Call
    from tiffin.server.requests.parameters import Several
    from tiffin.tables.table import Commit


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a page of a table is."""

    total_rows: int | None
    """Rows of the table, not of the page."""
    row_count: int
    columns: list[str]
    dtypes: dict[str, str]
    version: int | None
    """None of a stage, which is no version yet."""


class FeaturePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a table, as the guides have it."""

    feature_group: str
    feature_name: str
    data: list[dict[str, Any]]
    metadata: Metadata


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What a save of records did, as the guides have it."""

    message: str
    file_path: str
    """The table's folder, in the store's."""
    rows_saved: int | None
    version: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """How a table is stored, as the guides have it."""

    storage_info: dict[str, Any]


class BatchMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of several tables."""

    feature_count: int
    versions: dict[str, int]
    request_timestamp: str | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of several tables, as the guides have them."""

    features: dict[str, list[dict[str, Any]]]
    metadata: BatchMetadata
    timestamp: datetime


def page_of(group: str, name: str) -> Envelope:
    """Say around the rows of a table what the guides say there."""

    def envelope(loaded: Rows) -> tuple[str, dict[str, Any]]:
        frame = loaded.frame
        metadata = Metadata(
            total_rows=loaded.total_rows,
            row_count=len(frame),
            columns=frame.columns,
            dtypes={column: str(dtype) for column, dtype in frame.schema.items()},
            version=next(iter(frame.lock.values()), None),
        )
        return "data", {"feature_group": group, "feature_name": name, "metadata": metadata}

    return envelope


def saved(commit: Commit) -> Saved:
    """Say a commit as the guides do."""
    return Saved(
        message="Feature data saved successfully",
        file_path=commit.path,
        rows_saved=commit.rows_added,
        version=commit.version,
    )


async def answer(call: Call, asked: Several) -> Response:
    """Answer with rows of several tables, if the caller may read them.

    Parameters
    ----------
    call : Call
        The request.
    asked : Several
        Which tables, and whose rows.

    Returns
    -------
    Response

    Raises
    ------
    AccessError
        The caller may not read one of them.
    TooLarge
        They are more rows than an answer may have, or too many entities are asked for.
    TableNotFound, VersionNotFound, InvalidInputError
        As for a read of each.
    """
    if len(asked.entity_ids or ()) > call.limits.entities:
        raise TooLarge(
            f"{len(asked.entity_ids or ()):,} entities are asked about; {call.limits.entities:,} may be at once",
            hint="ask in several requests",
        )
    choose_media(call.request.headers.get("accept", ""), [JSON])
    tables = {name: (await call.may_use("read", [name]))[0] for name in asked.feature_names}
    return await forms.json_of(call, lambda: _made(_frames(call, asked, tables), asked))


def _frames(call: Call, asked: Several, tables: Mapping[str, str]) -> dict[str, FeatureFrame]:
    """Read the tables, each at the version that it had at the time asked for."""
    as_of = asked.moment()
    left = most = call.limits.rows_per_answer
    frames = {}
    for name, table in tables.items():
        found = call.store.snapshot(table, as_of=as_of)
        # A whole version is kept in memory for the next caller, a part is not.
        is_whole = found.rows is not None and found.rows <= left
        frames[name] = rows_of(call.store, found.reference, asked.entity_ids, limit=None if is_whole else left + 1)
        forms.check_rows(most - left + len(frames[name]), most)
        left -= len(frames[name])
    return frames


def _made(frames: dict[str, FeatureFrame], asked: Several) -> Made:
    return Made(sum(map(len, frames.values())), _pieces(frames, asked))


def _pieces(frames: dict[str, FeatureFrame], asked: Several) -> Iterator[bytes]:
    metadata = BatchMetadata(
        feature_count=len(frames),
        versions={table: version for frame in frames.values() for table, version in frame.lock.items()},
        request_timestamp=asked.timestamp,
    )
    yield encode({"metadata": metadata, "timestamp": datetime.now(UTC)})[:-1] + b',"features":{'
    for number, (name, frame) in enumerate(frames.items()):
        yield (b"," if number else b"") + encode(name) + b":["
        yield from json_rows.rows(frame.to_polars())
        yield b"]"
    yield b"}}"
