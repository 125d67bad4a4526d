"""Answers about lineage, for people."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from tiffin.lineage import Lineage, Node

_STYLES = {"table": "bold", "file": "yellow", "text": "", "service": "magenta", "training_set": "blue"}
_SHOWN = 16
"""Letters of a hash or commit."""


def lineage(found: Lineage) -> Iterator[RenderableType]:
    """Show what a table was made from and what is made from it, as two trees."""
    nodes = {node.id: node for node in found.nodes}
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for edge in found.edges:
        above.setdefault(edge.target, []).append(edge.source)
        below.setdefault(edge.source, []).append(edge.target)
    root = found.nodes[0].id
    for title, ways in (("made from", above), ("read by", below)):
        head = Text.assemble((f"{found.table}@{found.version}", "bold cyan"), f" {title}")
        if root in ways:
            tree = Tree(head)
            _grow(tree, root, ways, nodes, {root})
            yield tree
    if not found.edges:
        yield Text(f"{found.table}@{found.version}: no save says what it was made from, and nothing is made from it")


def _grow(tree: Tree, at: str, ways: Mapping[str, Sequence[str]], nodes: Mapping[str, Node], seen: set[str]) -> None:
    """Add what is next; what was shown already is named and not followed again."""
    for name in ways.get(at, ()):
        branch = tree.add(_line(nodes[name]).append(" …" if name in seen and name in ways else "", "dim"))
        if name not in seen:
            seen.add(name)
            _grow(branch, name, ways, nodes, seen)


def _line(node: Node) -> Text:
    line = Text(node.name, style=_STYLES[node.kind])
    if node.is_gone:
        return line.append(" dropped since", "red")
    if node.versions:
        first, last = node.versions[0], node.versions[-1]
        line.append(f" version {first}" + (f" to {last}" if first != last else ""), "dim")
    if node.kind in {"service", "training_set"}:
        line.append(f" {node.kind.replace('_', ' ')}", "dim")
    for what, values in (("xxh3", node.xxh3), ("code", node.code)):
        if values:
            line.append(f" {what} {values[-1][:_SHOWN]}", "dim")
    return line
