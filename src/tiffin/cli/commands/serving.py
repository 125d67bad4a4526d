"""The commands that keep the online index: push, materialize, verify."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from tiffin.cli.arguments.asked import ServiceOption, asked_for
from tiffin.cli.arguments.options import (
    AnyTableArgument,
    FormatOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    complete_table,
    example,
    value_of,
)
from tiffin.cli.commands.rows import saved, schema_of, warn
from tiffin.cli.files.formats import STREAM, format_of
from tiffin.cli.run import running

if TYPE_CHECKING:
    from tiffin.client import FeatureStoreClient

commands = typer.Typer()

_PANEL = "Online"


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin push user/ratings late.jsonl.gz",
        "cat late.jsonl.gz | tiffin push user/ratings -",
    ),
)
def push(
    ctx: typer.Context,
    reference: ReferenceArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, Parquet, JSON or JSON lines, also .gz; - is standard input.")
    ],
    *,
    message: MessageOption = "",
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append rows to a table and put them into the online index in one step.

    The values take the types that the table has for them. An older row never takes the place of a newer one online.
    """
    with running(ctx, store, as_json) as run:
        if form is None and file != STREAM:
            form = value_of("FILE", format_of, file)
        with run.busy(f"pushing {file} to {reference}"):
            from tiffin.cli.files import intake

            rows = intake.read(file, form, known=schema_of(run, reference))
            commit = run.store.push(reference, rows, message=message)
        run.answer(commit, saved(commit))
        warn(run, commit)


@commands.command(rich_help_panel=_PANEL, epilog=example("tiffin materialize", "tiffin materialize user/ratings"))
def materialize(
    ctx: typer.Context,
    reference: AnyTableArgument = None,
    *,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Fill it anew, though it may have caught up already.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Catch the online index up with a table, which is put online if it is not, or with all that are online.

    Only what has changed since the last time is written. What was interrupted goes on where it stopped.
    """
    with running(ctx, store, as_json) as run:
        with run.advancing("filling") as advance:
            done = run.store.materialize(
                reference,
                from_scratch=from_scratch,
                progress=lambda table, done, total: advance(done, total, of=table),
            )
        from tiffin.cli.views import online as online_views

        run.answer(done, *online_views.materialized(done))


def _client(url: str | None) -> "AbstractContextManager[FeatureStoreClient | None]":
    if url is None:
        return nullcontext()
    from tiffin.client import connect

    return connect(url)


@commands.command(
    rich_help_panel=_PANEL,
    epilog=example(
        "tiffin verify",
        "tiffin verify user/ratings --sample 100 --seed 7",
    ),
)
def verify(
    ctx: typer.Context,
    features: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE",
            help="group/name, or the name of a feature service; all that is online if left out.",
            autocompletion=complete_table,
        ),
    ] = None,
    *,
    service: ServiceOption = None,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=1, help="How many entities of each table to compare.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Chooses the entities.")] = 0,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", metavar="URL", help="Compare what this server answers as well; $TIFFIN_API_KEY is sent."
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the online index with what the tables say as of now, for a sample of entities.

    Exit status 1 if they differ.
    """
    with running(ctx, store, as_json) as run:
        with run.busy("comparing"):
            asked = None
            if features is not None or service is not None:
                asked = asked_for(run, [features] if features else None, service, "TABLE")
            with _client(server) as client:
                found = run.store.verify(asked, sample=sample, seed=seed, server=client)
        from tiffin.cli.views import online as online_views

        run.answer(online_views.verification(found), *online_views.verified(found))
    if not found.ok:
        raise typer.Exit(1)
