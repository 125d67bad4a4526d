"""The report of `tiffin demo`, for people."""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiffin.cli.demo import prediction_report, serving_report
from tiffin.cli.demo.course import Report
from tiffin.cli.demo.sections import indented, section
from tiffin.cli.demo.serving import SERVICE
from tiffin.cli.demo.storing import SecondSave, TableFigures
from tiffin.cli.views import tables as shown
from tiffin.cli.views import versions as version_views
from tiffin.cli.views import words
from tiffin.diff import Diff

_INTERACTIONS = "interaction/user_movie_interactions"
_COLUMNS_SHOWN = 5


def views(report: Report) -> Iterator[RenderableType]:
    """Show the report."""
    yield from _input(report)
    yield from section("Saved", "lossless, as tables of three groups")
    yield _sizes(report.tables)
    yield from section(
        "Saved durably, read back and compared", "every value came back; times are medians; – too small to keep"
    )
    yield _speeds(report.tables)
    yield from _second_save(report.second_save)
    yield from prediction_report.views(report.prediction)
    yield from serving_report.views(report.serving)
    yield from serving_report.called(report.called)
    yield from _next(report)


def next_commands(entity: str) -> list[str]:
    """List commands that work on the store that the demo made, once TIFFIN_STORE names it; the entity was served."""
    called = Path(sys.argv[0])
    # `make demo` calls the program by its path, in an environment that the shell does not know.
    needs_path = called.name == "tiffin" and str(called.parent) not in os.get_exec_path()
    program = shlex.quote(str(called)) if needs_path else "tiffin"
    commands = [
        "ls",
        "read movie_ratings --where 'weighted_rating >= 7'",
        "read user_preferences@0 -o preferences.csv",
        "describe user_preferences",
        f"history {_INTERACTIONS}",
        "training ls",
        f"online get {SERVICE} --entity {shlex.quote(entity)}",
        "verify",
        "doctor",
        "serve",
    ]
    return [f"{program} {command}" for command in commands]


def _input(report: Report) -> Iterator[RenderableType]:
    yield Text("Tiffin demo", style="bold")
    yield Text()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan")
    facts.add_column(overflow="fold")
    facts.add_row("movies", f"{report.movies:,}, {report.movies_from}")
    rated = f"{report.ratings:,} by {words.many(report.users, 'user')}, {report.ratings_from}"
    facts.add_row("ratings", rated)
    if report.ratings_of_these_movies < report.ratings:
        facts.add_row("", f"{report.ratings_of_these_movies:,} of them are of these movies")
    facts.add_row(
        "features",
        f"{report.features} of each movie, built in {words.seconds(report.build_s)}, "
        f"warm in {words.seconds(report.rebuild_s)}: {words.three_digits(report.movies_per_s)} movies/s",
    )
    facts.add_row("store", report.store)
    yield indented(facts)


def _figures_table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold cyan", show_footer=True, footer_style="bold")
    table.add_column("table", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _sizes(figures: list[TableFigures]) -> Table:
    table = _figures_table("rows", "columns", "in memory", "on disk", "smaller")

    def cells(rows: int, columns: int, memory_bytes: int, disk_bytes: int) -> tuple[str, ...]:
        smaller = 1 - disk_bytes / memory_bytes if memory_bytes else 0.0
        return f"{rows:,}", str(columns), words.size(memory_bytes), words.size(disk_bytes), f"{smaller:.0%}"

    for group, each in _grouped(table, figures):
        table.add_row(group, *cells(each.rows, each.columns, each.memory_bytes, each.disk_bytes))
    sums = [sum(getattr(each, name) for each in figures) for name in ("rows", "columns", "memory_bytes", "disk_bytes")]
    return _with_footer(table, ("total", *cells(*sums)))


def _speeds(figures: list[TableFigures]) -> Table:
    table = _figures_table("saved in", "MB/s", "Parquet", "disk cache", "memory")

    # With some tables in the disk cache the others were too small for it; with none it is off, or all are small.
    none = "–" if any(each.disk_cache_s is not None for each in figures) else "off"

    def cells(memory_bytes: int, save_s: float, *read_s: float | None) -> tuple[str, ...]:
        rate = words.three_digits(memory_bytes / save_s / 1e6)
        return words.seconds(save_s), rate, *(none if time is None else words.seconds(time) for time in read_s)

    names = ("save_s", "parquet_s", "disk_cache_s", "memory_cache_s")
    for group, each in _grouped(table, figures):
        table.add_row(group, *cells(each.memory_bytes, *(getattr(each, name) for name in names)))
    times = [[getattr(each, name) for each in figures] for name in names]
    save_s, *read_s = (None if None in column else sum(column) for column in times)
    return _with_footer(table, ("total", *cells(sum(each.memory_bytes for each in figures), save_s or 0.0, *read_s)))


def _grouped(table: Table, figures: list[TableFigures]) -> Iterator[tuple[Text, TableFigures]]:
    """Give each table's name, after a row for each group."""
    last = ""
    for each in figures:
        group, _, name = each.table.partition("/")
        if group != last:
            table.add_row(Text(f"{group}/", style="yellow"))
        last = group
        yield Text(f"  {name}", style="bold"), each


def _with_footer(table: Table, totals: tuple[str, ...]) -> Table:
    for column, total in zip(table.columns, totals, strict=True):
        column.footer = total
    return table


def _second_save(second: SecondSave) -> Iterator[RenderableType]:
    yield from section(
        "A second version",
        f"{words.many(second.ratings, 'rating')} by {words.many(second.users, 'user')} arrived late",
    )
    yield Text()
    for found in second.diffs:
        yield indented(_change(found))
        if found.columns:
            yield indented(version_views.changed_columns(found, most=_COLUMNS_SHOWN))
    yield Text()
    yield indented(Text.assemble("versions of ", (_INTERACTIONS, "bold")))
    yield from shown.versions(second.history, {})


def _change(found: Diff) -> Text:
    told = [f"{words.many(found.rows_added, 'row')} added", f"{words.many(found.rows_removed, 'row')} removed"]
    line = Text.assemble((found.table, "bold"), f" version {found.old} → {found.new}: {', '.join(told)}")
    return line.append(f", {found.rows_changed:,} of {found.rows_old:,} changed")


def _next(report: Report) -> Iterator[RenderableType]:
    yield from section("Done", f"in {words.seconds(report.total_s)}, reading and comparing included. Try next:")
    yield Text()
    arrival = report.serving.arrival
    commands = next_commands(f"user_id={arrival.user_id},movie_id={arrival.movie_id}")
    for command in (f"export TIFFIN_STORE={shlex.quote(report.store)}", *commands):
        # In a group, so that it is not broken: it is to be copied.
        yield Group(Text(f"  {command}", style="cyan", no_wrap=True, overflow="ignore"))
