"""What a save would do, for people."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing
from tiffin.schema.compatibility import Judged
from tiffin.tables.planning import Plan

_VERDICTS = {
    "allowed": Text("allowed", style="green"),
    "evolve": Text("needs --evolve", style="yellow"),
    "refused": Text("refused", style="red"),
}
_ONLINE = {
    "none": "",
    "leave": "its rows are taken out of the index",
    "follow": "follows what has changed",
    "rebuild": "is filled with all rows anew",
}


def planned(plan: Plan) -> Iterator[RenderableType]:
    """Show what a save would do."""
    verdict = Text("would save", style="green") if plan.ok else Text("would be refused", style="red")
    now = "a new table" if plan.version is None else f"version {plan.version}"
    yield Text.assemble((plan.table, "bold"), f" {now} · {plan.mode} · rule {plan.rule} · ", verdict)
    if plan.changes:
        yield _changes(plan)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    for name, value in _facts(plan):
        facts.add_row(name, value)
    yield facts


def _changes(plan: Plan) -> Table:
    table = listing("column", "change", "", "what it means")
    for change in plan.changes:
        verdict = _VERDICTS[change.verdict].copy()
        if change.begins_major:
            verdict.append(", a new major version", "dim")
        table.add_row(Text(change.name, style="bold"), _told(change), verdict, Text(change.reason, style="dim"))
    return table


def _told(change: Judged) -> str:
    return f"{change.kind} {change.old}{' → ' if change.old and change.new else ''}{change.new}"


def _facts(plan: Plan) -> Iterator[tuple[str, RenderableType]]:
    if plan.ok:
        added, removed = words.count(plan.rows_added), words.count(plan.rows_removed)
        yield "rows", f"{words.count(plan.rows)} → {words.count(plan.rows_after)} (+{added} −{removed})"
        yield "files", f"{plan.files_rewritten:,} of {plan.files:,} are replaced"
        if plan.online != "none":
            yield "online", _ONLINE[plan.online]
    for lost in plan.loses:
        yield "service", Text(f"{lost.service} loses {', '.join(lost.features)}", style="yellow")
    if plan.refusal is not None:
        yield "refused", plan.refusal.message
        if plan.refusal.hint:
            yield "hint", plan.refusal.hint
