"""The commands about constraints: constrain, check, quarantine."""

from typing import Annotated, Any

import typer
from rich.text import Text

from tiffin.cli.arguments.options import (
    FormatOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    TableArgument,
    example,
)
from tiffin.cli.commands.rows import saved, warn
from tiffin.cli.files.delivery import OutputOption, deliver, target_of
from tiffin.cli.run import Run, running
from tiffin.cli.views import words

commands = typer.Typer()


@commands.command(
    rich_help_panel="Constraints",
    epilog=example(
        "tiffin constrain user/ratings 'mean between 0 and 10' 'user_id is not null' unique",
        "tiffin constrain user/ratings 'mean > 0 OR user_id < 100' --name known --warn",
        "tiffin constrain user/ratings --drop mean_range",
    ),
)
def constrain(
    ctx: typer.Context,
    table: TableArgument,
    constraints: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONSTRAINT", help="What rows must satisfy, in words or SQL: docs/constraints.md."),
    ] = None,
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What it is called, if one constraint is given.")
    ] = None,
    only_warn: Annotated[
        bool, typer.Option("--warn", help="A save that breaks them is not refused, but told so.")
    ] = False,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="NAME", help="Take this constraint away; may be repeated.")
    ] = None,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare what the rows of a table must satisfy; without arguments, list what it declares.

    Rows that are there are checked first. Every save is checked from then on, by whichever writer of Delta tables where
    Delta can say it.
    """
    if name and len(constraints or []) != 1:
        raise typer.BadParameter("give it with one constraint", param_hint="--name")
    with running(ctx, store, as_json) as run:
        commits = []
        if drop:
            commits.append(run.store.unconstrain(table, *drop, message=message))
        if constraints:
            with run.busy(f"checking {table}"):
                declared = [_declared(text, name, only_warn=only_warn) for text in constraints]
                commits.append(run.store.constrain(table, *declared, message=message))
        if not commits:
            from tiffin.cli.views import constraints as constraint_views

            found = run.store.describe(table).constraints
            run.answer(found, constraint_views.constraints(found))
            return
        run.answer(commits[-1], *map(saved, commits))
        for commit in commits:
            warn(run, commit)


def _declared(text: str, name: str | None, *, only_warn: bool) -> Any:
    import msgspec

    from tiffin.schema.constraints.texts import parse

    return msgspec.structs.replace(parse(text), name=name or "", severity="warn" if only_warn else "error")


@commands.command(
    rich_help_panel="Constraints", epilog=example("tiffin check user/ratings", "tiffin check user/ratings@0 --json")
)
def check(
    ctx: typer.Context, reference: ReferenceArgument, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Check the rows of a version by the constraints that it declares.

    Exit status 1 if one is broken that does more than warn.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import constraints as constraint_views

        with run.busy(f"checking {reference}"):
            report = run.store.check(reference)
        run.answer(report, *constraint_views.report(report))
    if not report.ok:
        raise typer.Exit(1)


@commands.command(
    rich_help_panel="Constraints",
    epilog=example("tiffin quarantine user/ratings", "tiffin quarantine user/ratings --clear"),
)
def quarantine(
    ctx: typer.Context,
    table: TableArgument,
    *,
    output: OutputOption = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove them, for good.")] = False,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the rows that saves kept apart (tiffin save --on-violation quarantine), each with what it broke."""
    with running(ctx, store, as_json) as run:
        if clear:
            _clear(run, table)
            return
        deliver(run, run.store.quarantine(table), target_of(run, output, form), None)


def _clear(run: Run, table: str) -> None:
    rows = run.store.clear_quarantine(table)
    run.answer({"rows_removed": rows}, Text.assemble(("removed ", "green"), words.many(rows, "row")))
