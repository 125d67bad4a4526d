from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_driver import command, environment

import tiffin
from tiffin.cli import demo
from tiffin.cli.app import app

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
COMMANDS = typer.main.get_command(app).commands
HEAVY = {"polars", "pyarrow", "pandas", "numpy", "deltalake", "msgspec", "tiffin.store"}


def examples_of_help() -> list[str]:
    lines = [line for each in COMMANDS.values() for line in each.epilog.splitlines()]
    return [line.removeprefix("$ ").replace(r"\[", "[") for line in lines if line.startswith("$ ")]


def examples_of_page() -> list[str]:
    return re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)


def test_the_page_names_every_command_and_no_other():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example_of_itself(cli, name):
    told = cli(name, "--help").stdout
    assert f"tiffin {name}" in told.split("Examples")[1]
    assert "--json" in told
    assert "--store" in told


def test_the_page_and_the_help_have_examples():
    assert len(examples_of_help()) >= len(COMMANDS)
    assert len(examples_of_page()) >= 10


@pytest.mark.parametrize("example", [*examples_of_help(), *examples_of_page()])
def test_the_example_works(cli, monkeypatch, example):
    monkeypatch.setattr(demo, "MADE_UP_MOVIES", 100)
    given = None
    for step in example.split(" | "):
        program, *args = shlex.split(step)
        if program == "cat":
            given = Path(args[0]).read_bytes()
        else:
            assert program == "tiffin"
            given = cli(*args, given=given).stdout_bytes


def test_help_imports_nothing_heavy():
    code = (
        "import sys, json\n"
        "from tiffin.cli import main\n"
        "sys.argv = ['tiffin', '--help']\n"
        "try:\n    main()\nfinally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True, timeout=60
    )
    assert "Usage: tiffin" in done.stdout
    assert HEAVY.isdisjoint(json.loads(done.stderr))


def test_the_version_is_told(cli):
    assert cli("--version").stdout == f"tiffin {tiffin.__version__}\n"


def test_the_shell_completes_names_of_tables(cli):
    asked = {"_TIFFIN_COMPLETE": "complete_bash", "COMP_WORDS": "tiffin read us", "COMP_CWORD": "2"}
    done = subprocess.run(
        command(), capture_output=True, text=True, env={**environment(), **asked}, check=False, timeout=60
    )
    assert done.stdout.split() == ["user/ratings"]
