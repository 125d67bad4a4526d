"""A profile is made once, and a file that is lost, damaged or refused costs no more than making it again."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import tiffin
from tiffin.errors import CorruptData, StorageError
from tiffin.quality.profiles import kept
from tiffin.store import profiles as module

FRAME = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "day": [date(2024, 1, 2), date(2020, 1, 1), None],
        "moment": pl.Series([datetime(2024, 7, 1, tzinfo=UTC)] * 3).dt.convert_time_zone("Europe/Berlin"),
        "clock": [time(1, 2, 3), time(4, 5), None],
        "span": [timedelta(days=-3, microseconds=5), timedelta(1), None],
        "price": [Decimal("0.10"), Decimal("12345.67"), None],
        "large": pl.Series([2**100, 5, None], dtype=pl.Int128),
        "text": ["2024-01-02", "b", None],
        "kind": pl.Series(["b", "a", None], dtype=pl.Enum(["b", "a"])),
        "flag": [True, False, None],
        "list": [[1], [1, 2], None],
        "number": [0.1, float("nan"), float("inf")],
    }
)


@pytest.fixture
def store(tmp_path) -> tiffin.FeatureStore:
    store = tiffin.FeatureStore(tmp_path / "store")
    store.save("g/t", FRAME, entity="id")
    return store


@pytest.fixture
def made(monkeypatch) -> list[tuple[str, int]]:
    """The versions of which profiles were made."""
    calls: list[tuple[str, int]] = []
    real = module.profile

    def counting(table, version, *rest):
        calls.append((table, version))
        return real(table, version, *rest)

    monkeypatch.setattr(module, "profile", counting)
    return calls


def files(store: tiffin.FeatureStore) -> list[Path]:
    return sorted((store.path / "metadata" / "profiles").glob("*/*.json"))


def versions(store: tiffin.FeatureStore) -> list[int]:
    return [int(path.name[:20]) for path in files(store)]


def test_a_profile_is_made_once_and_comes_back_as_it_was(store, made):
    first = store.profile("t")
    again = tiffin.FeatureStore(store.path).profile("g/t@0")
    assert made == [("g/t", 0)]
    assert again == first
    by_name = {column.name: column for column in again.columns}
    for name, column in by_name.items():
        before = next(each for each in first.columns if each.name == name)
        assert [type(value) for value in (column.min, column.max)] == [type(before.min), type(before.max)]
    assert by_name["moment"].min.tzinfo == ZoneInfo("Europe/Berlin")
    assert by_name["large"].max == Decimal(2**100)
    assert by_name["text"].min == "2024-01-02"
    assert by_name["day"].quantiles["0.99"] == date(2020, 1, 1)


def test_another_version_and_a_table_made_anew_have_profiles_of_their_own(store, made):
    store.profile("t")
    store.save("g/t", FRAME.head(1))
    assert (store.profile("t").rows, store.profile("t@0").rows) == (1, 3)
    store.drop("g/t")
    assert files(store) == []
    store.save("g/t", FRAME.head(2), entity="id")
    assert store.profile("t").rows == 2
    assert made == [("g/t", 0), ("g/t", 1), ("g/t", 0)]


def test_a_stage_has_a_profile_of_its_own(store, made):
    store.profile("t")
    store.stage("g/t", FRAME.head(1), name="trial")
    assert store.profile("t@trial").rows == store.profile("t@trial").rows == 1
    assert store.profile("t").rows == 3
    assert len(made) == 2


def test_one_feature_is_taken_out_of_what_is_kept_and_not_kept_alone(store, made):
    assert [each.name for each in store.profile("t:price").columns] == ["price"]
    assert files(store) == []
    whole = store.profile("t")
    made.clear()
    assert store.profile("t:price").columns == tuple(each for each in whole.columns if each.name == "price")
    assert made == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: b"\xff" + data,
        lambda data: data.replace(b'"rows":3', b'"rows":4'),
        lambda data: data.replace(b'"format":1', b'"format":0'),
        lambda data: b"[]",
    ],
    ids=["empty", "torn", "no text", "another number", "another format", "another thing"],
)
def test_a_damaged_file_is_made_anew(store, made, damage):
    good = store.profile("t")
    (path,) = files(store)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    assert store.profile("t") == good == store.profile("t")
    assert len(made) == 2


def test_a_file_of_another_version_is_not_taken_for_this_ones(store, made):
    store.profile("t")
    store.save("g/t", FRAME.head(1))
    store.profile("t")
    old, new = files(store)
    new.write_bytes(old.read_bytes())
    assert store.profile("t").rows == 1


@pytest.mark.parametrize("how", ["folder", "disk", "lock"])
def test_where_nothing_can_be_written_it_is_made_each_time(store, made, monkeypatch, how):
    def refuse(*_args, **_options):
        raise StorageError("the disk is full")

    if how == "folder":
        (store.path / "metadata").write_text("in the way")
        assert not store.examine()
        store = tiffin.FeatureStore(store.path)
    monkeypatch.setattr(kept, "write_unsynced" if how == "disk" else "make_folders", refuse)
    assert store.profile("t") == store.profile("t")
    assert len(made) == 2


def test_an_error_of_the_data_is_not_taken_for_one_of_the_file(store, monkeypatch):
    def broken(*_args):
        raise CorruptData("a bad file")

    monkeypatch.setattr(module, "profile", broken)
    with pytest.raises(CorruptData):
        store.profile("t")
    assert files(store) == []


def test_of_many_who_ask_at_once_one_makes_it(store, made):
    barrier = threading.Barrier(6)

    def ask():
        barrier.wait()
        store.profile("t")

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.slow
def test_another_process_reads_what_was_kept(store):
    store.profile("t")
    (path,) = files(store)
    changed = path.stat().st_mtime_ns
    code = f"import tiffin; print(tiffin.FeatureStore({str(store.path)!r}).profile('t').rows)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "3"
    assert path.stat().st_mtime_ns == changed


def test_a_vacuum_takes_the_profiles_of_versions_that_are_no_more(store):
    for _ in range(3):
        store.save("g/t", FRAME)
    for version in range(4):
        store.profile(f"t@{version}")
    store.vacuum(keep_versions=1, dry_run=True)
    assert versions(store) == [0, 1, 2, 3]
    store.vacuum(keep_versions=2)
    assert versions(store) == [2, 3]


def test_a_vacuum_of_all_takes_the_profiles_of_tables_that_are_no_more(store):
    store.profile("t")
    stray = store.path / "metadata" / "profiles" / ("0" * 32)
    stray.mkdir()
    (stray / "anything").write_text("x")
    store.vacuum("g/t")
    store.vacuum(dry_run=True)
    assert stray.exists()
    store.vacuum()
    assert not stray.exists()
    assert versions(store) == [0]


def test_only_so_many_are_kept(store, monkeypatch):
    monkeypatch.setattr(kept, "MOST_KEPT", 2)
    for version in range(1, 4):
        store.save("g/t", FRAME)
        store.profile(f"t@{version}")
    assert versions(store) == [2, 3]
    monkeypatch.setattr(kept, "MOST_BYTES", files(store)[0].stat().st_size + 10)
    store.save("g/t", FRAME)
    store.profile("t")
    assert versions(store) == [4]


def test_what_a_dead_writer_left_is_cleared_away(store):
    store.profile("t")
    folder = files(store)[0].parent
    (folder / ".tiffin-0123456789abcdef.tmp").write_text("half")
    store.save("g/t", FRAME)
    store.profile("t")
    assert not list(folder.glob("*.tmp"))


def test_a_copied_table_has_profiles_in_its_own_name(store, made):
    store.profile("g/t")
    shutil.copytree(store.path / "features" / "g" / "t", store.path / "features" / "g" / "copy")
    assert store.profile("g/copy").table == "g/copy"
    assert made == [("g/t", 0)]


def test_no_link_is_followed_out_of_the_store(store, made, tmp_path):
    store.profile("g/t")
    (folder,) = (store.path / "metadata" / "profiles").iterdir()
    outside = folder.rename(tmp_path / "outside")
    folder.symlink_to(outside)
    (kept_file,) = outside.glob("*.json")
    kept_file.unlink()
    assert store.profile("g/t").rows == store.profile("g/t").rows == 3
    assert len(made) == 3
    assert not list(outside.glob("*.json"))
    store.drop("g/t")
    assert outside.is_dir()
    assert not folder.exists()
