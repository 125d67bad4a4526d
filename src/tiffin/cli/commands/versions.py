"""The commands about versions: history, diff, restore."""

from typing import Annotated

import typer

from tiffin.cli.arguments.options import (
    ForceOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    example,
    pin_of,
)
from tiffin.cli.commands.rows import saved, warn
from tiffin.cli.run import Run, running
from tiffin.errors import CorruptData

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
        from tiffin.cli.views import tables as views

        commits = run.store.history(reference, limit=limit)
        run.answer(commits, *views.versions(commits, _tags(run, reference)))


def _tags(run: Run, reference: str) -> dict[int, list[str]]:
    """Find which versions have which tags; that they cannot be read must not hide the history."""
    found: dict[int, list[str]] = {}
    try:
        for tag in run.store.tags(reference):
            found.setdefault(tag.version, []).append(tag.name)
    except CorruptData as error:
        run.warn(error.message)
    return found


@commands.command(
    rich_help_panel="Versions", epilog=example("tiffin diff user/ratings", "tiffin diff user/ratings prod 1 --json")
)
def diff(
    ctx: typer.Context,
    reference: ReferenceArgument,
    old: Annotated[
        str | None,
        typer.Argument(metavar="OLD", help="Version, tag or stage to compare with; the last but one if left out."),
    ] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", help="Version, tag or stage to compare; the newest if left out.")
    ] = None,
    *,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what changed between two versions of a table: columns, rows and values."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import versions as version_views

        info = run.store.describe(reference)
        before = max(info.version - 1, info.oldest_version) if old is None else pin_of(old)
        with run.busy(f"comparing versions of {info.table}"):
            found = run.store.diff(reference, before, None if new is None else pin_of(new))
        run.answer(found, *version_views.difference(found))


@commands.command(rich_help_panel="Versions", epilog=example("tiffin restore user/ratings 0 -m 'the import was wrong'"))
def restore(
    ctx: typer.Context,
    reference: ReferenceArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to go back to, or a tag of it.")],
    *,
    message: MessageOption = "",
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an older version the newest again; this is itself a version, nothing is lost."""
    with running(ctx, store, as_json) as run:
        commit = run.store.restore(reference, pin_of(version), message=message, force=force)
        run.answer(commit, saved(commit))
        warn(run, commit)
