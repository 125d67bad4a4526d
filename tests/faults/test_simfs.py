"""The simulated file system does what it says, and the durable functions survive every fault on it."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from faults.simfs import KINDS, OUTCOMES, Crash, Fault, SimulatedFiles, Trial, trials
from tiffin import files
from tiffin.errors import NoSpace, OutcomeUnknown, StorageError

FOLDER = Path("/store")
FILE = FOLDER / "file"
OLD = b"old " * 50
NEW = b"the new contents " * 100


def folder(**variant: bool) -> SimulatedFiles:
    fs = SimulatedFiles(**variant)
    files.make_folders(fs, FOLDER)
    return fs


def shown(fs: SimulatedFiles, path: Path = FOLDER) -> dict[str, bytes]:
    return {name: fs.read(path / name) for name in fs.names(path)}


class TestModel:
    def test_unsynced_data_and_names_are_there_until_the_power_goes(self):
        fs = folder()
        fs.create(FILE, NEW)
        assert shown(fs) == {"file": NEW}
        assert shown(fs.after_crash("lost")) == {}
        assert shown(fs.after_crash("kept")) == {"file": NEW}
        assert shown(fs.after_crash("torn")) == {"file": NEW[: len(NEW) // 2]}
        assert shown(fs.after_crash("empty")) == {"file": b""}

    def test_a_synced_file_without_a_synced_name_is_lost_with_its_name(self):
        fs = folder()
        fs.create(FILE, NEW)
        fs.sync(FILE)
        assert shown(fs.after_crash("lost")) == {}
        assert shown(fs.after_crash("torn")) == {"file": NEW}

    def test_a_synced_name_without_synced_data_is_an_empty_file(self):
        fs = folder()
        fs.create(FILE, NEW)
        fs.sync_folder(FOLDER)
        assert shown(fs.after_crash("lost")) == {"file": b""}
        assert shown(fs.after_crash("entries lost")) == {"file": NEW}

    def test_what_is_synced_survives_every_outcome(self):
        fs = folder()
        fs.create(FILE, NEW)
        fs.sync(FILE)
        fs.sync_folder(FOLDER)
        assert all(shown(fs.after_crash(outcome)) == {"file": NEW} for outcome in OUTCOMES)

    def test_a_rename_is_one_change_and_may_be_lost_as_one(self):
        fs = folder()
        for name, data in (("a", NEW), ("file", OLD)):
            files.write_durably(fs, FOLDER / name, data)
        fs.rename(FOLDER / "a", FILE)
        assert shown(fs) == {"file": NEW}
        for outcome in OUTCOMES:
            assert shown(fs.after_crash(outcome)) in ({"a": NEW, "file": OLD}, {"file": NEW})

    def test_names_survive_independently_of_their_order(self):
        fs = folder()
        for name in "abc":
            fs.create(FOLDER / name, NEW)
        assert set(shown(fs.after_crash("even entries"))) == {"a", "c"}
        assert set(shown(fs.after_crash("odd entries"))) == {"b"}

    def test_a_folder_is_lost_with_all_in_it_when_its_own_name_was_not_synced(self):
        fs = folder()
        fs.make_folder(FOLDER / "sub")
        files.write_durably(fs, FOLDER / "sub" / "a", NEW)
        assert fs.after_crash("lost").names(FOLDER) == []

    def test_two_names_are_one_file(self):
        fs = folder()
        fs.create(FILE, NEW)
        fs.link(FILE, FOLDER / "other")
        fs.sync_folder(FOLDER)
        fs.sync(FOLDER / "other")
        assert shown(fs.after_crash("lost")) == {"file": NEW, "other": NEW}
        with pytest.raises(FileExistsError):
            fs.link(FILE, FOLDER / "other")

    def test_a_file_whose_sync_failed_is_never_durable_though_later_syncs_succeed(self):
        fs = folder()
        fs.create(FILE, NEW)
        fs.plan(Fault(0, "EIO"))
        with pytest.raises(OSError, match="Input/output"):
            fs.sync(FILE)
        fs.sync(FILE)
        fs.sync_folder(FOLDER)
        assert shown(fs.after_crash("lost")) == {"file": b""}

    def test_a_full_disk_leaves_half_or_nothing(self):
        for kind, left in (("short", {"file": NEW[: len(NEW) // 2]}), ("ENOSPC", {}), ("EIO", {})):
            fs = folder()
            fs.plan(Fault(0, kind))
            with pytest.raises(OSError, match=r"space|Input"):
                fs.create(FILE, NEW)
            assert shown(fs) == left

    def test_a_dead_process_changes_nothing_more(self):
        fs = folder()
        fs.plan(Fault(0, "crash"))
        with pytest.raises(Crash):
            fs.create(FILE, NEW)
        with pytest.raises(Crash):
            fs.remove(FILE)
        assert shown(fs.after_crash("kept")) == {"file": NEW[: len(NEW) // 2]}

    def test_a_change_in_a_folder_shows_in_its_stat(self):
        fs = folder()
        before = fs.stat(FOLDER)
        files.write_durably(fs, FILE, NEW)
        after = fs.stat(FOLDER)
        assert before is not None
        assert after is not None
        assert (before.inode, before.is_folder) == (after.inode, True)
        assert before.mtime_ns < after.mtime_ns
        assert fs.stat(FOLDER / "none") is None

    def test_locks_exclude_threads_and_shared_ones_do_not(self):
        fs = folder()
        path, entered = FOLDER / ".lock", []

        def enter() -> None:
            with fs.lock(path):
                entered.append(True)

        with fs.lock(path, shared=True), fs.lock(path, shared=True, wait=False) as second:
            assert second
            with fs.lock(path, wait=False) as third:
                assert not third
            thread = threading.Thread(target=enter)
            thread.start()
            assert not entered
        thread.join(10)
        assert entered == [True]


def replace(fs: SimulatedFiles, acknowledged: list[object]) -> None:
    files.write_durably(fs, FILE, NEW)
    acknowledged.append(NEW)


def is_replace_violated(trial: Trial) -> bool:
    found = shown(trial.disk).get("file")
    return found != NEW if trial.acknowledged else found not in (OLD, NEW)


def publish_two(fs: SimulatedFiles, acknowledged: list[object]) -> None:
    """Commit two versions as a log does, each again after an error, if it is not there."""
    for version in "01":
        for _attempt in range(2):
            try:
                files.publish(fs, FOLDER / version, NEW + version.encode())
            except OutcomeUnknown:
                return
            except (StorageError, FileExistsError):
                continue
            acknowledged.append(version)
            break


def is_publish_violated(trial: Trial) -> bool:
    there = {name: data for name, data in shown(trial.disk).items() if not name.startswith(".")}
    whole = all(data == NEW + name.encode() for name, data in there.items())
    return not whole or not set(trial.acknowledged) <= set(there)


def write_in_new_folders(fs: SimulatedFiles, acknowledged: list[object]) -> None:
    """Try until it is done: a retry must not take a folder for durable because it is there."""
    path = FOLDER / "a" / "b" / "c" / "file"
    for _attempt in range(3):
        try:
            files.make_folders(fs, path.parent)
            files.write_durably(fs, path, NEW)
        except StorageError:
            continue
        acknowledged.append(path)
        return


def is_folder_violated(trial: Trial) -> bool:
    return any(trial.disk.stat(path) is None or trial.disk.read(path) != NEW for path in trial.acknowledged)


WORKS = {
    "write_durably": (replace, is_replace_violated),
    "publish": (publish_two, is_publish_violated),
    "make_folders": (write_in_new_folders, is_folder_violated),
}


def violations(name: str, **variant: bool) -> tuple[int, list[Trial]]:
    """Number of trials of one function, and those that broke a promise."""
    work, is_violated = WORKS[name]
    prepared = folder(**variant)
    if name == "write_durably":
        files.write_durably(prepared, FILE, OLD)
    tried = list(trials(prepared, work))
    return len(tried), [trial for trial in tried if is_violated(trial)]


class TestDurableFunctions:
    @pytest.mark.parametrize("name", WORKS)
    def test_no_fault_at_any_operation_breaks_a_promise(self, name, figure):
        tried, broken = violations(name)
        figure(f"{tried} cases of one durable write, {len(broken)} violations")
        assert tried > 150
        assert broken == []

    @pytest.mark.parametrize("name", WORKS)
    def test_without_syncing_the_oracle_finds_violations(self, name, figure):
        tried, broken = violations(name, without_sync=True)
        figure(f"one durable write where syncing does nothing: {len(broken)} of {tried} cases violated (wanted)")
        assert broken

    @pytest.mark.parametrize("name", ["write_durably", "publish"])
    def test_writing_in_place_the_oracle_finds_violations(self, name, figure):
        tried, broken = violations(name, in_place=True)
        figure(f"one durable write, done in place: {len(broken)} of {tried} cases violated (wanted)")
        assert broken

    @pytest.mark.parametrize("name", WORKS)
    def test_every_kind_of_fault_and_outcome_is_tried(self, name):
        tried = Counter((trial.fault.kind, trial.outcome) for trial in trials(folder(), WORKS[name][0]))
        assert set(tried) == {(kind, outcome) for kind in KINDS for outcome in OUTCOMES}

    def test_a_process_killed_between_making_and_syncing_a_folder_is_made_good_by_the_next(self):
        counted = folder()
        counted.plan(None)
        write_in_new_folders(counted, [])
        for at in range(len(counted.operations)):
            fs = folder()
            fs.plan(Fault(at, "crash"))
            with pytest.raises(Crash):
                write_in_new_folders(fs, [])
            # The process is gone but the power is not: what it left unsynced still looks the same to the next.
            fs.has_crashed = False
            fs.plan(None)
            acknowledged: list[Path] = []
            write_in_new_folders(fs, acknowledged)
            assert fs.after_crash("lost").read(acknowledged[0]) == NEW

    def test_a_failure_after_the_link_is_unknown_and_one_before_it_changes_nothing(self):
        seen = set()
        for at in range(5):
            fs = folder()
            fs.plan(Fault(at, "EIO"))
            try:
                files.publish(fs, FILE, NEW)
            except OutcomeUnknown:
                assert fs.operations[at] == "sync_folder"
                assert shown(fs) == {"file": NEW}
            except StorageError:
                assert fs.operations[at] in ("create", "sync", "link")
                assert shown(fs) == {}
            else:
                assert fs.operations[at] == "remove"
                assert shown(fs)["file"] == NEW
            seen.add(fs.operations[at])
        assert seen == {"create", "sync", "link", "remove", "sync_folder"}

    @pytest.mark.parametrize("write", [files.write_durably, files.publish])
    def test_a_full_disk_says_so_and_leaves_no_temporary(self, write):
        for kind in ("ENOSPC", "short"):
            fs = folder()
            fs.plan(Fault(0, kind))
            with pytest.raises(NoSpace, match="cannot write '/store/file'"):
                write(fs, FILE, NEW)
            assert shown(fs) == {}

    def test_what_a_crash_left_behind_is_swept(self):
        for trial in trials(folder(), publish_two):
            files.sweep(trial.disk, FOLDER)
            assert not [name for name in trial.disk.names(FOLDER) if name.startswith(".")]

    def test_a_removed_tree_stays_removed(self):
        fs = folder()
        write_in_new_folders(fs, [])
        files.remove_tree(fs, FOLDER / "a")
        assert all(fs.after_crash(outcome).names(FOLDER) == [] for outcome in OUTCOMES)
