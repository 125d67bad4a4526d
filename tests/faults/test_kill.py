"""A process that saves is killed at any moment; the store opens by itself and holds all that was acknowledged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiffin
from faults.workload import PROCESSES, Ledger, groups_of, notes, read_until, save_many

TABLES = ["group/one", "group/two", "other/three"]
PLAN = {
    "tables": TABLES,
    "modes": ["overwrite", "append", "append", "append", "upsert"],
    "settings": {"checkpoint_every": 3, "compact_files": 4, "keep_versions": 6},
}
LONGEST_S = 0.12


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(0.001)


def killed_round(folder: Path, log: Path, seed: int) -> None:
    """Start a writer, and kill it at a random moment after it has begun, or after its first save."""
    awaited = "saved" if seed % 2 else "begin"
    writer = PROCESSES.Process(daemon=True, target=save_many, args=(folder, log, seed, PLAN))
    writer.start()
    wait_for(lambda: any(line["event"] == awaited for line in notes(log)), "the writer to begin")
    # Not waiting for anything: this is the random moment.
    time.sleep(random.Random(seed).uniform(0, LONGEST_S))
    writer.kill()
    writer.join()


def kill_many(folder: Path, rounds: int) -> str:
    """Kill writers beside two readers; return the figures."""
    store_folder, stop, seen = folder / "store", folder / "stop", folder / "seen"
    ledgers = {table: Ledger() for table in TABLES}
    readers = [
        PROCESSES.Process(daemon=True, target=read_until, args=(store_folder, seen, stop, TABLES)) for _ in range(2)
    ]
    for reader in readers:
        reader.start()
    expected: dict[tuple[str, int], dict[int, int]] = {}
    for seed in range(rounds):
        log = folder / f"log-{seed}"
        killed_round(store_folder, log, seed)
        with tiffin.FeatureStore(store_folder, disk_cache_bytes=0) as store:
            for table, ledger in ledgers.items():
                ledger.follow([line for line in notes(log) if line["table"] == table])
                ledger.check(store, table)
                assert not ledger.acknowledged or store.examine(table) == []
        for table, ledger in ledgers.items():
            expected |= {(table, version): groups for version, groups in ledger.acknowledged.items()}
    stop.touch()
    for reader in readers:
        reader.join(60)
        assert reader.exitcode == 0
    lines = notes(seen)
    assert [line for line in lines if line["event"] == "failed"] == []
    mixed = [line for line in lines if line["event"] == "seen" and not is_expected(line, expected)]
    assert mixed == []
    reads = sum(line["reads"] for line in lines if line["event"] == "read")
    saves = sum(ledger.saves for ledger in ledgers.values())
    assert saves >= rounds // 2
    assert reads > rounds
    return f"{rounds} kills, {saves} acknowledged saves, 0 lost, 0 torn; {reads} reads beside them, 0 failed"


def is_expected(line: dict[str, Any], expected: dict[tuple[str, int], dict[int, int]]) -> bool:
    """Whether a reader saw what was saved; a merge has the rows of the version before it."""
    known = [version for table, version in expected if table == line["table"] and version <= line["version"]]
    return bool(known) and sorted(map(list, expected[line["table"], max(known)].items())) == line["groups"]


class TestKill:
    def test_a_writer_killed_at_any_moment_loses_nothing(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(kill_many(tmp_path, 20))

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_a_writer_killed_two_hundred_times_loses_nothing(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(kill_many(tmp_path, 200))

    def test_the_oracle_sees_a_lost_save(self, tmp_path: Path, figure: Callable[[str], None]):
        log = tmp_path / "log"
        save_many(tmp_path / "store", log, 1, {"tables": ["g/t"], "modes": ["append"], "saves": 3})
        newest = tmp_path / "store" / "features" / "g" / "t" / "_delta_log" / f"{2:020}.json"
        newest.unlink()
        ledger = Ledger()
        ledger.follow(notes(log))
        with pytest.raises(AssertionError, match="lost version 2"):
            ledger.check(tiffin.FeatureStore(tmp_path / "store"), "g/t")
        figure("1 commit removed in secret: the oracle misses the save (wanted)")

    def test_the_oracle_sees_a_torn_version(self, tmp_path: Path, figure: Callable[[str], None]):
        save_many(tmp_path / "store", tmp_path / "log", 1, {"tables": ["g/t"], "modes": ["append"], "saves": 3})
        frame = tiffin.FeatureStore(tmp_path / "store").read("g/t").to_polars()
        with pytest.raises(AssertionError, match="torn"):
            groups_of(frame[:-1])
        figure("1 row removed in secret: the oracle says torn (wanted)")
