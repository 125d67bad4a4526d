"""Answers about definitions and searches, for people."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing
from tiffin.definitions import Applied, FieldChange
from tiffin.search import Match

_SIGNS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_STYLES = {"table": "cyan", "column": "green", "service": "magenta", "training_set": "blue", "on_demand": "yellow"}


def changes(applied: Applied) -> Iterator[RenderableType]:
    """Show what definitions change, by table and field."""
    for (what, name), found in groupby(applied.changes, key=lambda change: (change.what, change.name)):
        version = applied.versions.get(name) if what == "table" else None
        yield Text.assemble((f"{what} ", "dim"), (name, "bold"), f" · version {version}" if version is not None else "")
        for change in found:
            yield _change(change)
    for name in applied.missing:
        yield Text.assemble(("table ", "dim"), (name, "bold"), (" does not exist yet: passed over", "yellow"))
    count = words.many(len(applied.changes), "change")
    if not applied.changes:
        yield Text("everything is declared already", style="dim")
    elif applied.is_plan:
        yield Text(f"{count} planned, nothing was done", style="dim")
    else:
        yield Text.assemble(("applied ", "green"), count)


def _change(change: FieldChange) -> Text:
    sign, style = _SIGNS[change.kind]
    line = Text(f"  {sign} {change.field}", style=style)
    if change.kind == "changed":
        return line.append(f": {_shown(change.old)} → {_shown(change.new)}")
    return line.append(f": {_shown(change.new if change.kind == 'added' else change.old)}")


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def matches(found: Sequence[Match]) -> Table:
    """Show what was found, the best first."""
    table = listing("found", "what", "where", "text")
    for match in found:
        what = Text(match.kind.replace("_", " "), style=_STYLES[match.kind])
        table.add_row(Text(match.name, style="bold"), what, Text(match.field, style="dim"), match.text)
    return table
