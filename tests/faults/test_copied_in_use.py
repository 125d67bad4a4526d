"""A store is copied while others use it: a backup is whole; a plain copy is not, and says so."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import tiffin
from faults.copies import DROPPED, TABLES, Busy, Seen, busy, look_at
from faults.test_kill import wait_for
from faults.workload import PROCESSES, Notes, notes
from tiffin.errors import ConflictError, CorruptData, InvalidInputError, NoSpace, StorageError
from tiffin.online.environment import Environment

TABLE = "group/name"


def rounds_of(used: Busy) -> int:
    return len(notes(used.churned))


def wait_for_rounds(used: Busy, count: int) -> None:
    least = rounds_of(used) + count
    wait_for(lambda: rounds_of(used) >= least, "the store to be used")


def back_up(store: Path, to: Path, log: Path) -> None:
    Notes(log).write(event="begin")
    tiffin.FeatureStore(store, disk_cache_bytes=0).backup(to)
    Notes(log).write(event="done")


def acknowledged(used: Busy, table: str) -> int:
    return max(line["version"] for line in used.lines() if line["event"] == "saved" and line["table"] == table)


def back_up_again_and_again(folder: Path, backups: int) -> str:
    """Back a busy store up, now on top of the last backup and now anew; compare all with what was acknowledged."""
    seen: list[Seen] = []
    with busy(folder) as used:
        store = tiffin.FeatureStore(used.store, disk_cache_bytes=0)
        for number in range(backups):
            wait_for_rounds(used, 1)
            to = folder / ("backup" if number % 4 else f"backup-{number}")
            least = {table: acknowledged(used, table) for table in TABLES}
            store.backup(to)
            copy = look_at(to)
            assert copy.is_whole, copy
            assert all(max(copy.versions[table]) >= version for table, version in least.items())
            seen.append(copy)
    expected = used.expected()
    assert [copy.wrong(expected) for copy in seen] == [[]] * backups
    versions = sum(len(versions) for copy in seen for versions in copy.versions.values())
    dropped = sum(DROPPED in copy.versions for copy in seen)
    sets = sum(copy.sets for copy in seen)
    saves, rounds = len(used.lines()) // 2, rounds_of(used)
    return (
        f"{backups} backups beside {saves} saves and {rounds} rounds of merge, vacuum, tag, stage, drop: 0 incomplete; "
        f"{versions} versions compared, 0 wrong; {sets} training sets made again, 0 failed; "
        f"{dropped} backups caught the table that is dropped all the time"
    )


def kill_backups(folder: Path, kills: int) -> str:
    """Kill backups of a busy store at any moment; what is there is refused, or is whole, and the next one is whole."""
    told: Counter[str] = Counter()
    with busy(folder, writers=1) as used:
        whole = []
        for seed in range(kills):
            to, log = folder / f"backup-{seed // 8}", folder / f"log-{seed}"
            backup = PROCESSES.Process(daemon=True, target=back_up, args=(used.store, to, log))
            backup.start()
            wait_for(lambda log=log: bool(notes(log)), "the backup to begin")
            # Not waiting for anything: this is the random moment.
            time.sleep(random.Random(seed).uniform(0, 0.4))
            backup.kill()
            backup.join()
            if len(notes(log)) == 2:
                outcome = "finished before"
            elif not (to / "backup.json").exists():
                outcome = "not begun"
            else:
                outcome = seen_after_kill(to, whole)
            told[outcome] += 1
            if seed % 4 == 3:
                tiffin.FeatureStore(used.store, disk_cache_bytes=0).backup(to)
                whole.append(look_at(to))
                assert whole[-1].is_whole, whole[-1]
    expected = used.expected()
    assert [copy.wrong(expected) for copy in whole] == [[]] * len(whole)
    what = ", ".join(f"{count} {outcome}" for outcome, count in sorted(told.items()))
    return f"{kills} backups killed: {what}; {kills // 4} repeated, 0 incomplete"


def seen_after_kill(to: Path, whole: list[Seen]) -> str:
    try:
        tiffin.FeatureStore(to)
    except StorageError:
        return "refused when opened"
    whole.append(look_at(to))
    assert whole[-1].is_whole, whole[-1]
    return "left the earlier backup whole"


def copy_slowly(used: Busy, to: Path) -> None:
    """Copy a store with `cp -a`, which is held up in the midst of a table, as it is among many gigabytes."""
    # Files vanish while it looks at them, and it says so.
    with subprocess.Popen(["cp", "-a", used.store, to], stderr=subprocess.DEVNULL) as copying:
        table = to / "features" / TABLES[0]
        wait_for(lambda: copying.poll() is not None or (table.exists() and any(table.iterdir())), "the copy to begin")
        copying.send_signal(signal.SIGSTOP)
        try:
            # The first of them may have vacuumed before.
            wait_for_rounds(used, 2)
        finally:
            copying.send_signal(signal.SIGCONT)


def copy_plainly(folder: Path, copies: int) -> str:
    """Copy a busy store with `cp -a`: what can be read is right, what cannot is an error that `examine` tells too."""
    seen: list[Seen] = []
    with busy(folder) as used:
        # A copy may be through with the table before it is held up: then others follow, until one is not complete.
        while len(seen) < copies or (len(seen) < 10 * copies and all(copy.is_whole for copy in seen)):
            to = folder / f"copy-{len(seen)}"
            copy_slowly(used, to)
            seen.append(look_at(to))
    expected = used.expected()
    assert [copy.wrong(expected) for copy in seen] == [[]] * len(seen)
    assert [copy for copy in seen if copy.failed and not copy.findings] == []
    assert all(".parquet" in one or "version" in one or "commit" in one for copy in seen for one in copy.failed)
    incomplete, findings = sum(not copy.is_whole for copy in seen), sum(len(copy.findings) for copy in seen)
    assert incomplete > 0
    versions = sum(len(versions) for copy in seen for versions in copy.versions.values())
    return (
        f"{len(seen)} plain copies (cp -a, held up in the midst of it): {incomplete} incomplete, with {findings} "
        f"findings of the doctor; {versions} versions could be read, 0 wrong"
    )


class TestBackups:
    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_they_are_whole_and_right(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(back_up_again_and_again(tmp_path, 6))

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_a_killed_one_is_never_taken_for_a_whole_one(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(kill_backups(tmp_path, 16))


class TestPlainCopies:
    @pytest.mark.slow
    @pytest.mark.timeout(300)
    def test_they_are_not_whole_and_say_so(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(copy_plainly(tmp_path, 12))

    def test_a_save_and_a_vacuum_in_between_is_seen(self, tmp_path: Path, figure: Callable[[str], None]):
        """Copied is the log, then the store is used, then the files are copied."""
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
        for value in range(3):
            store.save(TABLE, pl.DataFrame({"value": [value]}))
        source, copied = (tmp_path / where / "features" / TABLE for where in ("store", "copy"))
        shutil.copytree(source / "_delta_log", copied / "_delta_log")
        store.save(TABLE, pl.DataFrame({"value": [3]}))
        store.vacuum(keep_versions=1)
        shutil.copytree(source, copied, ignore=shutil.ignore_patterns("_delta_log"), dirs_exist_ok=True)
        seen = look_at(tmp_path / "copy")
        assert len(seen.failed) == 3
        assert all("is missing" in one for one in [*seen.failed, *seen.findings])
        figure(f"a log copied before a vacuum, the files after it: {len(seen.findings)} of 3 versions found damaged")


class TestFullDisk:
    def test_a_backup_that_finds_no_room_can_be_repeated(
        self, tmp_path: Path, tmpfs: Callable[..., Path], figure: Callable[[str], None]
    ):
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
        for _ in range(4):
            noise = [os.urandom(64).hex() for _ in range(400)]
            store.save(TABLE, pl.DataFrame({"id": range(400), "noise": noise}), entity="id")
        before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "store" / "features").rglob("*.parquet"))
        to, refused, named = tmpfs("size=48k"), 0, set()
        for kilobytes in range(48, 1024, 12):
            subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", to], check=True, capture_output=True)
            try:
                store.backup(to)
                break
            except NoSpace as error:
                named.add(str(to) in error.message)
                refused += 1
            # Not even the word that it is unfinished may have had room.
            with pytest.raises((StorageError, AssertionError)):
                assert tiffin.FeatureStore(to).tables(), "nothing is there yet"
            assert list(to.rglob("*.tmp")) == []
        assert (refused > 3, named) == (True, {True})
        assert look_at(to).is_whole
        assert tiffin.FeatureStore(to).read(TABLE).to_polars().equals(store.read(TABLE).to_polars())
        assert store.examine() == []
        after = sorted(path.stat().st_mtime_ns for path in (tmp_path / "store" / "features").rglob("*.parquet"))
        assert before == after
        figure(
            f"{refused} backups found the disk full, each refused with the file's name; with room the next was whole"
        )

    def test_an_earlier_backup_stays_whole_when_there_is_no_room_for_what_is_new(self, tmp_path: Path):
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0)
        store.save(TABLE, pl.DataFrame({"value": [0]}))
        store.backup(tmp_path / "backup")
        store.save(TABLE, pl.DataFrame({"value": [os.urandom(64).hex() for _ in range(4000)]}), evolve=True)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(NoSpace):
                store.backup(tmp_path / "backup")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert tiffin.FeatureStore(tmp_path / "backup").read(TABLE).to_polars()["value"].to_list() == [0]
        assert look_at(tmp_path / "backup").is_whole
        assert store.backup(tmp_path / "backup").versions == 2
        assert look_at(tmp_path / "backup").is_whole


class TestWhatABackupHolds:
    @pytest.fixture
    def store(self, tmp_path: Path) -> tiffin.FeatureStore:
        store = tiffin.FeatureStore(tmp_path / "store", disk_cache_bytes=0, checkpoint_every=2)
        for value in range(5):
            store.save(TABLE, pl.DataFrame({"id": [1, 2], "value": [value, -value]}), entity="id")
        return store

    @pytest.fixture
    def to(self, tmp_path: Path) -> Path:
        return tmp_path / "backup"

    def test_an_earlier_one_is_added_to_and_gives_up_what_the_store_has_no_more(
        self, store: tiffin.FeatureStore, to: Path
    ):
        store.save("group/other", pl.DataFrame({"value": [1]}))
        first = store.backup(to)
        assert (first.tables, first.versions, first.files_there) == (2, 6, 0)
        store.save(TABLE, pl.DataFrame({"id": [3], "value": [3]}), mode="append")
        second = store.backup(to)
        assert (second.files_copied, second.files_there) == (2, first.files_copied)
        store.vacuum(TABLE, keep_versions=2)
        store.drop("group/other")
        third = store.backup(to)
        assert (third.tables, third.versions, third.files_copied) == (1, 2, 0)
        assert [path.name for path in (to / "features" / "group").iterdir()] == ["name"]
        kept = {path.name for path in (to / "features" / TABLE).glob("*.parquet")}
        assert kept == {path.name for path in (store.path / "features" / TABLE).glob("*.parquet")}

    def test_versions_that_were_vacuumed_between_two_backups_leave_no_gap(self, store: tiffin.FeatureStore, to: Path):
        store.backup(to)
        for value in range(5, 12):
            store.save(TABLE, pl.DataFrame({"id": [1, 2], "value": [value, -value]}), entity="id")
        store.vacuum(keep_versions=3)
        store.backup(to)
        assert look_at(to).is_whole
        assert [commit.version for commit in tiffin.FeatureStore(to).history(TABLE)] == [11, 10, 9]

    def test_a_table_that_was_made_anew_takes_the_place_of_the_old(self, store: tiffin.FeatureStore, to: Path):
        store.backup(to)
        store.drop(TABLE)
        for value in range(100, 107):
            store.save(TABLE, pl.DataFrame({"other": [value]}))
        store.backup(to)
        assert look_at(to).is_whole
        copy = tiffin.FeatureStore(to)
        assert [copy.read(TABLE, version=n).to_polars()["other"].to_list() for n in range(7)] == [
            [value] for value in range(100, 107)
        ]

    def test_tags_stages_services_and_rows_kept_apart_come_and_go(self, store: tiffin.FeatureStore, to: Path):
        store.tag(TABLE, 1, "prod")
        store.tag(TABLE, 2, "old")
        store.stage(TABLE, pl.DataFrame({"id": [9], "value": [9]}), "trial")
        store.create_service("model", [f"{TABLE}@prod:value"])
        store.backup(to)
        store.tag(TABLE, 3, "prod", move=True)
        store.untag(TABLE, "old")
        store.discard(TABLE, "trial")
        store.create_service("model", [f"{TABLE}:value"], replace=True)
        with tiffin.FeatureStore(to, disk_cache_bytes=0) as copy:
            assert copy.read(f"{TABLE}@trial").to_polars()["value"].to_list() == [9]
            assert copy.read(f"{TABLE}@prod").to_polars()["value"].to_list() == [1, -1]
        store.backup(to)
        with tiffin.FeatureStore(to, disk_cache_bytes=0) as copy:
            assert [(tag.name, tag.version) for tag in copy.tags(TABLE)] == [("prod", 3)]
            assert copy.stages(TABLE) == ()
            assert copy.service("model").features == (f"{TABLE}:value",)
        store.drop_service("model")
        store.backup(to)
        assert tiffin.FeatureStore(to).services() == []
        assert look_at(to).is_whole

    def test_damage_in_the_store_is_an_error_and_the_earlier_backup_stays(self, store: tiffin.FeatureStore, to: Path):
        store.backup(to)
        store.save(TABLE, pl.DataFrame({"id": [3], "value": [3]}), mode="append")
        path = max((store.path / "features" / TABLE).glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(CorruptData, match=path.name):
            store.backup(to)
        assert look_at(to).is_whole
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert store.backup(to).files_copied == 2

    @pytest.mark.parametrize("ending", ["*.parquet", "_delta_log/*.json", "_delta_log/*.checkpoint.parquet"])
    def test_damage_in_the_backup_is_mended(self, store: tiffin.FeatureStore, to: Path, ending: str):
        store.backup(to)
        path = min((to / "features" / TABLE).glob(ending))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert not look_at(to).is_whole
        store.backup(to)
        assert look_at(to).is_whole

    @pytest.mark.parametrize("is_cut_off", [True, False], ids=["cut off", "gone"])
    def test_a_newest_commit_that_the_backup_lost_is_no_save_to_it(
        self, store: tiffin.FeatureStore, to: Path, *, is_cut_off: bool
    ):
        store.backup(to)
        commit = max((to / "features" / TABLE).glob("_delta_log/*.json"))
        commit.write_bytes(b"") if is_cut_off else commit.unlink()
        assert tiffin.FeatureStore(to).describe(TABLE).version == 3
        store.backup(to)
        assert look_at(to).is_whole
        assert tiffin.FeatureStore(to).describe(TABLE).version == 4

    def test_audit_logs_that_were_put_by_are_copied_until_they_are_no_more(self, store: tiffin.FeatureStore, to: Path):
        logs = store.path / "logs"
        logs.mkdir()
        (logs / "audit.jsonl").write_text('{"line": 1}\n')
        store.backup(to)
        (logs / "audit.jsonl").rename(logs / "audit.1.jsonl")
        (logs / "audit.jsonl").write_text('{"line": 2}\n')
        store.backup(to)
        assert {path.name: path.read_text() for path in (to / "logs").iterdir()} == {
            "audit.jsonl": '{"line": 2}\n',
            "audit.1.jsonl": '{"line": 1}\n',
        }
        (logs / "audit.1.jsonl").unlink()
        store.backup(to)
        assert [path.name for path in (to / "logs").iterdir()] == ["audit.jsonl"]

    def test_settings_and_keys_are_their_owners_alone(self, store: tiffin.FeatureStore, to: Path):
        store.init()
        (store.path / "logs").mkdir()
        (store.path / "logs" / "audit.jsonl").write_text("{}\n")
        store.backup(to)
        for name in ("config/tiffin.toml", "logs/audit.jsonl"):
            assert (to / name).read_bytes() == (store.path / name).read_bytes()
            assert (to / name).stat().st_mode & 0o777 == 0o600

    def test_it_never_overwrites_what_is_no_backup_of_this_store(self, store: tiffin.FeatureStore, tmp_path: Path):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "mine.txt").touch()
        with pytest.raises(ConflictError, match=r"mine\.txt"):
            store.backup(tmp_path / "full")
        other = tiffin.FeatureStore(tmp_path / "other")
        other.save(TABLE, pl.DataFrame({"value": [1]}))
        with pytest.raises(ConflictError, match="neither empty nor a backup"):
            store.backup(tmp_path / "other")
        other.backup(tmp_path / "of_other")
        with pytest.raises(ConflictError, match="is a backup of"):
            store.backup(tmp_path / "of_other")
        store.backup(tmp_path / "mine")
        tiffin.FeatureStore(tmp_path / "mine").save(TABLE, pl.DataFrame({"id": [5], "value": [5]}), mode="append")
        with pytest.raises(ConflictError, match="was saved to"):
            store.backup(tmp_path / "mine")
        for inside in (store.path / "inside", store.path, tmp_path):
            with pytest.raises(InvalidInputError, match="in one another"):
                store.backup(inside)

    def test_a_store_that_is_not_there_empties_no_backup(self, store: tiffin.FeatureStore, to: Path, tmp_path: Path):
        store.backup(to)
        store.path.rename(tmp_path / "away")
        with pytest.raises(StorageError, match="there is no store"):
            store.backup(to)
        assert look_at(to).is_whole

    def test_two_at_once_are_one_too_many(self, store: tiffin.FeatureStore, to: Path):
        def again(*_: object) -> None:
            with pytest.raises(ConflictError, match="another backup"):
                store.backup(to)

        store.backup(to, progress=again)
        assert look_at(to).is_whole

    def test_a_vacuum_in_the_midst_of_it_takes_nothing_away(self, store: tiffin.FeatureStore, to: Path):
        removed = []

        def vacuum(*_: object) -> None:
            removed.append(store.vacuum(TABLE, keep_versions=1)[0].versions_removed)

        assert store.backup(to, progress=vacuum).versions == 5
        assert removed == [0] * 5
        assert store.vacuum(TABLE, keep_versions=1)[0].versions_removed == 4
        assert look_at(to).is_whole

    def test_what_is_named_stays_until_it_is_copied(self, store: tiffin.FeatureStore, to: Path):
        """While another table is copied, a training set and a service go, and then the versions that they needed."""
        at = datetime(2024, 1, 1, tzinfo=UTC)
        for value in range(3):
            store.save("z/last", pl.DataFrame({"id": [1], "at": [at], "n": [value]}), entity="id", timestamp="at")
        spine = pl.DataFrame({"id": [1], "event_timestamp": [at]})
        store.save_training_set("made", store.get_historical_features(spine, ["z/last@0:n"]))
        store.create_service("model", ["z/last@1:n"])

        def forget(table: str, *_: object) -> None:
            if table == TABLE and store.services():
                store.drop_training_set("made")
                store.drop_service("model")
                store.vacuum("z/last", keep_versions=1)

        store.backup(to, progress=forget)
        assert store.services() == []
        seen = look_at(to)
        assert seen.is_whole
        assert seen.sets == 1

    def test_a_derived_table_is_not_newer_than_its_source(self, store: tiffin.FeatureStore, to: Path):
        def go_on(*_: object) -> None:
            at = [datetime(2024, 1, 1, tzinfo=UTC)]
            store.save("a/events", pl.DataFrame({"id": [1], "at": at, "n": [1.0]}), timestamp="at", mode="append")
            store.refresh("z/sums")

        rows = pl.DataFrame({"id": [1], "at": [datetime(2024, 1, 1, tzinfo=UTC)], "n": [1.0]})
        store.save("a/events", rows, entity="id", timestamp="at")
        definition = {"source": "a/events", "entity": "id", "windows": ["7d"], "aggregations": {"n": ["sum"]}}
        store.derive("z/sums", definition)
        store.backup(to, progress=go_on)
        (derived,) = (info for info in tiffin.FeatureStore(to).tables() if info.derivation)
        assert derived.behind is not None
        assert derived.behind >= 0


class TestCopiedIndex:
    """LMDB's file is copied piece by piece while somebody pushes: its pages are of different moments."""

    ENTITIES = 3000

    def copied(self, folder: Path) -> tiffin.FeatureStore:
        """Copy the tables and the first part of the index, push some more, copy the rest."""
        store = tiffin.FeatureStore(folder / "store", disk_cache_bytes=0)
        start, chance = datetime(2024, 1, 1, tzinfo=UTC), random.Random(0)
        ids = list(range(self.ENTITIES))

        def rows(of: list[int], day: int) -> pl.DataFrame:
            return pl.DataFrame({"id": of, "at": [start + timedelta(days=day)] * len(of), "value": [day] * len(of)})

        store.save(TABLE, rows(ids, 0), entity="id", timestamp="at", online=True)
        for day in range(1, 8):
            store.push(TABLE, rows(chance.sample(ids, 400), day))
        shutil.copytree(folder / "store", folder / "copy")
        first = (folder / "store" / "online" / "data.mdb").read_bytes()
        for day in range(8, 12):
            # Pages of a version can be used again as soon as two others are there.
            store.push(TABLE, rows(chance.sample(ids, 400), day))
        rest = (folder / "store" / "online" / "data.mdb").read_bytes()
        at = len(first.rstrip(b"\0")) * 5 // 8 // 4096 * 4096
        (folder / "copy" / "online" / "data.mdb").write_bytes(first[:at] + rest[at:])
        return tiffin.FeatureStore(folder / "copy", disk_cache_bytes=0)

    def differing(self, copy: tiffin.FeatureStore) -> int:
        """Count the entities whose answer is not the newest row of the copy's table, or is no answer."""
        newest = dict(copy.read(TABLE).to_polars().sort("at").select("id", "value").iter_rows())
        ids = list(range(self.ENTITIES))
        try:
            answer = copy.get_online_features([f"{TABLE}:value"], {"id": ids}).to_dict()["value"]
        except StorageError:
            return len(ids)
        return sum(found != newest[one] for one, found in zip(ids, answer, strict=True))

    def test_the_copy_answers_as_its_tables_do(self, tmp_path: Path, figure: Callable[[str], None]):
        copy = self.copied(tmp_path)
        assert self.differing(copy) == 0
        assert copy.verify().ok
        figure(f"an index copied in two parts with 4 pushes between: {self.ENTITIES} entities asked, 0 wrong")

    def test_without_knowing_its_folder_the_index_answers_wrongly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
    ):
        monkeypatch.setattr(Environment, "_place", lambda self: b"")
        differing = self.differing(self.copied(tmp_path))
        assert differing > 0
        figure(f"taken as it was copied: {differing} of {self.ENTITIES} entities answered wrongly or not at all")
