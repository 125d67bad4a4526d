"""Answers about tables and versions, for people."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tiffin.backup import Backup
from tiffin.cli.views import words
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
    shows_newest = any(info.newest for info in infos)
    newest = ["newest row"] if shows_newest else []
    table = listing("table", *numbers, "entity", "timestamp", *newest, "saved", right=numbers)
    now = datetime.now(UTC)
    for info in infos:
        group, _, name = info.table.partition("/")
        if info.problem:
            table.add_row(Text(info.table, style="bold red"), Text("cannot be read", style="red"))
            continue
        table.add_row(
            Text.assemble((f"{group}/", "dim"), (name, "bold")),
            str(info.version),
            words.count(info.rows),
            str(len(info.columns)),
            words.size(info.size_bytes),
            ", ".join(info.entity),
            info.timestamp or "",
            *([_freshness(info, now)] if shows_newest else []),
            Text(words.ago(info.updated, now), style="dim"),
        )
    return table


def _freshness(info: TableInfo, now: datetime) -> Text:
    """Write how old the newest row is; one that is too old stands out."""
    if info.newest is None:
        return Text("")
    age = words.ago(info.newest, now)
    return Text(f"{age}, stale", style="yellow") if info.is_stale else Text(age)


def description(info: TableInfo) -> Iterator[RenderableType]:
    """Show what is known of a table."""
    on = f" stage {info.stage} on" if info.stage else ""
    yield Text.assemble((info.table, "bold"), f"{on} version {info.version}")
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
    if any(column.aliases for column in infos):
        more["was called"] = lambda column: ", ".join(column.aliases)
    if any(column.deprecated for column in infos):
        more["deprecated"] = lambda column: column.deprecated.message if column.deprecated else ""
    if any(column.unit for column in infos):
        more["unit"] = lambda column: column.unit
    if any(column.owner for column in infos):
        more["owner"] = lambda column: column.owner
    if any(column.labels for column in infos):
        more["labels"] = lambda column: _labels(column.labels)
    if any(column.description or column.links for column in infos):
        more["description"] = lambda column: "\n".join(filter(None, (column.description, *column.links)))
    table = listing("column", "type", "role", *more)
    for column in infos:
        role = Text(column.role, style=ROLE_STYLES.get(column.role, "dim"))
        table.add_row(Text(column.name, style="bold"), column.dtype, role, *(show(column) for show in more.values()))
    return table


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label}={value}" if value else label for label, value in labels.items())


def _said(info: TableInfo) -> Iterator[tuple[str, str]]:
    if info.owner:
        yield "owner", info.owner
    if info.labels:
        yield "labels", _labels(info.labels)
    if info.links:
        yield "links", "\n".join(info.links)
    if info.newest:
        yield "newest row", f"{words.clock(info.newest)} UTC, {_freshness(info, datetime.now(UTC))}"


def _facts(info: TableInfo) -> Iterator[tuple[str, str]]:
    yield from _said(info)
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
    if info.derivation:
        yield "derived from", _source(info)
    if info.partition_by:
        yield "partitions", ", ".join(info.partition_by)
    if info.rule != "backward" or info.major:
        yield "schema", f"rule {info.rule}, major version {info.major}"
    if info.constraints:
        yield "constraints", ", ".join(each.name for each in info.constraints)
    yield "folder", info.path


def _source(info: TableInfo) -> str:
    assert info.derivation is not None  # the caller has looked
    source = f"{info.derivation.definition.source}@{info.derivation.version}"
    if info.behind is None:
        return f"{source}, which is not there any more"
    return f"{source}, {words.many(info.behind, 'version')} behind" if info.behind else source


def versions(commits: Sequence[Commit], tags: Mapping[int, Sequence[str]]) -> Iterator[RenderableType]:
    """Show versions, each with its tags and why and from what it was made."""
    for commit in commits:
        line = Text.assemble((f"{commit.version:>7}", "bold"), f"  {words.clock(commit.timestamp)} UTC  ")
        line.append(f"{commit.operation:<9}", "cyan")
        if commit.rows is not None:
            line.append(f"  {words.many(commit.rows, 'row')}")
        line.append(_change(commit.rows_added, commit.rows_removed))
        for tag in tags.get(commit.version, ()):
            line.append(f"  {tag}", "bold magenta")
        yield line
        yield Padding(Text(" · ").join(_notes(commit)), (0, 0, 0, 9), expand=False)


def _notes(commit: Commit) -> Iterator[Text]:
    yield Text(commit.author, style="dim")
    if commit.message:
        yield Text(commit.message)
    if commit.inputs:
        yield Text(f"from {', '.join(commit.inputs)}", style="dim")
    if commit.major is not None:
        yield Text(f"major version {commit.major} of the schema begins", style="yellow")
    if commit.narrowed:
        yield Text(f"floats narrowed to 32 bits: {', '.join(commit.narrowed)}", style="yellow")


def _change(added: int | None, removed: int | None) -> Text:
    change = Text()
    if added:
        change.append(f"  +{added:,}", "green")
    if removed:
        change.append(f"  −{removed:,}", "red")
    return change


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
        held = Text(f"version {each.held_version} is needed", style="yellow") if each.held_version is not None else ""
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


def backed_up(made: Backup) -> Text:
    """Show what a backup holds, and what of it was new."""
    held = ", ".join(
        words.many(number, thing)
        for number, thing in (
            (made.tables, "table"),
            (made.versions, "version"),
            (made.training_sets, "training set"),
            (made.services, "feature service"),
        )
    )
    new = f"{words.many(made.files_copied, 'file')} copied ({words.size(made.bytes_copied)})"
    there = f"{made.files_there:,} there already"
    return Text.assemble(
        ("backed up ", "green"), (made.path, "bold"), f" · {held} · {new}, {there} · {words.seconds(made.seconds)}"
    )
