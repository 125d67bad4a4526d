"""One run of a command: which store it is about, how its answer is printed, and how it ends."""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.segment import Segment
from rich.text import Text

import tiffin
from tiffin.errors import DeprecatedFeature, MajorChanged, StorageError, TiffinError

_FILES = {"FILE", "SPINE"}
"""What arguments and options that name a file are called in the help."""

_CONTROLS = dict.fromkeys({*range(32), *range(127, 160)} - {ord("\n"), ord("\t")}, "\N{REPLACEMENT CHARACTER}")

WIDTH_OF_A_FILE = 120
"""Columns to use where the output is not a terminal, which would know how many it has."""


class Before(NamedTuple):
    """What was said before the command: `tiffin --store FOLDER --json ls`."""

    store: Path | None = None
    as_json: bool = False


class Advance(Protocol):
    """Tells a progress bar how far something is."""

    def __call__(self, done: int, total: int, of: str = "") -> None:
        """So much is done, of so much; and of what, where that changes."""


class Run:
    """One run of a command.

    Parameters
    ----------
    folder : Path
        The store's folder.
    as_json : bool
        Whether to answer with one JSON document instead of text for people.

    Attributes
    ----------
    out : Console
        Standard output.
    err : Console
        Standard error: progress, questions and errors.
    """

    def __init__(self, folder: Path, *, as_json: bool) -> None:
        self.folder = folder
        self.as_json = as_json
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    @cached_property
    def store(self) -> "tiffin.FeatureStore":
        """The store, opened when first used."""
        return tiffin.FeatureStore(self.folder)

    def answer(self, document: object, *views: RenderableType) -> None:
        """Print an answer: the document as JSON, or the views for people.

        Parameters
        ----------
        document : object
            What `msgspec` can encode: times become ISO 8601 (Z for UTC), NaN becomes null.
        *views : text or rich renderable
            The same for people.
        """
        with standard_output() as stream:
            if self.as_json:
                stream.write(to_json(document))
                stream.flush()
                return
            for view in views:
                # What is too long is for the terminal to break, not for us to cut off.
                self.out.print(view, crop=False)

    def progress(self, unit: str) -> Progress:
        """Return a progress bar on standard error, shown only on a terminal and gone when done."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        )

    @contextlib.contextmanager
    def advancing(self, doing: str) -> Iterator["Advance"]:
        """Show a progress bar; the body is given what it has to call as it advances."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as bar:
            task = bar.add_task(doing, total=None)

            def advance(done: int, total: int, of: str = "") -> None:
                bar.update(task, completed=done, total=total, description=f"{doing} {of}".rstrip())

            yield advance

    def busy(self, doing: str) -> AbstractContextManager[object]:
        """Show on a terminal's standard error that something of unknown length goes on."""
        return self.err.status(doing) if self.err.is_terminal else contextlib.nullcontext()

    def warn(self, what: str) -> None:
        """Print on standard error what is wrong, though the command goes on."""
        self.err.print(Text.assemble(("warning: ", "bold yellow"), what), soft_wrap=True)

    def complain(self, error: TiffinError) -> None:
        """Print an error on standard error."""
        if self.as_json:
            body = {"code": error.code, "message": error.message, "hint": error.hint}
            sys.stderr.buffer.write(to_json({"error": body}))
            return
        self.err.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
        if error.hint:
            self.err.print(Text.assemble(("hint: ", "bold yellow"), error.hint), soft_wrap=True)

    def close(self) -> None:
        """Finish what the store does in the background."""
        if "store" in vars(self):
            self.store.close()


@contextlib.contextmanager
def running(ctx: typer.Context, store: Path | None, as_json: bool, *, default: Path | None = None) -> Iterator[Run]:
    """Run the body of a command; an error of ours ends it with status 1 and its message, without a traceback.

    Parameters
    ----------
    ctx : typer.Context
        Holds what was said before the command.
    store : Path or None
        The command's own `--store`; wins over the one before the command, which wins over `TIFFIN_STORE`.
    as_json : bool
        The command's own `--json`.
    default : Path, optional
        The store for commands that are not to touch the usual one.
    """
    before = ctx.obj or Before()
    usual = default or Path(os.environ.get("TIFFIN_STORE") or "feature_store")
    run = Run(store or before.store or usual, as_json=as_json or before.as_json)
    _check_texts(ctx, run)
    try:
        with contextlib.closing(run), _warnings_of(run):
            yield run
    except TiffinError as error:
        if os.environ.get("TIFFIN_DEBUG", "0") not in {"", "0"}:
            raise
        run.complain(error)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def _warnings_of(run: Run) -> Iterator[None]:
    """Print as ours the warnings that the store gives, which are for people; others stay as they are."""
    ours = (DeprecatedFeature, MajorChanged)
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_ours(  # noqa: PLR0917 - the parameters are those of `warnings.showwarning`
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, ours):
                run.warn(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_ours
        for category in ours:
            warnings.simplefilter("always", category)
        yield


def _check_texts(ctx: typer.Context, run: Run) -> None:
    """Refuse texts that are not UTF-8: they have no form in JSON, nor in a table. Files may be called by any bytes."""
    for parameter in ctx.command.params:
        given = ctx.params.get(parameter.name or "")
        texts = given if isinstance(given, list | tuple) else [given]
        if parameter.metavar not in _FILES and not all(map(_is_utf8, texts)):
            hint = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
            raise typer.BadParameter("it is not UTF-8", param_hint=hint)
    if not _is_utf8(str(run.folder.absolute())):
        raise typer.BadParameter("the store's path is not UTF-8", param_hint="--store")


def _is_utf8(value: object) -> bool:
    """Tell whether a text can be written in UTF-8: what is no UTF-8 on the command line comes as half characters."""
    return not isinstance(value, str) or not any("\ud800" <= letter <= "\udfff" for letter in value)


def make_interruptible() -> None:
    """Let Ctrl-C end a read or write that waits for another program: Polars' handler lets the system resume it."""
    signal.siginterrupt(signal.SIGINT, True)


@contextlib.contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Give standard output as a stream of bytes; an error of ours says that it cannot be written."""
    try:
        yield sys.stdout.buffer
    except BrokenPipeError:
        # The reader has seen enough: Typer ends the program without a word.
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write standard output: {error.strerror or error}", hint="see where it is redirected to"
        ) from error


def to_json(document: object) -> bytes:
    """Write a document as indented JSON, in UTF-8 as JSON is, with a line break at its end."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class _Printing(Console):
    """A console that values, which may come from anywhere, cannot give commands to."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as any console, with a sign in the place of control characters."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=segment.text.translate(_CONTROLS))


def _console(*, stderr: bool) -> Console:
    console = _Printing(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console
