"""The commands about feature services: create, ls, describe, drop."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.arguments.options import JsonOption, StoreOption, complete_table, example
from tiffin.cli.run import running
from tiffin.cli.views import words

if TYPE_CHECKING:
    from tiffin.doctor import Finding
    from tiffin.registry import Service

commands = typer.Typer(
    name="service",
    help="Feature services: named lists of references, for one model each.",
    no_args_is_help=True,
    rich_help_panel="Training",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the service is called.")]


@commands.command(
    epilog=example(
        "tiffin service create ranker user/ratings:mean --description 'orders the front page'",
        "tiffin service create ranker user/ratings@0:mean --replace",
    )
)
def create(
    ctx: typer.Context,
    name: NameArgument,
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="REFERENCE...",
            help="group/name:feature, group/name for all of them, pinned as group/name@3:feature.",
            autocompletion=complete_table,
        ),
    ],
    *,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What the service is for.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a service of the same name.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a list of references under a name.

    The name can be given wherever features are asked for. As long as a service uses a table, a column or a pinned
    version, none of them is taken away by accident.
    """
    with running(ctx, store, as_json) as run:
        service = run.store.create_service(name, references, description=description, replace=replace)
        asked = words.many(len(service.features), "reference")
        run.answer(service, Text.assemble(("saved ", "green"), "service ", (name, "bold"), f" · {asked}"))


@commands.command(epilog=example("tiffin service ls", "tiffin service ls --json"))
def ls(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the feature services, and tell of those that ask for what is not there."""
    with running(ctx, store, as_json) as run:
        services = run.store.services()
        if services:
            run.answer(services, _listing(services))
        else:
            hint = "create one: tiffin service create NAME REFERENCE..."
            run.answer(services, Text(f"no services in {run.store.path}"), Text(hint, style="dim"))
        for finding in run.store.examine_services():
            run.warn(finding.what)


@commands.command(epilog=example("tiffin service describe ranker"))
def describe(ctx: typer.Context, name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show a feature service: its references, and which of them lead nowhere."""
    with running(ctx, store, as_json) as run:
        import msgspec

        service = run.store.service(name)
        findings = [finding for finding in run.store.examine_services() if finding.service == name]
        run.answer({**msgspec.structs.asdict(service), "findings": findings}, *_description(service, findings))


@commands.command(epilog=example("tiffin service drop ranker"))
def drop(ctx: typer.Context, name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Remove a feature service; the tables stay as they are."""
    with running(ctx, store, as_json) as run:
        run.store.drop_service(name)
        run.answer({"dropped": name}, Text.assemble(("dropped ", "green"), "service ", (name, "bold")))


def _listing(services: "list[Service]") -> RenderableType:
    from tiffin.cli.views.tables import listing

    table = listing("service", "references", "created", "description")
    for service in services:
        table.add_row(
            Text(service.name, style="bold"),
            "\n".join(service.features),
            f"{words.clock(service.created)} UTC",
            service.description,
        )
    return table


def _description(service: "Service", findings: "list[Finding]") -> Iterator[RenderableType]:
    yield Text.assemble((service.name, "bold"), f" created {words.clock(service.created)} UTC")
    if service.description:
        yield Text(service.description, style="italic")
    for reference in service.features:
        yield Text(f"  {reference}")
    for finding in findings:
        yield _warning(finding)


def _warning(finding: "Finding") -> Text:
    return Text.assemble(("warning: ", "bold yellow"), finding.what)
