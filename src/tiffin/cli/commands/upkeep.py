"""The commands that keep a store in order: vacuum, compact, backup, doctor."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import AnyTableArgument, JsonOption, StoreOption, example, value_of
from tiffin.cli.run import running
from tiffin.schema.durations import parse_duration

commands = typer.Typer()


@commands.command(
    rich_help_panel="Upkeep",
    epilog=example("tiffin vacuum --keep-versions 5 --dry-run", "tiffin vacuum user/ratings --older-than 30d"),
)
def vacuum(
    ctx: typer.Context,
    reference: AnyTableArgument = None,
    *,
    keep_versions: Annotated[
        int | None, typer.Option("--keep-versions", metavar="N", help="Keep this many of the newest versions.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="DURATION", help="Remove only what was replaced longer ago, as in 30d."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions, and files that belong to no version.

    With neither --keep-versions nor --older-than every version stays. The newest one always stays, and so do those that
    someone is reading.
    """
    with running(ctx, store, as_json) as run:
        age = value_of("--older-than", parse_duration, older_than)
        with run.busy("vacuuming"):
            done = run.store.vacuum(reference, keep_versions=keep_versions, older_than=age, dry_run=dry_run)
        from tiffin.cli.views import tables as views

        run.answer(done, *views.vacuumed(done, dry_run=dry_run))


@commands.command(rich_help_panel="Upkeep", epilog=example("tiffin compact", "tiffin compact user/ratings"))
def compact(
    ctx: typer.Context, reference: AnyTableArgument = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Merge the small files that appends leave behind; rows and their order stay the same."""
    with running(ctx, store, as_json) as run:
        with run.busy("merging files"):
            commits = run.store.compact(reference)
        lines = [
            Text.assemble(("merged ", "green"), (commit.table, "bold"), f" · version {commit.version}")
            for commit in commits
        ]
        run.answer(commits, *(lines or [Text("nothing to merge")]))


@commands.command(
    rich_help_panel="Upkeep",
    epilog=example("tiffin backup ../backup", "tiffin backup ../backup --no-check --json"),
)
def backup(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder, or an earlier backup.")],
    *,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare what is in the backup already with its checksums.")
    ] = True,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the store, while it is used, into a folder; bring an earlier backup up to date.

    The backup is a store like any other. If it is interrupted, do it again. What the store has no more goes from the
    backup too.
    """
    with running(ctx, store, as_json) as run:
        with run.advancing("copying") as advance:
            made = run.store.backup(
                folder, check=check, progress=lambda table, done, total: advance(done, total, of=table)
            )
        from tiffin.cli.views import tables as views

        run.answer(made, views.backed_up(made))


@commands.command(rich_help_panel="Upkeep", epilog=example("tiffin doctor", "tiffin doctor user/ratings --json"))
def doctor(
    ctx: typer.Context, reference: AnyTableArgument = None, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Check that every version can be read and every file is what was written; tell what Tiffin runs on.

    Exit status 1 if something is damaged.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import examination

        found = examination.examine(run, reference)
        run.answer(found, *examination.views(found))
    if not found.healthy:
        raise typer.Exit(1)
