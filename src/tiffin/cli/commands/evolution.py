"""The commands by which tables evolve: plan, rename, drop-columns, deprecate."""

from datetime import date
from functools import wraps
from typing import Annotated, Any

import typer

from tiffin.cli.arguments.options import (
    ForceOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    example,
    names_of,
    value_of,
)
from tiffin.cli.commands.rows import save, saved, warn
from tiffin.cli.run import running
from tiffin.errors import InvalidInputError

commands = typer.Typer()


@commands.command(
    rich_help_panel="Versions",
    epilog=example("tiffin plan user/ratings ratings.csv", "tiffin plan user/ratings ratings.csv --evolve --json"),
)
@wraps(save, assigned=("__module__", "__annotations__"))
def plan(**given: Any) -> None:
    """Tell what a save with the same options would do, and change nothing.

    Exit status 0 if it would save, 1 if it would be refused.
    """
    save(**given)


@commands.command(rich_help_panel="Versions", epilog=example("tiffin rename user/ratings mean mean_rating"))
def rename(
    ctx: typer.Context,
    reference: ReferenceArgument,
    old: Annotated[str, typer.Argument(metavar="OLD", help="What the feature is called.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    *,
    message: MessageOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a feature otherwise; its old name goes on to mean it, for services, reads, training and saves."""
    with running(ctx, store, as_json) as run:
        with run.busy(f"renaming {old}"):
            commit = run.store.rename(reference, old, new, message=message)
        run.answer(commit, saved(commit))
        warn(run, commit)


@commands.command(rich_help_panel="Versions", epilog=example("tiffin drop-columns user/ratings mean -m 'unused'"))
def drop_columns(
    ctx: typer.Context,
    reference: ReferenceArgument,
    columns: Annotated[list[str], typer.Argument(metavar="COLUMN…", help="Features that are to go.")],
    *,
    message: MessageOption = "",
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take features away; the versions before keep them."""
    with running(ctx, store, as_json) as run:
        gone = names_of(columns) or []
        with run.busy(f"dropping {', '.join(gone)}"):
            commit = run.store.drop_columns(reference, gone, message=message, force=force)
        run.answer(commit, saved(commit))
        warn(run, commit)


@commands.command(
    rich_help_panel="Versions",
    epilog=example(
        "tiffin deprecate user/ratings mean 'counts every rating once' --instead median --removal 2030-01-31",
        "tiffin deprecate user/ratings mean --undo",
    ),
)
def deprecate(
    ctx: typer.Context,
    reference: ReferenceArgument,
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="Which.")],
    why: Annotated[str | None, typer.Argument(metavar="WHY", help="Told to those who ask for it.")] = None,
    *,
    instead: Annotated[
        str | None, typer.Option("--instead", metavar="NAME", help="What to use: a feature, or a reference.")
    ] = None,
    removal: Annotated[
        str | None, typer.Option("--removal", metavar="DATE", help="When it is to be removed: 2030-01-31.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the mark away.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark a feature as about to go: whoever asks for it is warned, and nothing fails."""
    if undo == (why is not None):
        raise typer.BadParameter("say why, or --undo", param_hint="WHY")
    with running(ctx, store, as_json) as run:
        day = value_of("--removal", _date, removal)
        commit = run.store.deprecate(reference, feature, why, instead=instead, removal=day)
        run.answer(commit, saved(commit))
        warn(run, commit)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a date", hint="write it like 2030-01-31") from None
