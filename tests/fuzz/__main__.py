"""Fuzzes the targets one after the other, and prints what was tried: `make fuzz`, or `python -m fuzz --help`.

Each target runs in a process of its own. What is found worth keeping stays in build/fuzz/TARGET/corpus, and the next
run goes on from there; an input that crashes is kept beside it, as crash-… , timeout-… or oom-…
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from fuzz.inputs import HERE, TARGETS, folders, most_bytes

BUILD = HERE.parents[1] / "build" / "fuzz"

_INPUT_S = 20
_MEMORY_MB = 4096
_BEYOND_S = 120
"""How long a target may take to load, and to end, seconds."""
_PROGRESS = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)", re.MULTILINE)
_TRIED = re.compile(r"^stat::number_of_executed_units:\s+(\d+)", re.MULTILINE)
_BAD = ("crash-*", "timeout-*", "oom-*")


class Outcome(NamedTuple):
    """What became of fuzzing a target."""

    target: str
    tried: int
    per_s: float
    covered: int
    """Edges of Tiffin's code that were reached."""
    crashes: list[Path]
    problem: str
    """Why it ended early, if it did without a crash."""


def main() -> int:
    """Fuzz what is asked for; 1 if anything crashed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz Tiffin's parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; all if left out")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    asked = parser.parse_args()
    if unknown := {*asked.targets} - {*TARGETS}:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    outcomes = []
    for target in asked.targets or TARGETS:
        outcomes.append(fuzz(target, asked.seconds))
        sys.stderr.write(f"{target}: {outcomes[-1].tried:,} inputs, {len(outcomes[-1].crashes)} crashes\n")
    show(outcomes)
    return int(any(outcome.crashes or outcome.problem for outcome in outcomes))


def fuzz(target: str, seconds: int) -> Outcome:
    """Fuzz a target in a process of its own."""
    folder = BUILD / target
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    before = _crashes(folder)
    options = [
        f"-max_total_time={seconds}", f"-max_len={most_bytes(target)}", f"-timeout={_INPUT_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-artifact_prefix={folder}/", "-print_final_stats=1", "-reload=0",
    ]  # fmt: skip
    command = [sys.executable, "-m", "fuzz.one", target, *options, str(corpus), *map(str, folders(target))]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    log = folder / "log"
    with log.open("wb") as sink:
        try:
            done = subprocess.run(
                command, env=environment, stdout=sink, stderr=sink, timeout=seconds + _BEYOND_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            done = -1
    said = log.read_text(errors="replace")
    progress = _PROGRESS.findall(said)
    total = _TRIED.search(said)
    tried = int(total[1]) if total else int(progress[-1][0]) if progress else 0
    crashes = sorted(_crashes(folder) - before)
    problem = f"ended with status {done}: see {log}" if done and not crashes else ""
    return Outcome(target, tried, tried / seconds, int(progress[-1][1]) if progress else 0, crashes, problem)


def _crashes(folder: Path) -> set[Path]:
    return {path for pattern in _BAD for path in folder.glob(pattern)}


def show(outcomes: list[Outcome]) -> None:
    """Print a table of what was tried."""
    table = Table("target", "inputs tried", "a second", "edges covered", "crashes")
    for one in outcomes:
        found = ", ".join(str(path.relative_to(Path.cwd())) for path in one.crashes) or one.problem or "0"
        table.add_row(one.target, f"{one.tried:,}", f"{one.per_s:,.0f}", f"{one.covered:,}", found)
    table.add_section()
    table.add_row(
        "all", f"{sum(one.tried for one in outcomes):,}", "", "", f"{sum(len(one.crashes) for one in outcomes)}"
    )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


sys.exit(main())
