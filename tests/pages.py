"""Pages of the documentation, gone through as by a reader: from top to bottom, in an empty folder.

| block | what is done with it |
|---|---|
| `python` | executed; the blocks of a page share their names |
| `sh` | its commands are run; `tiffin serve` goes on running, and is from then on what `http://127.0.0.1:8001` means |
| `json` | is what the command before it answered; "…" stands for any value, as a key for others |
| without a language | a picture: nothing is done with it |

Comments of HTML, which readers do not see, say what else a block is:

| before it | |
|---|---|
| `<!-- file: NAME -->` | it is the content of that file |
| `<!-- status: N -->` | its last command ends with that status |
| `<!-- not run: WHY -->` | what it needs is not to be had in a test |

`<!-- given` … `-->` around lines of Python makes what a reader has, and an empty folder has not.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from served import Served, served
from tiffin.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
URL = "http://127.0.0.1:8001"
ANYTHING = "…"

_BLOCK = re.compile(
    r"^<!-- given\n(?P<given>.*?)^-->$"
    r"|(?:^<!-- (?P<mark>file|status|not run): (?P<of>.+?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def name_of(document: Path) -> str:
    """Name a page by its path in the project."""
    return str(document.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    of: str = ""

    @property
    def first_line(self) -> str:
        return self.text.splitlines()[0]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """List the blocks of a page, hidden ones too."""
    text = document.read_text()
    return [
        Block(
            name_of(document),
            text.count("\n", 0, found.start()) + 1,
            "python" if found["given"] is not None else found["language"],
            found["given"] if found["given"] is not None else found["text"],
            found["mark"] or "",
            found["of"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[str]:
    """Split a block of `sh` into its commands, of one line or more."""
    found, begun = [], ""
    for line in block.text.splitlines():
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation goes on in the next line
            begun += "\n"
            continue
        if begun.endswith("\\"):
            begun += "\n"
        else:
            found += [begun] if words else []
            begun = ""
    assert not begun, f"{block}: a command has no end"
    return found


@dataclass
class Reader:
    """Somebody who does what a page says, in the current folder."""

    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    server: Served | None = None
    answer: str = ""
    said: str = ""
    has_failed: bool = False
    stack: ExitStack = field(default_factory=ExitStack)

    def follow(self, block: Block) -> None:
        """Do what a block says, and look whether it is so."""
        assert block.language == "json" or not self.has_failed, f"{block}: before it came {self.said}"
        text = block.text.replace(URL, self.server.url) if self.server else block.text
        if block.mark == "not run":
            return
        if block.mark == "file":
            Path(block.of).write_text(text)
        elif block.language == "python":
            exec(compile("\n" * block.line + text, block.page, "exec"), self.names)
        elif block.language == "sh":
            self._run(block, int(block.of or 0))
        elif block.language == "json":
            told = json.loads(self.answer)
            assert is_as_shown(told, json.loads(block.text)), f"{block}: the answer is {json.dumps(told, indent=2)}"
            self.has_failed = False

    def _run(self, block: Block, expected: int) -> None:
        *others, last = commands(block)
        for command in others:
            assert self._told(command) == 0, f"{block}: {command}\n{self.said}"
        done = self._told(last) == expected
        # A request that is refused may be followed by the problem that it is answered with.
        self.has_failed = not done and last.startswith("curl")
        assert done or self.has_failed, f"{block}: {last}\n{self.said}"

    def _told(self, command: str) -> int:
        """Run a command, keep what it prints, and give its status."""
        words = shlex.split(command, comments=True)
        if words[:2] == ["tiffin", "serve"]:
            self.server = self.stack.enter_context(served(Path("feature_store"), *words[2:]))
            return 0
        command = command.replace(URL, self.server.url) if self.server else command
        if words[0] == "tiffin" and not {"|", ">", "<"} & set(words):
            words = shlex.split(command, comments=True)
            done = CliRunner().invoke(app, words[1:], prog_name="tiffin", catch_exceptions=False)
            self.answer, self.said = done.stdout, done.output
            return done.exit_code
        ran = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=False, timeout=60)
        self.answer, self.said = ran.stdout, ran.stdout + ran.stderr
        return ran.returncode


def is_as_shown(told: Any, shown: Any) -> bool:
    """Tell whether an answer is the one that a page shows."""
    if shown == ANYTHING:
        return True
    if isinstance(shown, dict) and isinstance(told, dict):
        named = shown.keys() - {ANYTHING}
        has_the_keys = named <= told.keys() if ANYTHING in shown else named == told.keys()
        return has_the_keys and all(is_as_shown(told[key], shown[key]) for key in named)
    if isinstance(shown, list) and isinstance(told, list):
        return len(shown) == len(told) and all(map(is_as_shown, told, shown))
    return bool(told == shown)


@contextmanager
def reader(home: Path) -> Iterator[Reader]:
    """Give a reader who has this Python, and to whom curl tells of failures; stop the reader's server in the end."""
    (home / ".curlrc").write_text("silent\nshow-error\nfail-with-body\nnoproxy = *\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    before = dict(os.environ)
    os.environ.update({"PATH": path, "CURL_HOME": str(home), "EDITOR": "true", "COLUMNS": "120"})
    try:
        with ExitStack() as stack:
            yield Reader(stack=stack)
    finally:
        os.environ.clear()
        os.environ.update(before)
