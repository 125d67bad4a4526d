"""The commands about saved training sets: ls, reproduce, drop."""

from typing import Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import FormatOption, JsonOption, StoreOption, example
from tiffin.cli.files.delivery import OutputOption, deliver, target_of
from tiffin.cli.run import running

commands = typer.Typer(
    name="training", help="Training sets that were saved.", no_args_is_help=True, rich_help_panel="Training"
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the training set was saved as.")]


@commands.command(epilog=example("tiffin training ls", "tiffin training ls --json"))
def ls(ctx: typer.Context, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the training sets: rows, features, the versions that they were made from; and tell of damaged ones."""
    with running(ctx, store, as_json) as run:
        found = run.store.training_sets()
        if found:
            from tiffin.cli.views import training as training_views

            run.answer([each.to_dict() for each in found], training_views.training_sets(found))
        else:
            hint = "save one: tiffin train SPINE --features REFERENCES --save NAME"
            run.answer([], Text(f"no training sets in {run.store.path}"), Text(hint, style="dim"))
        for finding in run.store.examine_training_sets():
            run.warn(finding.what)


@commands.command(epilog=example("tiffin training reproduce first_try -o frame.parquet"))
def reproduce(
    ctx: typer.Context,
    name: NameArgument,
    *,
    output: OutputOption = None,
    form: FormatOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a training set again, bit for bit, from the versions that it was made from.

    Exit status 1 if that cannot be; the error says what has changed.
    """
    with running(ctx, store, as_json) as run:
        target = target_of(run, output, form)
        with run.busy(f"making {name} again"):
            frame = run.store.reproduce(name)
        deliver(run, frame, target)


@commands.command(epilog=example("tiffin training drop first_try"))
def drop(ctx: typer.Context, name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Forget a training set; the tables stay as they are."""
    with running(ctx, store, as_json) as run:
        run.store.drop_training_set(name)
        run.answer({"dropped": name}, Text.assemble(("dropped ", "green"), (name, "bold")))
