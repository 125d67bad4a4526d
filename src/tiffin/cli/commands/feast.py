"""The commands about Feast: import-feast, export-feast."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.arguments.options import JsonOption, StoreOption, complete_table, example, names_of
from tiffin.cli.run import running
from tiffin.cli.views import words

if TYPE_CHECKING:
    from tiffin.feast_repository import Exported, Imported, LeftOut

commands = typer.Typer()

_PANEL = "Feast"


@commands.command(
    "import-feast",
    rich_help_panel=_PANEL,
    epilog=example("tiffin import-feast feature_repo --plan", "tiffin import-feast feature_repo --group user"),
)
def import_feast(
    ctx: typer.Context,
    repository: Annotated[Path, typer.Argument(metavar="REPO", help="The folder of feature_store.yaml.")],
    *,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="GROUP", help="The group of the tables. Default: Feast's name of the project."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Read and check all of it, and save nothing.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Save tables that are there as another version; replace services.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make tables and feature services of a Feast repository.

    Feature views become tables, with the rows of their Parquet files; feature services become feature services. The
    definitions are read without running them. What cannot be taken over is told with its file, line and reason. Nothing
    is saved before all of it has been read and checked.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.feast_repository import import_repository

        with run.busy(f"reading {repository}"):
            done = import_repository(run.store, repository, group=group, plan=plan, replace=replace)
        run.answer(done, *_imported(done))


@commands.command(
    "export-feast",
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin export-feast new_repo",
        "tiffin export-feast new_repo --table user/ratings --online-url http://127.0.0.1:8001",
    ),
)
def export_feast(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; made if it is not there.")],
    *,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="TABLE", help="Only these tables.", autocompletion=complete_table),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option("--service", metavar="NAME", help="Only these services, with the tables that they ask for."),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option("--project", metavar="NAME", help="What Feast is to call it. Default: the group, or tiffin."),
    ] = None,
    online_url: Annotated[
        str | None,
        typer.Option("--online-url", metavar="URL", help="The Tiffin server that Feast is to ask for online features."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace files of the same names.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write tables and feature services as a Feast repository.

    It holds feature_store.yaml, definitions.py, and the rows of the newest versions as Parquet: feast apply takes
    it over as it is. What Feast has no place for is told with the reason.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.feast_repository import export_repository

        with run.busy(f"writing {folder}"):
            done = export_repository(
                run.store,
                folder,
                tables=names_of(table),
                services=names_of(service),
                project=project,
                online_url=online_url,
                replace=replace,
            )
        run.answer(done, *_exported(done))


def _imported(done: "Imported") -> Iterator[RenderableType]:
    from tiffin.cli.views.tables import listing

    word, style = ("would save ", "yellow") if done.is_plan else ("saved ", "green")
    if done.tables:
        tables = listing("table", "version", "rows", "entity", "timestamp", "from", right=("version", "rows"))
        for table in done.tables:
            version = "–" if table.version is None else str(table.version)
            entity = ", ".join(table.entity)
            tables.add_row(table.table, version, words.count(table.rows), entity, table.timestamp, table.source)
        yield tables
    for service in done.services:
        yield Text.assemble((word, style), "service ", (service.name, "bold"), f": {', '.join(service.features)}")
    yield Text.assemble(
        (word, style), f"{words.many(len(done.tables), 'table')} and {words.many(len(done.services), 'service')}"
    )
    yield from _left_out(done.left_out)


def _exported(done: "Exported") -> Iterator[RenderableType]:
    from tiffin.cli.views.tables import listing

    tables = listing("table", "version", "rows", "feature view", "file", right=("version", "rows"))
    for table in done.tables:
        tables.add_row(table.table, str(table.version), words.count(table.rows), table.view, table.file)
    yield tables
    made = f"{words.many(len(done.tables), 'table')} and {words.many(len(done.services), 'service')} to "
    yield Text.assemble(("wrote ", "green"), made, (done.folder, "bold"), f", Feast project {done.project}")
    yield from _left_out(done.left_out)


def _left_out(found: "tuple[LeftOut, ...]") -> Iterator[RenderableType]:
    for each in found:
        yield Text.assemble(("left out: ", "bold yellow"), f"{each.where}: {each.what}: {each.why}")
