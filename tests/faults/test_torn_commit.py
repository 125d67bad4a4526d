"""A last commit that a power loss tore is set aside when the table is opened; one that was whole never is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import tiffin
from tiffin.errors import CorruptData, VersionNotFound
from tiffin.tables.actions import decode_commit, is_torn

TABLE = "group/name"


def make(path: Path) -> tuple[tiffin.FeatureStore, Path]:
    """Make a table of three versions; return also the commit of the last."""
    store = tiffin.FeatureStore(path, disk_cache_bytes=0)
    for version in range(3):
        store.save(TABLE, pl.DataFrame({"id": [version]}), entity="id", message="a message with spaces @ 0")
    return store, path / "features" / "group" / "name" / "_delta_log" / f"{2:020}.json"


def torn(data: bytes) -> Iterator[bytes]:
    """All that a crash may leave of a file of this length: its start, or zeros from some point on, or in its midst."""
    yield from (data[:length] for length in range(len(data)))
    yield from (data[:length] + bytes(len(data) - length) for length in range(len(data)))
    yield data[:100] + bytes(50) + data[150:]


class TestTornCommit:
    def test_whatever_a_crash_leaves_of_a_commit_is_taken_for_torn(self, tmp_path: Path):
        _, newest = make(tmp_path)
        data = newest.read_bytes()
        assert not is_torn(data)
        assert [len(rest) for rest in torn(data) if not is_torn(rest)] == []

    def test_no_flipped_bit_makes_a_whole_commit_look_torn_or_right(
        self, tmp_path: Path, figure: Callable[[str], None]
    ):
        _, newest = make(tmp_path)
        data = newest.read_bytes()
        for at in range(len(data)):
            for bit in range(8):
                flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
                assert not is_torn(flipped), (at, bit)
                with pytest.raises(CorruptData):
                    decode_commit(flipped, "commit 2")
        figure(f"{8 * len(data)} flips, none taken for a torn commit, none taken for right")

    @pytest.mark.parametrize("length", [0, 1, 30, 45, 60, 200, -2, -1])
    def test_a_torn_last_commit_is_set_aside_kept_and_reported(self, tmp_path: Path, length: int):
        _, newest = make(tmp_path)
        data = newest.read_bytes()
        newest.write_bytes(data[:length])
        store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
        assert store.read(TABLE).to_polars()["id"].to_list() == [1]
        assert store.describe(TABLE).version == 1
        (kept,) = newest.parent.glob("*.torn-*")
        assert kept.read_bytes() == data[:length]
        (finding,) = store.examine()
        assert finding.kind == "repaired"
        assert kept.name in finding.what
        assert store.save(TABLE, pl.DataFrame({"id": [7]})).version == 2
        assert tiffin.FeatureStore(tmp_path).read(TABLE).to_polars()["id"].to_list() == [7]

    def test_a_commit_of_zeros_is_set_aside(self, tmp_path: Path):
        _, newest = make(tmp_path)
        newest.write_bytes(bytes(newest.stat().st_size))
        assert tiffin.FeatureStore(tmp_path).read(TABLE).to_polars()["id"].to_list() == [1]

    def test_several_torn_commits_in_a_row_are_set_aside(self, tmp_path: Path):
        _, newest = make(tmp_path)
        for path in (newest, newest.with_name(f"{1:020}.json")):
            path.write_bytes(b"")
        assert tiffin.FeatureStore(tmp_path).read(TABLE).to_polars()["id"].to_list() == [0]
        assert len(list(newest.parent.glob("*.torn-*"))) == 2

    def test_a_table_whose_only_commit_is_torn_was_never_there(self, tmp_path: Path):
        store = tiffin.FeatureStore(tmp_path)
        store.save(TABLE, pl.DataFrame({"id": [1]}))
        (commit,) = (tmp_path / "features" / "group" / "name" / "_delta_log").glob("*.json")
        commit.write_bytes(b"")
        store = tiffin.FeatureStore(tmp_path)
        assert store.tables() == []
        assert store.save(TABLE, pl.DataFrame({"other": ["x"]})).version == 0

    def test_a_damaged_last_commit_is_an_error_and_stays(self, tmp_path: Path):
        _, newest = make(tmp_path)
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 4
        newest.write_bytes(data)
        store = tiffin.FeatureStore(tmp_path)
        for call in (lambda: store.read(TABLE), lambda: store.save(TABLE, pl.DataFrame({"id": [9]}))):
            with pytest.raises(CorruptData, match="commit 2 of table group/name"):
                call()
        assert newest.read_bytes() == data

    def test_a_torn_commit_in_the_middle_is_an_error_naming_it(self, tmp_path: Path):
        _, newest = make(tmp_path)
        middle = newest.with_name(f"{1:020}.json")
        data = middle.read_bytes()
        middle.write_bytes(data[:100])
        with pytest.raises(CorruptData, match="commit 1 of table group/name"):
            tiffin.FeatureStore(tmp_path).read(TABLE)
        assert middle.read_bytes() == data[:100]

    def test_a_torn_last_commit_on_a_read_only_disk_is_passed_over(self, tmp_path: Path, monkeypatch):
        _, newest = make(tmp_path)
        newest.write_bytes(b"")

        def refuse(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr("tiffin.files.system.LocalFiles.rename", refuse)
        store = tiffin.FeatureStore(tmp_path, disk_cache_bytes=0)
        assert store.read(TABLE).to_polars()["id"].to_list() == [1]
        with pytest.raises(VersionNotFound):
            store.read(TABLE, version=2)
