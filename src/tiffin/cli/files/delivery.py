"""Where the rows of an answer go: to a file, down a pipe, or on the screen."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from tiffin.cli.arguments.options import value_of
from tiffin.cli.files.formats import STREAM, Format, format_of
from tiffin.cli.run import Run
from tiffin.cli.views import words

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


def check_apart(source: str | None, target: Target | None) -> None:
    """Refuse to write over the file that is read, however its name is spelled and whichever link leads to it.

    Parameters
    ----------
    source : str or None
        The file that is read, if it is one.
    target : Target or None
        As `target_of` returned it.
    """
    if source is None or target is None or STREAM in {source, target.output}:
        return
    for name in (target.output, lock_file(target.output)):
        # What cannot be looked at cannot be read or written either: that is told there.
        with contextlib.suppress(OSError):
            if Path(name).is_file() and Path(name).samefile(source):
                raise typer.BadParameter(f"{name!r} is the file that is read: name another", param_hint="--output")


def lock_file(output: str) -> str:
    """Name the file beside a training frame that holds its lock."""
    return f"{output}.lock.json"


def deliver(
    run: Run,
    frame: "FeatureFrame",
    target: Target | None,
    most: int | None = None,
    *,
    keep: Callable[[], object] = lambda: None,
) -> None:
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
    keep : callable, optional
        What else is kept, in the store: nothing is if the file cannot be written, and no file is left if this fails.
    """
    if target is not None and target.output != STREAM:
        _export(run, frame, target, keep)
        return
    # Before: who reads from a pipe may close it when the first rows have come.
    keep()
    if target is not None:
        _send(frame, target.form)
    elif run.as_json:
        run.answer(_document(frame))
    else:
        _show(run, frame, FIRST_ROWS if most is None else most)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _send(frame: "FeatureFrame", form: Format) -> None:
    from tiffin.cli.files import export

    export.to_standard_output(frame.to_polars(), form)


def _export(run: Run, frame: "FeatureFrame", target: Target, keep: Callable[[], object]) -> None:
    from tiffin.cli.files import export

    output, form = target
    shown = words.printable(output)
    document = {"output": shown, "format": form, "rows": len(frame), "columns": frame.columns, **_origin(frame)}
    lines = [Text.assemble(("wrote ", "green"), (shown, "bold"), f" · {words.many(len(frame), 'row')} · {form}")]
    with contextlib.ExitStack() as pending:
        with run.busy(f"writing {shown}"):
            pending.enter_context(export.written(frame.to_polars(), output, form))
            if frame.lock.recipe is not None and not export.is_special(output):
                document["lock_file"] = lock_file(shown)
                pending.enter_context(export.written_json(frame.lock.to_dict(), lock_file(output)))
                lines.append(Text.assemble(("locked ", "green"), (lock_file(shown), "bold")))
        keep()
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
    from tiffin.cli.views.grid import grid

    rows = frame.to_polars()
    title = ", ".join(f"{table}@{version}" for table, version in frame.lock.items())
    has_more = rows.height > most
    told = f"the first {words.many(most, 'row')}" if has_more else words.many(rows.height, "row")
    run.out.print(Text.assemble((title, "bold"), (f" · {told}", "dim")))
    run.out.print(grid(rows.head(most), run.out.width))
    if has_more:
        run.out.print(Text("-o FILE writes all of them", style="dim"))
