"""The commands about versions: history, diff, profile, restore."""

from typing import Annotated

import typer

from tiffin.cli.options import ForceOption, JsonOption, MessageOption, ReferenceArgument, StoreOption, example
from tiffin.cli.rows import saved, warn
from tiffin.cli.run import running

commands = typer.Typer()


@commands.command(rich_help_panel="Versions", epilog=example("tiffin history user/ratings --limit 5"))
def history(
    ctx: typer.Context,
    reference: ReferenceArgument,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="At most this many.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of a table that can be read, newest first: who saved what, when and why."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli import views

        commits = run.store.history(reference, limit=limit)
        run.answer(commits, *views.versions(commits))


@commands.command(
    rich_help_panel="Versions", epilog=example("tiffin diff user/ratings", "tiffin diff user/ratings 0 1 --json")
)
def diff(
    ctx: typer.Context,
    reference: ReferenceArgument,
    old: Annotated[
        int | None, typer.Argument(metavar="OLD", help="Version to compare with; the last but one if left out.")
    ] = None,
    new: Annotated[
        int | None, typer.Argument(metavar="NEW", help="Version to compare; the newest if left out.")
    ] = None,
    *,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what changed between two versions of a table: columns, rows and values."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli import views

        info = run.store.describe(reference)
        before = max(info.version - 1, info.oldest_version) if old is None else old
        with run.busy(f"comparing versions of {info.table}"):
            found = run.store.diff(reference, before, new)
        run.answer(found, *views.difference(found))


@commands.command(
    rich_help_panel="Versions", epilog=example("tiffin profile user/ratings", "tiffin profile user/ratings@0 --json")
)
def profile(
    ctx: typer.Context, reference: ReferenceArgument, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Tell what the values of a version look like: nulls, distinct values, extremes, quantiles, frequent values."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli import profile_views

        with run.busy(f"looking at {reference}"):
            found = run.store.profile(reference)
        run.answer(found, *profile_views.profile(found))


@commands.command(rich_help_panel="Versions", epilog=example("tiffin restore user/ratings 0 -m 'the import was wrong'"))
def restore(
    ctx: typer.Context,
    reference: ReferenceArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version to go back to.")],
    *,
    message: MessageOption = "",
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an older version the newest again; this is itself a version, nothing is lost."""
    with running(ctx, store, as_json) as run:
        commit = run.store.restore(reference, version, message=message, force=force)
        run.answer(commit, saved(commit))
        warn(run, commit)
