"""Where the nodes of a picture stand: in layers from left to right, along their edges (pure).

Source: the layered drawing of Sugiyama, Tagawa and Toda (1981), in its simplest form: layers by longest path, the order
within a layer by the mean place of the neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_SWEEPS = 4


def layered(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Put nodes into layers, so that edges run to the right, except for one of each cycle.

    Parameters
    ----------
    nodes : sequence of str
        Each once.
    edges : iterable of tuple of str
        Pairs of nodes.

    Returns
    -------
    list of list of str
        The layers from left to right, each from top to bottom.
    """
    forward = _without_cycles(nodes, edges)
    depth: dict[str, int] = {}
    for node in _in_order(nodes, forward):
        depth[node] = max((depth[before] + 1 for before in forward if node in forward[before]), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in nodes:
        layers[depth[node]].append(node)
    _untangle(layers, forward)
    return layers


def _without_cycles(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Leave out the edges that lead back to a node from which one came."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        after[source].append(target)
    forward: dict[str, list[str]] = {node: [] for node in nodes}
    done: set[str] = set()
    for start in nodes:
        if start in done:
            continue
        path, ways = [start], [iter(after[start])]
        while path:
            onward = next(ways[-1], None)
            if onward is None:
                done.add(path.pop())
                ways.pop()
            elif onward not in path:
                forward[path[-1]].append(onward)
                if onward not in done:
                    path.append(onward)
                    ways.append(iter(after[onward]))
    return forward


def _in_order(nodes: Sequence[str], forward: Mapping[str, Sequence[str]]) -> list[str]:
    """Sort nodes so that all edges lead to later ones."""
    waiting = dict.fromkeys(nodes, 0)
    for targets in forward.values():
        for target in targets:
            waiting[target] += 1
    ready = [node for node in nodes if not waiting[node]]
    for node in ready:
        for target in forward[node]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return ready


def _untangle(layers: list[list[str]], forward: Mapping[str, Sequence[str]]) -> None:
    """Order each layer by the mean place of the neighbours in the one beside it, back and forth."""
    backward: dict[str, list[str]] = {node: [] for node in forward}
    for source, targets in forward.items():
        for target in targets:
            backward[target].append(source)
    for sweep in range(_SWEEPS):
        neighbours, ordered = (backward, layers) if sweep % 2 == 0 else (forward, layers[::-1])
        place = {node: float(number) for layer in layers for number, node in enumerate(layer)}
        for layer in ordered:
            means = {node: _mean([place[other] for other in neighbours[node]], place[node]) for node in layer}
            layer.sort(key=means.__getitem__)
            place.update((node, float(number)) for number, node in enumerate(layer))


def _mean(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise
