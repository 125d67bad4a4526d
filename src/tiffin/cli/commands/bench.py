"""The command that measures the store where it is: bench."""

from typing import Annotated

import typer

from tiffin.cli.arguments.options import JsonOption, StoreOption, example
from tiffin.cli.run import running

commands = typer.Typer()


@commands.command(
    rich_help_panel="Upkeep", epilog=example("tiffin bench --rows 10_000", "tiffin bench --rows 1_000 --json")
)
def bench(
    ctx: typer.Context,
    *,
    rows: Annotated[
        int, typer.Option("--rows", min=1_000, metavar="N", help="Rows of the table that is measured with.")
    ] = 100_000,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how fast saves, reads, training frames and online reads are on this machine and disk.

    Works on made-up rows in a folder of its own beside the store, removed in the end. Beside Tiffin's times stand those
    of Polars, which keeps no versions and syncs nothing, for the same rows in a plain Parquet file. The project's
    `make bench` compares with more, at more sizes.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import measuring

        with run.busy("measuring"):
            found = measuring.measure(run.folder, rows)
        run.answer(found, *measuring.views(found))
