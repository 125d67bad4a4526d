"""Answers about tags, stages and the differences between versions, for people."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.views import words
from tiffin.cli.views.tables import listing, short
from tiffin.diff import ColumnDiff, Diff
from tiffin.tables.stages import Stage
from tiffin.tables.tags import Tag


def tags(found: Sequence[Tag]) -> Table:
    """Show tags, a line each."""
    table = listing("tag", "version", "committed", "tagged", "by", "why", right=("version",))
    for tag in found:
        table.add_row(
            Text(tag.name, style="bold"),
            str(tag.version),
            f"{words.clock(tag.committed)} UTC",
            Text(f"{words.clock(tag.tagged)} UTC", style="dim"),
            Text(tag.author, style="dim"),
            tag.message,
        )
    return table


def stages(found: Sequence[Stage]) -> Table:
    """Show stages, a line each."""
    numbers = ("rows", "on version", "behind")
    table = listing("stage", "operation", *numbers, "staged", "by", "why", right=numbers)
    for stage in found:
        table.add_row(
            Text(stage.name, style="bold"),
            stage.operation,
            words.count(stage.rows),
            str(stage.base),
            Text(str(stage.behind), style="yellow" if stage.behind else "dim"),
            Text(f"{words.clock(stage.staged)} UTC", style="dim"),
            Text(stage.author, style="dim"),
            stage.message,
        )
    return table


def difference(diff: Diff) -> Iterator[RenderableType]:
    """Show what changed between two versions."""
    yield Text.assemble((diff.table, "bold"), f" {_side(diff.old)} → {_side(diff.new)}")
    if diff.is_empty:
        yield Text("no difference", style="green")
        return
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    matched = f"matched by {', '.join(diff.key)}" if diff.key else "compared as whole rows"
    facts.add_row("rows", f"{diff.rows_old:,} → {diff.rows_new:,} ({matched})")
    facts.add_row("added", Text(f"{diff.rows_added:,}", style="green" if diff.rows_added else "dim"))
    facts.add_row("removed", Text(f"{diff.rows_removed:,}", style="red" if diff.rows_removed else "dim"))
    if diff.key:
        facts.add_row("changed", Text(f"{diff.rows_changed:,}", style="yellow" if diff.rows_changed else "dim"))
    for change in diff.schema:
        facts.add_row("schema", change)
    yield facts
    if diff.columns:
        yield changed_columns(diff)


def changed_columns(diff: Diff, most: int | None = None) -> Table:
    """Show the columns that changed, the most changed first, at most so many."""
    numbers = ("rows changed", "mean change", "largest")
    table = listing("column", *numbers, "nulls", "mean, or distinct values", "for example", right=numbers)
    for column in diff.columns[:most]:
        of_numbers = column.numbers
        table.add_row(
            Text(column.name, style="bold"),
            f"{column.changed:,}",
            _number(of_numbers.mean_change) if of_numbers else "",
            _number(of_numbers.largest_change) if of_numbers else "",
            _turn(f"{column.nulls_old:,}", f"{column.nulls_new:,}"),
            _whole(column),
            _example(diff, column.name),
        )
    hidden = len(diff.columns[most:]) if most is not None else 0
    if hidden:
        table.add_row(Text(f"and {words.many(hidden, 'column')} more", style="dim"))
    return table


def _side(version: int | str) -> str:
    return f"stage {version}" if isinstance(version, str) else f"version {version}"


def _number(value: float | None) -> str:
    return "–" if value is None else short(value)


def _turn(old: str, new: str) -> Text:
    return Text(old, style="dim") if old == new else Text(f"{old} → {new}")


def _whole(column: ColumnDiff) -> Text:
    """Say how all values of a column changed: their mean, or which are new and which are gone."""
    if column.numbers is not None:
        return _turn(_number(column.numbers.mean_old), _number(column.numbers.mean_new))
    values = column.values
    if values is None:
        return Text()
    line = _turn(f"{values.distinct_old:,}", f"{values.distinct_new:,}")
    for sign, style, named, count in (
        ("+", "green", values.come, values.come_count),
        ("−", "red", values.gone, values.gone_count),
    ):
        if count:
            shown = ", ".join(map(short, named[:3])) + (", …" if count > 3 else "")
            line.append(f" {sign}{count:,}: {shown}", style)
    return line


def _example(diff: Diff, column: str) -> Text:
    for example in diff.examples:
        value = example.get(column)
        if isinstance(value, dict):
            key = ", ".join(f"{name} {example[name]}" for name in diff.key)
            old, new = (short(value[side]) for side in ("old", "new"))
            return Text.assemble((f"{key}: ", "dim"), (old, "red"), " → ", (new, "green"))
    return Text()
