"""Many threads on one store, and processes that are forked, spawned or served beside its use: no race, no hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import tiffin
from faults.test_controls import replace, unlocked
from faults.workload import PROCESSES, Notes, applied, frame_of, groups_of, notes
from tiffin.access import keys_of
from tiffin.errors import TiffinError, UnavailableError
from tiffin.files import LocalFiles
from tiffin.frames import forked
from tiffin.store.save import table_name

TABLE = "group/name"
FEATURE = f"{TABLE}:token"
THREADS = 32
SAVES = 3
"""Saves of each thread that saves."""
PATIENCE_S = 90
HANGS_AFTER_S = 30
"""A child that has not come to its end by then never will, however busy the machine is."""
HANGS_SURELY_S = 5
"""Long enough for one of which that is known."""


def prepare(folder: Path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(folder, disk_cache_bytes=1 << 24, memory_cache_bytes=1 << 16)
    store.save(TABLE, frame_of(0, 1), entity="id", online=True)
    return store


def crowd(folder: Path, log: Path, *, careful: bool) -> None:
    """Let every second thread save and the others read in every way, all on one store object."""
    if not careful:
        LocalFiles.lock = unlocked  # type: ignore[method-assign]
        LocalFiles.link = replace  # type: ignore[method-assign]
    lines, together = Notes(log), threading.Barrier(THREADS)
    with prepare(folder) as store, ThreadPoolExecutor(THREADS) as threads:
        plan = store.prepare([FEATURE])

        def save(thread: int) -> None:
            together.wait(PATIENCE_S)
            for number in range(SAVES):
                slot = 10 + thread * SAVES + number
                commit = store.save(TABLE, frame_of(slot, slot), mode="append")
                lines.write(event="saved", version=commit.version, slot=slot, online=commit.online_version)

        def read(thread: int) -> None:
            together.wait(PATIENCE_S)
            for number in range(20):
                snapshot = store.read(TABLE, use_cache=bool(number % 2))
                groups_of(snapshot.to_polars())
                assert plan.read([{"id": 0}]).to_dict()["token"] == [1]
                assert store.read(TABLE, version=0).to_polars().height == 4
            lines.write(event="read", reads=60)

        def work(thread: int) -> None:
            try:
                (save if thread % 2 else read)(thread)
            except (TiffinError, AssertionError) as error:
                lines.write(event="failed", what=f"{type(error).__name__}: {error}")

        list(threads.map(work, range(THREADS)))


def crowded(folder: Path, *, careful: bool) -> tuple[int, list[str]]:
    """Return how many reads there were, and what went wrong."""
    process = PROCESSES.Process(
        daemon=True, target=crowd, args=(folder / "store", folder / "log"), kwargs={"careful": careful}
    )
    process.start()
    process.join(PATIENCE_S)
    process.kill()
    lines = notes(folder / "log")
    wrong = [] if process.exitcode == 0 else [f"it ended with {process.exitcode}"]
    wrong += [line["what"] for line in lines if line["event"] == "failed"]
    saved = {line["version"]: line["slot"] for line in lines if line["event"] == "saved"}
    wrong += ["two saves of one version"] * (sum(line["event"] == "saved" for line in lines) - len(saved))
    with tiffin.FeatureStore(folder / "store", disk_cache_bytes=0, online_index="lmdb") as store:
        groups = {0: 1}
        for commit in store.history(TABLE)[-2::-1]:
            slot = saved.get(commit.version)
            groups = groups if slot is None else applied(groups, "append", slot, slot)
            found = dict(store.read(TABLE, version=commit.version).to_polars().select("slot", "token").iter_rows())
            if found != groups:
                wrong.append(f"version {commit.version} is {found}, not {groups}")
    return sum(line["reads"] for line in lines if line["event"] == "read"), wrong


class TestThreads:
    @pytest.mark.slow
    def test_many_threads_share_a_store(self, tmp_path: Path, figure: Callable[[str], None]):
        reads, wrong = crowded(tmp_path, careful=True)
        assert wrong == []
        saves = THREADS // 2 * SAVES
        assert reads == THREADS // 2 * 60
        figure(f"{THREADS} threads on one store: {saves} saves, {reads} reads, 0 lost, 0 races, 0 hangs")

    @pytest.mark.slow
    def test_threads_without_locks_are_caught(self, tmp_path: Path, figure: Callable[[str], None]):
        _, wrong = crowded(tmp_path, careful=False)
        figure(f"{THREADS} threads on a store without locks and compare-and-set: {len(wrong)} faults seen (wanted)")
        assert wrong


def ask_all(store: tiffin.FeatureStore) -> list[object]:
    """Do what needs no threads of Polars."""
    return [
        store.get_online_features([FEATURE], [{"id": 0}]).to_dict()["token"],
        store.prepare([FEATURE]).read([{"id": 1}]).to_dict()["token"],
        [commit.version for commit in store.history(TABLE)],
        [key.name for key in keys_of(store.path).keys()],  # noqa: SIM118 - no mapping
        store.cache_stats() is not None,
    ]


def in_a_fork(work: Callable[[], bool], hangs_after_s: int = HANGS_AFTER_S) -> int:
    """Do something in a forked child; 0 if it came out right, -SIGALRM if it did not come to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(hangs_after_s)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except UnavailableError as error:
        return "spawn" in error.hint
    return False


def fork_used(folder: Path, log: Path) -> None:
    """Fork a process that has used everything, while threads of it go on; parent and child both use it afterwards."""
    store, stop = prepare(folder), threading.Event()
    keys_of(folder).create("key", ["read"])
    expected = ask_all(store)
    store.read(TABLE)

    def busy() -> None:
        while not stop.is_set():
            store.get_online_features([FEATURE], [{"id": 0}])
            store.read(TABLE)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    ends: dict[str, list[int]] = {"asks": [], "refused": [], "parent": []}
    for number in range(5):
        ends["asks"].append(in_a_fork(lambda expected=expected: ask_all(store) == expected))
        ends["refused"].append(
            in_a_fork(
                lambda: (
                    is_refused(lambda: store.read(TABLE, use_cache=False))
                    and is_refused(lambda: store.save(TABLE, frame_of(1, 1), mode="upsert"))
                )
            )
        )
        commit = store.save(TABLE, frame_of(0, 1), mode="upsert")
        expected = ask_all(store)
        ends["parent"].append(commit.version - number - 1)
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    with held_by_a_thread(store._catalog.table(table_name(TABLE)).log._lock):
        ends["asks"].append(in_a_fork(lambda: ask_all(store) == expected))
    Notes(log).write(**ends)


@contextmanager
def held_by_a_thread(lock: threading.RLock) -> Iterator[None]:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(PATIENCE_S)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(PATIENCE_S)
    yield
    done.set()
    holder.join(PATIENCE_S)


def fork_used_unchecked(folder: Path, log: Path) -> None:
    """Read in a child of a fork that takes Polars' threads for its own."""
    store = prepare(folder)

    def read() -> bool:
        forked._lacks_threads = False
        return len(store.read(TABLE, use_cache=False)) > 0

    Notes(log).write(ends=[in_a_fork(read, HANGS_SURELY_S)])


def fork_unused(folder: Path, log: Path) -> None:
    """Fork a process that has opened a store and not used it: parent and child can do anything."""
    store = tiffin.FeatureStore(folder)

    def work() -> bool:
        commit = store.save(TABLE, frame_of(5, 5), mode="upsert")
        return groups_of(store.read(TABLE, version=commit.version).to_polars()) == {0: 1, 5: 5}

    Notes(log).write(ends=[in_a_fork(work), in_a_fork(work), 0 if work() else 1])


def save_and_read(folder: Path, slot: int) -> None:
    with tiffin.FeatureStore(folder) as store:
        store.save(TABLE, frame_of(slot, slot), mode="append")
        assert store.read(TABLE).to_polars().height >= 8
        assert store.get_online_features([FEATURE], [{"id": 0}]).to_dict()["token"] == [1]


def run(target: Callable[..., None], *arguments: object, how: str = "forkserver") -> None:
    context = PROCESSES if how == "forkserver" else multiprocessing.get_context(how)
    process = context.Process(target=target, args=arguments)  # type: ignore[attr-defined]
    process.start()
    process.join(PATIENCE_S)
    process.kill()
    assert process.exitcode == 0


class TestForks:
    @pytest.mark.slow
    def test_a_used_store_works_after_a_fork_or_says_what_cannot(self, tmp_path: Path, figure: Callable[[str], None]):
        run(fork_used, tmp_path / "store", tmp_path / "log")
        (line,) = notes(tmp_path / "log")
        assert line["asks"] == [0] * 6
        assert line["refused"] == line["parent"] == [0] * 5
        figure(
            "11 forks of a process whose threads use the store: children read online, are refused what Polars cannot "
            "do after a fork, and the parent goes on; 0 hangs"
        )

    @pytest.mark.slow
    def test_processes_begun_in_every_way_use_a_store_that_this_one_uses(
        self, tmp_path: Path, figure: Callable[[str], None]
    ):
        with prepare(tmp_path / "store") as store:
            run(fork_unused, tmp_path / "store", tmp_path / "log")
            for slot, how in enumerate(("spawn", "forkserver"), 10):
                run(save_and_read, tmp_path / "store", slot, how=how)
            assert notes(tmp_path / "log") == [{"ends": [0, 0, 0]}]
            assert groups_of(store.read(TABLE).to_polars()) == {0: 1, 5: 5, 10: 10, 11: 11}
        figure("5 processes that fork, spawn and forkserver began: all saved and read, 0 hangs")

    @pytest.mark.slow
    def test_without_the_check_a_forked_child_hangs(self, tmp_path: Path, figure: Callable[[str], None]):
        run(fork_used_unchecked, tmp_path / "store", tmp_path / "log")
        (line,) = notes(tmp_path / "log")
        assert line["ends"] == [-signal.SIGALRM]
        figure("a read in a forked child without the check: 1 of 1 hung (wanted)")
