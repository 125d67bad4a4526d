"""Every kind of file that a store has is damaged in every way: answers are right, or errors that name the file.

The files are found by walking the folder of a store that has everything in it; a file of a kind that is not known to
`whole_store` fails these tests, so that none is forgotten.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import store_damage, whole_store

OFTEN = {"flip": 13, "cut": 3, "zeros": 2, "block": 3, "empty": 1, "missing": 1, "folder": 1, "link": 2}
"""Each kind of file in each way, this often; twice, with other bits."""
PATIENCE_S = 200
MOST_ROUNDS = 12


def run(task: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", store_damage.__name__, task, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def built(folder: Path) -> Path:
    done = run("build", folder)
    assert done.returncode == 0, done.stderr
    return folder


def tried(folder: Path, task: str, todo: list[store_damage.Trial]) -> tuple[Counter[str], int]:
    """Do the trials in a process that is begun anew after one that killed it; what came of them, and how many did."""
    (folder / "trials").write_text(json.dumps(todo))
    (folder / "report").unlink(missing_ok=True)
    crashes, first = 0, 0
    while True:
        done = run(task, folder, first)
        lines = [json.loads(line) for line in (folder / "report").read_text().splitlines()]
        if done.returncode == 0:
            break
        assert done.returncode < 0, done.stderr
        crashes, first = crashes + 1, lines[-1]["begin"] + 1
        built(folder)
    found = sum((Counter(line["found"]) for line in lines if "found" in line), Counter())
    assert sum("begin" in line for line in lines) == len(todo)
    return found, crashes


def wrong(found: Counter[str]) -> list[str]:
    return [outcome for outcome in found if outcome.startswith("WRONG")]


def kinds_of(outcomes: list[str]) -> set[str]:
    """Give the kinds of the files that the outcomes name."""
    return {whole_store.kind_of(outcome.partition("'")[2].partition("'")[0]).name for outcome in outcomes}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
def test_damage_to_any_file_gives_no_wrong_answer(tmp_path: Path, seed: int, figure: Callable[[str], None]):
    folder = built(tmp_path)
    todo = store_damage.trials(folder / "store", seed, OFTEN)
    found, crashes = tried(folder, "checked", todo)
    assert wrong(found) == []
    assert crashes == 0
    kinds = {whole_store.kind_of(trial.path).name for trial in todo}
    assert kinds == {kind.name for kind in whole_store.KINDS}, "the store of these tests lacks a kind of file"
    assert len(todo) > 500
    assert found["told"] > 300
    said = found["told"] + found["told to be missing"] + found["left out"]
    figure(
        f"{len(todo):,} damages to every kind of file in every way: {found['right']:,} right answers, {said:,} "
        f"that name the file or leave out what is damaged, {found['rolled back']} without a torn last commit, "
        f"{found['not found']} online rows not found, 0 wrong, 0 crashes"
    )


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_without_the_checksums_the_same_damage_gives_wrong_answers(tmp_path: Path, figure: Callable[[str], None]):
    folder = built(tmp_path)
    todo = [one for one in store_damage.trials(folder / "store", 1, {"flip": 12}) if "online" not in one.path]
    found, crashes = tried(folder, "unchecked", todo)
    flips, seed = len(todo), 1
    # Most flipped bits do no harm even so: nine in ten of a commit's, and up to 97 in 100 of a data file's.
    while (missing := {"commit", "data file"} - kinds_of(wrong(found))) and seed <= MOST_ROUNDS:
        seed += 1
        more = store_damage.trials(folder / "store", seed, {"flip": 60})
        todo = [one for one in more if whole_store.kind_of(one.path).name in missing]
        also, crashed = tried(folder, "unchecked", todo)
        found, crashes, flips = found + also, crashes + crashed, flips + len(todo)
    kinds = kinds_of(wrong(found))
    figure(
        f"checks off: {sum(found[one] for one in wrong(found))} wrong answers and {crashes} crashes after {flips} "
        f"flipped bits, by {len(kinds)} kinds of files"
    )
    assert not missing
    assert len(kinds) >= 6
