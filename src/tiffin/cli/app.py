"""The program `tiffin`: its global options and its commands."""

from pathlib import Path
from typing import Annotated

import typer

from tiffin.cli.commands import (
    bench,
    catalogue,
    constraining,
    derive,
    evolution,
    feast,
    keys,
    lineage,
    movies,
    on_demand,
    online,
    profiles,
    rows,
    serve,
    services,
    serving,
    staging,
    tables,
    tagging,
    training,
    training_sets,
    upkeep,
    versions,
)
from tiffin.cli.run import Before
from tiffin.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _unwrapped(text: str) -> str:
    """Join the lines of each paragraph: the terminal breaks them where it must."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


for part in (
    tables,
    rows,
    versions,
    tagging,
    staging,
    evolution,
    constraining,
    profiles,
    catalogue,
    lineage,
    derive,
    on_demand,
    training,
    training_sets,
    services,
    serving,
    online,
    serve,
    keys,
    feast,
    upkeep,
    bench,
    movies,
):
    for command in part.commands.registered_commands:
        command.help = _unwrapped((command.callback and command.callback.__doc__) or "")
    app.add_typer(part.commands, rich_help_panel=part.commands.rich_help_panel)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tiffin {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit status: 0 done, 1 it could not be done (the reason is on standard error), 2 wrong usage. "
    "TIFFIN_DEBUG=1 shows where an error came from."
)
def tiffin(
    ctx: typer.Context,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="FOLDER", help="The store's folder. Default: $TIFFIN_STORE, or feature_store."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A feature store in a folder: save frames as versioned tables, read them at any version."""  # noqa: D401 - shown as the program's title
    ctx.obj = Before(store, as_json)
