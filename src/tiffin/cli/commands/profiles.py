"""The commands that look at values: profile, drift."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from tiffin.cli.arguments.options import (
    FormatOption,
    JsonOption,
    ReferenceArgument,
    StoreOption,
    example,
    moment_of,
    names_of,
    pin_of,
    value_of,
)
from tiffin.cli.files.formats import STREAM, Format, format_of
from tiffin.cli.files.pictures import Form, encode, form_of
from tiffin.cli.run import Run, running
from tiffin.cli.views import words
from tiffin.errors import InvalidInputError

if TYPE_CHECKING:
    import polars as pl

commands = typer.Typer()

PlotOption = Annotated[bool, typer.Option("--plot", help="Draw each column in the terminal.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="Draw each column into this file: .svg, .html or .png."),
]


@commands.command(
    rich_help_panel="Versions",
    epilog=example(
        "tiffin profile user/ratings",
        "tiffin profile user/ratings@0 --plot",
        "tiffin profile user/ratings -o ratings.svg",
    ),
)
def profile(
    ctx: typer.Context,
    reference: ReferenceArgument,
    plot: PlotOption = False,
    out: OutOption = None,
    *,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what the values of a version look like: nulls, distinct values, extremes, quantiles, frequent values."""
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import profiles as profile_views

        form = _form(out)
        with run.busy(f"looking at {reference}"):
            found = run.store.profile(reference)
        if out is not None and form is not None:
            from tiffin.quality import pictures

            _draw(out, form, pictures.of_profile(found))
        run.answer(found, *profile_views.profile(found, plot=plot), *_wrote(out))


@commands.command(
    rich_help_panel="Versions",
    epilog=example(
        "tiffin drift user/ratings --baseline 0 --threshold ks=0.5 --threshold psi=off --threshold js=0.9",
        "tiffin drift user/ratings --baseline 1 --current ratings.csv --threshold missing=off",
    ),
)
def drift(
    ctx: typer.Context,
    reference: ReferenceArgument,
    baseline: Annotated[
        str, typer.Option("--baseline", "-b", metavar="VERSION", help="What was: a version, its name, or a time.")
    ],
    current: Annotated[
        str | None,
        typer.Option(
            "--current",
            "-c",
            metavar="VERSION|FILE|online",
            help="What is now: a version, its name, a time; a file with rows that were served; or online, for the "
            "online index. The newest version if left out.",
        ),
    ] = None,
    *,
    columns: Annotated[
        list[str] | None, typer.Option("--columns", metavar="NAMES", help="Only these columns, separated by commas.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="[COLUMN.]MEASURE=NUMBER",
            help="From where on a measure (psi, ks, js, missing, new, gone, volume) is drift, or off. Repeatable.",
        ),
    ] = None,
    file_format: FormatOption = None,
    plot: PlotOption = False,
    out: OutOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell whether a table is still like what it was: one verdict for a pipeline, with the reasons.

    Exit status 1 if it has drifted, which the answer on standard output says; an error is on standard error.
    """
    with running(ctx, store, as_json) as run:
        from tiffin.cli.views import drift as drift_views

        form = _form(out)
        thresholds = dict(pair for text in threshold or () if (pair := value_of("--threshold", _threshold, text)))
        with run.busy(f"comparing {reference}"):
            found = run.store.drift(
                reference,
                _version(run, reference, baseline),
                _current(run, reference, current, file_format),
                columns=names_of(columns),
                thresholds=thresholds,
            )
        if out is not None and form is not None:
            from tiffin.quality import pictures

            _draw(out, form, pictures.of_drift(found))
        run.answer(found, *drift_views.drift(found, plot=plot), *_wrote(out))
        if found.drifted:
            raise typer.Exit(1)


def _form(out: Path | None) -> Form | None:
    return value_of("--out", lambda text: form_of(Path(text)), None if out is None else str(out))


def _draw(out: Path, form: Form, svg: str) -> None:
    from tiffin.cli.files import export

    export.write_bytes(encode(svg, form), str(out))


def _wrote(out: Path | None) -> list[Text]:
    return [] if out is None else [Text.assemble(("wrote ", "green"), (words.printable(str(out)), "bold"))]


def _threshold(text: str) -> tuple[str, float | None]:
    """Read a threshold as it is written: `psi=0.2`, `mean.psi=off`."""
    key, _, value = (part.strip() for part in text.rpartition("="))
    try:
        return key, None if value == "off" else float(value)
    except ValueError:
        raise InvalidInputError(f"{text!r} is no threshold", hint="write psi=0.1, mean.psi=0.1 or psi=off") from None


def _version(run: Run, reference: str, text: str) -> int | datetime | str:
    """Read a version as it is written: a number, a name, or a time."""
    pin = pin_of(text)
    if isinstance(pin, int):
        return pin
    try:
        moment = moment_of(text)
    except InvalidInputError:
        return text
    # A tag may be called like a day.
    table = reference.partition(":")[0]
    names = [*(tag.name for tag in run.store.tags(table)), *(stage.name for stage in run.store.stages(table))]
    return text if text in names else moment


def _current(
    run: Run, reference: str, text: str | None, form: Format | None
) -> "int | datetime | str | pl.DataFrame | None":
    """Read what is to be compared: a file, or what tells a version."""
    if text is None:
        return None
    if form is None and not _is_file(text):
        return _version(run, reference, text)
    from tiffin.cli.files import intake

    return intake.read(text, form, known=run.store.snapshot(reference).known)


def _is_file(text: str) -> bool:
    """Tell whether a text names a file, by its ending: a file called like a tag does not stand in the tag's way."""
    if text == STREAM:
        return True
    try:
        format_of(text)
    except InvalidInputError:
        return False
    return True
