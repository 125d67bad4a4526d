"""The commands about names of versions: tag, tags, untag."""

from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import ForceOption, JsonOption, ReferenceArgument, StoreOption, example, pin_of
from tiffin.cli.run import running

commands = typer.Typer()

TagArgument = Annotated[str, typer.Argument(metavar="TAG", help="A word: letters, digits, _ and -.")]


@commands.command(
    rich_help_panel="Versions",
    epilog=example("tiffin tag user/ratings 0 prod -m 'passed the review'", "tiffin tag user/ratings 0 live --move"),
)
def tag(
    ctx: typer.Context,
    reference: ReferenceArgument,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, or another tag.")],
    name: TagArgument,
    *,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for people.")] = "",
    move: Annotated[bool, typer.Option("--move", help="Take the tag from the version that has it.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a version a name, which stands wherever its number may stand, and keeps it from vacuums.

    As in tiffin read user/ratings@prod.
    """
    with running(ctx, store, as_json) as run:
        made = run.store.tag(reference, pin_of(version), name, message=message, move=move)
        run.answer(made, Text.assemble(("tagged ", "green"), (f"{made.table}@{name}", "bold"), f" → {made.version}"))


@commands.command(rich_help_panel="Versions", epilog=example("tiffin tags user/ratings"))
def tags(
    ctx: typer.Context, reference: ReferenceArgument, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """List the tags of a table: which version has which, since when and why."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import versions as version_views

        found = run.store.tags(reference)
        run.answer(found, version_views.tags(found) if found else Text("no tags", style="dim"))


@commands.command(rich_help_panel="Versions", epilog=example("tiffin untag user/ratings prod"))
def untag(
    ctx: typer.Context,
    reference: ReferenceArgument,
    name: TagArgument,
    *,
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a tag away; the version that had it stays until a vacuum takes it."""
    with running(ctx, store, as_json) as run:
        run.store.untag(reference, name, force=force)
        run.answer({"untagged": name}, Text.assemble(("took away ", "green"), "tag ", (name, "bold")))
