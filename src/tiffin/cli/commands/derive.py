"""The commands about derived tables: make, apply, show, refresh."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.arguments.conditions import comparison, parse_condition
from tiffin.cli.arguments.options import (
    AnyTableArgument,
    ForceOption,
    JsonOption,
    MessageOption,
    StoreOption,
    TableArgument,
    complete_table,
    example,
    names_of,
    pairs_of,
    value_of,
)
from tiffin.cli.run import running
from tiffin.cli.views import words
from tiffin.errors import InvalidInputError

if TYPE_CHECKING:
    from tiffin.derived.document import Planned
    from tiffin.derived.listing import Derived
    from tiffin.schema.derivation import Windowed
    from tiffin.tables.table import Commit

commands = typer.Typer(
    name="derive",
    help="Derived tables: windowed features of the events in other tables.",
    no_args_is_help=True,
    rich_help_panel="Features",
)


@commands.command(
    epilog=example(
        "tiffin derive make user/activity --source user/ratings --entity user_id --window 7d,30d "
        "--aggregate mean=mean,count --online",
        "tiffin derive make user/likes --source user/ratings --entity user_id --window all --aggregate '*=count' "
        "--where 'mean >= 4'",
    )
)
def make(
    ctx: typer.Context,
    name: TableArgument,
    *,
    source: Annotated[
        str,
        typer.Option("--source", metavar="TABLE", help="Its rows are the events.", autocompletion=complete_table),
    ],
    entity: Annotated[list[str], typer.Option("--entity", metavar="COLUMN", help="What the features are about.")],
    window: Annotated[list[str], typer.Option("--window", metavar="LENGTH", help="As in 30m, 12h, 7d, 4w; or all.")],
    aggregate: Annotated[
        list[str],
        typer.Option(
            "--aggregate",
            metavar="COLUMN=NAME,...",
            help="count, sum, mean, min, max, std, first, last, distinct; '*=count' counts the events.",
        ),
    ],
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="CONDITION", help="Which events count, as for read.")
    ] = None,
    expiry: Annotated[
        bool, typer.Option("--expiry/--no-expiry", help="Whether there are rows for when events leave a window.")
    ] = True,
    online: Annotated[
        bool | None, typer.Option("--online/--no-online", help="Keep the newest rows in the online index.")
    ] = None,
    message: MessageOption = "",
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a table of windowed features, or make it anew with another definition."""
    wanted = {column: names_of([names]) for column, names in pairs_of("--aggregate", aggregate).items()}
    conditions = [value_of("--where", parse_condition, text) for text in where or ()]
    with running(ctx, store, as_json) as run:
        what: dict[str, Any] = {"source": source, "entity": names_of(entity), "windows": names_of(window)}
        what |= {"aggregations": wanted, "expiry": expiry}
        if conditions:
            schema = run.store.snapshot(source).dtypes
            what["where"] = [comparison(condition, schema) for condition in conditions if condition]
        with run.busy("deriving"):
            commit = run.store.derive(name, what, online=online, message=message, force=force)
        run.answer(commit, _done(commit))


@commands.command(
    epilog=example("tiffin derive apply features.toml --plan", "tiffin derive apply features.toml -m 'monthly windows'")
)
def apply(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Definitions in TOML.")],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only tell what would be done.")] = False,
    message: MessageOption = "",
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the derived tables that a file defines, as far as they are not there; derived tables it does not name stay.

    The file has a part for each table, called by its name: ["user/activity"], with source, entity, windows,
    aggregations, and if need be where, expiry and online.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.derived.document import parse
        from tiffin.derived.document import plan as planned

        steps = planned(parse(_text(file)), run.store.derived())
        if plan:
            run.answer(steps, *(_planned(step) for step in steps))
            return
        with run.busy("deriving"):
            commits = [
                run.store.derive(step.table, step.definition, online=step.online, message=message, force=force)
                for step in steps
                if step.does != "nothing"
            ]
        run.answer(commits, *(map(_done, commits) if commits else [Text("nothing to do")]))


@commands.command(epilog=example("tiffin derive show", "tiffin derive show user/activity --json"))
def show(
    ctx: typer.Context, name: AnyTableArgument = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Show what derived tables are made from, and how far they are behind it."""
    with running(ctx, store, as_json) as run:
        found = run.store.derived()
        if name is not None:
            known = run.store.describe(name).table
            found = [one for one in found if one.table == known]
        if not found:
            hint = "make one: tiffin derive make TABLE --source TABLE ..."
            run.answer(found, Text(f"{name or run.store.path} is not derived" if name else "no derived tables"), hint)
        else:
            run.answer(found, _listing(found))


@commands.command(epilog=example("tiffin derive refresh", "tiffin derive refresh user/activity"))
def refresh(
    ctx: typer.Context,
    name: AnyTableArgument = None,
    *,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring derived tables up to their sources; the work follows what has changed there."""
    with running(ctx, store, as_json) as run:
        with run.busy("refreshing"):
            commits = run.store.refresh(name, message=message)
        run.answer(commits, *(map(_done, commits) if commits else [Text("nothing to refresh")]))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{words.printable(str(file))} cannot be read: {error}") from error


def _done(commit: "Commit") -> Text:
    did = "refreshed " if commit.operation == "refresh" else "derived "
    rows = words.many(commit.rows or 0, "row")
    change = f" (+{commit.rows_added:,} −{commit.rows_removed or 0:,})" if commit.operation == "refresh" else ""
    inputs = f" · from {', '.join(commit.inputs)}" if commit.inputs else ""
    return Text.assemble(
        (did, "green"), (commit.table, "bold"), f" · version {commit.version} · {rows}{change}{inputs}"
    )


def _planned(step: "Planned") -> Text:
    style = {"nothing": "dim", "make": "green"}.get(step.does, "yellow")
    return Text.assemble((f"{step.does:<9}", style), " ", (step.table, "bold"), f" from {step.definition.source}")


def _listing(found: "Sequence[Derived]") -> RenderableType:
    from tiffin.cli.views.tables import listing

    table = listing("table", "version", "from", "behind", "windows", "of", right=("version", "behind"))
    for one in found:
        behind = Text("gone", style="red") if one.behind is None else str(one.behind)
        made = f"{one.definition.source}@{one.source_version}"
        lengths = ", ".join(one.definition.windows)
        table.add_row(
            Text(one.table, style="bold"), str(one.version), made, behind, lengths, _aggregated(one.definition)
        )
    return table


def _aggregated(what: "Windowed") -> str:
    return "; ".join(f"{column}: {', '.join(names)}" for column, names in what.aggregations.items())
