from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import typer
from cli_driver import command, environment

import tiffin
from tiffin import FeatureStore
from tiffin.access import keys_of
from tiffin.cli.app import app
from tiffin.cli.demo import calling, course, serving

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()


def commands(group, before: str = "") -> dict:
    """All commands by what one types: `save`, `training ls`."""
    found = {}
    for name, each in group.commands.items():
        is_group = hasattr(each, "commands")
        found |= commands(each, f"{before}{name} ") if is_group else {before + name: each}
    return found


COMMANDS = commands(typer.main.get_command(app))
HEAVY = {"polars", "pyarrow", "pandas", "numpy", "deltalake", "msgspec", "tiffin.store"}


def examples_of_help() -> list[str]:
    lines = [line for each in COMMANDS.values() for line in each.epilog.splitlines()]
    lines = [line.removeprefix("$ ").replace(r"\[", "[") for line in lines if line.startswith("$ ")]
    # Those of `serve` do not end by themselves: e2e/test_server_edge.py starts servers with these options.
    return [line for line in lines if not line.startswith("tiffin serve")]


def examples_of_page() -> list[str]:
    return re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)


def test_the_page_names_every_command_and_no_other():
    assert re.findall(r"^\| `([\w -]+)` \|", PAGE, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example_of_itself(cli, name):
    told = cli(*name.split(), "--help").stdout
    assert f"tiffin {name}" in told.split("Examples")[1]
    assert "--json" in told
    assert "--store" in told


def test_the_page_and_the_help_have_examples():
    assert len(examples_of_help()) >= len(COMMANDS) - 1
    assert len(examples_of_page()) >= 10


def furnish(example: str) -> None:
    """Put into the store what an example names and does not make itself."""
    store = FeatureStore("feature_store")
    store.save("user/profile", [{"user_id": 7, "age": 30}], entity="user_id")
    if "ranker" in example and "service create" not in example:
        store.create_service("ranker", ["user/profile:age"])
    if "first_try" in example and "--save" not in example:
        store.save_training_set("first_try", store.get_historical_features([{"user_id": 7}], ["user/profile"]))
    if re.search(r"\bprod\b", example) and "tiffin tag " not in example:
        store.tag("user/ratings", 0, "prod")
    if "try1" in example:
        store.stage("user/ratings", store.read("user/ratings"), "try1")
    if re.search("derive (refresh|show) user", example):
        what = {"source": "user/ratings", "entity": "user_id", "windows": "7d", "aggregations": {"mean": "mean"}}
        store.derive("user/activity", what)
    if "--drop mean_range" in example:
        store.constrain("user/ratings", "mean between 0 and 10")
    if re.search("on-demand (drop|prove)", example):
        store.declare("user/ratings", online=True)
        how = {"inputs": ["user/ratings:mean"], "outputs": {"x": pl.Float64}, "sql": {"x": "mean * 2"}}
        store.register(tiffin.on_demand("user/surprise", **how))
    if "keys revoke" in example:
        keys_of(store.path).create("dashboard", ["read"])
    if re.search("push|online get|verify", example):
        store.materialize("user/ratings")


@pytest.mark.parametrize("example", dict.fromkeys([*examples_of_help(), *examples_of_page()]))
def test_the_example_works(cli, monkeypatch, example):
    furnish(example)
    monkeypatch.setattr(course, "MADE_UP_MOVIES", 80)
    monkeypatch.setattr(serving, "SIZES", {1: 50, 100: 5})
    # test_movies.py looks at the server that the demo calls.
    monkeypatch.setattr(calling, "call", lambda run, ratings: None)
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
