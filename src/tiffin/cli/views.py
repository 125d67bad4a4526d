"""Answers about tables and versions, for people."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiffin.cli import words
from tiffin.diff import Diff
from tiffin.tables.catalog import ColumnInfo, TableInfo
from tiffin.tables.table import Commit
from tiffin.tables.upkeep import Vacuumed

ROLE_STYLES = {"entity": "bold yellow", "timestamp": "magenta", "created": "magenta", "partition": "blue"}


def listing(*columns: str, right: Sequence[str] = ()) -> Table:
    """Begin a table in the one look that all have; the columns named in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold cyan")
    for name in columns:
        is_first = name == columns[0]
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=is_first)
    return table


def summary(info: TableInfo) -> dict[str, Any]:
    """Keep what a list of tables needs: how many columns there are instead of which."""
    document: dict[str, Any] = msgspec.structs.asdict(info)
    return {**document, "columns": len(info.columns)}


def table_list(infos: Sequence[TableInfo]) -> Table:
    """Show tables, a line each."""
    numbers = ("version", "rows", "columns", "size")
    table = listing("table", *numbers, "entity", "timestamp", "saved", right=numbers)
    now = datetime.now(UTC)
    for info in infos:
        group, _, name = info.table.partition("/")
        table.add_row(
            Text.assemble((f"{group}/", "dim"), (name, "bold")),
            str(info.version),
            words.count(info.rows),
            str(len(info.columns)),
            words.size(info.size_bytes),
            ", ".join(info.entity),
            info.timestamp or "",
            Text(words.ago(info.updated, now), style="dim"),
        )
    return table


def description(info: TableInfo) -> Iterator[RenderableType]:
    """Show what is known of a table."""
    yield Text.assemble((info.table, "bold"), f" version {info.version}")
    if info.description:
        yield Text(info.description, style="italic")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    for name, value in _facts(info):
        facts.add_row(name, value)
    yield facts
    yield _columns(info.columns)


def _columns(infos: Sequence[ColumnInfo]) -> Table:
    """Show columns, a line each; what none of them has is left out."""
    more: dict[str, Callable[[ColumnInfo], str]] = {}
    if any(column.default is not None for column in infos):
        more["default"] = lambda column: "" if column.default is None else json.dumps(column.default)
    if any(column.description for column in infos):
        more["description"] = lambda column: column.description
    table = listing("column", "type", "role", *more)
    for column in infos:
        role = Text(column.role, style=ROLE_STYLES.get(column.role, "dim"))
        table.add_row(Text(column.name, style="bold"), column.dtype, role, *(show(column) for show in more.values()))
    return table


def _facts(info: TableInfo) -> Iterator[tuple[str, str]]:
    yield "rows", words.count(info.rows)
    yield "size", f"{words.size(info.size_bytes)} in {words.many(info.files, 'file')}"
    yield "saved", f"{words.clock(info.updated)} UTC, {words.ago(info.updated, datetime.now(UTC))}"
    yield "versions", f"{info.oldest_version} to {info.version} can be read"
    if info.entity:
        yield "entity", ", ".join(info.entity)
    if info.timestamp:
        yield "timestamp", info.timestamp
    if info.created:
        yield "created", info.created
    if info.ttl:
        yield "ttl", words.span(info.ttl)
    if info.online:
        yield "online", "yes"
    if info.partition_by:
        yield "partitions", ", ".join(info.partition_by)
    yield "folder", info.path


def versions(commits: Sequence[Commit]) -> Iterator[RenderableType]:
    """Show versions, each with why and from what it was made."""
    for commit in commits:
        line = Text.assemble((f"{commit.version:>7}", "bold"), f"  {words.clock(commit.timestamp)} UTC  ")
        line.append(f"{commit.operation:<9}", "cyan")
        if commit.rows is not None:
            line.append(f"  {words.many(commit.rows, 'row')}")
        yield line.append(_change(commit.rows_added, commit.rows_removed))
        yield Padding(Text(" · ").join(_notes(commit)), (0, 0, 0, 9), expand=False)


def _notes(commit: Commit) -> Iterator[Text]:
    yield Text(commit.author, style="dim")
    if commit.message:
        yield Text(commit.message)
    if commit.inputs:
        yield Text(f"from {', '.join(commit.inputs)}", style="dim")
    if commit.narrowed:
        yield Text(f"floats narrowed to 32 bits: {', '.join(commit.narrowed)}", style="yellow")


def _change(added: int | None, removed: int | None) -> Text:
    change = Text()
    if added:
        change.append(f"  +{added:,}", "green")
    if removed:
        change.append(f"  −{removed:,}", "red")
    return change


def difference(diff: Diff) -> Iterator[RenderableType]:
    """Show what changed between two versions."""
    yield Text.assemble((diff.table, "bold"), f" version {diff.old} → {diff.new}")
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
    table = listing("column", "rows changed", "for example", right=("rows changed",))
    for column in diff.columns[:most]:
        table.add_row(Text(column.name, style="bold"), f"{column.changed:,}", _changed_value(diff, column.name))
    hidden = len(diff.columns[most:]) if most is not None else 0
    if hidden:
        table.add_row(Text(f"and {words.many(hidden, 'column')} more", style="dim"))
    return table


def _changed_value(diff: Diff, column: str) -> Text:
    for example in diff.examples:
        value = example.get(column)
        if isinstance(value, dict):
            key = ", ".join(f"{name} {example[name]}" for name in diff.key)
            old, new = (short(value[side]) for side in ("old", "new"))
            return Text.assemble((f"{key}: ", "dim"), (old, "red"), " → ", (new, "green"))
    return Text()


def short(value: object) -> str:
    """Write a value in at most 40 letters."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return words.clock(value)
    text = "null" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def vacuumed(done: Sequence[Vacuumed], *, dry_run: bool) -> Iterator[RenderableType]:
    """Show what a vacuum removed, or would remove."""
    numbers = ("versions removed", "files removed", "freed", "oldest version")
    table = listing("table", *numbers, "", right=numbers)
    for each in done:
        held = (
            Text(f"version {each.held_version} is being read", style="yellow") if each.held_version is not None else ""
        )
        table.add_row(
            Text(each.table, style="bold"),
            str(each.versions_removed),
            str(each.files_removed),
            words.size(each.bytes_freed),
            str(each.oldest_version),
            held,
        )
    yield table
    total = words.size(sum(each.bytes_freed for each in done))
    yield Text(f"{total} would be freed; nothing was removed (--dry-run)" if dry_run else f"{total} freed")
