"""Columns drawn in a terminal: blocks for the bars of a histogram, lines for frequent values."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from tiffin.quality.panels import Panel

_BLOCKS = "▁▂▃▄▅▆▇█"
_PARTS = " ▏▎▍▌▋▊▉█"
_LONGEST = 32
_STYLES = ("dim", "cyan")
_SIDES = ("was ", "is  ")


def plots(panels: Sequence[Panel]) -> Iterator[RenderableType]:
    """Draw panels below each other."""
    for panel in panels:
        yield Text.assemble((panel.name, "bold red" if panel.drifted else "bold"), (f"  {panel.about}", "dim"))
        lines = _blocks(panel) if panel.is_histogram else _bars(panel)
        yield Padding(Text("\n").join(lines), (0, 0, 1, 2))


def _blocks(panel: Panel) -> Iterator[Text]:
    tallest = _greatest(panel)
    for number, side in enumerate(panel.sides):
        line = "".join(_block(share / tallest) for share in side)
        yield Text.assemble((_side(panel, number), "dim"), (line, _style(panel, number)))
    width = len(panel.told) + len(_side(panel, 0))
    yield Text(panel.ends[0].ljust(max(width - len(panel.ends[1]), len(panel.ends[0]) + 1)) + panel.ends[1], "dim")


def _block(share: float) -> str:
    """Draw a part of the tallest bar: nothing only for none."""
    return " " if not share else _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]


def _bars(panel: Panel) -> Iterator[Text]:
    longest = _greatest(panel)
    for number, told in enumerate(panel.told):
        for which, side in enumerate(panel.sides):
            bar = _bar(side[number] / longest)
            words = f" {told}" if which == len(panel.sides) - 1 else ""
            yield Text.assemble((_side(panel, which), "dim"), (bar, _style(panel, which)), words)


def _bar(share: float) -> str:
    eighths = round(share * _LONGEST * 8)
    return ("█" * (eighths // 8) + _PARTS[eighths % 8]).ljust(_LONGEST + 1)


def _greatest(panel: Panel) -> float:
    return max((share for side in panel.sides for share in side), default=0.0) or 1.0


def _style(panel: Panel, number: int) -> str:
    return _STYLES[-len(panel.sides) :][number]


def _side(panel: Panel, number: int) -> str:
    return _SIDES[number] if len(panel.sides) > 1 else ""
