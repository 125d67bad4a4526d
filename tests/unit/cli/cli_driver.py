"""Running the program in tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

from tiffin.cli.app import app

SOURCE = Path(__file__).parents[3] / "src"
START = datetime(2024, 5, 1, tzinfo=UTC)


class Cli:
    """The program, run in this process, on the store `feature_store` of the current folder."""

    def __call__(self, *args: str, given: str | bytes | None = None, status: int = 0):
        result = CliRunner().invoke(app, [*map(str, args)], input=given, prog_name="tiffin", catch_exceptions=False)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *args: str, **how):
        return json.loads(self(*args, "--json", **how).stdout)

    def process(self, *args: str, **how) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command(*args), capture_output=True, env=environment(), timeout=60, check=False, **how)


def command(*args: str) -> list[str]:
    return [sys.executable, "-c", "from tiffin.cli import main; main()", *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


def ratings(count: int = 12, days_later: int = 0) -> pl.DataFrame:
    numbers = range(count)
    return pl.DataFrame(
        {
            "user_id": [number + 1 for number in numbers],
            "mean": [1.0 + number % 5 for number in numbers],
            "rated_at": [START + timedelta(days=number + days_later) for number in numbers],
        }
    )
