"""Hold a run of the fault tests against the plan: `python -m faults.page RUN.json [--to docs/reliability.md]`.

Prints, for each row of `plan.toml`, what was found; with `--to`, puts the same as a table between two marks of a page.
Fails when a test of the run failed, a row has no figures, or too little was done in all. What the machine did not let
the tests do (without root no disk can be mounted) is told, and keeps the page as it is.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from figures import Run, read

PLAN = Path(__file__).with_name("plan.toml")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COUNT = re.compile(r"\b\d(?:[\d,]*\d)?\b")
MEASURE = re.compile(r"\d\.\d")


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is done to the store, the tests that do it, and those that show that they would notice."""

    number: int
    what: str
    promise: str
    tests: list[str]
    """Shell patterns for node ids without their parameters."""
    control: list[str]
    """The same, of tests in which the protection is taken away or the damage done behind the oracle's back."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be tried."""

    least: dict[str, int]
    """How much is to be done in all, by the word that follows the number in the figures."""
    row: list[Row]


def plan() -> Plan:
    return msgspec.convert(tomllib.loads(PLAN.read_text(encoding="utf-8")), Plan)


def fits(node: str, patterns: Iterable[str]) -> bool:
    """Tell whether a test, whatever its parameters, is meant by one of some patterns."""
    test = node.partition("[")[0]
    return any(fnmatch.fnmatchcase(test, pattern) for pattern in patterns)


def lines(run: Run, patterns: Sequence[str], besides: Sequence[str] = ()) -> list[str]:
    """Return the figures of some tests; those of one test that differ in their counts alone are added up."""
    alike: dict[tuple[str, str], list[str]] = {}
    for node, noted in run.figures.items():
        if fits(node, patterns) and not fits(node, besides):
            for line in noted:
                # A measure is no count: such a line stands for itself.
                words = line if MEASURE.search(line) else COUNT.sub("#", line)
                alike.setdefault((node.partition("[")[0], words), []).append(line)
    return [_added_up(several) for several in alike.values()]


def _added_up(several: Sequence[str]) -> str:
    if MEASURE.search(several[0]):
        return several[0]
    sums = map(sum, zip(*(map(_number, COUNT.findall(line)) for line in several), strict=True))
    return COUNT.sub(lambda _: f"{next(sums):,}", several[0])


def _number(written: str) -> int:
    return int(written.replace(",", ""))


def total(run: Run, wanted: Plan, word: str) -> int:
    """Add up all numbers before a word, those of the controls apart."""
    tests = [pattern for row in wanted.row for pattern in row.tests]
    controls = [pattern for row in wanted.row for pattern in row.control]
    found = " ".join(lines(run, tests, controls))
    return sum(map(_number, re.findall(rf"({COUNT.pattern}) {word}\b", found)))


def missing(run: Run, wanted: Plan) -> Iterator[str]:
    """Tell what keeps a run from being a proof."""
    yield from (f"failed: {node}" for node in run.failed)
    for row in wanted.row:
        is_tried = not any(fits(node, [*row.tests, *row.control]) for node in run.skipped)
        if is_tried and not lines(run, row.tests, row.control):
            yield f"{row.number}: no figures: {row.what}"
        if is_tried and not lines(run, row.control):
            yield f"{row.number}: no figures of the control: {row.what}"
    for word, least in wanted.least.items():
        if total(run, wanted, word) < least:
            yield f"{total(run, wanted, word)} {word} in all, not {least}"


def untried(run: Run) -> list[str]:
    """Tell what this machine did not let the tests do, and why."""
    return [f"NOT TRIED: {node}: {why}" for node, why in run.skipped.items()]


def table(run: Run, wanted: Plan) -> str:
    """Write the plan with the figures of a run, as Markdown."""
    machine = run.machine
    in_all = ", ".join(f"{total(run, wanted, word):,} {word}" for word in wanted.least)
    rows = [
        (
            _cell([row.what]),
            row.promise,
            _cell(lines(run, row.tests, row.control)),
            _cell(lines(run, row.control)),
        )
        for row in wanted.row
    ]
    head = ("what is done", "promise", "what was found", "with the protection taken away")
    measured = (
        f"Measured {run.when[:10]} in one run of `make faults` on {machine.cores} cores and {machine.memory_gb:.0f} GB "
        f"of memory, {machine.system}, {machine.file_system}, Python {machine.python}; {in_all} in all.\n"
    )
    return "\n".join([measured, *(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])])


def _cell(found: Sequence[str]) -> str:
    return "<br>".join(line.replace("|", "\\|") for line in found)


def put(page: str, between: str) -> str:
    """Put a text between the two marks of a page."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{between}\n{END}{after}"


def _printed(run: Run, wanted: Plan) -> Iterator[str]:
    for row in wanted.row:
        yield f"\n{row.number:>2}  {row.what}"
        yield from (f"      {line}" for line in lines(run, row.tests, row.control))
        yield from (f"      control: {line}" for line in lines(run, row.control))
    yield "\n" + ", ".join(f"{total(run, wanted, word):,} {word} in all" for word in wanted.least)


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults.page", description=__doc__)
    parser.add_argument("run", type=Path, help="what `pytest --figures` wrote")
    parser.add_argument("--to", type=Path, help="the page to put the table into")
    given = parser.parse_args()
    run, wanted = read(given.run), plan()
    faults = list(missing(run, wanted))
    loud = [f"!!! {line}" for line in [*untried(run), *faults]]
    sys.stdout.writelines(f"{line}\n" for line in [*_printed(run, wanted), *loud])
    if given.to and not loud:
        page = put(given.to.read_text(encoding="utf-8"), table(run, wanted))
        given.to.write_text(page, encoding="utf-8")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
