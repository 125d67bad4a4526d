"""Every file operation in a table's life fails or is crashed at, under every outcome; nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from faults import history
from faults.history import HISTORY, Ledger, Step
from faults.simfs import OUTCOMES, WRITING, Crash, Fault, SimulatedFiles

CHANGING = WRITING | {"remove", "remove_folder"}
STEPS = [pytest.param(at, id=f"{at}-{step.name.replace(' ', '-')}") for at, step in enumerate(HISTORY)]


def faults(operations: list[str], *, every: int = 1) -> Iterator[Fault]:
    """Name every fault that differs from the others: a crash while reading leaves what the next one leaves.

    With `every`, a failing read is tried only at each n-th read.
    """
    reads = 0
    for at, operation in enumerate(operations):
        if operation in CHANGING:
            yield Fault(at, "crash")
            yield Fault(at, "EIO")
            if operation in WRITING:
                yield Fault(at, "ENOSPC")
            if operation == "create":
                yield Fault(at, "short")
        elif (reads := reads + 1) % every == 0:
            yield Fault(at, "EIO")


def trial(disk: SimulatedFiles, ledger: Ledger, steps: list[Step], fault: Fault) -> list[str]:
    """Do some steps under a fault, cut the power with every outcome, and tell what broke."""
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
            wrong = history.violation(after, ledger, and_then=outcome == "torn")
            if wrong:
                broken.append(f"{fault}, {outcome}: {wrong}")
    return broken


def sweep(before: list[Step], steps: list[Step], *, every: int = 1, **variant: bool) -> tuple[int, int, list[str]]:
    """Try every fault in some steps; return the numbers of operations and of cases, and what broke."""
    disk, ledger = history.prepared(before, **variant)
    dry = disk.after_crash("kept")
    table = history.opened(dry)
    dry.plan(None)
    history.run(table, steps, deepcopy(ledger))
    planned = list(faults(list(dry.operations), every=every))
    broken = [text for fault in planned for text in trial(disk, ledger, steps, fault)]
    return len(dry.operations), len(planned) * len(OUTCOMES), broken


class TestEveryOperation:
    @pytest.mark.parametrize("at", STEPS)
    def test_no_fault_in_a_step_breaks_a_promise(self, at: int, figure: Callable[[str], None]):
        operations, cases, broken = sweep(HISTORY[:at], [HISTORY[at]], every=4)
        figure(f"{cases} cases at {operations} operations, one step at a time, {len(broken)} violations")
        assert cases > 100
        assert broken == []

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_no_fault_in_a_whole_life_breaks_a_promise_then_or_later(self, figure: Callable[[str], None]):
        operations, cases, broken = sweep([], HISTORY)
        figure(f"{cases} cases at {operations} operations of a table's whole life, {len(broken)} violations")
        assert cases > 3000
        assert broken == []


class TestNegativeControls:
    """An oracle that sees nothing here would see nothing above either."""

    def test_without_syncing_the_oracle_finds_violations(self, figure: Callable[[str], None]):
        _, cases, broken = sweep(HISTORY[:1], HISTORY[1:2], every=100, without_sync=True)
        figure(f"syncing does nothing: {cases} cases, {len(broken)} violations (wanted)")
        assert broken

    def test_writing_in_place_the_oracle_finds_violations(self, figure: Callable[[str], None]):
        _, cases, broken = sweep(HISTORY[:1], HISTORY[1:2], every=100, in_place=True)
        figure(f"files written in place: {cases} cases, {len(broken)} violations (wanted)")
        assert broken


class InterruptedFiles(SimulatedFiles):
    """Ctrl-C arrives as soon as the n-th operation is done; the process lives on."""

    countdown = -1

    def _fault_now(self, operation: str) -> Any:
        if self.countdown == 0:
            self.countdown = -1
            raise KeyboardInterrupt
        self.countdown -= operation in CHANGING
        return super()._fault_now(operation)


class TestInterrupts:
    @pytest.mark.parametrize("at", [1, 2, 3, 5], ids=["overwrite", "append", "upsert", "compact"])
    def test_an_interrupt_anywhere_in_a_step_leaves_the_version_whole_or_absent(
        self, at: int, figure: Callable[[str], None]
    ):
        interrupted = 0
        for countdown in range(1, 60):
            fs, ledger = InterruptedFiles(), Ledger()
            table = history.opened(fs)
            history.run(table, HISTORY[:at], ledger)
            fs.countdown = countdown
            try:
                history.run(table, [HISTORY[at]], ledger)
            except KeyboardInterrupt:
                interrupted += 1
            fs.countdown = -1
            for outcome in ("lost", "kept"):
                assert history.violation(fs.after_crash(outcome), ledger, and_then=True) == ""
            if not interrupted or countdown > interrupted:
                break
        assert interrupted > 8
        figure(f"{interrupted} interrupts (Ctrl-C), each version whole or absent")
