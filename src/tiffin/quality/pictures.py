"""Profiles and drift as pictures: SVG that needs nothing else, no script and no other file (pure).

A panel for each column: of numbers and times a histogram, of texts and bools the frequent values. Of two sides the
baseline is the grey area behind, what is now the coloured one. What a bar stands for is told where the pointer rests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from tiffin.quality.drift.answer import Drift
from tiffin.quality.panels import Panel, of_sides, of_values
from tiffin.quality.profiles.profile import Profile

_WIDTH, _HEIGHT, _GAP, _ACROSS = 280, 150, 24, 3
_TOP, _PLOT, _LINE = 44, 90, 14
_LONGEST = 34
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.name{font-weight:600;font-size:13px}.dim{fill:#6e7781;font-size:11px}
.paper{fill:#fff}.axis{stroke:#8c959f}.old{fill:#8c959f;fill-opacity:.45}.new{fill:#0969da;fill-opacity:.55}
.told{font-size:11px}
.drifted{fill:#cf222e}"""


def of_profile(found: Profile) -> str:
    """Draw a profile.

    Returns
    -------
    str
        An SVG document.
    """
    title = f"{found.name}: {found.rows:,} rows"
    return _document(title, [of_values(column, found.rows) for column in found.columns])


def of_drift(found: Drift) -> str:
    """Draw both sides of a comparison over each other.

    Returns
    -------
    str
        An SVG document.
    """
    verdict = "drifted" if found.drifted else "no drift"
    title = f"{found.table}, {found.baseline.name} (grey) and {found.current.name} (blue): {verdict}"
    return _document(title, [of_sides(column) for column in found.columns])


def _document(title: str, panels: Sequence[Panel]) -> str:
    across = max(min(len(panels), _ACROSS), 1)
    down = -(-len(panels) // across)
    width, height = across * (_WIDTH + _GAP) + _GAP, _TOP + down * (_HEIGHT + _GAP)
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} role="img">',
        f"<title>{_xml(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" {size}/><text class="name" x="{_GAP}" y="28">{_xml(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        x, y = _GAP + number % across * (_WIDTH + _GAP), _TOP + number // across * (_HEIGHT + _GAP)
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return "".join([*parts, "</svg>\n"])


def _panel(panel: Panel) -> Iterator[str]:
    yield f'<text class="name{" drifted" if panel.drifted else ""}" y="12">{_short(panel.name)}</text>'
    yield f'<text class="dim" y="27">{_short(panel.about, 2 * _LONGEST)}</text><g transform="translate(0 36)">'
    yield from (_histogram(panel) if panel.is_histogram else _values(panel))
    yield "</g>"


def _histogram(panel: Panel) -> Iterator[str]:
    tallest = max((share for side in panel.sides for share in side), default=0.0) or 1.0
    step = _WIDTH / len(panel.told)
    for side, style in zip(panel.sides, _styles(panel), strict=True):
        for number, share in enumerate(side):
            if share:
                tall = share / tallest * _PLOT
                where = f'x="{number * step:.2f}" y="{_PLOT - tall:.2f}" width="{step:.2f}" height="{tall:.2f}"'
                yield f'<rect class="{style}" {where}><title>{_xml(panel.told[number])}</title></rect>'
    yield f'<line class="axis" x2="{_WIDTH}" y1="{_PLOT}" y2="{_PLOT}"/>'
    for x, anchor, text in ((0, "start", panel.ends[0]), (_WIDTH, "end", panel.ends[1])):
        yield f'<text class="dim" x="{x}" y="{_PLOT + _LINE}" text-anchor="{anchor}">{_xml(text)}</text>'


def _values(panel: Panel) -> Iterator[str]:
    longest = max((share for side in panel.sides for share in side), default=0.0) or 1.0
    for number, told in enumerate(panel.told):
        y = number * (_LINE + 3)
        for side, style in zip(panel.sides, _styles(panel), strict=True):
            where = f'y="{y}" width="{side[number] / longest * _WIDTH:.2f}" height="{_LINE}"'
            yield f'<rect class="{style}" {where}><title>{_xml(told)}</title></rect>'
        yield f'<text class="told" x="4" y="{y + 11}">{_short(told)}</text>'


def _styles(panel: Panel) -> Sequence[str]:
    return ("old", "new")[-len(panel.sides) :]


def _short(text: str, longest: int = _LONGEST) -> str:
    return _xml(text if len(text) <= longest else text[: longest - 1] + "…")


def _xml(text: str) -> str:
    """Write a text into XML; letters that XML cannot have become a sign that says so."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))
