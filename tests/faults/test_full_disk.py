"""The disk is full or read-only, or handles run out: a clear error, the old data whole, and all well afterwards."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import tiffin
from faults.test_power_cut import run
from faults.workload import PROCESSES, Notes, notes
from tiffin.errors import NoSpace, StorageError, TiffinError

TABLE = "group/name"
PAGE = 4096


def frame(rows: int) -> pl.DataFrame:
    """Rows of noise, which no compression makes smaller."""
    return pl.DataFrame({"id": range(rows), "noise": [os.urandom(64).hex() for _ in range(rows)]})


def temporaries(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


def save_on_full(folder: Path, make_room: Callable[[], None], old: pl.DataFrame) -> str:
    """Try all modes on a disk that is nearly full, then again once there is room; return how the first try went."""
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0, checkpoint_every=2)
    versions = len(store.history(TABLE))
    try:
        store.save(TABLE, frame(300), entity="id", mode="upsert")
        outcome = "saved"
        versions += 1
    except NoSpace:
        outcome = "refused"
        assert store.read(TABLE, use_cache=False).to_polars().equals(old)
    # No one has to clean up: neither this process nor one that starts now.
    for anyone in (store, tiffin.FeatureStore(folder, disk_cache_bytes=0)):
        assert len(anyone.history(TABLE)) == versions
        assert anyone.read(TABLE, version=0, use_cache=False).to_polars().equals(old)
        assert anyone.examine() == []
    assert temporaries(folder) == []
    make_room()
    assert store.save(TABLE, old, entity="id").version == versions
    assert store.read(TABLE).to_polars().equals(old)
    return outcome


class TestFullDisk:
    def test_a_save_that_finds_no_space_changes_nothing(
        self, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        outcomes = []
        for pages in [*range(16), 24, 40]:
            folder = tmpfs("size=1m")
            old = frame(100)
            tiffin.FeatureStore(folder).save(TABLE, old, entity="id")
            filler = folder / "filler"
            free = os.statvfs(folder).f_bavail * PAGE - pages * PAGE
            filler.write_bytes(bytes(free))
            outcomes.append(save_on_full(folder, filler.unlink, old))
        figure(f"{outcomes.count('refused')} refused, {outcomes.count('saved')} saved, old data whole each time")
        assert set(outcomes) == {"saved", "refused"}

    def test_a_save_that_finds_no_inode_changes_nothing(
        self, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        outcomes = []
        for left in range(8):
            folder = tmpfs("size=4m,nr_inodes=60")
            old = frame(100)
            tiffin.FeatureStore(folder).save(TABLE, old, entity="id")
            fillers = [folder / f"filler-{number}" for number in range(os.statvfs(folder).f_favail - left)]
            for filler in fillers:
                filler.touch()
            outcomes.append(save_on_full(folder, lambda fillers=fillers: [filler.unlink() for filler in fillers], old))
        figure(f"{outcomes.count('refused')} refused, {outcomes.count('saved')} saved, old data whole each time")
        assert set(outcomes) == {"saved", "refused"}

    def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written(self, tmpfs: Callable[..., Path]):
        folder = tmpfs("size=4m")
        old = frame(100)
        tiffin.FeatureStore(folder).save(TABLE, old, entity="id")
        run("mount", "-o", "remount,ro", str(folder))
        store = tiffin.FeatureStore(folder)
        assert store.read(TABLE).to_polars().equals(old)
        assert store.read(TABLE, entities=[3]).to_polars().equals(old[3:4])
        assert store.describe(TABLE).rows == 100
        assert store.examine() == []
        for change in (
            lambda: store.save(TABLE, old),
            lambda: store.save("new/table", old),
            lambda: store.restore(TABLE, 0),
            lambda: store.vacuum(TABLE, keep_versions=1),
            lambda: store.drop(TABLE),
        ):
            with pytest.raises(StorageError, match="read-only"):
                change()
        store.close()
        assert store.read(TABLE, use_cache=False).to_polars().equals(old)


def save_large_with_small_limit(folder: Path, log: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store, lines = tiffin.FeatureStore(folder), Notes(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        store.save(TABLE, frame(5000))
    except TiffinError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        lines.write(code=error.code, message=str(error))
    store.save(TABLE, frame(5000))


def work_with_few_handles(folder: Path, log: Path, spare: int) -> None:
    store, lines = tiffin.FeatureStore(folder, disk_cache_bytes=0), Notes(log)
    rows = pl.DataFrame({"id": [1000], "noise": ["new"]})
    # Whatever the libraries import when first used needs handles too: that is not what is tried here.
    store.save(TABLE, rows, mode="append")
    store.read(TABLE, use_cache=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, hard))
    outcomes = {}
    for name, call in {
        "save": lambda: store.save(TABLE, rows, mode="append"),
        "read": lambda: store.read(TABLE, use_cache=False),
    }.items():
        try:
            call()
            outcomes[name] = "done"
        except TiffinError as error:
            outcomes[name] = f"{error.code}: {error}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    lines.write(spare=spare, **outcomes)
    store.save(TABLE, rows, mode="append")
    store.read(TABLE, use_cache=False)


class TestLimits:
    def test_a_file_larger_than_the_limit_is_refused_and_the_old_data_whole(self, tmp_path: Path):
        store = tiffin.FeatureStore(tmp_path / "store")
        store.save(TABLE, frame(10))
        process = PROCESSES.Process(
            daemon=True, target=save_large_with_small_limit, args=(tmp_path / "store", tmp_path / "log")
        )
        process.start()
        process.join(60)
        assert process.exitcode == 0
        (line,) = notes(tmp_path / "log")
        assert line["code"] == "no_space"
        assert "File too large" in line["message"]
        assert [commit.rows for commit in store.history(TABLE)] == [5000, 10]
        assert temporaries(tmp_path) == []

    def test_too_few_handles_are_a_clear_error_and_harm_nothing(self, tmp_path: Path, figure: Callable[[str], None]):
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
        store.save(TABLE, frame(10), entity="id")
        spares = [0, 1, 2, 3, 5, 8, 16, 64]
        for spare in spares:
            process = PROCESSES.Process(
                target=work_with_few_handles, args=(tmp_path / "store", tmp_path / "log", spare)
            )
            process.start()
            process.join(60)
            assert process.exitcode == 0
        lines = notes(tmp_path / "log")
        outcomes = {line[name].partition(":")[0] for line in lines for name in ("save", "read")}
        figure(f"{len(lines)} limits: {sum(line['save'] == 'done' for line in lines)} saves done, the others refused")
        assert outcomes == {"done", "storage"}, lines
        assert store.describe(TABLE).rows == 10 + 2 * len(lines) + sum(line["save"] == "done" for line in lines)
        assert store.examine() == []

    def test_a_base_path_that_is_a_file_is_refused_at_once(self, tmp_path: Path):
        path = tmp_path / "file"
        path.write_text("mine")
        with pytest.raises(StorageError, match="is a file, not a folder"):
            tiffin.FeatureStore(path)
        assert path.read_text() == "mine"

    def test_a_file_where_a_folder_is_needed_is_named_and_kept(self, tmp_path: Path):
        (tmp_path / "features").mkdir()
        (tmp_path / "features" / "group").write_text("mine")
        with pytest.raises(StorageError, match="group"):
            tiffin.FeatureStore(tmp_path).save(TABLE, frame(1))
        assert (tmp_path / "features" / "group").read_text() == "mine"
