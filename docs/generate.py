"""Lays docs/ out for the site, and fills in what is generated from the code: `make docs` runs it.

    python docs/generate.py FOLDER

A page that holds `<!-- generated: NAME -->` gets what the function of that name writes in its place.
"""

import inspect
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from tiffin import FeatureStore, errors
from tiffin.cli.app import app
from tiffin.config import ENVIRONMENT_PREFIX, Settings
from tiffin.server.app import routed
from tiffin.server.document.openapi import document
from tiffin.server.options import ServerOptions
from tiffin.server.status import status_of

DOCS = Path(__file__).parent
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")
OF_EVERY_COMMAND = "Options of every command"


def commands() -> str:
    """Describe every command of the command line, with its arguments, options and examples."""
    return "\n".join(
        part for name, command in _commands(typer.main.get_command(app)) for part in _command(name, command)
    )


def routes() -> str:
    """List every route of the server with its summary and the parameters of its URL."""
    with tempfile.TemporaryDirectory() as folder:
        paths = document(routed(FeatureStore(folder), ServerOptions()))["paths"]
    return _table(
        ["route", "what it does", "in the URL"],
        (
            [f"`{method.upper()} {path}`", said["summary"], ", ".join(_parameters(said))]
            for path, methods in paths.items()
            for method, said in methods.items()
        ),
    )


def settings() -> str:
    """List every setting with its variable, its default and its meaning."""
    return _table(
        ["setting", "variable", "default", "meaning"],
        (
            [
                f"`{each.name}`",
                f"`{ENVIRONMENT_PREFIX}{each.name.upper()}`",
                f"`{each.metadata['shown']}`",
                each.metadata["about"],
            ]
            for each in fields(Settings)
        ),
    )


def problems() -> str:
    """List every error with its code, the status that the server answers it with, and its meaning."""
    parts = []
    for kind in _kinds_of(errors.TiffinError):
        parts += [f"## {kind.__name__}\n", f"{_first_line(kind)} `{kind.code}`, HTTP {status_of(kind(''))}.\n"]
        rows = [
            [f"`{each.__name__}`", f"`{each.code}`", str(status_of(each(""))), _first_line(each)]
            for each in _kinds_of(kind)
        ]
        parts.append(_table(["error", "code", "HTTP", "meaning"], rows))
    return "\n".join(parts)


def decisions() -> str:
    """List the decisions by the titles of their pages."""
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    titles = [page.read_text().splitlines()[0].removeprefix("# ") for page in pages]
    return "\n".join(f"- [{title}]({page.name})" for page, title in zip(pages, titles, strict=True))


def scripts() -> str:
    """Show the examples as they are."""
    files = sorted((DOCS.parent / "examples").glob("*.py"))
    return "\n".join(f"## {file.name}\n\n```py\n{file.read_text()}```\n" for file in files)


GENERATED: dict[str, Callable[[], str]] = {
    each.__name__: each for each in (commands, routes, settings, problems, decisions, scripts)
}


def _commands(group: Any, before: str = "tiffin") -> Iterator[tuple[str, Any]]:
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from _commands(each, f"{before} {name}")
        else:
            yield f"{before} {name}", each


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if not each.opts[0].startswith("-")]
    options = [each for each in command.params if each not in arguments and each.rich_help_panel != OF_EVERY_COMMAND]
    words = [each.metavar if each.required else f"[{each.metavar}]" for each in arguments]
    yield f"## {name}\n"
    yield f"`{' '.join([name, *words])}`\n"
    yield _plain(command.help) + "\n"
    if arguments or options:
        rows = ([f"`{_usage(each)}`", _meaning(each)] for each in arguments + options)
        yield _table(["argument or option", "meaning"], rows)
    examples = [_plain(line) for line in command.epilog.splitlines() if line.startswith("$ ")]
    yield "\n".join(["```console", *examples, "```", ""])


def _usage(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        return str(parameter.metavar)
    spelled = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return spelled if parameter.is_flag else f"{spelled} {parameter.metavar or _choices(parameter)}"


def _choices(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(str(each.value) for each in kind)
    return " or ".join(map(str, get_args(kind))) or getattr(kind, "__name__", "value").upper()


def _meaning(parameter: Any) -> str:
    default = parameter.default
    if parameter.is_eager or default in (None, False, "", ()) or callable(default) or not parameter.show_default:
        return _plain(parameter.help or "")
    return f"{_plain(parameter.help or '')} Default: `{getattr(default, 'value', default)}`."


def _plain(text: str) -> str:
    """Take the marks of rich out of a text."""
    return re.sub(r"(?<!\\)\[/?[a-z]+\]", "", text).replace(r"\[", "[")


def _parameters(operation: dict[str, Any]) -> list[str]:
    return [f"`{each['name']}`" for each in operation.get("parameters", ()) if each.get("in") == "query"]


def _kinds_of(parent: type[errors.TiffinError]) -> list[type[errors.TiffinError]]:
    return [each for each in parent.__subclasses__() if each.__module__ == errors.__name__]


def _first_line(kind: type[errors.TiffinError]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fill(page: str) -> str:
    """Put what is generated in the place of the marks of a page."""
    return MARK.sub(lambda mark: GENERATED[mark[1]](), page)


def keep_inside(page: str, folder: Path) -> str:
    """Turn links that lead out of docs/ into their texts: on the site there is nothing behind them."""

    def inside(link: re.Match[str]) -> str:
        leads_away = "://" not in link[2] and not (folder / link[2]).resolve().is_relative_to(DOCS.resolve())
        return link[1] if leads_away else link[0]

    return LINK.sub(inside, page)


def main(folder: str) -> None:
    """Write the pages and pictures of the site into `folder`, in place of what is there."""
    target = Path(folder)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DOCS, target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in target.rglob("*.md"):
        text = keep_inside(page.read_text(), DOCS / page.parent.relative_to(target))
        page.write_text(fill(text))


if __name__ == "__main__":
    main(*sys.argv[1:])
