"""Constraints and what breaks them, for people."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing
from tiffin.schema.constraints.kinds import Constraint
from tiffin.schema.constraints.texts import text
from tiffin.tables.violations import CheckReport


def constraints(found: Sequence[Constraint]) -> RenderableType:
    """Show what a table declares, a line a constraint."""
    if not found:
        return Text("no constraints")
    table = listing("name", "constraint", "")
    for each in found:
        table.add_row(Text(each.name, style="bold"), text(each), Text(_aside(each), style="yellow"))
    return table


def _aside(constraint: Constraint) -> str:
    return "warns" if constraint.severity == "warn" else ""


def report(found: CheckReport) -> Iterator[RenderableType]:
    """Show what a check found."""
    rows = "rows" if found.rows is None else words.many(found.rows, "row")
    yield Text.assemble(
        (found.table, "bold"),
        f" version {found.version} · {rows}, {words.many(found.constraints, 'constraint')}: ",
        ("all hold" if not found.violations else f"{len(found.violations)} broken", "green" if found.ok else "red"),
    )
    for violation in found.violations:
        yield Text.assemble(("! ", "yellow" if violation.severity == "warn" else "bold red"), str(violation))
