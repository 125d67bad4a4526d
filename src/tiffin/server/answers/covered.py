"""What of a result callers are shown whose key covers some groups: nothing that names what is closed to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tiffin.definitions import Definitions
from tiffin.errors import InUse, InvalidName, TooLarge
from tiffin.lineage import Lineage
from tiffin.schema.names import parse_reference
from tiffin.tables.stages import Stage
from tiffin.tables.table import Commit

if TYPE_CHECKING:
    from tiffin.derived.listing import Derived
    from tiffin.derived.on_demand import OnDemandFeatures
    from tiffin.frames import Lock
    from tiffin.lineage import Edge, Node
    from tiffin.search import Match
    from tiffin.server.caller import Caller
    from tiffin.store import FeatureStore
    from tiffin.tables.catalog import TableInfo
    from tiffin.tables.planning import Plan

M = TypeVar("M", Commit, Stage)

EVERYTHING = 1_000_000
"""As many matches as any search has."""


def table(caller: Caller, info: TableInfo) -> TableInfo:
    """Leave out what a table is derived from, if that is closed to a caller."""
    if info.derivation is None or caller.sees(info.derivation.definition.source):
        return info
    return msgspec.structs.replace(info, derivation=None, behind=None)


def made(caller: Caller, commits: Iterable[M]) -> list[M]:
    """Leave out inputs of commits or stages that may be tables which are closed to a caller."""
    if caller.sees_all:
        return list(commits)
    return [
        msgspec.structs.replace(one, inputs=tuple(text for text in one.inputs if not _is_closed(caller, text)))
        for one in commits
    ]


def is_derived(caller: Caller, derived: Derived) -> bool:
    """Tell whether a caller sees a derived table and what it is made from."""
    return caller.sees(derived.table) and caller.sees(derived.definition.source)


def is_on_demand(caller: Caller, features: OnDemandFeatures) -> bool:
    """Tell whether a caller sees on-demand features and all that they are computed from."""
    return all(map(caller.sees, (features.name, *features.inputs)))


def made_from(lock: Lock) -> tuple[str, ...]:
    """Name the tables and on-demand features that a frame was made from."""
    computed = lock.recipe.computed if lock.recipe is not None else msgspec.UNSET
    return (*lock,) if computed is msgspec.UNSET else (*lock, *computed.definitions)


def plan(caller: Caller, store: FeatureStore, planned: Plan) -> Plan:
    """Leave services out that have features of tables which are closed to a caller."""
    if caller.sees_all:
        return planned
    names = _names(caller, store)
    shown = msgspec.structs.replace(planned, loses=tuple(lost for lost in planned.loses if lost.service in names))
    if planned.refusal is None or planned.refusal.code != InUse.code:
        return shown
    return shown.refused(InUse("features are used that it takes away", hint="keep them, or force it (force=True)"))


def definitions(caller: Caller, found: Definitions) -> Definitions:
    """Leave out tables that are closed to a caller, and services that have features of such."""
    if caller.sees_all:
        return found
    return Definitions(
        tables={name: table for name, table in found.tables.items() if caller.sees(name)},
        services={name: service for name, service in found.services.items() if all(map(caller.sees, service.features))},
        unreadable=tuple(filter(caller.sees, found.unreadable)),
    )


def matches(caller: Caller, store: FeatureStore, found: Iterable[Match], limit: int) -> list[Match]:
    """Leave out what a caller may not see, and all beyond a number."""
    if not caller.sees_all:
        names = _names(caller, store), _names(caller, store, sets=True)
        named = {"service": names[0], "training_set": names[1]}
        found = [
            match
            for match in found
            if (match.name in named[match.kind] if match.kind in named else caller.sees(match.name))
        ]
    return list(found)[:limit]


def check_size(found: Lineage, most: int) -> None:
    """Refuse a lineage that has more nodes and versions than an answer may have rows.

    Raises
    ------
    TooLarge
        It has more.
    """
    size = len(found.nodes) + sum(len(edge.versions) for edge in found.edges)
    if size > most:
        raise TooLarge(
            f"the lineage has {size:,} parts; {most:,} are given at once", hint="follow fewer steps: depth=1"
        )


def tables(found: Lineage) -> list[str]:
    """List the tables of a lineage."""
    return [node.name for node in found.nodes if node.kind == "table"]


def placed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name files as the saves did that read them, not by where the server was started."""
    here = f"{Path.cwd()}/"

    def shown(source: dict[str, Any]) -> dict[str, Any]:
        is_table = "dataSource" in source.get("facets", {})
        return source if is_table else {**source, "name": source["name"].removeprefix(here)}

    return [{**event, "inputs": list(map(shown, event["inputs"]))} for event in events]


def sources(found: Iterable[Derived], table: str) -> list[str]:
    """List a derived table and all that it is derived from, one after the other."""
    made_from = {one.table: one.definition.source for one in found}
    chain = [table]
    while chain[-1] in made_from:
        chain.append(made_from[chain[-1]])
    return chain


def lineage(caller: Caller, store: FeatureStore, found: Lineage) -> Lineage:
    """Leave out what a caller may not see, and what hangs on the rest only by that."""
    if caller.sees_all:
        return found
    named = {"service": _names(caller, store), "training_set": _names(caller, store, sets=True)}
    seen = [node for node in found.nodes if _is_seen(caller, node, named)]
    ids = _reached(f"table {found.table}", found.edges, {node.id for node in seen})
    return msgspec.structs.replace(
        found,
        nodes=tuple(node for node in seen if node.id in ids),
        edges=tuple(edge for edge in found.edges if {edge.source, edge.target} <= ids),
        unread=tuple(filter(caller.sees, found.unread)),
    )


def _is_seen(caller: Caller, node: Node, named: Mapping[str, Collection[str]]) -> bool:
    if node.kind in named:
        return node.name in named[node.kind]
    return caller.sees(node.name) if node.kind == "table" else not _is_closed(caller, node.name)


def _is_closed(caller: Caller, text: str) -> bool:
    """Tell whether a text, as people name inputs, may name a table that a caller does not see."""
    try:
        reference = parse_reference(text)
    except InvalidName:
        return False
    return reference.group is not None and not caller.sees(f"{reference.group}/{reference.name}")


def _reached(start: str, edges: Iterable[Edge], ids: set[str]) -> set[str]:
    """List what can be reached over edges between some nodes."""
    beside: dict[str, list[str]] = {}
    for edge in edges:
        if edge.source in ids and edge.target in ids:
            beside.setdefault(edge.source, []).append(edge.target)
            beside.setdefault(edge.target, []).append(edge.source)
    reached, left = {start}, [start]
    while left:
        new = set(beside.get(left.pop(), ())) - reached
        reached |= new
        left += new
    return reached


def _names(caller: Caller, store: FeatureStore, *, sets: bool = False) -> set[str]:
    """Name the feature services, or the training sets, whose tables a caller may all see."""
    if sets:
        return {kept.name for kept in store.training_sets() if all(map(caller.sees, made_from(kept.lock)))}
    return {service.name for service in store.services() if all(map(caller.sees, service.features))}
