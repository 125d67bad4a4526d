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
    full_name,
    get,
    once,
    one_version,
    post,
    table_path,
    to_frame,
    to_json,
    unpinned,
    with_query,
)
from tiffin.diff import Diff
from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest
from tiffin.schema import filters
from tiffin.schema.compatibility import Mode
from tiffin.schema.constraints.texts import Constrained, read_all
from tiffin.schema.defaults import Default
from tiffin.schema.names import parse_reference
from tiffin.schema.rules import Rule
from tiffin.tables.actions import Inputs, input_names
from tiffin.tables.catalog import TableInfo
from tiffin.tables.judging import OnViolation
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
    rule: Rule | None = None,
    constraints: Sequence[Constrained] | None = None,
    mode: Mode = "overwrite",
    evolve: bool = False,
    on_violation: OnViolation = "refuse",
    dtypes: Literal["exact", "compact"] = "exact",
    expected_version: int | None = None,
    message: str = "",
    inputs: Inputs = (),
    force: bool = False,
) -> Call[Commit]:
    """Save a frame as the next version of a table; when this returns, it survives a power loss of the server.

    As `FeatureStore.save`. It is sent again if the connection breaks, and lands once all the same.

    Raises
    ------
    OutcomeUnknown
        The connection broke each time: look at the history before saving again.
    """
    query = {
        "entity": entity,
        "timestamp": timestamp,
        "created": created,
        "ttl": ttl,
        "partition_by": partition_by,
        "description": description,
        "online": online,
        "defaults": defaults,
        "rule": rule,
        "constraints": None if constraints is None else [to_json(one).decode() for one in read_all(constraints)],
        "mode": mode,
        "evolve": evolve or None,
        "on_violation": on_violation,
        "dtypes": dtypes,
        "expected_version": expected_version,
        "message": message or None,
        "inputs": input_names(inputs),
        "force": force or None,
    }
    return _write(table_path(full_name(table)), frame, query)


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
    version: int | str | None = None,
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
    question = {
        "columns": columns,
        "feature": parsed.feature,
        "where": [where] if _is_comparison(where) else where,
        "entities": _keys(entities),
        "version": one_version(parsed, version),
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


def diff(reference: str, old: int | str, new: int | str | None = None) -> Call[Diff]:
    """Tell what changed between two versions of a table.

    As `FeatureStore.diff`; the values of its examples are as JSON has them.
    """
    return get(table_path(unpinned(reference), "diff"), Diff, {"old": old, "new": new})


def restore(reference: str, version: int | str, *, message: str = "", force: bool = False) -> Call[Commit]:
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
