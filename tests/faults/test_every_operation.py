"""Every file operation in a table's life fails or is crashed at, under every outcome; nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from faults import history
from faults.history import HISTORY, Ledger, Step
from faults.simfs import KINDS, OUTCOMES, WRITING, Crash, Fault, SimulatedFiles

CHANGING = WRITING | {"remove", "remove_folder"}


def faults(operations: list[str]) -> Iterator[Fault]:
    """Name every fault that differs from the others: a crash while reading leaves what the next one leaves."""
    for at, operation in enumerate(operations):
        for kind in KINDS:
            if kind == "EIO" or operation in (CHANGING if kind == "crash" else WRITING):
                yield Fault(at, kind)


def trial(disk: SimulatedFiles, ledger: Ledger, steps: list[Step], fault: Fault) -> tuple[int, list[str]]:
    """Do some steps under a fault, cut the power with every outcome, and return the number of cases and violations."""
    fs, ledger = disk.after_crash("kept"), deepcopy(ledger)
    table = history.opened(fs)
    fs.plan(fault)
    broken = []
    try:
        with contextlib.suppress(Crash):
            history.run(table, steps, ledger)
    except (AssertionError, OSError) as error:
        broken.append(f"{fault}: {type(error).__name__}: {error}")
    fs.plan(None)
    seen = set()
    for outcome in OUTCOMES:
        after = fs.after_crash(outcome)
        held = tuple(history.walk(after, Path("/")))
        if held not in seen:
            seen.add(held)
            wrong = history.violation(after, ledger, and_then=outcome in ("lost", "torn"))
            if wrong:
                broken.append(f"{fault} at {steps[0].name}, {outcome}: {wrong}")
    return len(OUTCOMES), broken


def sweep(before: list[Step], steps: list[Step], **variant: bool) -> tuple[int, int, list[str]]:
    """Try every fault in some steps; return the numbers of operations and cases, and the violations."""
    disk, ledger = history.prepared(before, **variant)
    dry = disk.after_crash("kept")
    table = history.opened(dry)
    dry.plan(None)
    history.run(table, steps, deepcopy(ledger))
    operations = list(dry.operations)
    results = [trial(disk, ledger, steps, fault) for fault in faults(operations)]
    return len(operations), sum(cases for cases, _ in results), [text for _, texts in results for text in texts]


class TestEveryOperation:
    @pytest.mark.parametrize("at", range(len(HISTORY)), ids=[step.name for step in HISTORY])
    def test_no_fault_at_any_operation_of_a_step_breaks_a_promise(self, at: int, figure: Callable[[str], None]):
        operations, cases, broken = sweep(HISTORY[:at], [HISTORY[at]])
        figure(f"{operations} operations, {cases} cases, {len(broken)} violations")
        assert cases > 100
        assert broken == []
