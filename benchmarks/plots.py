"""Figures as pictures: SVG that needs nothing else, no script and no other file (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.measure import Growth, exponent, shown

_WIDTH, _PLOT, _GAP, _ACROSS = 280, 150, 64, 3
_TIME_WIDTH, _TIME_HEIGHT = 780, 220
_DOTS_WIDTH, _NAMES, _AXIS, _ROW = 860, 270, 500, 20
_OURS = "Tiffin"
_COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#8250df", "#9a6700", "#1b7c83", "#bf3989", "#57606a")
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.name{font-weight:600;font-size:13px}.dim{fill:#6e7781;font-size:11px}
.paper{fill:#fff}.axis{stroke:#d0d7de}.ours{fill:#0969da}.other{fill:#8c959f}.line{fill:none;stroke-width:1.8}"""


class _Range(NamedTuple):
    """What an axis spans, as powers of ten."""

    low: int
    high: int

    def share(self, value: float) -> float:
        return (math.log10(value) - self.low) / (self.high - self.low)


def _range(values: Sequence[float]) -> _Range:
    low = math.floor(math.log10(min(values)))
    return _Range(low, max(math.ceil(math.log10(max(values))), low + 1))


def dots(cases: Mapping[str, Mapping[str, float]]) -> str:
    """Draw who took how long in each case, the fastest first; ours is blue.

    Parameters
    ----------
    cases : mapping of str to mapping of str to float
        By case the seconds of each side, above 0; one case or more.

    Returns
    -------
    str
        An SVG document with a row for each side, on one logarithmic axis for all: a line further right is ten times
        as slow.
    """
    axis = _range([seconds for sides in cases.values() for seconds in sides.values()])
    parts, y = [], 30
    for case, sides in cases.items():
        parts.append(f'<text class="name" x="12" y="{y}">{escape(case)}</text>')
        parts += _decades(axis, y - 4, y + _ROW * len(sides) + 8)
        for name, seconds in sorted(sides.items(), key=lambda side: side[1]):
            parts.append(_dot(name, seconds, axis, y := y + _ROW))
        y += _ROW + 18
    return _document("Seconds, logarithmic: further left is faster", _DOTS_WIDTH, y, parts)


def _decades(axis: _Range, top: int, bottom: int) -> Iterator[str]:
    for power in range(axis.low, axis.high + 1):
        x = _NAMES + axis.share(10.0**power) * _AXIS
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
        yield f'<text class="dim" x="{x:.1f}" y="{top - 4}" text-anchor="middle">{_short(10.0**power)}</text>'


def _dot(name: str, seconds: float, axis: _Range, y: int) -> str:
    style, x = "ours" if name.startswith(_OURS) else "other", _NAMES + axis.share(seconds) * _AXIS
    return (
        f'<text x="{_NAMES - 12}" y="{y}" text-anchor="end">{escape(name)}</text>'
        f'<circle class="{style}" cx="{x:.1f}" cy="{y - 4}" r="5"/>'
        f'<text class="dim" x="{x + 10:.1f}" y="{y}">{escape(shown(seconds))}</text>'
    )


def lines(panels: Mapping[str, Mapping[str, Growth]]) -> str:
    """Draw how costs grow, each panel with its lines; both axes are logarithmic.

    Parameters
    ----------
    panels : mapping of str to mapping of str to Growth
        By title of the panel, the growth of each line.

    Returns
    -------
    str
        An SVG document.
    """
    parts, bottom, tallest = [], 24, 0
    for number, (title, growths) in enumerate(panels.items()):
        if number % _ACROSS == 0:
            bottom, tallest = bottom + tallest, 0
        legend = 16 * len(growths)
        x = _GAP + number % _ACROSS * (_WIDTH + _GAP)
        parts += [f'<g transform="translate({x} {bottom})">', *_panel(title, growths), "</g>"]
        tallest = max(tallest, _PLOT + legend + 84)
    width = _GAP + min(max(len(panels), 1), _ACROSS) * (_WIDTH + _GAP)
    return _document("How costs grow: seconds on both-logarithmic axes", width, bottom + tallest, parts)


def _panel(title: str, growths: Mapping[str, Growth]) -> Iterator[str]:
    points = [point for growth in growths.values() for point in growth.points]
    x, y = _range([size for size, _ in points]), _range([cost for _, cost in points])
    yield f'<text class="name" y="6">{escape(title)}</text><g transform="translate(0 24)">'
    yield from _axes(x, y)
    for number, (name, growth) in enumerate(growths.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        at = [(x.share(size) * _WIDTH, _PLOT - y.share(cost) * _PLOT) for size, cost in sorted(growth.points)]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in at)
        yield f'<polyline class="line" stroke="{colour}" points="{path}"/>'
        yield from (f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.6" fill="{colour}"/>' for across, down in at)
        told = f"{name}: size to the {exponent(growth.points):.2f}"
        below = _PLOT + 36 + 16 * number
        yield f'<rect x="0" y="{below - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="16" y="{below}">{escape(told)}</text>'
    yield "</g>"


def over_time(
    title: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, is_logarithmic: bool = False
) -> str:
    """Draw how figures went over time.

    Parameters
    ----------
    title : str
        What is drawn.
    unit : str
        Of the values.
    lines : mapping of str to sequence of (float, float)
        By name, seconds and values of at least 0.
    is_logarithmic : bool
        Whether the upright axis is; values of 0 are left out then. Otherwise it begins at 0.

    Returns
    -------
    str
        An SVG document.
    """
    drawn = {name: [point for point in line if point[1] > 0 or not is_logarithmic] for name, line in lines.items()}
    values = [value for line in drawn.values() for _, value in line] or [1.0]
    length = max((at for line in drawn.values() for at, _ in line), default=0.0) or 1.0
    upright = _decades_of(values) if is_logarithmic else _even(values)
    parts = [f'<g transform="translate({_GAP} 24)">', *_frame(upright, unit, length)]
    for number, (name, line) in enumerate(drawn.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        at = [(at / length * _TIME_WIDTH, _TIME_HEIGHT * (1 - upright.share(value))) for at, value in line]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in at)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        across, below = number % _ACROSS * _TIME_WIDTH / _ACROSS, _TIME_HEIGHT + 38 + number // _ACROSS * 16
        parts.append(f'<rect x="{across:.1f}" y="{below - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{across + 16:.1f}" y="{below}">{escape(name)}</text>')
    height = 24 + _TIME_HEIGHT + 38 + math.ceil(len(lines) / _ACROSS) * 16 + 8
    return _document(title, _GAP + _TIME_WIDTH + 40, height, [*parts, "</g>"])


class _Upright(NamedTuple):
    """An upright axis."""

    marks: Sequence[float]
    share: Callable[[float], float]
    """How far up a value is."""


def _even(values: Sequence[float]) -> _Upright:
    """Make an axis from 0, with marks 1, 2 or 5 times a power of ten apart: at most five beside 0."""
    most = max(values) or 1.0
    power = 10.0 ** math.floor(math.log10(most / 5))
    step = next(power * times for times in (1, 2, 5, 10) if power * times * 5 >= most * (1 - 1e-9))
    steps = math.ceil(most / step - 1e-9)
    return _Upright([step * number for number in range(steps + 1)], lambda value: value / (step * steps))


def _decades_of(values: Sequence[float]) -> _Upright:
    axis = _range(values)
    return _Upright([10.0**power for power in range(axis.low, axis.high + 1)], axis.share)


def _frame(upright: _Upright, unit: str, length: float) -> Iterator[str]:
    for mark in upright.marks:
        at = _TIME_HEIGHT * (1 - upright.share(mark))
        yield f'<line class="axis" x2="{_TIME_WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="dim" x="-6" y="{at + 4:.1f}" text-anchor="end">{mark:,.6g}</text>'
    for tenth in range(11):
        told = f"{tenth * length / 600:.3g} min" if tenth else f"{unit} over time".strip()
        at = tenth * _TIME_WIDTH / 10
        yield f'<text class="dim" x="{at:.1f}" y="{_TIME_HEIGHT + 15}" text-anchor="middle">{told}</text>'


def _axes(x: _Range, y: _Range) -> Iterator[str]:
    for power in range(y.low, y.high + 1):
        at = _PLOT - y.share(10.0**power) * _PLOT
        yield f'<line class="axis" x2="{_WIDTH}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="dim" x="-4" y="{at + 4:.1f}" text-anchor="end">{_short(10.0**power)}</text>'
    for power in range(x.low, x.high + 1):
        at = x.share(10.0**power) * _WIDTH
        yield f'<text class="dim" x="{at:.1f}" y="{_PLOT + 15}" text-anchor="middle">{10**power:,}</text>'


def _short(seconds: float) -> str:
    return shown(seconds).replace(" ", "")


def _document(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    size = f'width="{width}" height="{height}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {size} role="img">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style><rect class="paper" {size}/>'
    )
    return "".join([head, *parts, "</svg>\n"])
