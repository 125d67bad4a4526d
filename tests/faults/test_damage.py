"""Bits flip and files of every kind are cut short: a right answer or an error naming the file, never a wrong one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import tiffin
from tiffin.access.keys import keys_of
from tiffin.errors import CorruptData, TiffinError

TABLE = "group/name"
TRIALS_PER_FILE = 30


def frame(version: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(version * 10, version * 10 + 10),
            "value": [version + index / 7 for index in range(10)],
            "text": [f"text {version} {index}" for index in range(10)],
        }
    )


class Damaged:
    """A store of four versions with a checkpoint at the third, and what each version holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        store = self.opened(checkpoint_every=2)
        self.commits = [
            store.save(TABLE, frame(version), entity="id", mode="append", message=f"version {version} @ noon")
            for version in range(4)
        ]
        self.folder = path / "features" / "group" / "name"
        self.log = self.folder / "_delta_log"
        self.versions = [pl.concat([frame(old) for old in range(version + 1)]) for version in range(4)]

    def opened(self, **settings: object) -> tiffin.FeatureStore:
        return tiffin.FeatureStore(self.path, **{"disk_cache_bytes": 0, **settings})

    def ask(self, path: Path) -> Iterator[str]:
        """Ask a newly opened store for everything; say of each answer whether it is right, wrong or an error."""
        store = self.opened()
        for version, rows in enumerate(self.versions):
            yield self._answer(
                path, lambda v=version: store.read(TABLE, version=v).to_polars().equals(self.versions[v])
            )
            yield self._answer(
                path,
                lambda v=version, rows=rows: (
                    store.read(TABLE, as_of=self.commits[v].timestamp).to_polars().equals(rows)
                ),
            )
        yield self._answer(path, lambda: store.history(TABLE)[::-1] == self.commits)

    def _answer(self, path: Path, is_right: Callable[[], bool]) -> str:
        try:
            return "right" if is_right() else "WRONG"
        except CorruptData as error:
            digits = path.name.lstrip(".").split(".")[0]
            named = path.name in str(error) or (digits.isdigit() and f"commit {int(digits)} " in str(error))
            return "error" if named else f"NOT NAMED: {error}"
        except TiffinError as error:
            return f"WRONG ERROR: {error!r}"


def damages(data: bytes, trials: int) -> Iterator[bytes]:
    """Flip one random bit, a number of times."""
    chance = random.Random(len(data))
    for _ in range(trials):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        yield bytes(flipped)


def answers(store: Damaged, path: Path, damaged: Iterator[bytes]) -> tuple[int, Counter[str]]:
    whole = path.read_bytes()
    counts: Counter[str] = Counter()
    trials = 0
    for data in damaged:
        trials += 1
        path.write_bytes(data)
        counts.update(store.ask(path))
        assert path.read_bytes() == data, f"{path.name} was changed"
    path.write_bytes(whole)
    return trials, counts


@pytest.fixture
def store(tmp_path: Path) -> Damaged:
    return Damaged(tmp_path / "store")


class TestDamage:
    @pytest.mark.slow
    def test_a_flipped_bit_never_gives_a_wrong_answer(self, store: Damaged, figure: Callable[[str], None]):
        files = [path for path in sorted(store.folder.rglob("*")) if path.is_file() and path.stat().st_size]
        assert len(files) == 4 + 4 + 3
        total, counts = 0, Counter[str]()
        for path in files:
            trials, found = answers(store, path, damages(path.read_bytes(), TRIALS_PER_FILE))
            total, counts = total + trials, counts + found
        figure(f"{total} flips in {len(files)} files: {counts['right']} right answers, {counts['error']} clear errors")
        assert total > 300
        assert set(counts) == {"right", "error"}

    def test_a_file_cut_short_never_gives_a_wrong_answer(self, store: Damaged, figure: Callable[[str], None]):
        # The last commit is another story: see test_torn_commit.py.
        newest = store.log / f"{3:020}.json"
        files = [p for p in sorted(store.folder.rglob("*")) if p.is_file() and p.stat().st_size and p != newest]
        total, counts = 0, Counter[str]()
        for path in files:
            data = path.read_bytes()
            cuts = [0, 1, len(data) // 2, len(data) - 1]
            trials, found = answers(store, path, (data[:cut] for cut in cuts))
            total, counts = total + trials, counts + found
        figure(f"{total} cuts in {len(files)} files: {counts['right']} right answers, {counts['error']} clear errors")
        assert set(counts) == {"right", "error"}

    def test_every_bit_of_a_data_file_is_checked_before_its_rows_are_used(self, store: Damaged):
        path = next(store.folder.glob("part-*.parquet"))
        whole = path.read_bytes()
        for at in range(0, len(whole), 7):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
            with pytest.raises(CorruptData, match=path.name):
                store.opened().read(TABLE)
        path.write_bytes(whole)
        assert store.opened().read(TABLE).to_polars().equals(store.versions[3])

    def test_a_bad_checkpoint_is_passed_over_while_the_log_reaches_back(self, store: Damaged):
        for path in store.log.glob("*.checkpoint.parquet"):
            path.write_bytes(path.read_bytes()[:-5])
        assert store.opened().read(TABLE).to_polars().equals(store.versions[3])

    def test_a_bad_checkpoint_that_the_log_rests_on_is_an_error(self, store: Damaged):
        store.opened().vacuum(TABLE, keep_versions=2)
        (path,) = store.log.glob("*.checkpoint.parquet")
        _, counts = answers(store, path, damages(path.read_bytes(), 1))
        assert counts["right"] == 0
        assert counts["WRONG"] == 0
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(CorruptData, match=path.name):
            store.opened().read(TABLE)

    def test_a_missing_file_is_an_error_naming_it(self, store: Damaged):
        for path in [next(store.folder.glob("part-*.parquet")), store.log / f"{1:020}.json"]:
            data = path.read_bytes()
            path.unlink()
            for checkpoint in store.log.glob("*.checkpoint.parquet"):
                checkpoint.unlink()
            with pytest.raises(CorruptData, match=rf"{path.name}|lacks version 1"):
                store.opened().read(TABLE)
            path.write_bytes(data)

    def test_a_damaged_file_of_the_disk_cache_is_not_used(
        self, store: Damaged, figure: Callable[[str], None], monkeypatch
    ):
        monkeypatch.setattr("tiffin.reading._WORTH_A_FILE_BYTES", 0)
        with store.opened(disk_cache_bytes="64MB") as warm:
            warm.read(TABLE)
        (path,) = (store.path / "cache").rglob("*.arrow")
        whole = path.read_bytes()
        damaged = [*damages(whole, 30), b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0"]
        for data in damaged:
            path.write_bytes(data)
            with store.opened(disk_cache_bytes="64MB") as cold:
                assert cold.read(TABLE).to_polars().equals(store.versions[3])
                assert cold.stats().disk_cache["corrupt"] == 1
        figure(f"{len(damaged)} damages, all found")

    def test_examining_the_store_names_every_damaged_file(self, store: Damaged):
        data = next(store.folder.glob("part-*.parquet"))
        commit = store.log / f"{1:020}.json"
        for path in (data, commit):
            path.write_bytes(next(damages(path.read_bytes(), 1)))
        found = " ".join(finding.what for finding in store.opened().examine())
        assert data.name in found
        assert "commit 1 " in found

    def test_it_names_what_reading_passes_over_and_what_no_table_has(self, store: Damaged):
        keys_of(store.path).create("dashboard", ["read"])
        checkpoint, keys = next(store.log.glob("*.checkpoint.parquet")), store.path / "config" / "keys.json"
        for path in (checkpoint, keys):
            path.write_bytes(next(damages(path.read_bytes(), 1)))
        found = store.opened().examine()
        assert [one.table for one in found] == [TABLE, ""]
        assert checkpoint.name in found[0].what
        assert str(keys) in found[1].what

    def test_a_whole_commit_in_the_place_of_another_is_found(self, store: Damaged):
        (store.log / f"{1:020}.json").write_bytes((store.log / f"{2:020}.json").read_bytes())
        with pytest.raises(CorruptData, match="commit 1 .* is that of version 2"):
            store.opened().read(TABLE, version=1)
