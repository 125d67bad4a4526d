"""Options and arguments that several commands have, and how their values are read."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tiffin.cli.arguments.assignments import parse_assignment
from tiffin.cli.files.formats import Format
from tiffin.errors import InvalidInputError

T = TypeVar("T")


def complete_table(ctx: typer.Context, incomplete: str) -> list[str]:
    """List the store's tables for the shell, by looking at its folders only: completion must be quick."""
    before = ctx.find_root().params
    named = ctx.params.get("store") or before.get("store") or os.environ.get("TIFFIN_STORE") or "feature_store"
    logs = Path(named).glob("features/*/*/_delta_log")
    names = sorted(f"{log.parent.parent.name}/{log.parent.name}" for log in logs)
    return [name for name in names if name.startswith(incomplete)]


_EVERYWHERE = "Options of every command"

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        help="The store's folder. Default: $TIFFIN_STORE, or feature_store.",
        rich_help_panel=_EVERYWHERE,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.", rich_help_panel=_EVERYWHERE)]
TableArgument = Annotated[
    str,
    typer.Argument(metavar="TABLE", help="group/name, as in user/ratings.", autocompletion=complete_table),
]
ReferenceArgument = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="group/name, pinned as group/name@3 or @tag; the group may be left out where the name is unique.",
        autocompletion=complete_table,
    ),
]
AnyTableArgument = Annotated[
    str | None,
    typer.Argument(metavar="TABLE", help="group/name; all tables if left out.", autocompletion=complete_table),
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Format of the file, where its name does not tell.")
]
MessageOption = Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the history.")]

ForceOption = Annotated[bool, typer.Option("--force", help="Even if a service or a training set needs it.")]


def example(*lines: str) -> str:
    """Write the examples that stand at the end of a command's help."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"$ {line}".replace("[", r"\[") for line in lines)])


def value_of(option: str, read: Callable[[str], T], text: str | None) -> T | None:
    """Read an option's value; one that cannot be read is wrong usage (exit status 2).

    Parameters
    ----------
    option : str
        Its name, for the message.
    read : callable
        Raises InvalidInputError for what it cannot read.
    text : str or None
        What was written; None if the option was not given.
    """
    if text is None:
        return None
    try:
        return read(text)
    except InvalidInputError as error:
        raise typer.BadParameter(": ".join(filter(None, (error.message, error.hint))), param_hint=option) from None


def pin_of(text: str) -> int | str:
    """Read which version is meant: a number, or the name of a tag or a stage."""
    return int(text) if text.isascii() and text.isdigit() else text


def moment_of(text: str) -> datetime:
    """Read a time in ISO 8601; without a zone it is UTC.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{text!r} is not a time", hint="write it like 2024-05-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def names_of(texts: Iterable[str] | None) -> list[str] | None:
    """Split names that were written with commas, or with the option repeated, or both."""
    if not texts:
        return None
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def pairs_of(option: str, texts: Iterable[str] | None) -> dict[str, str]:
    """Read an option that gives columns values, repeated for each."""
    return dict(pair for text in texts or () if (pair := value_of(option, parse_assignment, text)))
