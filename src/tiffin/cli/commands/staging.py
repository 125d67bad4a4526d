"""The commands about versions that are tried: stage, stages, promote, discard."""

from typing import Annotated, Literal

import typer
from rich.text import Text

from tiffin.cli.arguments.options import (
    ForceOption,
    FormatOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    example,
    value_of,
)
from tiffin.cli.commands.rows import saved, schema_of, warn
from tiffin.cli.files.formats import STREAM, format_of
from tiffin.cli.run import running
from tiffin.cli.views import words

commands = typer.Typer()

StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help="A word: letters, digits, _ and -.")]


@commands.command(
    rich_help_panel="Versions",
    epilog=example(
        "tiffin stage user/ratings late.jsonl.gz cleaned --mode append",
        "tiffin stage user/ratings ratings.csv cleaned -m 'without the bots'",
    ),
)
def stage(
    ctx: typer.Context,
    reference: ReferenceArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, Parquet, JSON or JSON lines, also .gz; - is standard input.")
    ],
    name: StageArgument,
    *,
    mode: Annotated[
        Literal["overwrite", "append", "upsert"], typer.Option("--mode", help="As for tiffin save.")
    ] = "overwrite",
    evolve: Annotated[bool, typer.Option("--evolve", help="Allow a change of schema that readers may notice.")] = False,
    compact_dtypes: Annotated[
        bool, typer.Option("--compact-dtypes", help="Narrow 64-bit floats to 32 bits: smaller, and not exact.")
    ] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="TEXT", help="What the rows were made from. Default: the file's name."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a stage of the same name.")] = False,
    message: MessageOption = "",
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a save: what would be the next version of a table, seen only by those who ask for it by name.

    As in tiffin read user/ratings@cleaned, tiffin profile user/ratings@cleaned, tiffin diff user/ratings 0 cleaned.
    """
    with running(ctx, store, as_json) as run:
        if form is None and file != STREAM:
            form = value_of("FILE", format_of, file)
        with run.busy(f"staging {file} as {reference}@{name}"):
            from tiffin.cli.files import intake

            known = {} if evolve and mode == "overwrite" else schema_of(run, reference)
            made = run.store.stage(
                reference,
                intake.read(file, form, known=known),
                name,
                mode=mode,
                evolve=evolve,
                dtypes="compact" if compact_dtypes else "exact",
                message=message,
                inputs=inputs or ([] if file == STREAM else [words.printable(file)]),
                replace=replace,
            )
        line = Text.assemble(("staged ", "green"), (made.reference, "bold"), f" on version {made.base}")
        run.answer(made, line.append(f" · {made.operation} · {words.count(made.rows)} rows"))
        for warning in made.warnings:
            run.warn(warning)


@commands.command(rich_help_panel="Versions", epilog=example("tiffin stages user/ratings"))
def stages(
    ctx: typer.Context, reference: ReferenceArgument, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """List the stages of a table: what each would change, and how far the table has moved on since."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import versions as version_views

        found = run.store.stages(reference)
        run.answer(found, version_views.stages(found) if found else Text("no stages", style="dim"))


@commands.command(rich_help_panel="Versions", epilog=example("tiffin promote user/ratings try1 -m 'looks right'"))
def promote(
    ctx: typer.Context,
    reference: ReferenceArgument,
    name: StageArgument,
    *,
    message: MessageOption = "",
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace what was saved since too, and take away what a feature service uses."),
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a stage the next version of its table; nothing is copied."""
    with running(ctx, store, as_json) as run:
        commit = run.store.promote(reference, name, message=message, force=force)
        run.answer(commit, saved(commit))
        warn(run, commit)


@commands.command(rich_help_panel="Versions", epilog=example("tiffin discard user/ratings try1"))
def discard(
    ctx: typer.Context,
    reference: ReferenceArgument,
    name: StageArgument,
    *,
    force: ForceOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a stage with the files that only it has; the table stays as it is."""
    with running(ctx, store, as_json) as run:
        run.store.discard(reference, name, force=force)
        run.answer({"discarded": name}, Text.assemble(("discarded ", "green"), "stage ", (name, "bold")))
