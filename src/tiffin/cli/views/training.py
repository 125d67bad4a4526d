"""Answers about training frames, for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing, short
from tiffin.quality.leakage.report import LeakageFinding, LeakageReport
from tiffin.tables.table import Commit
from tiffin.training.explanation import Explanation, Row
from tiffin.training.sets import TrainingSet


def training_sets(found: Sequence[TrainingSet]) -> Table:
    """Show training sets, a line each."""
    numbers = ("rows", "features")
    table = listing("training set", *numbers, "made from", "saved", "description", right=numbers)
    now = datetime.now(UTC)
    for each in found:
        recipe = each.lock.recipe
        table.add_row(
            Text(each.name, style="bold"),
            words.count(each.rows),
            words.count(len(recipe.features) if recipe else None),
            ", ".join(f"{name}@{version}" for name, version in each.lock.items()),
            Text(words.ago(each.saved, now), style="dim"),
            each.description,
        )
    return table


def explanation(found: Explanation) -> Iterator[RenderableType]:
    """Show which row gave an answer, and why no other did."""
    whose = f" of {_values(found.entity)}" if found.entity else ""
    yield Text.assemble((f"{found.table}@{found.version}", "bold"), f"{whose} as of {words.clock(found.at)} UTC")
    limits = [f"ttl {words.span(found.ttl)}"] if found.ttl else []
    limits += [f"known at {words.clock(found.known_at)} UTC"] if found.known_at else []
    if limits:
        yield Text(", ".join(limits), style="dim")
    yield Text(_values(found.values), style="bold green")
    if found.defaults:
        yield Text(f"missing, so the default answers: {', '.join(found.defaults)}", style="yellow")
    if found.row is None and not found.others:
        yield Text("there is no row of this entity", style="yellow")
        return
    # One feature gives the column its name, several stand in it with theirs.
    names = list(found.values)
    rows = listing("true from", names[0] if len(names) == 1 else "values", "why", "saved by")
    for row in [*([found.row] if found.row else []), *found.others]:
        values = short(row.values[names[0]]) if len(names) == 1 else _values(row.values)
        rows.add_row(_moment(row), values, row.reason, _commit(row.commit), style="green" if row is found.row else "")
    yield rows


def leakage(report: LeakageReport) -> Iterator[RenderableType]:
    """Show what a check for leakage found."""
    features, rows = words.many(len(report.features), "feature"), words.many(report.rows, "row")
    yield Text.assemble(f"{features} against ", (report.label, "bold"), f", {rows}")
    for found in report.findings:
        yield finding(found)
    for reason in report.unchecked:
        yield Text(f"not checked: {reason}", style="dim")
    if report.ok:
        yield Text("no feature is known to leak", style="green")


def finding(found: LeakageFinding) -> RenderableType:
    """Show one way in which features may know too much."""
    style = "bold yellow" if found.severity == "warning" else "bold cyan"
    told = [Text(found.what), Text(found.advice, style="dim")]
    told += [Text(f"such as {_values(example)}", style="dim") for example in found.examples]
    heading = Text.assemble((f"{found.severity}: ", style), (found.subject, "bold"), (f" {found.check}", "dim"))
    return Group(heading, *(Padding(line, (0, 0, 0, 2)) for line in told))


def _moment(row: Row) -> str:
    time = "" if row.timestamp is None else short(row.timestamp)
    return time if row.created is None else f"{time} (created {short(row.created)})"


def _commit(commit: Commit | None) -> str:
    if commit is None:
        return "a version that was vacuumed"
    return " · ".join(filter(None, (f"version {commit.version}", commit.operation, commit.message)))


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {short(value)}" for name, value in values.items())
