"""Real system calls fail, or are the last before a kill, one by one: a clear error, the old data whole, and on it goes.

What the simulated file system cannot show: that the calls which Python, Polars and LMDB really make are all minded.
The oracle reads the tables with `deltalake` and Polars, and the keys as plain JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import deltalake
import polars as pl
import pytest

import tiffin
from faults.system_calls import BEFORE, CASES, SETTINGS, TABLE, Servant, prepare
from faults.workload import ROWS, Groups, groups_of
from tiffin.errors import TableNotFound, TiffinError
from tracer import traced

FULL = ("ENOSPC", "EDQUOT", "EFBIG")
CHANGING = {
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC"),
    "write": ("ENOSPC", "EIO", "EDQUOT", "EFBIG"),
    "pwrite64": ("EIO", "ENOSPC", "EDQUOT"),
    "writev": ("ENOSPC", "EIO"),
    "rename": ("EIO", "ENOSPC", "EACCES", "EROFS"),
    "link": ("EIO", "ENOSPC", "EPERM", "EROFS"),
    "unlink": ("EIO", "EACCES", "EROFS"),
    "mkdir": ("ENOSPC", "EACCES", "EROFS", "EDQUOT"),
    "ftruncate": ("ENOSPC", "EIO"),
}
LOOKING = {
    "openat": ("EACCES", "EIO", "ENFILE", "ENOSPC", "EMFILE", "EROFS"),
    "flock": ("ENOLCK", "EIO"),
    "getdents64": ("EIO", "EACCES"),
    "newfstatat": ("EIO", "EACCES"),
}
EVERY = 12
"""Of the calls that change nothing, one in so many is tried: there are hundreds, much alike."""
ALIKE = ("overwrite", "upsert")
"""They do what an append does, and a little more: of their calls every third is tried."""
KILLED_AT = ("link", "rename", "fsync", "pwrite64", "fdatasync")


class Fault(NamedTuple):
    """The n-th call of its kind that a case makes, and what becomes of it."""

    case: str
    call: str
    number: int
    error: str
    """A name of an error, or KILL."""

    def __str__(self) -> str:
        return f"{self.case}: {self.call} {self.number} {self.error}"

    @property
    def injected(self) -> str:
        what = "signal=KILL" if self.error == "KILL" else f"error={self.error}"
        return f"{self.call}:{what}:when={self.number}"


class Disk:
    """Copies of one prepared store, and a process that works on them while its calls fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = folder / "before"
        self._copies = 0
        prepare(self.before)

    def copy(self, case: str) -> Path:
        self._copies += 1
        copy = self.folder / f"copy-{self._copies}"
        shutil.copytree(self.before, copy)
        if case != "new index":
            # An index that was copied is made anew: in the other cases that is not what is tried.
            with tiffin.FeatureStore(copy, **SETTINGS) as store:
                store.materialize(TABLE)
        return copy

    def count(self, servant: Servant, case: str, calls: Sequence[str]) -> Counter[str]:
        """Count the calls that a case makes when none fails."""
        folder, log = self.copy(case), self.folder / "calls"
        with traced(servant.process.pid, log, ",".join(calls)):
            answer = servant.ask(case, folder, 0)
        assert "done" in (answer or {}), answer
        shutil.rmtree(folder)
        return Counter(found[1] for line in log.read_text().splitlines() if (found := re.match(r"(\w+)\(", line)))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def planned(disk: Disk, servant: Servant, cases: Sequence[str], calls: dict[str, Any], every: int) -> Iterator[Fault]:
    """Name the faults: calls of each case, each with one of its errors, by turns."""
    errors = {call: cycle(names) for call, names in calls.items()}
    for case in cases:
        counted = disk.count(servant, case, list(calls))
        for call in calls:
            for number in range(1, counted[call] + 1, every * (3 if case in ALIKE else 1)):
                yield Fault(case, call, number, next(errors[call]))


def trial(disk: Disk, servant: Servant, fault: Fault) -> str | None:
    """Do a case under a fault, then again without one; tell what is not as promised, or nothing.

    None if there were fewer calls this time: how often a store looks at its files hangs on the time that it takes.
    """
    folder, log = disk.copy(fault.case), disk.folder / "strace"
    with traced(servant.process.pid, log, fault.call, fault.injected):
        answer = servant.ask(fault.case, folder, 0)
    was_reached = answer is None if fault.error == "KILL" else "(INJECTED)" in log.read_text()
    if not was_reached:
        shutil.rmtree(folder)
        return None
    if fault.error == "KILL":
        wrong = wrong_after(folder, fault, answer)
    else:
        wrong = wrong_answer(fault, answer or {}) or wrong_after(folder, fault, answer)
        wrong = wrong or wrong_again(folder, fault, answer or {}, servant)
    if not wrong:
        shutil.rmtree(folder)
    return f"{fault}: {wrong}" if wrong else ""


def wrong_answer(fault: Fault, answer: dict[str, Any]) -> str:
    """Judge an error's words, and what is said to be done though a sync failed."""
    if "done" in answer:
        # A key's answer is its secret; the others answer with warnings, or with nothing.
        warnings = [] if fault.case == "key" else answer["done"] or []
        is_silent = fault.call in ("fsync", "fdatasync") and not any(warnings)
        return "done, though a sync failed" if is_silent else ""
    if answer["code"] not in ("storage", "no_space", "outcome_unknown", "online_unavailable"):
        return f"a wrong kind of error: {answer}"
    if fault.error in FULL and answer["code"] not in ("no_space", "outcome_unknown"):
        return f"does not say that there is no space: {answer}"
    return "" if answer["hint"] else f"no hint: {answer}"


def landed(fault: Fault, answer: dict[str, Any] | None, found: int, before: int) -> int | str:
    """Tell how many versions there must be, or what is wrong with those there are."""
    if CASES[fault.case].groups is None:
        return before
    if answer is None:
        return found if found in (before, before + 1) else f"{found} versions"
    if "done" in answer:
        return before + (fault.case != "compact" or answer["done"] is not None)
    return before + (answer["code"] == "outcome_unknown" and "_delta_log" in answer["message"])


def wrong_after(folder: Path, fault: Fault, answer: dict[str, Any] | None, again: tuple[int, ...] = ()) -> str:
    """Compare a store with what it must hold after a case, and after trying again if that made versions."""
    case = CASES[fault.case]
    before = BEFORE if case.table == TABLE else []
    table = folder / "features" / case.table
    found = len(list((table / "_delta_log").glob("?" * 20 + ".json"))) if table.exists() else 0
    if fault.case == "vacuum":
        found = len(before)
    expected = expected_versions(fault, answer, again, found)
    if isinstance(expected, str):
        return expected
    try:
        wrong = wrong_table(folder, case.table, expected, may_be_vacuumed=fault.case == "vacuum")
        return wrong or wrong_online(folder) or wrong_keys(folder, answer if fault.case == "key" else None)
    except (TiffinError, AssertionError, pl.exceptions.PolarsError, deltalake.exceptions.DeltaError) as error:
        return f"{type(error).__name__}: {error}"


def expected_versions(
    fault: Fault, answer: dict[str, Any] | None, again: tuple[int, ...], found: int
) -> list[Groups] | str:
    case = CASES[fault.case]
    versions = list(BEFORE) if case.table == TABLE else []
    count = landed(fault, answer, found, len(versions))
    if isinstance(count, str):
        return count
    numbers = [*([0] if count > len(versions) else []), *again]
    for number in numbers:
        if case.groups is not None:
            versions.append(case.groups(versions[-1] if versions else {}, number))
    return versions


def wrong_table(folder: Path, table: str, expected: list[Groups], *, may_be_vacuumed: bool) -> str:
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        try:
            history = [commit.version for commit in store.history(table)][::-1]
        except TableNotFound:
            return f"{table} is gone" if expected else ""
        found = store.examine(table)
        newest = groups_of(store.read(table).to_polars())
    oldest = history[0] if may_be_vacuumed else 0
    if history != list(range(oldest, len(expected))):
        return f"versions {history} of {len(expected)}"
    for version in history:
        groups = plainly_read(folder / "features" / table, version)
        if groups != expected[version]:
            return f"version {version} is {groups}, not {expected[version]}"
    if newest != expected[-1]:
        return f"a read gives {newest}, not {expected[-1]}"
    return f"examine: {found}" if found else ""


def plainly_read(folder: Path, version: int) -> Groups:
    """Read a version without Tiffin."""
    files = deltalake.DeltaTable(folder, version=version).file_uris()
    return groups_of(pl.concat(pl.read_parquet(file).select("id", "slot", "token") for file in files))


def wrong_online(folder: Path) -> str:
    """What the index answers must be of the newest version of the table; it may have to catch up first."""
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        newest = groups_of(store.read(TABLE).to_polars())
        store.materialize(TABLE)
        slots = sorted({*newest, 0, 10, 11})
        entities = [{"id": slot * ROWS} for slot in slots]
        answer = store.get_online_features([f"{TABLE}:token"], entities).to_dict()
    expected = [newest.get(slot) for slot in slots]
    return "" if answer["token"] == expected else f"online {answer['token']}, not {expected}"


def wrong_keys(folder: Path, answer: dict[str, Any] | None) -> str:
    kept = json.loads((folder / "config" / "keys.json").read_bytes())["keys"]
    names, hashes = [each["key"]["name"] for each in kept], {each["sha256"] for each in kept}
    if names not in (["old"], ["old", "key-0"], ["old", "key-1"], ["old", "key-0", "key-1"]):
        return f"keys {names}"
    if answer is not None and "done" in answer and hashlib.sha256(answer["done"].encode()).hexdigest() not in hashes:
        return "a key that was given out is not kept"
    is_refused = answer is not None and "error" in answer and answer["code"] != "outcome_unknown"
    return "a key that was refused is kept" if is_refused and "key-0" in names else ""


def wrong_again(folder: Path, fault: Fault, answer: dict[str, Any], servant: Servant) -> str:
    """Without the fault the same process must go on, and nobody has to clean up."""
    number = 1
    again = servant.ask(fault.case, folder, number) or {}
    if "done" not in again:
        return f"cannot be done afterwards: {again}"
    is_merged = fault.case == "compact" and again["done"] is None
    numbers = () if CASES[fault.case].groups is None or is_merged else (number,)
    if wrong := wrong_after(folder, fault, answer, numbers):
        return f"afterwards: {wrong}"
    with tiffin.FeatureStore(folder, **SETTINGS) as store:
        store.vacuum(CASES[fault.case].table)
    left = [str(path.relative_to(folder)) for path in (folder / "features").rglob("*.tmp")]
    return f"left: {left}" if left else ""


class TestErrors:
    @pytest.mark.slow
    @pytest.mark.timeout(300)
    @pytest.mark.parametrize(("calls", "every"), [(CHANGING, 1), (LOOKING, EVERY)], ids=["changing", "looking"])
    def test_each_call_that_fails_is_an_error_and_changes_nothing(
        self, disk: Disk, figure: Callable[[str], None], calls: dict[str, Any], every: int
    ):
        servant = Servant(disk.before, disk.folder, list(CASES))
        tried = [(fault, trial(disk, servant, fault)) for fault in planned(disk, servant, list(CASES), calls, every)]
        faults = [fault for fault, wrong in tried if wrong is not None]
        wrong = [wrong for _, wrong in tried if wrong]
        servant.end()
        each = ", ".join(f"{count} {call}" for call, count in Counter(fault.call for fault in faults).items())
        figure(f"{len(faults)} failing system calls ({each}): {len(wrong)} silent, lost, torn or not repaired")
        assert wrong == []
        assert len(faults) > max(60, 0.9 * len(tried))


class TestKills:
    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_a_kill_at_each_call_that_changes_something_loses_nothing(self, disk: Disk, figure: Callable[[str], None]):
        cases = [case for case in CASES if case != "first save"]
        warm = Servant(disk.before, disk.folder, cases)
        faults = list(planned(disk, warm, cases, dict.fromkeys(KILLED_AT, ("KILL",)), 2))
        warm.end()
        found = []
        for fault in faults:
            servant = Servant(disk.before, disk.folder, [])
            found.append(trial(disk, servant, fault))
            servant.end()
        kills = sum(wrong is not None for wrong in found)
        wrong = list(filter(None, found))
        figure(f"{kills} kills at a system call that changes something: {len(wrong)} lost or torn")
        assert wrong == []
        assert kills > max(30, 0.9 * len(faults))


class TestNegativeControls:
    """An oracle that sees nothing here would see nothing above either."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("variant", "calls"),
        [("ignores failed syncs", {"fsync": ("EIO",)}), ("writes in place", {"write": ("ENOSPC",)})],
        ids=["ignores-syncs", "in-place"],
    )
    def test_the_oracle_sees_a_store_that(
        self, disk: Disk, figure: Callable[[str], None], variant: str, calls: dict[str, Any]
    ):
        servant = Servant(disk.before, disk.folder, ["append"], variant)
        faults = list(planned(disk, servant, ["append"], calls, 1))
        wrong = list(filter(None, (trial(disk, servant, fault) for fault in faults)))
        servant.end()
        figure(f"a store that {variant}: {len(wrong)} of {len(faults)} failing system calls seen (wanted)")
        assert wrong
