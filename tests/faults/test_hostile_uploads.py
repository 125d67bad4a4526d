"""Bodies that mean harm, by the thousand: each is refused, or accepted and valid; none crashes who reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import hostile_uploads

PATIENCE_S = 250
BLIND_PATIENCE_S = 20
"""Who does not look at what has come can be kept busy for ever."""


def tried(folder: Path, task: str, name: str, count: int, patience_s: float) -> tuple[Counter[str], int]:
    """Read bodies in a process that is begun anew after one that killed it or never ended; what came, how many did."""
    report, first, crashes = folder / "report", 0, 0
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "RUST_BACKTRACE": "0"}
    while True:
        arguments = [task, name, "1", str(count), str(report), str(first)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", hostile_uploads.__name__, *arguments],
                env=environment, capture_output=True, text=True, check=False, timeout=patience_s,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            done = None
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        if done is not None and done.returncode == 0:
            return Counter(line["outcome"] for line in lines if "outcome" in line), crashes
        assert "begin" in lines[-1], done and done.stderr
        crashes, first = crashes + 1, lines[-1]["begin"] + 1


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "count", "least"),
    [
        ("mutated Arrow", 4000, 4000),
        ("mutated Parquet", 2000, 2000),
        ("mutated CSV, gzip and zstd", 2000, 2000),
        ("bombs and forgeries", 0, 70),
    ],
)
def test_bodies_that_mean_harm(tmp_path: Path, name: str, count: int, least: int, figure: Callable[[str], None]):
    found, crashes = tried(tmp_path, "read", name, count, PATIENCE_S)
    assert [outcome for outcome in found if outcome.startswith("WRONG")] == []
    assert crashes == 0
    assert found.total() >= least
    # A number that was changed may ask for any memory, which is then not there; a bomb must not come that far.
    assert count or not found["out of memory"]
    refused = found["refused"] + found["out of memory"]
    figure(
        f"{name}: {found.total():,} bodies, {refused:,} refused, {found['accepted']:,} accepted and valid, 0 crashes, "
        f"each within {hostile_uploads.MOST_MEMORY >> 20:,} MiB of memory"
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_the_validation_invalid_rows_are_accepted(tmp_path: Path, figure: Callable[[str], None]):
    found, crashes = tried(tmp_path, "blind", "mutated Arrow", 120, BLIND_PATIENCE_S)
    figure(
        f"validation off: {found['invalid and accepted']} of {found.total() + crashes:,} mutated streams were accepted "
        f"though invalid, {crashes} crashed or never ended"
    )
    assert found["invalid and accepted"] + crashes > 5
