"""A real process is killed at every operation on files of every step that changes a store."""

from __future__ import annotations

import itertools
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.kill_points import (
    BEFORE,
    PLAIN,
    STEPS,
    DyingFiles,
    Facts,
    InPlaceFiles,
    do_and_die,
    facts,
    opened,
    prepare,
    put_back,
    rows,
)
from faults.workload import PROCESSES, notes
from tiffin.errors import TiffinError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare(folder)
    assert facts(folder) == BEFORE
    return folder


def killed(prepared: Path, folder: Path, name: str, files: type[DyingFiles] = DyingFiles) -> Iterator[Path]:
    """Give the store as each kill left it; at the end, as it is when the step came to its end."""
    for dies_at in itertools.count():
        store, log = folder / str(dies_at), folder / f"log-{dies_at}"
        put_back(prepared, store)
        process = PROCESSES.Process(daemon=True, target=do_and_die, args=(store, log, name, dies_at, files))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), name
        yield store
        shutil.rmtree(store)
        if notes(log):
            break


def go_on(store: Path, name: str, found: Facts, states: list[Facts]) -> None:
    """Do again what was not acknowledged, then save; no command is needed before that."""
    step = STEPS[name]
    with opened(store, **step.settings) as again:
        if found == states[0]:
            step.act(again)
            found = facts(store)
            assert found == states[-1]
        newest = max(key for key in found if key[:2] == ("rows", PLAIN))
        commit = again.save(PLAIN, rows((99, 990)), mode="append")
        assert sorted(again.read(PLAIN, version=commit.version).to_polars().rows()) == [*found[newest], (99, 990)]
        assert again.examine() == []
        assert list((store / "features" / PLAIN).rglob("*.tmp")) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STEPS)
def test_a_process_killed_at_any_operation_leaves_all_of_it_or_nothing(
    prepared: Path, tmp_path: Path, figure: Callable[[str], None], name: str
):
    states = STEPS[name].then(BEFORE)
    kills = seen = -1
    for store in killed(prepared, tmp_path, name):
        found = facts(store)
        assert found in states, kills
        # What is further on in time is further on in the step.
        assert states.index(found) >= seen
        seen = states.index(found)
        kills += 1
        go_on(store, name, found, states)
    assert found == states[-1]
    figure(f"{kills} kills, 0 lost, 0 torn; each time the step could be repeated and the next save worked")


# A save in place would show nothing here: a commit that is torn is set aside.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage again", "make a key", "replace a service"])
def test_in_place_writes_are_caught(prepared: Path, tmp_path: Path, figure: Callable[[str], None], name: str):
    states = STEPS[name].then(BEFORE)
    left = [look(store) for store in killed(prepared, tmp_path, name, InPlaceFiles)]
    wrong = sum(found not in states for found in left)
    figure(f"files written in place: {wrong} of {len(left) - 1} kills left something torn (wanted)")
    assert wrong


def look(store: Path) -> Facts | str:
    try:
        return facts(store)
    except TiffinError as error:
        return error.message
