"""The commands that move rows: save and read."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from tiffin.cli import words
from tiffin.cli.conditions import Condition, comparison, parse_condition
from tiffin.cli.formats import STREAM, Format, format_of
from tiffin.cli.options import (
    FormatOption,
    JsonOption,
    MessageOption,
    ReferenceArgument,
    StoreOption,
    TableArgument,
    example,
    names_of,
    value_of,
)
from tiffin.cli.run import Run, running
from tiffin.config import parse_duration
from tiffin.errors import InvalidInputError, TableNotFound

if TYPE_CHECKING:
    import polars as pl

    from tiffin.frames import FeatureFrame
    from tiffin.tables.table import Commit

FIRST_ROWS = 20
"""Rows that people are shown unless they say how many."""

commands = typer.Typer()


@commands.command(
    rich_help_panel="Rows",
    epilog=example(
        "tiffin save user/ratings ratings.csv --entity user_id --timestamp rated_at",
        "tiffin save user/ratings late.jsonl.gz --mode append -m 'late ratings'",
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
        if form is None and file != STREAM:
            form = value_of("FILE", format_of, file)
        is_new_schema = evolve and mode == "overwrite"
        with run.busy(f"saving {file} as {table}"):
            from tiffin.cli import intake

            known = {} if is_new_schema else _schema(run, table)
            frame = intake.read(file, form, known=known, times=[name for name in (timestamp, created) if name])
            commit = run.store.save(
                table,
                frame,
                entity=names_of(entity),
                timestamp=timestamp,
                created=created,
                ttl=lasting,
                partition_by=names_of(partition_by),
                description=description,
                mode=mode,
                evolve=evolve,
                dtypes="compact" if compact_dtypes else "exact",
                expected_version=expected_version,
                message=message,
                inputs=inputs or ([] if file == STREAM else [file]),
            )
        run.answer(commit, saved(commit))
        warn(run, commit)


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
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = None,
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
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="At this version.")] = None,
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
        moment = value_of("--as-of", _moment, as_of)
        target = _target(run, output, form)
        is_shown = target is None and not run.as_json
        most = FIRST_ROWS + 1 if is_shown and limit is None else limit
        pinned: dict[str, Any] = {"version": version, "as_of": moment}
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
        if target is not None:
            _export(run, frame, *target)
        elif run.as_json:
            run.answer(_document(frame))
        else:
            _show(run, frame, FIRST_ROWS if limit is None else limit)


def saved(commit: "Commit") -> Text:
    """Say in a line what a commit did."""
    line = Text.assemble(("saved ", "green"), (commit.table, "bold"), f" version {commit.version} · {commit.operation}")
    if commit.rows is not None:
        line.append(f" · {words.many(commit.rows, 'row')}")
    if commit.rows_added or commit.rows_removed:
        line.append(f" (+{words.count(commit.rows_added or 0)} −{words.count(commit.rows_removed or 0)})", "dim")
    return line


def warn(run: Run, commit: "Commit") -> None:
    """Print on standard error what went wrong after a commit."""
    for warning in commit.warnings:
        run.err.print(Text.assemble(("warning: ", "bold yellow"), warning), soft_wrap=True)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a time", hint="write it like 2024-05-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _schema(run: Run, reference: str, **pinned: Any) -> "dict[str, pl.DataType]":
    """Return the columns of a table, none if there is no such table."""
    try:
        return dict(run.store.read(reference, limit=0, **pinned).schema)
    except TableNotFound:
        return {}


def _comparisons(run: Run, reference: str, conditions: Sequence[Condition | None], pinned: dict[str, Any]) -> Any:
    if not conditions:
        return None
    schema = _schema(run, reference.partition(":")[0], **pinned)
    return [comparison(condition, schema) for condition in conditions if condition]


def _keys(run: Run, reference: str, texts: list[str] | None) -> list[Any] | None:
    if texts is None:
        return None
    width = len(run.store.describe(reference).entity)
    return [tuple(text.split(":")) if width > 1 else text for text in texts]


def _target(run: Run, output: str | None, form: Format | None) -> tuple[str, Format] | None:
    """Tell where the rows go and as what; None if they are the answer itself."""
    if output is None:
        if run.as_json or (_is_terminal() and form is None):
            return None
        output = STREAM
    if form is None:
        form = Format.CSV if output == STREAM else value_of("--output", format_of, output)
    if form is Format.PARQUET and output == STREAM and _is_terminal():
        raise typer.BadParameter("Parquet is not text: name a file, or pipe it on", param_hint="--format")
    return output, form or Format.CSV


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _export(run: Run, frame: "FeatureFrame", output: str, form: Format) -> None:
    from tiffin.cli import export

    with run.busy(f"writing {output}"):
        export.write(frame.to_polars(), output, form)
    if output != STREAM:
        rows = len(frame)
        document = {"output": output, "format": form, "rows": rows, "columns": frame.columns, "versions": frame.lock}
        done = Text.assemble(("wrote ", "green"), (output, "bold"), f" · {words.many(rows, 'row')} · {form}")
        run.answer(document, done)


def _document(frame: "FeatureFrame") -> dict[str, Any]:
    rows = frame.to_polars().to_dicts()
    dtypes = {name: str(dtype) for name, dtype in frame.schema.items()}
    return {"versions": frame.lock, "columns": dtypes, "row_count": len(rows), "rows": rows}


def _show(run: Run, frame: "FeatureFrame", most: int) -> None:
    from tiffin.cli.grid import grid

    rows = frame.to_polars()
    title = ", ".join(f"{table}@{version}" for table, version in frame.lock.items())
    has_more = rows.height > most
    told = f"the first {words.many(most, 'row')}" if has_more else words.many(rows.height, "row")
    run.out.print(Text.assemble((title, "bold"), (f" · {told}", "dim")))
    run.out.print(grid(rows.head(most), run.out.width))
    if has_more:
        run.out.print(Text("--limit shows more, -o FILE writes them all", style="dim"))
