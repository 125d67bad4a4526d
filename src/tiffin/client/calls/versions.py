"""Calls that give versions names, and that try versions before they are ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from tiffin.client.call import (
    Call,
    as_nothing,
    as_type,
    get,
    post,
    table_path,
    to_frame,
    to_json,
    unpinned,
    with_query,
)
from tiffin.schema.compatibility import Mode
from tiffin.schema.defaults import Default
from tiffin.schema.names import check_pin
from tiffin.tables.actions import Inputs, input_names
from tiffin.tables.stages import Stage
from tiffin.tables.table import Commit
from tiffin.tables.tags import Tag


def tag(reference: str, version: int | str, name: str, *, message: str = "", move: bool = False) -> Call[Tag]:
    """Give a version of a table a name, which stands wherever its number may stand: `group/name@prod`.

    As `FeatureStore.tag`.
    """
    asked = {"version": version, "message": message, "move": move}
    return Call(method="PUT", path=_path(reference, "tag", name), decode=as_type(Tag), body=to_json(asked))


def untag(reference: str, name: str, *, force: bool = False) -> Call[None]:
    """Take a tag away; the version that had it stays until a vacuum takes it.

    As `FeatureStore.untag`.
    """
    return _delete(_path(reference, "tag", name), force=force)


def tags(reference: str) -> Call[tuple[Tag, ...]]:
    """List the tags of a table by name.

    As `FeatureStore.tags`.
    """
    return get(table_path(unpinned(reference), "tags"), tuple[Tag, ...])


def stage(
    reference: str,
    frame: Any,
    name: str,
    *,
    entity: str | Sequence[str] | None = None,
    timestamp: str | None = None,
    created: str | None = None,
    ttl: timedelta | None = None,
    description: str | None = None,
    defaults: Mapping[str, Default | None] | None = None,
    mode: Mode = "overwrite",
    evolve: bool = False,
    dtypes: Literal["exact", "compact"] = "exact",
    message: str = "",
    inputs: Inputs = (),
    replace: bool = False,
) -> Call[Stage]:
    """Try a save: what would be the next version, beside the table, seen only by those who ask for it by name.

    As `FeatureStore.stage`.
    """
    query = {
        "entity": entity,
        "timestamp": timestamp,
        "created": created,
        "ttl": ttl,
        "description": description,
        "defaults": defaults,
        "mode": mode,
        "evolve": evolve or None,
        "dtypes": dtypes,
        "message": message or None,
        "inputs": input_names(inputs),
        "replace": replace or None,
    }
    path = with_query(_path(reference, "stage", name), query)
    return Call(method="POST", path=path, decode=as_type(Stage), body=to_frame(frame))


def stages(reference: str) -> Call[tuple[Stage, ...]]:
    """List the stages of a table by name.

    As `FeatureStore.stages`.
    """
    return get(table_path(unpinned(reference), "stages"), tuple[Stage, ...])


def promote(reference: str, name: str, *, message: str = "", force: bool = False) -> Call[Commit]:
    """Make a stage the next version of its table; nothing is copied.

    As `FeatureStore.promote`.
    """
    path = f"{_path(reference, 'stage', name)}/promote"
    return post(path, as_type(Commit), {"message": message, "force": force})


def discard(reference: str, name: str, *, force: bool = False) -> Call[None]:
    """Remove a stage, even a damaged one, with the files that only it has.

    As `FeatureStore.discard`.
    """
    return _delete(_path(reference, "stage", name), force=force)


def _path(reference: str, what: Literal["tag", "stage"], name: str) -> str:
    return table_path(unpinned(reference), f"{what}s/{check_pin(name, what)}")


def _delete(path: str, *, force: bool) -> Call[None]:
    return Call(method="DELETE", path=with_query(path, {"force": force or None}), decode=as_nothing)
