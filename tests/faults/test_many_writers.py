"""Many processes write one table at the same time; every save lands once, and every version is whole."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pytest

import tiffin
from faults.workload import PROCESSES, SLOTS, Notes, frame_of, groups_of, notes, replayed, save_many, save_one
from tiffin.errors import TiffinError, VersionNotFound
from tiffin.tables.log import Log
from tiffin.tables.state import State

TABLE = "group/name"
SETTINGS = {"checkpoint_every": 10, "compact_files": 8}


def run_all(target: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Run processes side by side, and wait until all have come to their end."""
    processes = [PROCESSES.Process(daemon=True, target=target, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0


def write_side_by_side(folder: Path, processes: int, plan: dict[str, Any]) -> tuple[tiffin.FeatureStore, list[Any]]:
    plan = {"tables": [TABLE], "settings": SETTINGS, **plan}
    run_all(save_many, [(folder / "store", folder / f"log-{seed}", seed, plan) for seed in range(processes)])
    return tiffin.FeatureStore(folder / "store", disk_cache_bytes=0), [
        line for seed in range(processes) for line in notes(folder / f"log-{seed}")
    ]


def check_every_version(store: tiffin.FeatureStore, lines: list[Any]) -> int:
    """Compare each version with what the acknowledgements say it holds; return the number of versions."""
    history = store.history(TABLE)[::-1]
    assert [commit.version for commit in history] == list(range(len(history)))
    saved = Counter(line["version"] for line in lines if line["event"] == "saved")
    assert set(saved.values()) == {1}
    assert {commit.version for commit in history if commit.operation != "compact"} == set(saved)
    expected = replayed(store, TABLE, lines)
    for version, groups in expected.items():
        assert groups_of(store.read(TABLE, version=version).to_polars()) == groups
    return len(history)


def append_side_by_side(folder: Path, processes: int, saves: int) -> str:
    store, lines = write_side_by_side(folder, processes, {"modes": ["append"], "saves": saves})
    everyone = [seed * 1_000_000 + number for seed in range(processes) for number in range(saves)]
    # `groups_of` also finds rows that are there twice.
    assert groups_of(store.read(TABLE).to_polars()) == {token + SLOTS: token for token in everyone}
    versions = check_every_version(store, lines)
    compacted = versions - len(everyone)
    assert compacted > 0
    assert store.describe(TABLE).rows == 4 * len(everyone)
    return f"{len(everyone)} appends by {processes} processes, all there, once; {compacted} merges between them"


def mix_side_by_side(folder: Path, processes: int, saves: int) -> str:
    plan = {"modes": ["overwrite", "append", "append", "upsert"], "saves": saves}
    store, lines = write_side_by_side(folder, processes, plan)
    versions = check_every_version(store, lines)
    return f"{processes * saves} saves in mixed modes by {processes} processes, {versions} versions, each right"


def create(folder: Path, log: Path, seed: int, gate: Path) -> None:
    """Make a new table in each round, at the same time as others do."""
    store, rounds = tiffin.FeatureStore(folder), int(gate.name)
    for number in range(rounds):
        Notes(gate.with_name(f"ready-{number}-{seed}")).write(event="ready")
        while len(list(gate.parent.glob(f"ready-{number}-*"))) < 4:
            pass
        save_one(store, Notes(log), f"group/round{number}", "append", seed, seed)


def create_side_by_side(folder: Path, rounds: int) -> str:
    gate = folder / "gate" / str(rounds)
    gate.parent.mkdir()
    run_all(create, [(folder / "store", folder / f"log-{seed}", seed, gate) for seed in range(4)])
    store = tiffin.FeatureStore(folder / "store")
    for number in range(rounds):
        assert groups_of(store.read(f"group/round{number}").to_polars()) == {seed: seed for seed in range(4)}
        assert [commit.version for commit in store.history(f"group/round{number}")] == [3, 2, 1, 0]
    return f"{rounds} tables made by 4 processes at once, {4 * rounds} saves, 0 lost"


def retire_and_save(folder: Path, log: Path, seed: int, saves: int) -> None:
    settings = {"checkpoint_every": 2, "keep_versions": 2, "compact_files": 3, "disk_cache_bytes": 0}
    store = tiffin.FeatureStore(folder, **settings)
    for number in range(saves):
        token = seed * 1_000_000 + number
        save_one(store, Notes(log), TABLE, "append", token + SLOTS, token)
        # What this process has seen is soon vacuumed by the others.
        groups_of(store.read(TABLE).to_polars())


def drop_and_save(folder: Path, log: Path, seed: int, rounds: int) -> None:
    """Save, read and drop a table that others drop too: each call succeeds or says what came in between."""
    store, lines = tiffin.FeatureStore(folder, disk_cache_bytes=0), Notes(log)
    for number in range(rounds):
        token = seed * 1_000_000 + number
        calls: dict[str, Callable[[], object]] = {
            "save": functools.partial(save_one, store, lines, TABLE, "append", token + SLOTS, token),
            "read": lambda: groups_of(store.read(TABLE, use_cache=False).to_polars()),
            "drop": functools.partial(store.drop, TABLE),
            "open": lambda: tiffin.FeatureStore(folder).tables(),
        }
        for name, call in calls.items():
            try:
                call()
            except TiffinError as error:
                lines.write(event="refused", call=name, code=error.code, what=str(error))


def append_by_delta_rs(folder: Path, log: Path, seed: int, saves: int) -> None:
    """Append with a library that knows the format but not our locks."""
    for number in range(saves):
        token = seed * 1_000_000 + number
        deltalake.write_deltalake(str(folder), frame_of(token + SLOTS, token).to_arrow(), mode="append")
        Notes(log).write(event="saved", token=token)


def append_beside(folder: Path, log: Path, seed: int, saves: int) -> None:
    store = tiffin.FeatureStore(folder, compact_files=5, checkpoint_every=3)
    for number in range(saves):
        token = seed * 1_000_000 + number
        save_one(store, Notes(log), TABLE, "append", token + SLOTS, token)


class TestManyWriters:
    def test_appends_all_land_once(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(append_side_by_side(tmp_path, 4, 8))

    def test_saves_in_mixed_modes_make_the_versions_they_were_told(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(mix_side_by_side(tmp_path, 4, 6))

    def test_a_table_first_made_by_four_at_once_loses_nothing(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(create_side_by_side(tmp_path, 4))

    def test_writers_that_vacuum_each_others_versions_lose_nothing(self, tmp_path: Path):
        run_all(retire_and_save, [(tmp_path / "store", tmp_path / f"log-{seed}", seed, 10) for seed in range(4)])
        store = tiffin.FeatureStore(tmp_path / "store")
        everyone = {seed * 1_000_000 + number for seed in range(4) for number in range(10)}
        assert groups_of(store.read(TABLE).to_polars()) == {token + SLOTS: token for token in everyone}
        assert store.describe(TABLE).oldest_version > 0
        assert store.examine() == []

    def test_a_table_dropped_by_others_is_whole_or_not_there(self, tmp_path: Path, figure: Callable[[str], None]):
        run_all(drop_and_save, [(tmp_path / "store", tmp_path / f"log-{seed}", seed, 12) for seed in range(3)])
        lines = [line for seed in range(3) for line in notes(tmp_path / f"log-{seed}")]
        refused = Counter(line["code"] for line in lines if line["event"] == "refused")
        saved = sum(line["event"] == "saved" for line in lines)
        figure(f"{saved} saves to a table that others drop, {refused.total()} calls told that it is not there, 0 torn")
        assert set(refused) <= {"table_not_found"}, {
            line["what"] for line in lines if line.get("code") in ("storage", "corrupt_data")
        }
        assert tiffin.FeatureStore(tmp_path / "store").examine() == []

    def test_a_writer_that_does_not_know_our_locks_loses_nothing_and_makes_us_lose_nothing(self, tmp_path: Path):
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
        save_one(store, Notes(tmp_path / "log"), TABLE, "append", 0, 0)
        folder, log, saves = Path(store.describe(TABLE).path), tmp_path / "log", 15
        both = [
            PROCESSES.Process(daemon=True, target=append_by_delta_rs, args=(folder, log, 1, saves)),
            PROCESSES.Process(daemon=True, target=append_beside, args=(tmp_path / "store", log, 2, saves)),
        ]
        for process in both:
            process.start()
        for process in both:
            process.join(60)
        # `deltalake` may give up in a conflict, and says so; we must not.
        assert both[1].exitcode == 0
        saved = {line["token"] for line in notes(log) if line["event"] == "saved"}
        assert saved >= {2 * 1_000_000 + number for number in range(saves)}
        assert set(groups_of(store.read(TABLE).to_polars()).values()) == saved
        versions = [commit.version for commit in store.history(TABLE)[::-1]]
        assert versions == list(range(len(versions)))

    def test_a_save_stands_though_its_version_is_vacuumed_before_the_upkeep(self, tmp_path: Path, monkeypatch):
        store = tiffin.FeatureStore(tmp_path, checkpoint_every=1)
        store.save(TABLE, frame_of(0, 0))

        def vacuumed(log: Log, version: int) -> State:
            raise VersionNotFound(f"no version {version} any more")

        monkeypatch.setattr(Log, "at", vacuumed)
        commit = store.save(TABLE, frame_of(0, 1))
        assert commit.version == 1
        assert "put off" in commit.warnings[0]

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_eight_processes_append_forty_times_each(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(append_side_by_side(tmp_path, 8, 40))

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_eight_processes_save_in_mixed_modes(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(mix_side_by_side(tmp_path, 8, 20))

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_fifteen_tables_are_first_made_by_four_at_once(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(create_side_by_side(tmp_path, 15))
