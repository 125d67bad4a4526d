"""The lineage of a table: what its rows were made from, and what is made from them, as far as saves have said so."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from tiffin.errors import InvalidName, NotFoundError, StorageError
from tiffin.registry import Registry, Service
from tiffin.schema.names import Reference, TableName, parse_reference
from tiffin.tables.actions import Details, Input
from tiffin.tables.catalog import Catalog
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.training.sets import TrainingSet, TrainingSets

Kind = Literal["table", "file", "text", "service", "training_set"]
Direction = Literal["up", "down", "both"]

_BEGINS = {"overwrite", "restore"}
"""Operations after which no row of before is left."""


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that rows were made from, or that is made from rows."""

    id: str
    """What edges call it."""
    kind: Kind
    """`text`: an input that is neither a table of the store nor a file that was found."""
    name: str
    versions: tuple[int, ...] = ()
    """Of a table: those that it is about, ascending."""
    is_gone: bool = False
    """Whether it is a table that was dropped since."""
    xxh3: tuple[str, ...] = ()
    """Of a file: the hashes that it had."""
    code: tuple[str, ...] = ()
    """The git commits of the code that saved these versions."""


class Edge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Says that the target was made from the source, or reads it."""

    source: str
    target: str
    versions: tuple[tuple[int | None, int | None], ...] = ()
    """Pairs of the version that was read and the one that was made, None where there are none: of a file, and of a
    service that reads what is newest."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a table comes from and where it goes."""

    table: str
    version: int
    nodes: tuple[Node, ...]
    """The table itself is the first."""
    edges: tuple[Edge, ...]
    unread: tuple[str, ...] = ()
    """Tables that are too damaged to say what they were made from."""


class Made(NamedTuple):
    """What a commit says its rows were made from."""

    version: int
    details: Details


def made_from(table: Table, version: int) -> Iterator[Made]:
    """List the commits whose rows a version may hold: back to the one that replaced all rows before it.

    Parameters
    ----------
    table : Table
        The table.
    version : int
        One that can be read.

    Yields
    ------
    Made
        Newest first; what was vacuumed since is left out.
    """
    for number, entry in table.log.commits(version):
        yield Made(number, entry.info.tiffin or Details())
        if str(entry.info.operation_parameters.get("mode", "")).lower() in _BEGINS:
            return


class Tracer:
    """Follows lineages through the tables, services and training sets of a store.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    registry : Registry
        The feature services.
    sets : TrainingSets
        The training sets.
    computed : mapping of str to sequence of str
        Of on-demand features, by name, the references to what they are computed from.
    """

    def __init__(
        self, catalog: Catalog, registry: Registry, sets: TrainingSets, computed: Mapping[str, Sequence[str]]
    ) -> None:
        self._catalog = catalog
        self._registry = registry
        self._sets = sets
        self._computed = computed

    def trace(self, table: Table, version: int, *, depth: int | None, direction: Direction, pinned: bool) -> Lineage:
        """Follow the lineage of a version.

        Parameters
        ----------
        table : Table
            The table.
        version : int
            The version.
        depth : int or None
            How many steps to go; None for all.
        direction : {"up", "down", "both"}
            Towards what it was made from, what is made from it, or both.
        pinned : bool
            Whether downstream only what is made from this very version counts, and not from any.
        """
        graph = _Graph()
        graph.see_table(str(table.name), version, _made_by(table, version))
        if direction != "down":
            self._up(graph, table, version, depth)
        if direction != "up":
            self._down(graph, table, version if pinned else None, depth)
        return Lineage(
            table=str(table.name),
            version=version,
            nodes=graph.nodes(),
            edges=graph.edges(),
            unread=tuple(sorted(graph.unread)),
        )

    def _up(self, graph: _Graph, start: Table, version: int, depth: int | None) -> None:
        queue = deque([(start, version, 0)])
        seen = {(str(start.name), version)}
        while queue:
            table, version, steps = queue.popleft()
            if steps == depth:
                continue
            target = f"table {table.name}"
            for made in self._commits(graph, table, version):
                sources = self._sources(made)
                for source in sources:
                    above = self._add_source(graph, source, target, made.version)
                    at = source.version
                    if above is not None and at is not None and (source.table, at) not in seen:
                        seen.add((source.table, at))
                        # A restore is no step: it is the same table.
                        queue.append((above, at, steps + (above is not table)))
                known = {source.name for source in sources}
                for text in made.details.inputs:
                    if text not in known:
                        graph.see(Node(id=f"text {text}", kind="text", name=text))
                        graph.join(f"text {text}", target, None, made.version)
                graph.see_table(str(table.name), made.version if made.details.inputs else None, made)

    def _add_source(self, graph: _Graph, source: Input, target: str, made: int) -> Table | None:
        """Add what a commit was made from; return it if it is a table that can be followed further."""
        if not source.table:
            node = Node(id=f"file {source.name}", kind="file", name=source.name)
            graph.see(node)
            graph.join(node.id, target, None, made, source.xxh3)
            return None
        is_there = self._is_there(graph, source)
        is_gone = not is_there and source.table not in graph.unread
        name = f"{'dropped' if is_gone else 'table'} {source.table}"
        if name != target:
            graph.see(Node(id=name, kind="table", name=source.table, is_gone=is_gone), source.version)
            graph.join(name, target, source.version, made)
        return self._catalog.table(TableName(*source.table.split("/"))) if is_there else None

    def _sources(self, made: Made) -> list[Input]:
        """List the inputs of a commit that are tables or files: also those that were not looked up when it was made."""
        sources = made.details.recognised
        known = {source.name for source in sources}
        others = (self._named(text) for text in made.details.inputs if text not in known)
        return [*sources, *(source for source in others if source is not None)]

    def _named(self, text: str) -> Input | None:
        """Take a text for a table of the store, if it can be one; its version is known only where it says so."""
        try:
            reference = parse_reference(text)
        except InvalidName:
            return None
        if reference.group is None:
            return None
        name = TableName(reference.group, reference.name)
        state = self._catalog.readable(name)
        if state is None:
            return None
        version = reference.version if isinstance(reference.version, int) else None
        return Input(name=text, table=str(name), id=state.metadata.id, version=version)

    def _is_there(self, graph: _Graph, source: Input) -> bool:
        """Tell whether it is a table of the store that can be read, and not one that was dropped since."""
        try:
            state = self._catalog.table(TableName(*source.table.split("/"))).log.latest()
        except StorageError:
            graph.unread.add(source.table)
            return False
        return state is not None and state.metadata.id == source.id

    def _commits(self, graph: _Graph, table: Table, version: int) -> list[Made]:
        try:
            return list(made_from(table, version))
        except NotFoundError:
            # Vacuumed since: what it was made from is no longer known.
            return []
        except StorageError:
            graph.unread.add(str(table.name))
            return []

    def _down(self, graph: _Graph, start: Table, version: int | None, depth: int | None) -> None:
        uses, services, sets = self._uses(graph), self._registry.services(), self._sets.all()
        queue = deque([(str(start.name), {version} if version is not None else None, 0)])
        seen = {str(start.name)}
        while queue:
            name, versions, steps = queue.popleft()
            if steps == depth:
                continue
            self._readers(graph, name, versions, services, sets)
            for source, target, number in uses.get(name, ()):
                if versions is not None and source.version not in versions:
                    continue
                graph.see_table(target, number, None)
                graph.join(f"table {name}", f"table {target}", source.version, number)
                if target not in seen:
                    seen.add(target)
                    # All that is made from it counts: the versions after the one that took these rows in have them too.
                    queue.append((target, None, steps + 1))

    def _uses(self, graph: _Graph) -> dict[str, list[tuple[Input, str, int]]]:
        """List, by table, what was made from it: which version, which table, and which version of that."""
        uses: dict[str, list[tuple[Input, str, int]]] = {}
        for name in self._catalog.names():
            table = self._catalog.table(name)
            try:
                state = table.log.latest()
            except StorageError:
                graph.unread.add(str(name))
                continue
            for made in self._commits(graph, table, state.version) if state else ():
                for source in self._sources(made):
                    if source.table not in {"", str(name)} and self._is_there(graph, source):
                        uses.setdefault(source.table, []).append((source, str(name), made.version))
        return uses

    def _readers(
        self,
        graph: _Graph,
        name: str,
        versions: set[int] | None,
        services: Sequence[Service],
        sets: Sequence[TrainingSet],
    ) -> None:
        """Add the feature services and training sets that read a table."""
        table = self._catalog.table(TableName(*name.split("/")))
        state = table.log.latest()
        for service in services:
            for use in self._used(service, table.name):
                if versions is None or _number(table, state, use.version) in versions:
                    graph.see(Node(id=f"service {service.name}", kind="service", name=service.name))
                    graph.join(f"table {name}", f"service {service.name}", _number(table, None, use.version), None)
        for kept in sets:
            sources = kept.lock.recipe.sources if kept.lock.recipe else {}
            source = sources.get(name)
            if source and state and source.id == state.metadata.id and (not versions or source.version in versions):
                graph.see(Node(id=f"training_set {kept.name}", kind="training_set", name=kept.name))
                graph.join(f"table {name}", f"training_set {kept.name}", source.version, None)

    def _used(self, service: Service, table: TableName) -> list[Reference]:
        """List a service's references to a table, and those of the on-demand features that it asks for."""
        inputs = [text for feature in service.features for text in self._computed.get(feature.partition(":")[0], ())]
        computed = [use for use in map(parse_reference, inputs) if (use.group, use.name) == table]
        return [*service.uses(table), *computed]


class _Graph:
    """Nodes and edges, gathered in the order in which they are met."""

    def __init__(self) -> None:
        self.unread: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._versions: dict[str, set[int]] = {}
        self._hashes: dict[str, list[str]] = {}
        self._code: dict[str, list[str]] = {}
        self._edges: dict[tuple[str, str], list[tuple[int | None, int | None]]] = {}

    def see(self, node: Node, version: int | None = None) -> None:
        self._nodes.setdefault(node.id, node)
        if version is not None:
            self._versions.setdefault(node.id, set()).add(version)

    def see_table(self, name: str, version: int | None, made: Made | None) -> None:
        node = Node(id=f"table {name}", kind="table", name=name)
        self.see(node, version)
        if made is not None and made.details.code:
            self._code.setdefault(node.id, []).append(made.details.code)

    def join(self, source: str, target: str, read: int | None, made: int | None, xxh3: str = "") -> None:
        pairs = self._edges.setdefault((source, target), [])
        if (read, made) not in pairs:
            pairs.append((read, made))
        if xxh3:
            self._hashes.setdefault(source, []).append(xxh3)

    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            msgspec.structs.replace(
                node,
                versions=tuple(sorted(self._versions.get(node.id, ()))),
                xxh3=tuple(dict.fromkeys(self._hashes.get(node.id, ()))),
                code=tuple(dict.fromkeys(self._code.get(node.id, ()))),
            )
            for node in self._nodes.values()
        )

    def edges(self) -> tuple[Edge, ...]:
        return tuple(
            Edge(source=source, target=target, versions=tuple(sorted(pairs, key=_order)))
            for (source, target), pairs in self._edges.items()
        )


def _order(pair: tuple[int | None, int | None]) -> tuple[int, int]:
    return (-1 if pair[1] is None else pair[1], -1 if pair[0] is None else pair[0])


def _made_by(table: Table, version: int) -> Made | None:
    """Return what the commit of a version says, if it can be read."""
    return next(made_from(table, version), None)


def _number(table: Table, newest: State | None, pin: int | str | None) -> int | None:
    """Return the version that a reference means: the newest, if it pins none."""
    if pin is None:
        return newest.version if newest else None
    try:
        return table.at(pin).version
    except NotFoundError:
        return None
