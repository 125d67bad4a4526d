"""The commands that move rows: save and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from tiffin.cli.arguments.assignments import typed
from tiffin.cli.arguments.conditions import Condition, comparison, parse_condition
from tiffin.cli.arguments.options import (
    ForceOption,
    FormatOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    TableArgument,
    example,
    moment_of,
    names_of,
    pairs_of,
    pin_of,
    value_of,
)
from tiffin.cli.files.delivery import FIRST_ROWS, OutputOption, deliver, target_of
from tiffin.cli.files.formats import STREAM, format_of
from tiffin.cli.run import Run, running
from tiffin.cli.views import words
from tiffin.errors import TableNotFound
from tiffin.schema.durations import parse_duration

if TYPE_CHECKING:
    import polars as pl

    from tiffin.tables.planning import Plan
    from tiffin.tables.table import Commit

commands = typer.Typer()


@commands.command(
    rich_help_panel="Rows",
    epilog=example(
        "tiffin save user/ratings ratings.csv --entity user_id --timestamp rated_at",
        "tiffin save user/ratings late.jsonl.gz --mode append -m 'late ratings'",
        "tiffin save user/ratings ratings.csv --online --default mean=3.5",
        "cat ratings.csv | tiffin save user/ratings - --format csv",
    ),
)
def save(
    ctx: typer.Context,
    table: TableArgument,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV, Parquet, JSON or JSON lines, also .gz; - is standard input.")
    ],
    *,
    entity: Annotated[
        list[str] | None, typer.Option("--entity", metavar="COLUMN", help="Key column; may be repeated.")
    ] = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", metavar="COLUMN", help="When a row became true.")
    ] = None,
    created: Annotated[
        str | None,
        typer.Option("--created", metavar="COLUMN", help="When a row was made; decides between equal times."),
    ] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="DURATION", help="How long a row stays true, as in 30d.")
    ] = None,
    partition_by: Annotated[
        list[str] | None,
        typer.Option("--partition-by", metavar="COLUMN", help="Column of few values to keep files apart by."),
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What the table is.")] = None,
    online: Annotated[
        bool | None,
        typer.Option("--online/--no-online", help="Whether the online index holds each entity's newest row."),
    ] = None,
    default: Annotated[
        list[str] | None,
        typer.Option(
            "--default",
            metavar="COLUMN=VALUE",
            help="What answers for a missing value, in training frames and online; nothing after = takes it away.",
        ),
    ] = None,
    rule: Annotated[
        Literal["backward", "forward", "full", "none"] | None,
        typer.Option("--rule", help="What the table promises its readers. A new table's: backward."),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", metavar="TEXT", help="What rows must satisfy from now on: 'mean >= 0'."),
    ] = None,
    on_violation: Annotated[
        Literal["refuse", "quarantine"],
        typer.Option("--on-violation", help="Refuse a save with rows that break a constraint, or keep those apart."),
    ] = "refuse",
    mode: Annotated[
        Literal["overwrite", "append", "upsert"],
        typer.Option(
            "--mode",
            help="overwrite all rows, append to them, or upsert: replace those of the same entity and time.",
        ),
    ] = "overwrite",
    evolve: Annotated[bool, typer.Option("--evolve", help="Allow a change of schema that readers may notice.")] = False,
    compact_dtypes: Annotated[
        bool, typer.Option("--compact-dtypes", help="Narrow 64-bit floats to 32 bits: smaller, and not exact.")
    ] = False,
    expected_version: Annotated[
        int | None,
        typer.Option("--expected-version", metavar="N", help="Save only if the table is at N (-1: does not exist)."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="TEXT", help="What the rows were made from. Default: the file's name."),
    ] = None,
    message: MessageOption = "",
    force: ForceOption = False,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a file as the next version of a table.

    The texts and numbers of CSV and JSON files take the types that the table has for them. In a new table the columns
    named by --timestamp and --created are read as times, in UTC where they say no zone.
    """
    with running(ctx, store, as_json) as run:
        lasting = value_of("--ttl", parse_duration, ttl)
        defaults = pairs_of("--default", default)
        if form is None and file != STREAM:
            form = value_of("FILE", format_of, file)
        is_new_schema = evolve and mode == "overwrite"
        with run.busy(f"saving {file} as {table}"):
            from tiffin.cli.files import intake

            known = {} if is_new_schema else schema_of(run, table)
            frame = intake.read(file, form, known=known, times=[name for name in (timestamp, created) if name])
            # `tiffin plan` has all the options of `tiffin save`, and is this command under another name.
            is_plan = ctx.info_name == "plan"
            made: Any = (run.store.plan if is_plan else run.store.save)(
                table,
                frame,
                entity=names_of(entity),
                timestamp=timestamp,
                created=created,
                ttl=lasting,
                partition_by=names_of(partition_by),
                description=description,
                online=online,
                defaults=typed(defaults, frame.schema) if defaults else None,
                rule=rule,
                constraints=constraint,
                on_violation=on_violation,
                mode=mode,
                evolve=evolve,
                dtypes="compact" if compact_dtypes else "exact",
                expected_version=expected_version,
                message=message,
                inputs=[_input(text) for text in inputs or ([] if file == STREAM else [file])],
                force=force,
            )
        if is_plan:
            _answer_plan(run, made)
            return
        run.answer(made, saved(made))
        warn(run, made)


@commands.command(
    rich_help_panel="Rows",
    epilog=example(
        "tiffin read user/ratings --where 'mean >= 4' --columns user_id,mean",
        "tiffin read user/ratings@0 -o ratings.parquet",
        "tiffin read user/ratings --entity-ids 7,8 --format jsonl -o -",
    ),
)
def read(
    ctx: typer.Context,
    reference: ReferenceArgument,
    *,
    output: OutputOption = None,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", "-c", metavar="NAMES", help="Which columns: a,b.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", "-w", metavar="CONDITION", help="Which rows: 'year >= 1990'; all that are given hold."),
    ] = None,
    entity_ids: Annotated[
        list[str] | None,
        typer.Option("--entity-ids", metavar="KEYS", help="Rows of these entities: 1,2; of two columns: 7:42,7:43."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="N", help="At this version, or what has this tag.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="As it was then: 2024-05-31T12:00, UTC.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="At most this many rows.")] = None,
    offset: Annotated[int, typer.Option("--offset", metavar="N", help="Pass over this many rows first.")] = 0,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a table, or some of its rows and columns, at any version.

    A terminal shows the first 20 rows. Files, pipes and --json get all rows, a pipe as CSV unless --format says
    otherwise.
    """
    with running(ctx, store, as_json) as run:
        conditions = [value_of("--where", parse_condition, text) for text in where or []]
        moment = value_of("--as-of", moment_of, as_of)
        target = target_of(run, output, form)
        is_shown = target is None and not run.as_json
        most = FIRST_ROWS + 1 if is_shown and limit is None else limit
        pinned: dict[str, Any] = {"version": None if version is None else pin_of(version), "as_of": moment}
        with run.busy(f"reading {reference}"):
            frame = run.store.read(
                reference,
                columns=names_of(columns),
                where=_comparisons(run, reference, conditions, pinned),
                entities=_keys(run, reference, names_of(entity_ids)),
                limit=most,
                offset=offset,
                **pinned,
            )
        deliver(run, frame, target, limit)


def _answer_plan(run: Run, plan: "Plan") -> None:
    import msgspec

    from tiffin.cli.views import plans as plan_views

    run.answer({"ok": plan.ok, **msgspec.structs.asdict(plan)}, *plan_views.planned(plan))
    if not plan.ok:
        raise typer.Exit(1)


def saved(commit: "Commit") -> Text:
    """Say in a line what a commit did."""
    line = Text.assemble(("saved ", "green"), (commit.table, "bold"), f" version {commit.version} · {commit.operation}")
    if commit.rows is not None:
        line.append(f" · {words.many(commit.rows, 'row')}")
    if commit.rows_added or commit.rows_removed:
        line.append(f" (+{words.count(commit.rows_added or 0)} −{words.count(commit.rows_removed or 0)})", "dim")
    if commit.quarantined:
        line.append(f" · {words.many(commit.quarantined, 'row')} kept apart", "yellow")
    return line


def warn(run: Run, commit: "Commit") -> None:
    """Print on standard error what went wrong after a commit."""
    for warning in commit.warnings:
        run.warn(warning)


def schema_of(run: Run, reference: str, **pinned: Any) -> "dict[str, pl.DataType]":
    """Return the columns of a table, also under the names they had before; none if there is no such table."""
    try:
        schema = dict(run.store.read(reference, limit=0, **pinned).schema)
    except TableNotFound:
        return {}
    columns = run.store.describe(reference).columns
    old = {alias: schema[one.name] for one in columns for alias in one.aliases if one.name in schema}
    return {**old, **schema}


def _comparisons(run: Run, reference: str, conditions: Sequence[Condition | None], pinned: dict[str, Any]) -> Any:
    if not conditions:
        return None
    schema = schema_of(run, reference.partition(":")[0], **pinned)
    return [comparison(condition, schema) for condition in conditions if condition]


def _keys(run: Run, reference: str, texts: list[str] | None) -> list[Any] | None:
    if texts is None:
        return None
    width = len(run.store.describe(reference).entity)
    return [tuple(text.split(":")) if width > 1 else text for text in texts]


def _input(text: str) -> str | Path:
    """Take an input for a path if it names a file here: its size and hash are noted."""
    return Path(text) if Path(text).is_file() else words.printable(text)
