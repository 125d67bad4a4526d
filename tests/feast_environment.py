"""The real Feast, in an environment of its own: TIFFIN_FEAST_PYTHON names its Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REQUIRED = os.environ.get("TIFFIN_REQUIRE_FEAST") == "1"
PYTHON = os.environ.get("TIFFIN_FEAST_PYTHON")

_VARIABLES = {"FEAST_USAGE": "False", "IS_TEST": "True", "PYTHONWARNINGS": "ignore"}


def python(*args: str | Path, cwd: Path) -> str:
    """Run a script in Feast's environment and return what it printed."""
    assert PYTHON
    return _run([PYTHON, *map(str, args)], cwd)


def feast(*args: str | Path, cwd: Path) -> str:
    """Run Feast's own program."""
    assert PYTHON
    return _run([str(Path(PYTHON).with_name("feast")), *map(str, args)], cwd)


def _run(command: list[str], cwd: Path) -> str:
    environment = {**os.environ, **_VARIABLES}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
