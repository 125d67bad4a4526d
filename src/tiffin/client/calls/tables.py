"""Calls about tables: save, read, look, and go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl

from tiffin.client.call import (
    Call,
    accept_frame,
    as_frame,
    as_nothing,
    as_type,
    get,
    once,
    post,
    table_path,
    to_frame,
    unpinned,
    with_query,
)
from tiffin.diff import Diff
from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest
from tiffin.quality.profile import Profile
from tiffin.schema import filters
from tiffin.schema.compatibility import Mode
from tiffin.schema.defaults import Default
from tiffin.schema.names import parse_reference
from tiffin.tables.catalog import TableInfo
from tiffin.tables.table import Commit


def save(
    table: str,
    frame: Any,
    *,
    entity: str | Sequence[str] | None = None,
    timestamp: str | None = None,
    created: str | None = None,
    ttl: timedelta | None = None,
    partition_by: str | Sequence[str] | None = None,
    description: str | None = None,
    online: bool | None = None,
    defaults: Mapping[str, Default | None] | None = None,
    mode: Mode = "overwrite",
    evolve: bool = False,
    dtypes: Literal["exact", "compact"] = "exact",
    expected_version: int | None = None,
    message: str = "",
    inputs: str | Sequence[str] = (),
    force: bool = False,
) -> Call[Commit]:
    """Save a frame as the next version of a table; when this returns, it survives a power loss of the server.

    As `FeatureStore.save`. It is sent again if the connection breaks, and lands once all the same.

    Raises
    ------
    OutcomeUnknown
        The connection broke each time: look at the history before saving again.
    """
    target = unpinned(table)
    if target.group is None:
        raise InvalidInputError(
            f"{table!r} does not say which group the table is in", hint=f"write group/name, as in 'content/{table}'"
        )
    query = {
        "entity": entity,
        "timestamp": timestamp,
        "created": created,
        "ttl": ttl,
        "partition_by": partition_by,
        "description": description,
        "online": online,
        "defaults": defaults,
        "mode": mode,
        "evolve": evolve or None,
        "dtypes": dtypes,
        "expected_version": expected_version,
        "message": message or None,
        "inputs": inputs,
        "force": force or None,
    }
    return _write(table_path(target), frame, query)


def push(
    reference: str,
    rows: Any,
    *,
    entity: str | Sequence[str] | None = None,
    timestamp: str | None = None,
    created: str | None = None,
    message: str = "",
) -> Call[Commit]:
    """Append rows to a table and put them online, in one step.

    As `FeatureStore.push`; sent again as `save` is.
    """
    query = {"entity": entity, "timestamp": timestamp, "created": created, "message": message or None}
    return _write(table_path(unpinned(reference), "push"), rows, query)


def read(
    reference: str,
    *,
    columns: Sequence[str] | None = None,
    where: filters.Where | None = None,
    entities: Any = None,
    version: int | None = None,
    as_of: datetime | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Call[FeatureFrame]:
    """Read a table, or some of its rows and columns, at any version.

    As `FeatureStore.read`, with `where` as comparisons: a Polars expression cannot be sent.

    Raises
    ------
    InvalidInputError
        `where` is a Polars expression, or the question makes no sense.
    """
    parsed = parse_reference(reference)
    if isinstance(where, pl.Expr):
        raise InvalidInputError(
            "where is a Polars expression, which cannot be sent to a server",
            hint="write comparisons: where=[('year', '>=', 1990), …]",
        )
    if parsed.version is not None and version is not None:
        raise InvalidInputError(f"the reference {reference} and version both choose a version", hint="give one of them")
    question = {
        "columns": columns,
        "feature": parsed.feature,
        "where": [where] if _is_comparison(where) else where,
        "entities": _keys(entities),
        "version": version if parsed.version is None else parsed.version,
        "as_of": as_of,
        "limit": limit,
        "offset": offset,
    }
    return post(table_path(parsed, "read"), as_frame, question, **accept_frame())


def tables() -> Call[list[TableInfo]]:
    """List the tables with what is known of them, by group and name: those that the key covers."""
    return get("/tables", list[TableInfo])


def describe(reference: str) -> Call[TableInfo]:
    """Describe a table: its columns, keys, size and versions.

    As `FeatureStore.describe`; `path` is below the server's store.
    """
    parsed = parse_reference(reference)
    return get(table_path(parsed), TableInfo, {"version": parsed.version})


def history(reference: str, *, limit: int | None = None) -> Call[list[Commit]]:
    """List the versions of a table that can be read, newest first.

    As `FeatureStore.history`.
    """
    return get(table_path(unpinned(reference), "history"), list[Commit], {"limit": limit})


def diff(reference: str, old: int, new: int | None = None) -> Call[Diff]:
    """Tell what changed between two versions of a table.

    As `FeatureStore.diff`; the values of its examples are as JSON has them.
    """
    return get(table_path(unpinned(reference), "diff"), Diff, {"old": old, "new": new})


def profile(reference: str) -> Call[Profile]:
    """Tell what the values of a version look like: counts, extremes, quantiles, frequent values.

    As `FeatureStore.profile`; extremes and frequent values are as JSON has them.
    """
    parsed = parse_reference(reference)
    if parsed.feature is not None:
        raise InvalidInputError(
            f"{reference!r} names a feature", hint="a server profiles whole tables: take the column out of .columns"
        )
    return get(table_path(parsed, "profile"), Profile, {"version": parsed.version})


def restore(reference: str, version: int, *, message: str = "", force: bool = False) -> Call[Commit]:
    """Make an older version the newest again; this is itself a version, nothing is lost.

    As `FeatureStore.restore`.
    """
    asked = {"version": version, "message": message, "force": force}
    return post(table_path(unpinned(reference), "restore"), as_type(Commit), asked)


def drop(reference: str, *, force: bool = False) -> Call[None]:
    """Remove a table with all its versions.

    As `FeatureStore.drop`.
    """
    path = with_query(table_path(unpinned(reference)), {"force": force or None})
    return Call(method="DELETE", path=path, decode=as_nothing)


def _write(path: str, frame: Any, query: Mapping[str, Any]) -> Call[Commit]:
    return Call(
        method="POST",
        path=with_query(path, query),
        decode=as_type(Commit),
        body=to_frame(frame),
        headers=once(),
        is_repeatable=True,
    )


def _is_comparison(where: object) -> bool:
    return isinstance(where, tuple | list) and bool(where) and isinstance(where[0], str)


def _keys(entities: Any) -> Any:
    """Take keys in any form; those in a frame become a dict each."""
    if isinstance(entities, pl.Series) or not (hasattr(entities, "columns") or isinstance(entities, pl.LazyFrame)):
        return entities
    return ingest(entities).frame.to_dicts()
