"""The commands of the catalogue: declare, search, definitions export, apply."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import (
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    complete_table,
    example,
)
from tiffin.cli.commands.rows import saved, warn
from tiffin.cli.files.formats import STREAM
from tiffin.cli.run import Run, running, standard_output
from tiffin.errors import StorageError

commands = typer.Typer()
definitions = typer.Typer(
    name="definitions",
    help="What tables and feature services declare, as TOML for git.",
    no_args_is_help=True,
    rich_help_panel="Catalogue",
)
_PANEL = "Catalogue"

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin declare user/ratings --set owner=search --set labels.team=ranking",
        "tiffin declare user/ratings --set 'columns.mean.unit=stars' --set ttl=30d",
        "tiffin declare user/ratings --unset ttl --unset labels.team",
    ),
)
def declare(
    ctx: typer.Context,
    reference: ReferenceArgument,
    *,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="description, owner, labels.LABEL, links (A,B), timestamp, created, ttl, online, rule; "
            "columns.COLUMN. and description, unit, owner, labels.LABEL, links or default.",
        ),
    ] = None,
    unsets: Annotated[list[str] | None, typer.Option("--unset", metavar="FIELD", help="Take a field away.")] = None,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a table declares: a version of its own, with the same rows.

    What is not named stays as it is. `tiffin describe TABLE --edit` does the same in your editor.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.arguments import fields

        if not (sets or unsets):
            raise typer.BadParameter("say what is to change: --set owner=search", param_hint="--set")
        info = run.store.describe(reference)
        said = fields.said(sets or (), unsets or (), lambda: run.store.read(info.table, limit=0).schema)
        commit = run.store.declare(info.table, **said, message=message)
        if commit.version == info.version:
            run.answer(commit, Text(f"{info.table} declares that already"))
        else:
            run.answer(commit, saved(commit))
        warn(run, commit)


@commands.command(
    rich_help_panel=_PANEL, epilog=example("tiffin search 'mean rating'", "tiffin search stars --limit 5 --json")
)
def search(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Words, all of which must be found.")],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find tables, columns, services and training sets by name, description, owner, label, unit and link."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import catalogue as catalogue_views

        found = run.store.search(text, limit=limit)
        run.answer(
            found, catalogue_views.matches(found) if found else Text(f"nothing is called or said to be {text!r}")
        )


@definitions.command(
    epilog=example("tiffin definitions export -o definitions.toml", "tiffin definitions export user/ratings")
)
def export(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE...",
            help="Only these tables; all tables and services if left out.",
            autocompletion=complete_table,
        ),
    ] = None,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = STREAM,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what tables and feature services declare as TOML, to be kept in git and applied."""
    with running(ctx, store, as_json) as run:
        from tiffin.definitions import write

        found = run.store.definitions(references or None)
        for name in found.unreadable:
            kind = "table" if "/" in name else "service"
            run.warn(f"{kind} {name} cannot be read, and is left out: see tiffin doctor")
        if run.as_json:
            run.answer(found)
            return
        deliver_text(run, output, write(found))


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example("tiffin apply definitions.toml --plan", "tiffin apply definitions.toml --yes -m 'owners reviewed'"),
)
def apply(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="TOML, as `tiffin definitions export` writes it; - reads it.")
    ],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would change.")] = False,
    yes: YesOption = False,
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="Pass over tables that do not exist yet.")] = False,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make tables and feature services declare what a file says, and nothing else.

    Shows what changes and asks first; without a terminal to ask on, --yes is needed. Applied again, nothing changes.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import catalogue as catalogue_views
        from tiffin.definitions import Definitions, read

        wanted = read(_text_of(file))
        planned = run.store.apply(wanted, plan=True, missing_ok=missing_ok)
        if plan or not planned.changes:
            run.answer(planned, *catalogue_views.changes(planned))
            return
        there = [name for name in wanted.tables if name not in planned.missing]
        seen = run.store.definitions(there) if there else Definitions()
        if not yes:
            run.err.print(*catalogue_views.changes(planned), sep="\n")
            ask(run, "Apply this?", "--yes to apply it, or --plan to see it")
        done = run.store.apply(wanted, missing_ok=missing_ok, expected=seen, message=message)
        run.answer(done, *catalogue_views.changes(done))
        for warning in done.warnings:
            run.warn(warning)


def ask(run: Run, question: str, otherwise: str) -> None:
    """Ask whether to go on; end the program if the answer is no, or nobody is there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter(f"nobody is there to be asked: say {otherwise}", param_hint="--yes")
    if not typer.confirm(question, err=True):
        run.err.print("nothing was changed")
        raise typer.Exit(1)


def deliver_text(run: Run, target: str, text: str) -> None:
    """Write a text to a file, or to standard output."""
    if target == STREAM:
        with standard_output() as stream:
            stream.write(text.encode())
            stream.flush()
        return
    from tiffin.files import LOCAL, write_durably

    write_durably(LOCAL, Path(target).absolute(), text.encode())
    run.err.print(Text.assemble(("wrote ", "green"), target))


def _text_of(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == STREAM else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror or error}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{file} is no UTF-8", hint="TOML is written in UTF-8") from error


commands.add_typer(definitions)
