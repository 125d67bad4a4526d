from __future__ import annotations

import datetime as dt
import itertools
import os
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from faults.simfs import SimulatedFiles, trials
from tiffin.cache import disk, sealed
from tiffin.cache.disk import DiskCache

SMALL = pl.DataFrame({"user_id": [1, 2, None], "name": ["a", None, "a name longer than twelve bytes"]})
LARGE = pl.DataFrame({f"c{n}": pl.arange(n, 300_000 + n, eager=True).cast(pl.Float64) for n in range(8)})
MINUTE = 60 * 10**9


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def frames_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


def every_dtype() -> dict[str, pl.Series]:
    days = [dt.date(2020, 2, 29), None, dt.date(1, 1, 1)]
    moments = [dt.datetime(2020, 1, 1, 1), None, None]
    pair = pl.Struct({"a": pl.Int8, "b": pl.Categorical})
    return {
        **{str(t): pl.Series([1, None, 0], dtype=t) for t in sorted(pl.datatypes.group.INTEGER_DTYPES, key=str)},
        "Int128 large": pl.Series([2**100, None, -(2**100)], dtype=pl.Int128),
        **{str(t): pl.Series([1.5, None, float("nan")], dtype=t) for t in (pl.Float16, pl.Float32, pl.Float64)},
        "Boolean": pl.Series([True, None, False]),
        "String": SMALL["name"],
        "Binary": pl.Series([b"", None, bytes(20)]),
        "Date": pl.Series(days),
        "Time": pl.Series([dt.time(1, 2, 3, 4), None, dt.time(0)]),
        "Datetime naive": pl.Series(moments, dtype=pl.Datetime("us")),
        "Datetime zoned": pl.Series(moments, dtype=pl.Datetime("ns", "Asia/Seoul")),
        "Datetime ms": pl.Series(moments, dtype=pl.Datetime("ms", "UTC")),
        **{f"Duration {u}": pl.Series([dt.timedelta(1), None, None], dtype=pl.Duration(u)) for u in ("ms", "us", "ns")},
        "Decimal": pl.Series([Decimal("1.50"), None, Decimal("-3.25")], dtype=pl.Decimal(38, 2)),
        "Categorical": pl.Series(["x", None, "y"], dtype=pl.Categorical),
        "Categorical named": pl.Series(["x", None, "y"], dtype=pl.Categorical(pl.Categories("g", "n", pl.UInt8))),
        "Enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["b", "a", "unused"])),
        "List": pl.Series([[1, None], None, []], dtype=pl.List(pl.Int16)),
        "List of Enum": pl.Series([["b"], None, []], dtype=pl.List(pl.Enum(["b", "a"]))),
        "Array": pl.Series([[[1], [3]], None, [[3], [5]]], dtype=pl.Array(pl.Float32, (2, 1))),
        "Struct": pl.Series([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}], dtype=pair),
        "Null": pl.Series([None, None, None]),
    }


class TestRoundTrip:
    def test_what_was_put_comes_back(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        assert cache.get(("t", 1)) is None
        assert cache.put(("t", 1), SMALL)
        assert_frame_equal(cache.get(("t", 1)), SMALL)
        assert_frame_equal(DiskCache(folder, max_bytes=10**6).get(("t", 1)), SMALL)
        assert cache.get(("t", 2)) is None

    @pytest.mark.parametrize("with_pyarrow", [True, False])
    @pytest.mark.parametrize("name", every_dtype())
    def test_every_dtype_comes_back_exactly(self, folder, name, with_pyarrow, monkeypatch):
        # None makes the import fail, as where PyArrow is not installed.
        monkeypatch.setitem(sys.modules, "pyarrow", __import__("pyarrow") if with_pyarrow else None)
        series = every_dtype()[name]
        frame = pl.DataFrame({"x": series})
        cache = DiskCache(folder, max_bytes=10**6)
        for height in (3, 0):
            assert cache.put(("t", height), frame.head(height))
            found = cache.get(("t", height))
            assert found is not None
            assert found.schema == frame.schema
            assert_frame_equal(found, frame.head(height), categorical_as_str=False)

    def test_python_objects_are_refused_also_inside_others(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        assert not cache.put(("t", 1), pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}))
        assert cache.get(("t", 1)) is None
        assert frames_in(folder) == []

    def test_a_frame_of_many_pieces_comes_back_in_one(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 1), pl.concat([LARGE, LARGE], rechunk=False))
        found = cache.get(("t", 1))
        assert found.n_chunks() == 1
        assert_frame_equal(found, pl.concat([LARGE, LARGE]))

    def test_changing_a_frame_changes_neither_the_file_nor_the_next_answer(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 1), LARGE)
        before = frames_in(folder)[0].read_bytes()
        for _ in range(2):
            frame = cache.get(("t", 1))
            assert_frame_equal(frame, LARGE)
            frame[0, "c0"] = 99.0
            frame["c1"].scatter(0, 99.0)
            frame.extend(frame.clone())
            frame.columns = [name.upper() for name in frame.columns]
        assert frames_in(folder)[0].read_bytes() == before

    def test_a_frame_stays_readable_after_its_file_is_gone(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 1), LARGE)
        frame = cache.get(("t", 1))
        cache.clear()
        assert_frame_equal(frame, LARGE)

    def test_a_large_frame_is_mapped_not_copied(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 1), LARGE)
        frame = cache.get(("t", 1))
        maps = Path("/proc/self/maps").read_text()
        assert frames_in(folder)[0].name in maps
        del frame
        assert frames_in(folder)[0].name not in Path("/proc/self/maps").read_text()

    @given(
        st.lists(st.lists(st.text(max_size=3) | st.integers(0, 12), max_size=3).map(tuple), max_size=20, unique=True)
    )
    def test_no_two_keys_share_a_file(self, keys):
        assert len({disk._file_name(key) for key in keys}) == len(keys)

    def test_keys_with_the_same_letters_have_different_files(self):
        keys = [
            ("a", "b"),
            ("astrb",),
            ("a", "bc"),
            ("ab", "c"),
            ("abc",),
            ("a", "b", "c"),
            ("1",),
            (1,),
            (),
            ("",),
            ("", ""),
        ]
        assert len({disk._file_name(key) for key in keys}) == len(keys)


class TestDamage:
    def test_no_flipped_bit_gives_wrong_numbers(self, folder):
        DiskCache(folder, max_bytes=10**6).put(("t", 1), SMALL)
        [path] = frames_in(folder)
        good = path.read_bytes()
        for at, bit in itertools.product(range(0, len(good), 7), (0, 7)):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            path.write_bytes(bad)
            assert DiskCache(folder, max_bytes=10**6).get(("t", 1)) is None
            assert not path.exists()

    def test_a_flipped_bit_in_any_chunk_of_a_large_file_is_seen(self, folder):
        DiskCache(folder, max_bytes=10**8).put(("t", 1), LARGE)
        [path] = frames_in(folder)
        good = path.read_bytes()
        assert len(good) > 2 * sealed.CHUNK_BYTES
        for at in (100, sealed.CHUNK_BYTES + 5, len(good) - 1000):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            assert DiskCache(folder, max_bytes=10**8).get(("t", 1)) is None

    @pytest.mark.parametrize("left", [0, 1, 23, 24, 25, 200, -1])
    def test_a_truncated_file_is_a_miss_and_removed(self, folder, left):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        [path] = frames_in(folder)
        path.write_bytes(path.read_bytes()[:left])
        assert cache.get(("t", 1)) is None
        assert not path.exists()
        assert cache.stats()["corrupt"] == 1
        assert cache.put(("t", 1), SMALL)
        assert_frame_equal(cache.get(("t", 1)), SMALL)

    def test_a_file_under_the_name_of_another_is_a_miss(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        [path] = frames_in(folder)
        path.rename(folder / disk._file_name(("t", 2)))
        assert cache.get(("t", 2)) is None

    def test_a_file_changed_since_it_was_verified_is_verified_again(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        assert cache.get(("t", 1)) is not None
        [path] = frames_in(folder)
        bad = bytearray(path.read_bytes())
        bad[len(bad) // 2] ^= 1
        path.write_bytes(bad)
        assert cache.get(("t", 1)) is None

    def test_a_symbolic_link_is_not_followed(self, folder, tmp_path):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        [path] = frames_in(folder)
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert cache.get(("t", 1)) is None
        assert (tmp_path / "elsewhere").exists()

    def test_foreign_files_are_removed_from_a_folder_of_its_own(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        (folder / "foreign.bin").write_bytes(b"x")
        (folder / ".tiffin-0123456789abcdef.tmp").write_bytes(b"x")
        (folder / "sub").mkdir()
        assert_frame_equal(cache.get(("t", 1)), SMALL)
        DiskCache(folder, max_bytes=10**6).put(("t", 2), SMALL)
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            [".lock", "CACHEDIR.TAG", "sub", *(p.name for p in frames_in(folder))]
        )

    def test_in_a_folder_that_was_there_before_nothing_of_others_is_touched(self, folder):
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
        cache = DiskCache(folder, max_bytes=len(sealed.encode("", SMALL)) + 10)
        for version in range(3):
            assert cache.put(("t", version), SMALL)
        cache.clear()
        assert (folder / "thesis.txt").read_text() == "precious"

    def test_a_temporary_of_a_live_writer_is_left_alone(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        temporary = folder / ".tiffin-0123456789abcdef.tmp"
        temporary.write_bytes(b"x")
        with cache._fs.lock(folder / disk.LOCK, shared=True):
            DiskCache(folder, max_bytes=10**6).put(("t", 2), SMALL)
            assert temporary.exists()
        DiskCache(folder, max_bytes=10**6).put(("t", 3), SMALL)
        assert not temporary.exists()


class TestBound:
    def test_the_number_of_frames_is_bounded_too(self, folder, monkeypatch):
        monkeypatch.setattr(disk, "MOST_FRAMES", 10)
        cache = DiskCache(folder, max_bytes=10**9)
        for version in range(50):
            assert cache.put(("t", version), SMALL)
            assert len(frames_in(folder)) <= 10
        assert cache.get(("t", 49)) is not None

    def test_the_folder_is_not_looked_through_at_every_put(self, folder, monkeypatch):
        cache = DiskCache(folder, max_bytes=10**9)
        looks = []
        trim = cache._trim
        monkeypatch.setattr(cache, "_trim", lambda: looks.append(1) or trim())
        for version in range(100):
            cache.put(("t", version), SMALL)
        assert len(looks) == 1

    def test_what_another_process_puts_counts_as_well(self, folder, monkeypatch):
        monkeypatch.setattr(disk, "LOOK_AFTER", 5)
        size = len(sealed.encode("", SMALL))
        cache, other = (DiskCache(folder, max_bytes=40 * size) for _ in range(2))
        for version in range(30):
            cache.put(("a", version), SMALL)
            other.put(("b", version), SMALL)
        assert len(frames_in(folder)) <= 40 + 2 * 5

    def test_the_least_recently_used_go_until_four_fifths_are_left(self, folder):
        clock = Clock()
        size = len(sealed.encode("", SMALL))
        cache = DiskCache(folder, max_bytes=10 * size, clock_ns=clock)
        for version in range(10):
            clock.now_ns += 2 * MINUTE
            assert cache.put(("t", version), SMALL)
        clock.now_ns += 2 * MINUTE
        assert cache.get(("t", 0)) is not None
        clock.now_ns += 2 * MINUTE
        assert cache.size_bytes() == 10 * size
        assert cache.put(("t", 10), SMALL)
        assert cache.size_bytes() == 8 * size
        kept = [version for version in range(11) if cache.get(("t", version)) is not None]
        assert kept == [0, 4, 5, 6, 7, 8, 9, 10]
        assert cache.stats()["evictions"] == 3

    def test_a_frame_larger_than_the_whole_is_not_kept(self, folder):
        cache = DiskCache(folder, max_bytes=1000)
        assert not cache.put(("t", 1), LARGE)
        assert not folder.exists()

    def test_a_bound_of_zero_turns_it_off(self, folder):
        DiskCache(folder, max_bytes=10**6).put(("t", 1), SMALL)
        cache = DiskCache(folder, max_bytes=0)
        assert not cache.put(("t", 2), SMALL)
        assert cache.get(("t", 1)) is None

    def test_delete_and_clear(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        for version in range(3):
            cache.put(("t", version), SMALL)
        cache.delete(("t", 1))
        cache.delete(("t", 1))
        assert [cache.get(("t", version)) is None for version in range(3)] == [False, True, False]
        cache.clear()
        assert cache.size_bytes() == 0
        assert frames_in(folder) == []

    def test_stats_tell_what_happened(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        assert cache.stats()["size"] == 0
        cache.get(("t", 1))
        cache.put(("t", 1), SMALL)
        for _ in range(3):
            cache.get(("t", 1))
        assert cache.stats() == {
            "size": 1,
            "bytes": frames_in(folder)[0].stat().st_size,
            "max_bytes": 10**6,
            "hits": 3,
            "misses": 1,
            "hit_rate": 0.75,
            "evictions": 0,
            "corrupt": 0,
            "failed": 0,
            "dropped": 0,
        }

    def test_a_folder_that_is_deleted_is_made_again(self, folder):
        cache = DiskCache(folder, max_bytes=10**6)
        cache.put(("t", 1), SMALL)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert cache.get(("t", 1)) is None
        assert cache.put(("t", 1), SMALL)


class TestFaults:
    def test_a_disk_that_refuses_is_no_error_but_is_told(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        cache = DiskCache(tmp_path / "file", max_bytes=10**6)
        assert not cache.put(("t", 1), SMALL)
        assert cache.get(("t", 1)) is None
        assert cache.stats()["failed"] == 1

    def test_no_fault_at_any_operation_raises_or_gives_a_wrong_frame(self):
        folder = Path("/cache")

        def use(fs: SimulatedFiles, acknowledged: list[object]) -> None:
            cache = DiskCache(folder, max_bytes=2 * len(sealed.encode("", SMALL)), fs=fs)
            for version in range(4):
                acknowledged.append(cache.put(("t", version), SMALL.with_columns(version=version)))
                cache.get(("t", version))
            acknowledged.append("to the end")

        tried = 0
        for trial in trials(SimulatedFiles(), use):
            tried += 1
            assert trial.acknowledged[-1:] == ["to the end"] or trial.fault.kind == "crash"
            cache = DiskCache(folder, max_bytes=10**6, fs=trial.disk)
            for version in range(4):
                found = cache.get(("t", version))
                assert found is None or found.equals(SMALL.with_columns(version=version))
        assert tried > 500


class TestLater:
    def test_flush_waits_until_all_is_written(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        threads = threading.active_count()
        assert cache.put_later(("t", 1), SMALL)
        assert cache.put_later(("t", 2), LARGE)
        cache.flush()
        assert_frame_equal(cache.get(("t", 1)), SMALL)
        assert_frame_equal(cache.get(("t", 2)), LARGE)
        cache.close()
        assert threading.active_count() == threads

    def test_no_thread_runs_before_it_is_needed(self, folder):
        threads = threading.active_count()
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 1), SMALL)
        cache.get(("t", 1))
        cache.close()
        assert threading.active_count() == threads

    def test_a_change_after_the_call_is_not_stored(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        frame = LARGE.clone()
        cache.put(("t", 0), SMALL)
        with cache._fs.lock(folder / disk.LOCK):
            cache.put_later(("t", 1), frame)
            frame[0, "c0"] = 99.0
            frame.columns = [name.upper() for name in frame.columns]
        cache.flush()
        assert_frame_equal(cache.get(("t", 1)), LARGE)
        cache.close()

    def test_when_too_many_wait_the_next_is_dropped(self, folder):
        cache = DiskCache(folder, max_bytes=10**8)
        cache.put(("t", 0), SMALL)
        with cache._fs.lock(folder / disk.LOCK):
            taken = [cache.put_later(("t", n), SMALL) for n in range(disk.MOST_PENDING + 2)]
        assert taken == [True] * disk.MOST_PENDING + [False] * 2
        cache.flush()
        assert cache.stats()["dropped"] == 2
        assert cache.put_later(("t", 9), SMALL)
        cache.close()
        assert cache.get(("t", 9)) is not None

    def test_a_forked_child_starts_a_thread_of_its_own(self, folder):
        code = """
import os, signal, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import polars as pl
from pathlib import Path
from tiffin.cache.disk import DiskCache
cache = DiskCache(Path(sys.argv[1]), max_bytes=10**6)
frame = pl.DataFrame({"x": [1]})
cache.put_later(("t", 1), frame)
cache.flush()
child = os.fork()
if child == 0:
    signal.alarm(20)
    # Polars itself cannot work in a forked child, so only the thread and the locks are tried.
    stored = []
    cache.put = lambda key, frame: stored.append(key)
    assert cache.put_later(("t", 2), frame)
    cache.flush()
    os._exit(0 if stored == [("t", 2)] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert cache.get(("t", 1)).equals(frame)
cache.close()
"""
        assert _run(code, folder).wait(60) == 0


def _run(code: str, folder: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], env=environ)


class TestProcesses:
    def test_two_processes_that_write_and_trim_never_show_another_a_wrong_frame(self, folder):
        code = """
import sys
import polars as pl
from pathlib import Path
from tiffin.cache.disk import DiskCache
cache = DiskCache(Path(sys.argv[1]), max_bytes=20_000)
for n in range(150):
    assert cache.put(("t", n % 12), pl.DataFrame({"x": [n % 12] * 300}))
    found = cache.get(("t", n * 5 % 12))
    assert found is None or found.equals(pl.DataFrame({"x": [n * 5 % 12] * 300}))
assert cache.stats()["corrupt"] == cache.stats()["failed"] == 0
"""
        writers = [_run(code, folder) for _ in range(2)]
        cache, hits = DiskCache(folder, max_bytes=20_000), 0
        while any(writer.poll() is None for writer in writers):
            for n in range(12):
                found = cache.get(("t", n))
                assert found is None or found["x"].to_list() == [n] * 300
                hits += found is not None
        assert [writer.wait() for writer in writers] == [0, 0]
        assert hits
        assert cache.stats()["corrupt"] == 0
        assert cache.size_bytes() <= 20_000
        assert not list(folder.glob(".tiffin-*"))
