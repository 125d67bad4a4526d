"""Run the scripts of a performance guide, with nothing changed but their `/app` paths, and grade what they print.

`python benchmarks/guides.py --guide FILE [--quick]`. Each script is given to `bash` as it stands in the guide; a
`docker` that runs it here, in a process of its own, is put first on the path.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

SOURCE = Path(__file__).parents[1] / "src"
TIMEOUT_S = 600
LONG = "180"
"""Seconds that the one long script goes on for."""


@dataclass(frozen=True)
class Grade:
    """One criterion of the guide, and how we did. Floor and best are bounds, not reached where less is better."""

    criterion: str
    ours: float
    floor: float
    best: float
    unit: str
    less_is_better: bool = False

    def reaches(self, bound: float) -> bool:
        """Tell whether our figure is on the right side of a bound."""
        return self.ours < bound if self.less_is_better else self.ours >= bound

    def row(self) -> tuple[str, ...]:
        """Write the columns of the table."""
        sign = "<" if self.less_is_better else "≥"
        grade = "[green]best[/]" if self.reaches(self.best) else "[yellow]floor[/]"
        return (
            self.criterion,
            f"{sign} {self.floor:g} {self.unit}",
            f"{sign} {self.best:g} {self.unit}",
            f"{self.ours:,.1f} {self.unit}",
            grade if self.reaches(self.floor) else "[red]missed[/]",
        )


def numbers(pattern: str, output: str) -> list[float]:
    """Find every number that stands in the group of a pattern; by the units, as some words of a guide may be lost."""
    return [float(found) for found in re.findall(pattern, output, re.MULTILINE)]


def generation(output: str) -> Iterator[Grade]:
    megabytes = numbers(r": (-?[\d.]+) MB$", output)
    yield Grade(
        "feature generation, slowest of three", min(numbers(r": ([\d.]+) movies/sec ", output)), 10, 10, "movies/s"
    )
    yield Grade("memory for 1,000 movies", megabytes[-1], 300, 300, "MB", less_is_better=True)


def storing(output: str) -> Iterator[Grade]:
    rates = numbers(r"\(([\d.]+) MB/s\)$", output)
    for size, save, load in zip(("1,000 × 11", "5,000 × 21", "10,000 × 31"), rates[0::2], rates[1::2], strict=True):
        yield Grade(f"save, {size}", save, 10, 10, "MB/s")
        yield Grade(f"load, {size}", load, 20, 20, "MB/s")


def threads(output: str) -> Iterator[Grade]:
    yield Grade("8 threads: success", numbers(r": ([\d.]+)%$", output)[0], 90, 95, "%")
    yield Grade("8 threads: round trips that succeeded", sum(numbers(r": (\d+)/5\b", output)), 36, 40, "of 40")


def endurance(output: str) -> Iterator[Grade]:
    summary = output.rpartition("=====")[2]
    done, failed = numbers(r": (\d+)[^\d.%]*$", summary)[:2]
    yield Grade("3 minutes: errors", 100 * failed / (done + failed), 5, 1e-9, "%", less_is_better=True)
    memory = numbers(r": ([\d.]+) MB$", output)
    yield Grade("3 minutes: growth of memory", max(memory) - min(memory), 150, 50, "MB", less_is_better=True)
    counts = [0.0, *numbers(r": (\d+)[^\d(]+, \d+[^\d.]*$", output)]
    rates = [after - before for before, after in pairwise(counts)]
    yield Grade("3 minutes: slow-down", 100 * (1 - sum(rates[-2:]) / sum(rates[:2])), 10, 10, "%", less_is_better=True)
    yield Grade("3 minutes: save and load, done", done, 1, 1, "times")


def leaking(output: str) -> Iterator[Grade]:
    readings = numbers(r" \d+: ([\d.]+) MB$", output)
    yield Grade("ten rounds: growth of memory", readings[-1] - readings[0], 50, 20, "MB", less_is_better=True)


def caching(output: str) -> Iterator[Grade]:
    first, second = numbers(r": ([\d.]+)ms$", output)
    yield Grade("second read against the first", first / second, 2, 5, "times faster")
    yield Grade("entries that the cache reports", numbers(r": (\d+)/20$", output)[0], 5, 5, "of 5")


READERS: list[Callable[[str], Iterator[Grade]]] = [generation, storing, threads, endurance, leaking, caching]


def scripts(guide: str) -> list[str]:
    """Find the shell commands of a guide that run Python."""
    blocks = re.findall(r"^```bash\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if ' python -c "' in block]


def run(script: str, folder: Path) -> str:
    """Run a script of the guide in a folder of its own and return what it printed."""
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\nshift 4\nexec "{sys.executable}" "$@"\n')
    docker.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    command = script.replace("/app/src", str(SOURCE)).replace("/app/data", str(data))
    environment = {**os.environ, "PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode or done.stderr:
        raise SystemExit(f"a script of the guide ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="guides", description="Run a performance guide's scripts and grade them.")
    parser.add_argument("--guide", type=Path, required=True, help="the guide, a Markdown file")
    parser.add_argument("--quick", action="store_true", help="leave out the script that takes three minutes")
    parser.add_argument("--show", action="store_true", help="show what the scripts print")
    chosen = parser.parse_args()
    found = scripts(chosen.guide.read_text(encoding="utf-8", errors="replace"))
    if len(found) != len(READERS):
        raise SystemExit(f"{chosen.guide} has {len(found)} scripts, not the {len(READERS)} of the performance guide")
    console = Console()
    table = Table("script", "criterion", "floor", "best grade", "ours", "", title="The performance guide's scripts")
    grades = []
    for number, (script, reader) in enumerate(zip(found, READERS, strict=True), start=1):
        if chosen.quick and LONG in script:
            table.add_row(str(number), "left out (--quick)", "", "", "", "")
            continue
        with tempfile.TemporaryDirectory() as folder, console.status(f"script {number} of {len(found)}"):
            output = run(script, Path(folder))
        if chosen.show:
            console.print(output, markup=False, highlight=False)
        for grade in reader(output):
            grades.append(grade)
            table.add_row(str(number), *grade.row())
        if "⚠" in output:
            grades.append(Grade("the script's own verdicts", 0, 1, 1, "all best"))
            table.add_row(str(number), *grades[-1].row())
    console.print(table)
    sys.exit(0 if all(grade.reaches(grade.best) for grade in grades) else 1)


if __name__ == "__main__":
    main()
