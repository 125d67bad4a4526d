"""Calls by which tables evolve, and that change what they declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from tiffin.client.call import Call, as_type, get, post, table_path, to_json, unpinned
from tiffin.client.calls.tables import save
from tiffin.definitions import Applied, ColumnDefinition, Definitions, write
from tiffin.schema.compatibility import Mode
from tiffin.schema.constraints.texts import Constrained
from tiffin.schema.defaults import Default
from tiffin.schema.rules import Rule
from tiffin.tables.actions import Inputs
from tiffin.tables.judging import OnViolation
from tiffin.tables.planning import Plan
from tiffin.tables.table import Commit


def plan(
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
) -> Call[Plan]:
    """Tell what a save would do, and change nothing.

    As `FeatureStore.plan`; of services only those that the key covers are told.
    """
    asked = save(
        table,
        frame,
        entity=entity,
        timestamp=timestamp,
        created=created,
        ttl=ttl,
        partition_by=partition_by,
        description=description,
        online=online,
        defaults=defaults,
        rule=rule,
        constraints=constraints,
        mode=mode,
        evolve=evolve,
        on_violation=on_violation,
        dtypes=dtypes,
        expected_version=expected_version,
        message=message,
        inputs=inputs,
        force=force,
    )
    path = asked.path.replace("?", "/plan?", 1)
    return Call(method="POST", path=path, decode=as_type(Plan), body=asked.body, is_repeatable=True)


def rename(reference: str, old: str, new: str, *, message: str = "") -> Call[Commit]:
    """Call a feature otherwise; its old name goes on to mean it.

    As `FeatureStore.rename`.
    """
    asked = {"old": old, "new": new, "message": message}
    return post(table_path(unpinned(reference), "rename"), as_type(Commit), asked)


def drop_columns(reference: str, names: str | Sequence[str], *, message: str = "", force: bool = False) -> Call[Commit]:
    """Take features away; the versions before keep them.

    As `FeatureStore.drop_columns`.
    """
    asked = {"names": [names] if isinstance(names, str) else list(names), "message": message, "force": force}
    return post(table_path(unpinned(reference), "drop-columns"), as_type(Commit), asked)


def deprecate(
    reference: str, feature: str, message: str | None, *, removal: date | None = None, instead: str | None = None
) -> Call[Commit]:
    """Mark a feature as about to go: whoever asks for it is warned.

    As `FeatureStore.deprecate`.
    """
    asked = {
        "feature": feature,
        "message": message,
        "removal": removal and removal.isoformat()[:10],
        "instead": instead,
    }
    return post(table_path(unpinned(reference), "deprecate"), as_type(Commit), asked)


def declare(
    reference: str,
    *,
    description: str | None = None,
    owner: str | None = None,
    labels: Mapping[str, str | None] | None = None,
    links: Sequence[str] | None = None,
    timestamp: str | None = None,
    created: str | None = None,
    ttl: timedelta | None = None,
    online: bool | None = None,
    defaults: Mapping[str, Default | None] | None = None,
    rule: Rule | None = None,
    columns: Mapping[str, Mapping[str, Any] | ColumnDefinition] | None = None,
    message: str = "",
) -> Call[Commit]:
    """Change what a table declares; a version of its own with the same rows, none of which is written anew.

    As `FeatureStore.declare`.
    """
    said = dict(columns or {})
    whole = {name: one for name, one in said.items() if isinstance(one, ColumnDefinition)}
    asked = {
        "description": description,
        "owner": owner,
        "labels": labels,
        "links": links,
        "timestamp": timestamp,
        "created": created,
        "ttl": ttl,
        "online": online,
        "defaults": defaults,
        "rule": rule,
        "columns": {name: one for name, one in said.items() if name not in whole},
        "whole_columns": whole,
        "message": message,
    }
    return Call(method="PATCH", path=table_path(unpinned(reference)), decode=as_type(Commit), body=to_json(asked))


def definitions(references: Sequence[str] | None = None, *, every_column: bool = False) -> Call[Definitions]:
    """Say what tables and feature services declare, as definitions that can be kept in git.

    As `FeatureStore.definitions`: of those that the key covers.
    """
    query = {"references": references, "every_column": every_column or None}
    return get("/definitions", Definitions, query)


def apply(
    definitions: Definitions | str,
    *,
    plan: bool = False,
    missing_ok: bool = False,
    expected: Definitions | None = None,
    message: str = "",
) -> Call[Applied]:
    """Make tables and feature services declare what definitions say, and nothing else.

    As `FeatureStore.apply`.
    """
    asked = {
        "definitions": definitions if isinstance(definitions, str) else write(definitions),
        "plan": plan,
        "missing_ok": missing_ok,
        "expected": None if expected is None else write(expected),
        "message": message,
    }
    return post("/definitions", as_type(Applied), asked, is_repeatable=plan)
