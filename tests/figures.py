"""Figures that tests note: printed after the run, and with `--figures FILE` kept as JSON, to make a page of them."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil
import pytest

FIGURE = "figure"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were measured on."""

    cores: int
    memory_gb: float
    """10**9 bytes."""
    system: str
    python: str
    file_system: str
    """The kind of the one on which the tests have their folders."""


class Run(msgspec.Struct, kw_only=True):
    """What a run of tests noted, by the tests' node ids."""

    when: str
    """UTC, ISO 8601."""
    machine: Machine
    figures: dict[str, list[str]] = {}
    failed: list[str] = []
    skipped: dict[str, str] = {}
    """Why each of them was not tried."""

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def read(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=Run)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note a line of figures; it also travels from the workers of a parallel run.

    Lines of one test with several parameters that differ in their whole numbers alone are added up on the page: let
    them be counts.
    """
    return lambda line: record_property(FIGURE, line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", metavar="FILE", type=Path, help="add what the tests note to a JSON file")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    noted = dict(_noted(terminalreporter))
    if noted:
        terminalreporter.section("figures")
        for node, lines in noted.items():
            for line in lines:
                terminalreporter.write_line(f"{node.rpartition('::')[2]}: {line}")
    path = config.getoption("figures")
    if path:
        before = (
            read(path) if path.exists() else Run(when=datetime.now(UTC).isoformat("T", "seconds"), machine=machine())
        )
        _added(before, noted, terminalreporter).write(path)


def _reports(terminalreporter: pytest.TerminalReporter, *outcomes: str) -> Iterator[pytest.TestReport]:
    for outcome in outcomes:
        yield from terminalreporter.stats.get(outcome, [])


def _noted(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, list[str]]]:
    for report in _reports(terminalreporter, "passed", "failed"):
        lines = [str(value) for name, value in report.user_properties if name == FIGURE]
        if report.when == "call" and lines:
            yield report.nodeid, lines


def _added(run: Run, noted: dict[str, list[str]], terminalreporter: pytest.TerminalReporter) -> Run:
    """Put what these tests noted in the place of what they noted before."""
    failed = [report.nodeid for report in _reports(terminalreporter, "failed", "error")]
    reasons = {report.nodeid: report.longrepr[2] for report in _reports(terminalreporter, "skipped")}
    passed = {report.nodeid for report in _reports(terminalreporter, "passed")}
    return Run(
        when=run.when,
        machine=run.machine,
        figures=run.figures | noted,
        failed=sorted({*run.failed, *failed} - passed | set(failed)),
        skipped={node: why for node, why in run.skipped.items() if node not in passed} | reasons,
    )


def machine() -> Machine:
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        file_system=_kind_of_file_system(Path(tempfile.gettempdir()).resolve()),
    )


def _kind_of_file_system(folder: Path) -> str:
    mounted = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounted[level] for level in (folder, *folder.parents) if level in mounted), "unknown")
