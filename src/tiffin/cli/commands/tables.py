"""The commands about tables as a whole: init, ls, describe, drop."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import ForceOption, JsonOption, MessageOption, ReferenceArgument, StoreOption, example
from tiffin.cli.run import running

commands = typer.Typer()


@commands.command(rich_help_panel="Tables", epilog=example("tiffin init --store feature_store"))
def init(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Make the store's folder, with a settings file that explains every setting.

    Nothing needs this: the first save makes the folder too.
    """
    with running(ctx, store, as_json) as run:
        settings = run.store.init()
        document = {"path": str(run.store.path), "settings_file": str(settings)}
        done = Text.assemble(("ready: ", "green"), (str(run.store.path), "bold"))
        run.answer(document, done, Text(f"settings are explained in {settings}", style="dim"))


@commands.command(rich_help_panel="Tables", epilog=example("tiffin ls", "tiffin ls user --json"))
def ls(
    ctx: typer.Context,
    group: Annotated[str | None, typer.Argument(metavar="GROUP", help="Only the tables of this group.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tables: version, rows, size, keys, and when they were last saved."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import tables as views

        infos = [info for info in run.store.tables() if group is None or info.table.partition("/")[0] == group]
        document = {"path": str(run.store.path), "tables": [views.summary(info) for info in infos]}
        if infos:
            run.answer(document, views.table_list(infos))
            for info in infos:
                if info.problem:
                    run.warn(f"{info.problem}: see tiffin doctor {info.table}")
        else:
            where = f"group {group} of {run.store.path}" if group else str(run.store.path)
            hint = "save one: tiffin save group/name FILE"
            run.answer(document, Text(f"no tables in {where}"), Text(hint, style="dim"))


@commands.command(rich_help_panel="Tables", epilog=example("tiffin describe user/ratings", "tiffin describe ratings@0"))
def describe(
    ctx: typer.Context,
    reference: ReferenceArgument,
    *,
    edit: Annotated[bool, typer.Option("--edit", help="Change what it declares, in $EDITOR.")] = False,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a table: its columns, keys, size, versions, and what is said of them.

    With --edit what it declares is opened in your editor; what that changes is shown, and done if you agree. Without a
    terminal, use `tiffin declare`.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import tables as views

        info = run.store.describe(reference)
        if edit:
            from tiffin.cli.arguments import editing

            editing.edit(run, info.table, message)
            return
        run.answer(info, *views.description(info))


@commands.command(rich_help_panel="Tables", epilog=example("tiffin drop user/ratings --yes"))
def drop(
    ctx: typer.Context,
    reference: ReferenceArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a table with all its versions, for good.

    Asks first; without a terminal to ask on, --yes is needed.
    """
    with running(ctx, store, as_json) as run:
        info = run.store.describe(reference)
        if not yes:
            _ask(info.table, info.version - info.oldest_version + 1)
        run.store.drop(reference, force=force)
        run.answer({"dropped": info.table}, Text.assemble(("dropped ", "green"), (info.table, "bold")))


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask(table: str, versions: int) -> None:
    if not _can_ask():
        raise typer.BadParameter("nobody is there to be asked: say --yes to drop it", param_hint="--yes")
    what = f"its {versions} versions" if versions > 1 else "its only version"
    if not typer.confirm(f"Drop {table} with {what}, for good?", err=True):
        typer.echo("nothing was dropped", err=True)
        raise typer.Exit(1)
