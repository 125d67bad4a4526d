"""A lineage as a picture: Mermaid text, and SVG that needs no browser to be drawn (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tiffin.lineage.graph import Lineage, Node
from tiffin.lineage.layers import layered

_SHAPES = {
    "table": ("[", "]"),
    "file": ("[/", "/]"),
    "text": ("([", "])"),
    "service": ("{{", "}}"),
    "training_set": ("[[", "]]"),
}
_COLOURS = {
    "table": "#dbeafe",
    "file": "#fef3c7",
    "text": "#f3f4f6",
    "service": "#dcfce7",
    "training_set": "#ede9fe",
}
_LONGEST = 44
"""Characters of a name in a picture."""
_LETTER, _HEIGHT, _GAP, _WAY, _MARGIN = 7.2, 44, 18, 90, 16
"""Width of a letter; height of a box; space between boxes, between layers, and around the picture. In pixels."""

_ARROW = (
    '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#6b7280"/></marker></defs>'
)


def to_mermaid(lineage: Lineage) -> str:
    """Write a lineage as a flowchart in Mermaid's language, which GitHub and many editors draw.

    Parameters
    ----------
    lineage : Lineage
        What to draw.

    Returns
    -------
    str
        One node or edge a line.
    """
    numbers = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    lines = ["flowchart LR"]
    for node in lineage.nodes:
        opening, closing = _SHAPES[node.kind]
        label = "<br/>".join(_mermaid_text(text) for text in (node.name, _about(node)) if text)
        lines.append(f'  {numbers[node.id]}{opening}"{label}"{closing}')
    lines += [f"  {numbers[edge.source]} --> {numbers[edge.target]}" for edge in lineage.edges]
    lines.append(f"  style {numbers[lineage.nodes[0].id]} stroke-width:3px")
    return "\n".join(lines) + "\n"


def to_svg(lineage: Lineage) -> str:
    """Draw a lineage as SVG: what rows come from on the left, what is made from them on the right.

    Parameters
    ----------
    lineage : Lineage
        What to draw.

    Returns
    -------
    str
        A document of its own, which loads nothing.
    """
    nodes = {node.id: node for node in lineage.nodes}
    layers = layered([*nodes], [(edge.source, edge.target) for edge in lineage.edges])
    boxes: dict[str, tuple[float, float, float]] = {}
    left, height = float(_MARGIN), max(len(layer) for layer in layers) * (_HEIGHT + _GAP) - _GAP
    for layer in layers:
        width = max(_width(nodes[name]) for name in layer)
        top = _MARGIN + (height - len(layer) * (_HEIGHT + _GAP) + _GAP) / 2
        boxes |= {name: (left, top + number * (_HEIGHT + _GAP), width) for number, name in enumerate(layer)}
        left += width + _WAY
    size = f"{left - _WAY + _MARGIN:.0f} {height + 2 * _MARGIN:.0f}"
    ways = (_way(boxes[edge.source], boxes[edge.target]) for edge in lineage.edges)
    drawn = (_box(node, boxes[name], is_root=node is lineage.nodes[0]) for name, node in nodes.items())
    return _document(size, lineage, [*ways, *drawn])


def _document(size: str, lineage: Lineage, parts: Iterable[str]) -> str:
    width, height = size.split()
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {size}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12" role="img">'
    )
    title = f"<title>{_svg_text(f'Lineage of {lineage.table}@{lineage.version}')}</title>"
    return "\n".join([head, title, _ARROW, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>\n"])


def _box(node: Node, box: tuple[float, float, float], *, is_root: bool) -> str:
    left, top, width = box
    stroke = 'stroke="#111827" stroke-width="2"' if is_root else 'stroke="#9ca3af"'
    dash = ' stroke-dasharray="4 3"' if node.is_gone else ""
    about = _svg_text(_about(node))
    return (
        f"<g><title>{_svg_text(node.name)}</title>"
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="6" '
        f'fill="{_COLOURS[node.kind]}" {stroke}{dash}/>'
        f'<text x="{left + 10:.0f}" y="{top + 18:.0f}" font-weight="600" fill="#111827">{_svg_text(_short(node.name))}'
        f'</text><text x="{left + 10:.0f}" y="{top + 35:.0f}" fill="#4b5563">{about}</text></g>'
    )


def _way(source: tuple[float, float, float], target: tuple[float, float, float]) -> str:
    start, end = source[0] + source[2], target[0]
    from_y, to_y = source[1] + _HEIGHT / 2, target[1] + _HEIGHT / 2
    bend = max(_WAY / 2, abs(end - start) / 3)
    return (
        f'<path d="M{start:.0f} {from_y:.0f}C{start + bend:.0f} {from_y:.0f} {end - bend:.0f} {to_y:.0f} '
        f'{end:.0f} {to_y:.0f}" fill="none" stroke="#6b7280" marker-end="url(#end)"/>'
    )


def _about(node: Node) -> str:
    """Say in a few words what a node is."""
    if node.is_gone:
        return "dropped"
    if node.kind == "table":
        first, last = node.versions[:1], node.versions[-1:]
        return f"version {first[0]}" + (f" to {last[0]}" if first != last else "") if first else "table"
    if node.kind == "file":
        return f"xxh3 {node.xxh3[-1]}" if node.xxh3 else "file"
    return {"text": "", "service": "feature service", "training_set": "training set"}[node.kind]


def _width(node: Node) -> float:
    return 20 + _LETTER * max(len(_short(node.name)), len(_about(node)), 8)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def _svg_text(text: str) -> str:
    """Write a text in XML, which has no place for most control characters."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def _mermaid_text(text: str) -> str:
    """Write a text between quotes: Mermaid takes `#` and a number for any letter."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"#{ord(letter)};" if letter in '#"<>&`\\;' else letter for letter in plain)
