"""Drift, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.views import plots, words
from tiffin.cli.views.tables import listing
from tiffin.quality.drift.answer import ColumnDrift, ColumnSide, Drift, Measure
from tiffin.quality.panels import of_sides

_MEASURES = ("psi", "ks", "js", "new", "gone")
_FULL = 8
"""Blocks of a bar that stands for twice the threshold, or more."""


def drift(found: Drift, *, plot: bool) -> Iterator[RenderableType]:
    """Show how both sides differ, a line a column, and the verdict."""
    sides = f"{found.baseline.name} → {found.current.name}"
    rows = f"{words.count(found.baseline.rows)} → {words.many(found.current.rows, 'row')}"
    yield Text.assemble((found.table, "bold"), f" {sides} · {rows}")
    if plot:
        yield from plots.plots([of_sides(column) for column in found.columns])
    else:
        right = ("missing", *_MEASURES)
        table = listing("column", "type", *right, "", right=right)
        for column in found.columns:
            by_name = {one.name: one for one in column.measures}
            table.add_row(
                Text(column.name, style="bold red" if column.drifted else "bold"),
                Text(_type(column), style="dim"),
                _missing(column, by_name.get("missing")),
                *(_value(by_name[name]) if name in by_name else "" for name in _MEASURES),
                _bar(column),
            )
        yield table
    for note in found.notes:
        yield Text(note, style="dim")
    for reason in found.reasons:
        yield Text.assemble(("drift ", "bold red"), reason)
    yield Text("it has drifted", style="bold red") if found.drifted else Text("no drift", style="green")


def _type(column: ColumnDrift) -> str:
    types = [side.dtype.partition("(")[0] if side else "none" for side in (column.baseline, column.current)]
    return " → ".join(dict.fromkeys(types))


def _missing(column: ColumnDrift, measure: Measure | None) -> Text:
    if measure is None:
        return Text()
    shares = (_share(side) for side in (column.baseline, column.current))
    return Text(" → ".join(dict.fromkeys(shares)), style=_style(measure))


def _share(side: ColumnSide | None) -> str:
    return f"{side.missing:.1%}" if side is not None and side.missing is not None else ""


def _value(measure: Measure) -> Text:
    return Text(f"{measure.value:.3f}", style=_style(measure))


def _style(measure: Measure) -> str:
    return "bold red" if measure.drifted else "dim" if measure.threshold is None else ""


def _bar(column: ColumnDrift) -> Text:
    """Draw how near the column is to its limits: the full length is twice the nearest."""
    limits = [(one.value, max(one.threshold, one.chance)) for one in column.measures if one.threshold is not None]
    share = max((value / limit for value, limit in limits if limit), default=0.0)
    blocks = min(round(share * _FULL / 2), _FULL)
    return Text("█" * blocks + "·" * (_FULL - blocks), style="red" if column.drifted else "green")
