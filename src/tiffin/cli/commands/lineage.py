"""The command about lineage."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tiffin.cli.arguments.options import JsonOption, ReferenceArgument, StoreOption, example
from tiffin.cli.commands.catalogue import deliver_text
from tiffin.cli.files.formats import STREAM
from tiffin.cli.run import Run, running

if TYPE_CHECKING:
    from tiffin.lineage import Lineage

commands = typer.Typer()


class Towards(StrEnum):
    """Which way to follow a lineage."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"


@commands.command(
    rich_help_panel="Catalogue",
    epilog=example(
        "tiffin lineage user/ratings",
        "tiffin lineage user/ratings@0 --direction up --depth 1 --json",
        "tiffin lineage user/ratings --mermaid",
        "tiffin lineage user/ratings --svg lineage.svg --openlineage -",
    ),
)
def lineage(
    ctx: typer.Context,
    reference: ReferenceArgument,
    *,
    direction: Annotated[
        Towards, typer.Option("--direction", help="What it was made from (up), what is made from it (down), or both.")
    ] = Towards.BOTH,
    depth: Annotated[
        int | None, typer.Option("--depth", min=0, metavar="N", help="Follow at most so many steps.")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Answer with a flowchart in Mermaid's language.")] = False,
    svg: Annotated[str | None, typer.Option("--svg", metavar="FILE", help="Draw a picture; - writes it here.")] = None,
    openlineage: Annotated[
        str | None,
        typer.Option("--openlineage", metavar="FILE", help="Write OpenLineage events, one a line; - writes them here."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a table was made from, and what is made from it, as far as the inputs of saves say so.

    A pinned version (group/name@3) tells what is made from that very version, and not from any.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import lineage as lineage_views
        from tiffin.lineage import to_mermaid, to_svg

        found = run.store.lineage(reference, depth=depth, direction=direction.value)
        for table in found.unread:
            run.warn(f"table {table} cannot be read: what it was made from is left out")
        if svg is not None:
            deliver_text(run, svg, to_svg(found))
        if openlineage is not None:
            deliver_text(run, openlineage, _events(run, found, depth))
        if mermaid:
            deliver_text(run, STREAM, to_mermaid(found))
        elif STREAM not in {svg, openlineage}:
            run.answer(found, *lineage_views.lineage(found))


def _events(run: Run, found: "Lineage", depth: int | None) -> str:
    import msgspec

    events = run.store.openlineage(found.table, version=found.version, depth=depth)
    return "".join(msgspec.json.encode(event).decode() + "\n" for event in events)
