"""Processes that change the keys, or write into the disk cache, are killed at random moments."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import tiffin
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, applied, frame_of, groups_of, notes
from tiffin import reading
from tiffin.access import Keys, keys_of

NAMES = 3
TABLE = "group/name"
VERSIONS = 6
CACHE_BYTES = 6_000
"""Room for some of the versions."""
MOST_NOTES = 8
"""Notes that are awaited of a process before it is killed."""


def kill_soon(process: BaseProcess, log: Path, seed: int, longest_s: float) -> None:
    """Kill a process at a random moment after it has noted something, now more and now less, however slow it is."""
    process.start()
    wait_for(lambda: len(notes(log)) > seed % MOST_NOTES, "the process to do something")
    # Not waiting for anything: this is the random moment.
    time.sleep(random.Random(seed).uniform(0, longest_s))
    process.kill()
    process.join()


def valid_names(keys: Keys) -> set[str]:
    listed = keys.keys()
    return {key.name for key in listed if key.revoked is None}


def change_keys(folder: Path, log_path: Path) -> None:
    """Make a key and revoke it, over and over, under a few names."""
    keys, log, number = keys_of(folder), Notes(log_path), 0
    for name in valid_names(keys):
        keys.revoke(name)
    while True:
        name = f"key{number % NAMES}"
        log.write(event="making", name=name)
        _, secret = keys.create(name, ["read"])
        log.write(event="made", name=name, secret=secret)
        log.write(event="revoking", name=name)
        keys.revoke(name)
        log.write(event="revoked", name=name)
        number += 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_process_killed_while_it_changes_keys_leaves_none_half_made_and_none_half_revoked(
    tmp_path: Path, figure: Callable[[str], None]
):
    folder, acknowledged, kills = tmp_path / "store", 0, 120
    tiffin.FeatureStore(folder).init()
    for seed in range(kills):
        log = tmp_path / f"log-{seed}"
        kill_soon(PROCESSES.Process(daemon=True, target=change_keys, args=(folder, log)), log, seed, 0.03)
        lines = notes(log)
        acknowledged += sum(line["event"] in ("made", "revoked") for line in lines)
        keys = keys_of(folder)
        last = lines[-1]
        valid = valid_names(keys)
        assert valid <= {last["name"]}
        # While a key was being made or revoked, it may be or not.
        assert last["event"] not in ("made", "revoked") or bool(valid) == (last["event"] == "made")
        secrets = {line["secret"]: at for at, line in enumerate(lines) if line["event"] == "made"}
        for secret, at in secrets.items():
            is_revoked = any(line["event"] == "revoked" for line in lines[at:])
            assert not is_revoked or keys.verify(secret) is None
            assert last["event"] != "made" or is_revoked or keys.verify(secret) is not None
    assert acknowledged > kills
    figure(f"{kills} kills while keys are made and revoked, {acknowledged} acknowledged changes, 0 lost, 0 torn")


def read_into_cache(folder: Path, log_path: Path) -> None:
    """Read versions from files into a cache that has no room for all of them."""
    reading._WORTH_A_FILE_BYTES = 0
    store, log = opened(folder), Notes(log_path)
    log.write(event="begin")
    while True:
        for version in range(VERSIONS):
            store.read(TABLE, version=version)
            log.write(event="read")


def opened(folder: Path) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(folder, memory_cache_bytes=0, disk_cache_bytes=CACHE_BYTES, compact_files=0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_process_killed_while_it_writes_the_cache_leaves_no_torn_frame(tmp_path: Path, figure: Callable[[str], None]):
    folder, kills, expected = tmp_path / "store", 120, {}
    store = opened(folder)
    for version in range(VERSIONS):
        expected[version] = applied(expected.get(version - 1, {}), "append", version, version)
        store.save(TABLE, frame_of(version, version), entity="id", mode="append")
    store.close()
    hits = 0
    for seed in range(kills):
        log = tmp_path / f"log-{seed}"
        kill_soon(PROCESSES.Process(daemon=True, target=read_into_cache, args=(folder, log)), log, seed, 0.03)
        with opened(folder) as fresh:
            for version, groups in expected.items():
                assert groups_of(fresh.read(TABLE, version=version).to_polars()) == groups
            stats = fresh.stats().disk_cache
            assert stats["corrupt"] == 0
            hits += stats["hits"]
    assert hits > kills
    figure(
        f"{kills} kills while the disk cache is written, {kills * VERSIONS} reads after them, {hits} from it, 0 torn"
    )
