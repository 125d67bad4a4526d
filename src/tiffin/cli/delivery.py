"""Where the rows of an answer go: to a file, down a pipe, or on the screen."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from tiffin.cli import words
from tiffin.cli.formats import STREAM, Format, format_of
from tiffin.cli.options import value_of
from tiffin.cli.run import Run

if TYPE_CHECKING:
    from tiffin.frames import FeatureFrame

FIRST_ROWS = 20
"""Rows that people are shown unless they say how many."""

_STANDARD_OUTPUT = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}

OutputOption = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")
]


class Target(NamedTuple):
    """A file or stream, and what is written there."""

    output: str
    form: Format


def target_of(run: Run, output: str | None, form: Format | None) -> Target | None:
    """Tell where the rows go and as what; None if they are the answer itself.

    Parameters
    ----------
    run : Run
        Whether the answer is JSON.
    output : str or None
        What `--output` said.
    form : Format or None
        What `--format` said.
    """
    if output in _STANDARD_OUTPUT:
        output = STREAM
    if output is None:
        if run.as_json or (_is_terminal() and form is None):
            return None
        output = STREAM
    if form is None:
        form = Format.CSV if output == STREAM else value_of("--output", format_of, output)
    if form is Format.PARQUET and output == STREAM and _is_terminal():
        raise typer.BadParameter("Parquet is not text: name a file, or pipe it on", param_hint="--format")
    return Target(output, form or Format.CSV)


def deliver(run: Run, frame: "FeatureFrame", target: Target | None, most: int | None = None) -> None:
    """Write rows where they go, and answer the command.

    Parameters
    ----------
    run : Run
        Prints the answer.
    frame : FeatureFrame
        The rows. Beside a file with a training frame goes its lock, `FILE.lock.json`.
    target : Target or None
        As `target_of` returned it.
    most : int, optional
        Rows that people are shown; 20 if left out.
    """
    if target is not None:
        _export(run, frame, target)
    elif run.as_json:
        run.answer(_document(frame))
    else:
        _show(run, frame, FIRST_ROWS if most is None else most)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _export(run: Run, frame: "FeatureFrame", target: Target) -> None:
    from tiffin.cli import export

    output, form = target
    with run.busy(f"writing {output}"):
        export.write(frame.to_polars(), output, form)
    if output == STREAM:
        return
    document = {"output": output, "format": form, "rows": len(frame), "columns": frame.columns, **_origin(frame)}
    lines = [Text.assemble(("wrote ", "green"), (output, "bold"), f" · {words.many(len(frame), 'row')} · {form}")]
    if frame.lock.recipe is not None and not export.is_special(output):
        document["lock_file"] = f"{output}.lock.json"
        export.write_json(frame.lock.to_dict(), document["lock_file"])
        lines.append(Text.assemble(("locked ", "green"), (document["lock_file"], "bold")))
    run.answer(document, *lines)


def _origin(frame: "FeatureFrame") -> dict[str, Any]:
    origin: dict[str, Any] = {"versions": dict(frame.lock)}
    if frame.lock.recipe is not None:
        origin["lock"] = frame.lock.to_dict()
    return origin


def _document(frame: "FeatureFrame") -> dict[str, Any]:
    rows = frame.to_polars().to_dicts()
    dtypes = {name: str(dtype) for name, dtype in frame.schema.items()}
    return {**_origin(frame), "columns": dtypes, "row_count": len(rows), "rows": rows}


def _show(run: Run, frame: "FeatureFrame", most: int) -> None:
    from tiffin.cli.grid import grid

    rows = frame.to_polars()
    title = ", ".join(f"{table}@{version}" for table, version in frame.lock.items())
    has_more = rows.height > most
    told = f"the first {words.many(most, 'row')}" if has_more else words.many(rows.height, "row")
    run.out.print(Text.assemble((title, "bold"), (f" · {told}", "dim")))
    run.out.print(grid(rows.head(most), run.out.width))
    if has_more:
        run.out.print(Text("-o FILE writes all of them", style="dim"))
