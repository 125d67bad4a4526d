"""The commands about on-demand features: add, ls, prove, drop."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tiffin.cli.arguments.options import FormatOption, JsonOption, StoreOption, complete_table, example, pairs_of
from tiffin.cli.run import running
from tiffin.errors import CorruptData, InvalidInputError

if TYPE_CHECKING:
    import polars as pl

    from tiffin.derived.on_demand import OnDemandFeatures

commands = typer.Typer(
    name="on-demand",
    help="On-demand features: computed when they are asked for, the same offline and online.",
    no_args_is_help=True,
    rich_help_panel="Features",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="group/name, as for a table.")]


@commands.command(
    epilog=example(
        "tiffin on-demand add user/surprise --input user/ratings:mean --request stars=Float64 "
        "--output above=Float64 --sql 'above=stars - mean'"
    )
)
def add(
    ctx: typer.Context,
    name: NameArgument,
    *,
    inputs: Annotated[
        list[str],
        typer.Option("--input", metavar="REFERENCE", help="A stored feature.", autocompletion=complete_table),
    ],
    outputs: Annotated[list[str], typer.Option("--output", metavar="NAME=TYPE", help="A feature and its type.")],
    sql: Annotated[list[str], typer.Option("--sql", metavar="NAME=EXPRESSION", help="What it is, in SQL.")],
    request: Annotated[
        list[str] | None, typer.Option("--request", metavar="COLUMN=TYPE", help="What the asker gives.")
    ] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What they are.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of others of that name.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make features known that are SQL expressions over stored features and what the asker gives.

    Types are those of Polars: Float64, Int64, Boolean, String, Date. Features that a Python function computes are
    registered in Python: store.register.
    """
    texts = pairs_of("--output", outputs), pairs_of("--request", request), pairs_of("--sql", sql)
    with running(ctx, store, as_json) as run:
        from tiffin.derived.on_demand import on_demand

        made, asked, expressions = texts
        features = on_demand(
            name,
            inputs=inputs,
            request={column: _dtype(text) for column, text in asked.items()},
            outputs={column: _dtype(text) for column, text in made.items()},
            sql=expressions,
            description=description,
        )
        declared = run.store.register(features, replace=replace)
        run.answer(declared, Text.assemble(("registered ", "green"), (name, "bold"), f" · {', '.join(made)}"))


@commands.command(epilog=example("tiffin on-demand ls", "tiffin on-demand ls --json"))
def ls(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the on-demand features."""
    with running(ctx, store, as_json) as run:
        found = run.store.registered()
        run.answer(found, _listing(found) if found else Text(f"no on-demand features in {run.store.path}"))


@commands.command(epilog=example("tiffin on-demand prove user/surprise spine.csv"))
def prove(
    ctx: typer.Context,
    name: NameArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Rows with the entities, and what the asker gives: CSV, Parquet or JSON; - is standard input.",
        ),
    ],
    *,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove on sample rows that features come out the same offline and online, and of each row by itself.

    Exit status 1 if they do not, so that it can stand in a pipeline. The tables of the inputs are online.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.arguments.asked import keys_of
        from tiffin.cli.files import intake

        with run.busy("proving"):
            known = keys_of(run, [name]).entity
            rows = intake.read(file, form, known=known)
            proof = run.store.prove(name, rows.select(column for column in rows.columns if column in known))
        run.answer(proof, Text(str(proof), style="" if proof.ok else "red"))
    if not proof.ok:
        raise typer.Exit(1)


@commands.command(epilog=example("tiffin on-demand drop user/surprise"))
def drop(ctx: typer.Context, name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Forget on-demand features; what they are computed from stays."""
    with running(ctx, store, as_json) as run:
        run.store.unregister(name)
        run.answer({"dropped": name}, Text.assemble(("dropped ", "green"), (name, "bold")))


def _dtype(text: str) -> "pl.DataType":
    from tiffin.schema.dtypes import decode

    hint = "write Float64, Int64, Boolean, String or Date"
    if not re.fullmatch(r"[A-Za-z0-9]+(\(.*\))?", text):
        raise InvalidInputError(f"{text!r} is no type", hint=hint)
    try:
        return decode(text)
    except CorruptData as error:
        raise InvalidInputError(f"{text!r} is no type", hint=hint) from error


def _listing(found: "Sequence[OnDemandFeatures]") -> RenderableType:
    from tiffin.cli.views.tables import listing

    table = listing("name", "features", "inputs", "request", "computed by")
    for one in found:
        by = "\n".join(f"{name} = {sql}" for name, sql in one.sql.items()) or f"Python, {one.code}"
        asked = "\n".join(f"{name} {dtype}" for name, dtype in one.request.items())
        made = "\n".join(f"{name} {dtype}" for name, dtype in one.outputs.items())
        table.add_row(Text(one.name, style="bold"), made, "\n".join(one.inputs), asked, by)
    return table
