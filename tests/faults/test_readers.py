"""Readers beside writers: they see whole versions, at once, and what they read is not taken away from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tiffin
from faults.test_many_writers import run_all
from faults.workload import PROCESSES, Notes, notes, read_until, replayed, save_one
from tiffin.errors import TableNotFound, VersionNotFound
from tiffin.files import LOCAL
from tiffin.schema.names import TableName
from tiffin.tables.log import Log
from tiffin.tables.table import Options, Table

TABLE = "group/name"


def churn(folder: Path, log_path: Path, rounds: int) -> None:
    """Replace the rows, add some, merge and vacuum, with nothing kept."""
    store, log = tiffin.FeatureStore(folder, disk_cache_bytes=0, checkpoint_every=4), Notes(log_path)
    for token in range(rounds):
        save_one(store, log, TABLE, "overwrite", 0, token)
        save_one(store, log, TABLE, "append", 1, token)
        store.compact(TABLE)
        store.vacuum(TABLE, keep_versions=1)


def read_beside(folder: Path, rounds: int) -> str:
    stop, seen = folder / "stop", folder / "seen"
    readers = [
        PROCESSES.Process(daemon=True, target=read_until, args=(folder / "store", seen, stop, [TABLE]))
        for _ in range(2)
    ]
    for reader in readers:
        reader.start()
    run_all(churn, [(folder / "store", folder / "log", rounds)])
    stop.touch()
    for reader in readers:
        reader.join(60)
    lines = notes(seen)
    assert [line for line in lines if line["event"] == "failed"] == []
    store = tiffin.FeatureStore(folder / "store")
    expected = replayed(store, TABLE, notes(folder / "log"))
    expected[max(expected) + 1] = expected[max(expected)]
    for line in lines:
        if line["event"] == "seen":
            assert dict(line["groups"]) == expected[line["version"]]
    reads = sum(line["reads"] for line in lines if line["event"] == "read")
    assert reads > rounds
    return f"{reads} reads beside {rounds} rounds of overwrite, append, merge and vacuum, 0 failed"


def obey(folder: Path, pipe: Any) -> None:
    """Save or drop what the other end asks for."""
    store = tiffin.FeatureStore(folder)
    while (order := pipe.recv()) is not None:
        what, value = order
        if what == "drop":
            store.drop(TABLE)
        else:
            store.save(TABLE, pl.DataFrame({"value": [value]}), mode=what)
        pipe.send("done")


def vacuumed(folder: Path, keep_versions: int = 1) -> tuple[tiffin.FeatureStore, tiffin.FeatureStore]:
    """Make a table of three versions of which the newest are kept; who writes it, and who has not looked yet."""
    writer, reader = (tiffin.FeatureStore(folder) for _ in range(2))
    for value in range(3):
        writer.save(TABLE, {"value": [value]})
    writer.vacuum(TABLE, keep_versions=keep_versions)
    return writer, reader


def log_of(store: tiffin.FeatureStore) -> Log:
    return store._catalog.table(TableName("group", "name")).log


def once_after(call: Callable[..., Any], then: Callable[[], object]) -> Callable[..., Any]:
    """Let something happen right after the first call."""
    left = [then]

    def called(*arguments: object) -> object:
        found = call(*arguments)
        if left:
            left.pop()()
        return found

    return called


class TestReadersBesideWriters:
    def test_no_read_fails_beside_overwrite_merge_and_vacuum(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(read_beside(tmp_path, 15))

    def test_a_vacuum_that_overtakes_a_reader_between_its_look_and_its_read_fails_no_read(self, tmp_path: Path):
        writer, reader = (tiffin.FeatureStore(tmp_path / "store") for _ in range(2))
        writer.save(TABLE, {"value": [0]})
        log = reader._catalog.table(TableName("group", "name")).log
        assert log.require().version == 0
        for value in range(1, 4):
            writer.save(TABLE, {"value": [value]})
        has = log.has

        def has_and_loses(version: int) -> bool:
            there = has(version)
            writer.vacuum(TABLE, keep_versions=1)
            return there

        log.has = has_and_loses
        assert reader.read(TABLE).to_polars()["value"].to_list() == [3]

    def test_a_vacuum_that_takes_the_checkpoint_that_a_reader_is_about_to_read_fails_no_read(self, tmp_path: Path):
        writer, reader = vacuumed(tmp_path / "store")

        def overtake() -> None:
            writer.save(TABLE, {"value": [3]})
            writer.vacuum(TABLE, keep_versions=1)

        log = log_of(reader)
        log.read_commit = once_after(log.read_commit, overtake)
        assert reader.read(TABLE).to_polars()["value"].to_list() == [3]

    def test_a_vacuum_that_makes_a_checkpoint_for_a_tagged_version_fails_no_read_of_it(self, tmp_path: Path):
        writer, reader = vacuumed(tmp_path / "store")
        for value in (3, 4):
            writer.save(TABLE, {"value": [value]})
        writer.tag(TABLE, 3, "kept")
        reader.describe(TABLE)
        log = log_of(reader)
        log.read_commit = once_after(log.read_commit, lambda: writer.vacuum(TABLE, keep_versions=1))
        assert reader.read(f"{TABLE}@kept").to_polars()["value"].to_list() == [3]

    def test_a_table_that_is_dropped_and_made_anew_while_it_is_opened_is_the_new_one(self, tmp_path: Path):
        writer, reader = vacuumed(tmp_path / "store", keep_versions=3)

        def replace() -> None:
            writer.drop(TABLE)
            writer.save(TABLE, {"value": [3]})

        log = log_of(reader)
        log._names = once_after(log._names, replace)
        assert reader.read(TABLE).to_polars()["value"].to_list() == [3]

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_no_read_fails_in_a_long_run(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(read_beside(tmp_path, 300))


class TestFreshness:
    def test_a_save_in_another_process_is_seen_at_the_very_next_read(
        self, tmp_path: Path, figure: Callable[[str], None]
    ):
        here, there = PROCESSES.Pipe()
        writer = PROCESSES.Process(daemon=True, target=obey, args=(tmp_path, there))
        writer.start()
        store, rounds = tiffin.FeatureStore(tmp_path), 200

        def order(what: str, value: int) -> None:
            here.send((what, value))
            assert here.recv() == "done"

        for value in range(rounds):
            if value % 10 == 9:
                order("drop", value)
                with pytest.raises(TableNotFound):
                    store.read(TABLE)
            order("overwrite", value)
            assert store.read(TABLE).to_polars()["value"].to_list() == [value]
            if value % 20 == 5:
                # Dropped and made anew between two reads: the new folder may even get the old one's inode.
                order("drop", value)
                order("overwrite", -value)
                assert store.read(TABLE).to_polars()["value"].to_list() == [-value]
        here.send(None)
        writer.join(60)
        figure(f"{rounds} saves seen at the next read, with {rounds // 10} drops between them")

    def test_what_others_saved_and_vacuumed_far_ahead_is_seen_and_built_upon(self, tmp_path: Path):
        store, other = tiffin.FeatureStore(tmp_path), tiffin.FeatureStore(tmp_path)
        store.save(TABLE, pl.DataFrame({"value": [0]}))
        for value in range(1, 8):
            other.save(TABLE, pl.DataFrame({"value": [value]}))
        other.vacuum(TABLE, keep_versions=1)
        assert store.read(TABLE).to_polars()["value"].to_list() == [7]
        assert store.save(TABLE, pl.DataFrame({"value": [8]}), mode="append").version == 8
        assert other.read(TABLE).to_polars()["value"].to_list() == [7, 8]

    def test_a_table_dropped_and_made_anew_by_another_is_the_one_that_is_saved_to(self, tmp_path: Path):
        store, other = tiffin.FeatureStore(tmp_path), tiffin.FeatureStore(tmp_path)
        for value in range(5):
            store.save(TABLE, pl.DataFrame({"value": [value]}))
        other.drop(TABLE)
        other.save(TABLE, pl.DataFrame({"value": [10]}))
        assert store.save(TABLE, pl.DataFrame({"value": [11]}), mode="append").version == 1
        assert other.read(TABLE).to_polars()["value"].to_list() == [10, 11]


class TestLeases:
    @pytest.fixture
    def store(self, tmp_path: Path) -> tiffin.FeatureStore:
        store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
        for token in range(3):
            store.save(TABLE, pl.DataFrame({"value": [token]}))
        return store

    @pytest.fixture
    def reader(self, tmp_path: Path) -> Table:
        folder = tmp_path / "features" / "group" / "name"
        return Table(LOCAL, folder, TableName("group", "name"), Options())

    def test_a_vacuum_keeps_a_version_that_is_being_read_and_all_after_it(
        self, store: tiffin.FeatureStore, reader: Table
    ):
        with reader.leased(1):
            (report,) = store.vacuum(keep_versions=1)
            assert (report.held_version, report.oldest_version, report.versions_removed) == (1, 1, 1)
            assert reader.read(reader.log.at(1))["value"].to_list() == [1]
        (report,) = store.vacuum(keep_versions=1)
        assert (report.held_version, report.oldest_version) == (None, 2)
        with pytest.raises(VersionNotFound, match="vacuumed"):
            store.read(TABLE, version=1)

    def test_a_lease_taken_in_the_midst_of_a_vacuum_keeps_its_files(
        self, store: tiffin.FeatureStore, reader: Table, monkeypatch
    ):
        """The reader comes after the vacuum looked for readers and before it shortens the log."""
        from tiffin.tables import upkeep

        state, taken = reader.log.at(1), []
        write = upkeep.write_checkpoint

        def lease_and_write(*arguments: Any) -> None:
            lease = reader.leased(1)
            lease.__enter__()
            taken.append(lease)
            write(*arguments)

        monkeypatch.setattr(upkeep, "write_checkpoint", lease_and_write)
        store.vacuum(keep_versions=1)
        assert reader.stored(list(state.files.values()), state.spec)["value"].to_list() == [1]
        taken[0].__exit__(None, None, None)
        store.vacuum(keep_versions=1)
        assert len(list(reader.folder.glob("part-*"))) == 1

    def test_the_lease_of_a_dead_reader_holds_nothing(self, store: tiffin.FeatureStore, reader: Table):
        leases = reader.folder / ".leases"
        leases.mkdir(exist_ok=True)
        (leases / "0").touch()
        (report,) = store.vacuum(keep_versions=1)
        assert report.oldest_version == 2
        assert list(leases.iterdir()) == []

    def test_a_lease_that_cannot_be_given_back_does_not_fail_the_read(self, reader: Table, store, monkeypatch):
        monkeypatch.setattr(
            "tiffin.files.system.LocalFiles.remove", lambda *_: (_ for _ in ()).throw(OSError(5, "EIO"))
        )
        assert reader.read(reader.log.require())["value"].to_list() == [2]
