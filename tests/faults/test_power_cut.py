"""The power goes while a process saves: a real ext4 on a loop device is shut down without its unwritten pages.

Needs root and loop devices. Where they are missing these tests are skipped, which the summary says.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiffin
from faults.kill_points import BEFORE, STEPS, DyingFiles, do_and_die, facts, prepare, put_back
from faults.test_kill import PLAN, TABLES, wait_for
from faults.test_kill_points import go_on
from faults.workload import PROCESSES, Ledger, groups_of, notes, save_many
from tiffin.errors import TiffinError
from tiffin.files import system

SHUTDOWN = 0x8004587D
"""`FS_IOC_SHUTDOWN` of Linux: the file system stops at once."""
WITHOUT_FLUSHING = 2
"""Neither data nor the journal that is in memory is written: what a power cut leaves."""
SIZE_BYTES = 256 << 20


class Disk:
    """An ext4 file system in a file."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self.mount_point = folder / "mounted"
        self.mount_point.mkdir()
        with self.image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self.image), str(self.mount_point))

    def unmount(self) -> None:
        run("umount", str(self.mount_point))

    def cut_power(self) -> None:
        cut_power(self.mount_point)

    def start_again(self) -> None:
        self.unmount()
        self.mount()


def cut_power(mount_point: Path) -> None:
    descriptor = os.open(mount_point, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("i", WITHOUT_FLUSHING))
    finally:
        os.close(descriptor)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("NO POWER CUTS WERE TRIED: mounting a file system needs root")
    try:
        made = Disk(tmp_path)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        reason = getattr(error, "stderr", "") or error
        pytest.skip(f"NO POWER CUTS WERE TRIED: no ext4 can be made and mounted here: {reason}")
    yield made
    with contextlib.suppress(subprocess.CalledProcessError):
        made.unmount()


def save_unsynced(folder: Path, log: Path, seed: int, plan: dict[str, object]) -> None:
    """Do as `save_many`, but never wait for the disk: the negative control."""
    system._sync = lambda path, flags: None
    save_many(folder, log, seed, plan)


def save_until_cut(disk: Disk, log: Path, seed: int, seconds: float, target: Callable[..., None]) -> None:
    """Let a process save for some time, cut the power, and start the machine again."""
    folder = disk.mount_point / "store"
    writer = PROCESSES.Process(daemon=True, target=target, args=(folder, log, seed, PLAN))
    writer.start()
    wait_for(lambda: any(line["event"] == "saved" for line in notes(log)), "the writer to save")
    # Not waiting for anything: this is how long it writes. ext4 writes its journal every five seconds.
    time.sleep(seconds)
    disk.cut_power()
    writer.kill()
    writer.join()
    disk.start_again()


def cut_many(disk: Disk, folder: Path, durations_s: list[float]) -> str:
    ledgers = {table: Ledger() for table in TABLES}
    for seed, seconds in enumerate(durations_s):
        log = folder / f"log-{seed}"
        save_until_cut(disk, log, seed, seconds, save_many)
        store = tiffin.FeatureStore(disk.mount_point / "store", disk_cache_bytes=0)
        for table, ledger in ledgers.items():
            ledger.follow([line for line in notes(log) if line["table"] == table])
            ledger.check(store, table)
        assert store.examine() == []
    saves = sum(ledger.saves for ledger in ledgers.values())
    assert saves >= len(durations_s)
    return f"{len(durations_s)} power cuts, {saves} acknowledged saves, 0 lost, 0 unreadable tables"


def do_and_cut(mount_point: Path, log: Path, name: str, dies_at: int) -> None:
    """Do a step; cut the power at one of its operations, or as soon as it is acknowledged."""
    DyingFiles.last_act = functools.partial(cut_power, mount_point)
    do_and_die(mount_point / "store", log, name, dies_at)
    cut_power(mount_point)


def cut_at_each_operation(disk: Disk, folder: Path, prepared: Path, name: str) -> str:
    states = STEPS[name].then(BEFORE)
    store = disk.mount_point / "store"
    for cuts in itertools.count(1):
        shutil.rmtree(store, ignore_errors=True)
        put_back(prepared, store)
        run("sync", "--file-system", str(disk.mount_point))
        log = folder / f"log-{cuts}"
        process = PROCESSES.Process(daemon=True, target=do_and_cut, args=(disk.mount_point, log, name, cuts - 1))
        process.start()
        process.join(60)
        disk.start_again()
        is_acknowledged, found = bool(notes(log)), facts(store)
        assert found in states[-1:] if is_acknowledged else found in states, cuts
        go_on(store, name, found, states)
        if is_acknowledged:
            break
    return f"{cuts} power cuts, at each operation of a step and right after it, 0 lost, 0 torn, each time all went on"


class TestPowerCut:
    def test_nothing_acknowledged_is_lost(self, disk: Disk, tmp_path: Path, figure: Callable[[str], None]):
        figure(cut_many(disk, tmp_path, [0.3]))

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_nothing_acknowledged_is_lost_in_ten_cuts(self, disk: Disk, tmp_path: Path, figure: Callable[[str], None]):
        figure(cut_many(disk, tmp_path, [0.1, 0.3, 1, 2, 4, 6.1, 6.4, 6.8, 7.3, 8]))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["append", "promote", "make a key", "replace a service"])
    def test_a_cut_at_any_operation_leaves_all_of_a_step_or_nothing(
        self, disk: Disk, tmp_path: Path, figure: Callable[[str], None], name: str
    ):
        prepare(tmp_path / "prepared")
        figure(cut_at_each_operation(disk, tmp_path, tmp_path / "prepared", name))

    @pytest.mark.slow
    def test_without_syncing_acknowledged_saves_are_lost(
        self, disk: Disk, tmp_path: Path, figure: Callable[[str], None]
    ):
        log = tmp_path / "log"
        save_until_cut(disk, log, 0, 1, save_unsynced)
        store = tiffin.FeatureStore(disk.mount_point / "store", disk_cache_bytes=0)
        saved = [line for line in notes(log) if line["event"] == "saved"]
        # Old versions are vacuumed on purpose; the newest save of each table never is.
        newest = {line["table"]: line for line in saved}.values()
        lost = [line for line in newest if not is_there(store, line)]
        figure(f"nothing synced: {len(saved)} acknowledged saves; {len(lost)} of {len(newest)} tables lost the last")
        assert lost


def is_there(store: tiffin.FeatureStore, line: dict[str, object]) -> bool:
    try:
        frame = store.read(str(line["table"]), version=int(str(line["version"]))).to_polars()
        return groups_of(frame)[int(str(line["slot"]))] == line["token"]
    except (TiffinError, AssertionError, KeyError):
        return False
