"""The file systems do the same, and the durable functions what they promise, on the real disk.

That they survive every fault at every operation is shown in `tests/faults/test_simfs.py`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.simfs import SimulatedFiles
from tiffin import files
from tiffin.errors import InvalidName, NoSpace, OutcomeUnknown, StorageError
from tiffin.files.system import MAP_FROM_BYTES

LOCAL = files.LOCAL
TEMPORARY = ".tiffin-0123456789abcdef.tmp"


def listed(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir()]


@pytest.fixture(params=["local", "simulated"])
def place(request, tmp_path):
    """A file system and an empty folder on it."""
    if request.param == "local":
        return LOCAL, tmp_path
    fs = SimulatedFiles()
    fs.make_folder(Path("/store"))
    return fs, Path("/store")


class TestBothFileSystems:
    def test_a_file_is_made_read_listed_and_removed(self, place):
        fs, base = place
        fs.create(base / "a", b"contents")
        fs.sync(base / "a")
        fs.sync_folder(base)
        assert bytes(fs.read(base / "a")) == b"contents"
        assert fs.names(base) == ["a"]
        found = fs.stat(base / "a")
        assert (found.size, found.is_folder, found.is_link) == (8, False, False)
        fs.remove(base / "a")
        assert fs.stat(base / "a") is None
        assert fs.names(base) == []

    def test_any_buffer_can_be_written(self, place):
        fs, base = place
        for n, data in enumerate([b"", bytearray(b"ab"), memoryview(b"abcd")[1:3]]):
            fs.create(base / str(n), data)
            assert bytes(fs.read(base / str(n))) == bytes(data)

    def test_a_name_is_taken_once(self, place):
        fs, base = place
        fs.create(base / "a", b"a")
        fs.create(base / "b", b"b")
        fs.make_folder(base / "folder")
        for attempt in (
            lambda: fs.create(base / "a", b"again"),
            lambda: fs.link(base / "b", base / "a"),
            lambda: fs.make_folder(base / "a"),
            lambda: fs.make_folder(base / "folder"),
        ):
            with pytest.raises(FileExistsError):
                attempt()
        assert bytes(fs.read(base / "a")) == b"a"

    def test_a_rename_replaces_and_a_link_does_not_move(self, place):
        fs, base = place
        fs.create(base / "a", b"a")
        fs.create(base / "b", b"b")
        fs.rename(base / "b", base / "a")
        assert (bytes(fs.read(base / "a")), fs.names(base)) == (b"b", ["a"])
        fs.link(base / "a", base / "c")
        assert fs.stat(base / "a").inode == fs.stat(base / "c").inode
        fs.remove(base / "a")
        assert bytes(fs.read(base / "c")) == b"b"

    def test_a_folder_must_be_empty_to_be_removed(self, place):
        fs, base = place
        fs.make_folder(base / "folder")
        fs.create(base / "folder" / "a", b"a")
        with pytest.raises(OSError, match="not empty"):
            fs.remove_folder(base / "folder")
        fs.remove(base / "folder" / "a")
        fs.remove_folder(base / "folder")
        assert fs.names(base) == []

    def test_what_is_not_there_is_an_error_except_to_stat(self, place):
        fs, base = place
        fs.create(base / "file", b"")
        assert fs.stat(base / "none" / "deeper") is None
        assert fs.stat(base / "file" / "below") is None
        for attempt in (
            lambda: fs.read(base / "none"),
            lambda: fs.sync(base / "none"),
            lambda: fs.remove(base / "none"),
            lambda: fs.names(base / "none"),
            lambda: fs.rename(base / "none", base / "other"),
            lambda: fs.link(base / "none", base / "other"),
            lambda: fs.create(base / "none" / "a", b""),
            lambda: fs.touch(base / "none", 0),
        ):
            with pytest.raises(FileNotFoundError):
                attempt()

    def test_the_time_of_a_file_can_be_set(self, place):
        fs, base = place
        fs.create(base / "a", b"a")
        fs.touch(base / "a", 1_700_000_000_123_456_789)
        assert fs.stat(base / "a").mtime_ns == 1_700_000_000_123_456_789

    def test_a_lock_keeps_others_out_and_shared_holders_let_each_other_in(self, place):
        fs, base = place
        path = base / ".lock"
        with fs.lock(path) as held:
            assert held
            for shared in (False, True):
                with fs.lock(path, shared=shared, wait=False) as second:
                    assert not second
        with fs.lock(path, shared=True), fs.lock(path, shared=True, wait=False) as second:
            assert second
            with fs.lock(path, wait=False) as third:
                assert not third
        with fs.lock(path, wait=False) as held:
            assert held

    def test_a_lock_is_let_go_after_an_error(self, place):
        fs, base = place
        with contextlib.suppress(ZeroDivisionError), fs.lock(base / ".lock"):
            _ = 1 / 0
        with fs.lock(base / ".lock", wait=False) as held:
            assert held

    def test_a_lock_that_cannot_be_had_at_all_is_a_storage_error(self, place):
        fs, base = place
        with pytest.raises(StorageError, match="cannot lock"), fs.lock(base / "none" / ".lock"):
            pass

    def test_threads_take_turns(self, place):
        fs, base = place
        inside, most = [], []

        def work(n: int) -> None:
            for _ in range(20):
                with fs.lock(base / ".lock"):
                    inside.append(n)
                    most.append(len(inside))
                    inside.remove(n)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        assert (len(most), max(most)) == (80, 1)


class TestLocalFiles:
    def test_a_line_of_which_the_system_takes_a_part_at_a_time_is_added_whole(self, tmp_path, monkeypatch):
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        for line in (b"the first line\n", b"the second\n", b""):
            LOCAL.append(tmp_path / "log", line)
        assert (tmp_path / "log").read_bytes() == b"the first line\nthe second\n"

    def test_a_line_that_a_full_disk_takes_in_part_is_an_error(self, tmp_path, monkeypatch):
        write = os.write

        def write_until_full(descriptor, data):
            if os.fstat(descriptor).st_size:
                raise OSError(errno.ENOSPC, "full")
            return write(descriptor, data[:3])

        monkeypatch.setattr(os, "write", write_until_full)
        with pytest.raises(OSError, match="full"):
            LOCAL.append(tmp_path / "log", b"the first line\n")

    def test_writing_goes_on_after_the_system_takes_only_a_part(self, tmp_path, monkeypatch):
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        LOCAL.create(tmp_path / "a", b"0123456789")
        assert (tmp_path / "a").read_bytes() == b"0123456789"

    def test_a_large_file_is_mapped_and_readable_after_its_removal(self, tmp_path):
        data = os.urandom(MAP_FROM_BYTES)
        LOCAL.create(tmp_path / "large", data)
        found = LOCAL.read(tmp_path / "large")
        LOCAL.remove(tmp_path / "large")
        assert isinstance(found, memoryview)
        assert found.readonly
        assert bytes(found) == data

    def test_no_descriptor_stays_open(self, tmp_path):
        before = len(listed(Path("/proc/self/fd")))
        for n in range(5):
            files.publish(LOCAL, tmp_path / f"{n}", b"x")
            files.write_durably(LOCAL, tmp_path / f"{n}", b"y")
            LOCAL.read(tmp_path / f"{n}")
            with LOCAL.lock(tmp_path / ".lock"), LOCAL.lock(tmp_path / ".lock", wait=False):
                pass
        assert len(listed(Path("/proc/self/fd"))) == before

    def test_symbolic_links_are_not_followed(self, tmp_path):
        (tmp_path / "elsewhere").write_bytes(b"secret")
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "elsewhere")
        assert LOCAL.stat(link).is_link
        for operation in (LOCAL.read, LOCAL.sync):
            with pytest.raises(OSError, match="symbolic link"):
                operation(link)
        with pytest.raises(StorageError, match="symbolic link"), LOCAL.lock(link):
            pass

    def test_a_file_system_without_folder_sync_is_accepted_and_a_failing_one_is_not(self, tmp_path, monkeypatch):
        for number, expected in (
            (errno.EINVAL, contextlib.nullcontext()),
            (errno.EIO, pytest.raises(OSError, match="Input")),
        ):

            def fsync(descriptor: int, number: int = number) -> None:
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(os, "fsync", fsync)
            with expected:
                LOCAL.sync_folder(tmp_path)

    def test_whoever_waits_for_a_lock_file_that_is_removed_gets_the_new_one(self, tmp_path):
        path, entered = tmp_path / ".lock", threading.Event()

        def enter() -> None:
            with LOCAL.lock(path):
                with LOCAL.lock(path, wait=False) as second:
                    assert not second
                entered.set()

        with LOCAL.lock(path):
            thread = threading.Thread(target=enter)
            thread.start()
            # The waiting thread has the old file open by now, or will open the new one: both must work.
            LOCAL.remove(path)
        thread.join(10)
        assert entered.is_set()

    def test_a_lock_binds_other_processes_and_dies_with_its_holder(self, tmp_path):
        code = "import sys, time\nfrom pathlib import Path\nfrom tiffin.files import LOCAL\n"
        code += "with LOCAL.lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
        with _python(code, tmp_path / ".lock") as holder:
            assert holder.stdout.readline() == b"held\n"
            with LOCAL.lock(tmp_path / ".lock", wait=False) as held:
                assert not held
            holder.send_signal(signal.SIGKILL)
            with LOCAL.lock(tmp_path / ".lock") as held:
                assert held

    def test_what_was_done_under_a_lock_stands_though_it_cannot_be_let_go_of(self, tmp_path, monkeypatch):
        def flock(descriptor, how):
            if how == fcntl.LOCK_UN:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            really(descriptor, how)

        really = fcntl.flock
        monkeypatch.setattr(fcntl, "flock", flock)
        for _ in range(2):
            with LOCAL.lock(tmp_path / "lock", wait=False) as is_held:
                assert is_held

    def test_a_forked_child_does_not_let_go_of_its_parents_lock(self, tmp_path):
        code = """
import os, sys
from pathlib import Path
from tiffin.files import LOCAL
path, child = Path(sys.argv[1]), None
with LOCAL.lock(path):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        with LOCAL.lock(path, wait=False) as held:
            sys.exit(1 if held else 0)
"""
        with _python(code, tmp_path / ".lock") as process:
            assert process.wait(30) == 0


def _python(code: str, *arguments: Path) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)


@pytest.fixture
def synced(monkeypatch):
    """What has been synced, by inode, in order."""
    inodes: list[int] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        inodes.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return inodes


class TestWriting:
    @pytest.mark.parametrize("write", [files.write_durably, files.publish])
    def test_the_file_is_synced_and_then_its_folder(self, tmp_path, synced, write):
        write(LOCAL, tmp_path / "a", b"contents")
        assert synced == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"contents")]

    def test_what_can_be_made_again_is_not_waited_for(self, tmp_path, synced):
        files.write_unsynced(LOCAL, tmp_path / "a", b"old")
        files.write_unsynced(LOCAL, tmp_path / "a", b"new")
        assert synced == []
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]

    def test_of_many_that_publish_one_name_one_wins(self, tmp_path):
        ready = threading.Barrier(8)

        def attempt(n: int) -> bool:
            ready.wait(10)
            try:
                files.publish(LOCAL, tmp_path / "0", str(n).encode())
            except FileExistsError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            won = list(threads.map(attempt, range(8)))
        assert sum(won) == 1
        assert (tmp_path / "0").read_bytes() == str(won.index(True)).encode()
        assert listed(tmp_path) == ["0"]

    def test_readers_of_a_replaced_file_see_the_old_or_the_new(self, tmp_path):
        path, stop = tmp_path / "a", threading.Event()
        contents = {bytes([n]) * 5000 for n in range(2)}
        files.write_durably(LOCAL, path, min(contents))

        def read() -> set[bytes]:
            seen = set()
            while not stop.is_set():
                seen.add(bytes(LOCAL.read(path)))
            return seen

        with ThreadPoolExecutor(1) as threads:
            reader = threads.submit(read)
            for _ in range(30):
                for data in contents:
                    files.write_durably(LOCAL, path, data)
            stop.set()
            assert reader.result(10) <= contents

    def test_too_large_a_file_is_no_space_and_leaves_the_old_one(self, tmp_path):
        code = """
import resource, sys
from pathlib import Path
from tiffin import files
from tiffin.errors import NoSpace
path = Path(sys.argv[1])
files.write_durably(files.LOCAL, path, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (files.write_durably, files.publish):
    try:
        write(files.LOCAL, path, bytes(5000))
    except NoSpace as error:
        print(error.hint, flush=True)
"""
        with _python(code, tmp_path / "a") as process:
            out = process.communicate(timeout=30)[0]
        assert out.count(b"free some space") == 2
        assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]

    def test_a_missing_folder_is_a_clear_error(self, tmp_path):
        for write in (files.write_durably, files.publish, files.write_unsynced):
            with pytest.raises(StorageError, match=r"cannot write '.*/none/a': No such file or directory"):
                write(LOCAL, tmp_path / "none" / "a", b"")

    def test_a_folder_sync_that_fails_leaves_the_outcome_unknown(self, tmp_path, monkeypatch):
        def fail(self: object, path: Path) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(files.LocalFiles, "sync_folder", fail)
        for write in (files.write_durably, files.publish):
            with pytest.raises(OutcomeUnknown, match="power loss"):
                write(LOCAL, tmp_path / write.__name__, b"there")
            assert (tmp_path / write.__name__).read_bytes() == b"there"


class TestTranslated:
    @pytest.mark.parametrize(
        ("number", "kind", "hint"),
        [
            (errno.ENOSPC, NoSpace, "free some space"),
            (errno.EDQUOT, NoSpace, "quota"),
            (errno.EFBIG, NoSpace, "file-size limit"),
            (errno.EROFS, StorageError, "read-only"),
            (errno.EACCES, StorageError, "permissions"),
            (errno.EPERM, StorageError, "permissions"),
            (errno.EMFILE, StorageError, "too many open files"),
            (errno.EIO, StorageError, "fault"),
        ],
    )
    def test_each_error_says_what_to_do(self, number, kind, hint):
        with pytest.raises(StorageError) as caught, files.translated(Path("/x"), doing="write"):
            raise OSError(number, os.strerror(number))
        assert type(caught.value) is kind
        assert caught.value.message == f"cannot write '/x': {os.strerror(number)}"
        assert hint in caught.value.hint

    def test_other_errors_pass(self):
        with pytest.raises(ZeroDivisionError), files.translated(Path("/x"), doing="write"):
            _ = 1 / 0


class TestFolders:
    def test_missing_levels_are_made_and_each_is_synced_before_the_next(self, tmp_path, synced):
        files.make_folders(LOCAL, tmp_path / "a" / "b")
        inodes = [path.stat().st_ino for path in (tmp_path.parent, tmp_path, tmp_path / "a")]
        assert synced == inodes

    def test_a_folder_that_is_there_may_be_unsynced_and_is_synced_again(self, tmp_path, synced):
        (tmp_path / "a").mkdir()
        files.make_folders(LOCAL, tmp_path / "a")
        assert synced == [tmp_path.stat().st_ino]

    def test_a_file_in_the_way_is_a_clear_error(self, tmp_path):
        (tmp_path / "a").write_text("file")
        for path in (tmp_path / "a", tmp_path / "a" / "b"):
            with pytest.raises(StorageError, match="Not a directory") as caught:
                files.make_folders(LOCAL, path)
            assert "a file stands" in caught.value.hint
        assert (tmp_path / "a").read_text() == "file"

    def test_a_base_that_is_a_symbolic_link_works(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "base").symlink_to("real")
        files.make_folders(LOCAL, tmp_path / "base" / "a")
        files.make_folders(LOCAL, tmp_path / "base")
        files.publish(LOCAL, tmp_path / "base" / "b", b"")
        assert sorted(listed(tmp_path / "real")) == ["a", "b"]

    def test_a_parent_that_may_not_be_read_is_no_hindrance(self, tmp_path):
        class Guarded(files.LocalFiles):
            def sync_folder(self, path: Path) -> None:
                if path == tmp_path.parent:
                    raise PermissionError(errno.EACCES, "Permission denied")
                super().sync_folder(path)

        files.make_folders(Guarded(), tmp_path / "a")
        assert (tmp_path / "a").is_dir()

    def test_many_at_once_make_the_same_folders(self, tmp_path):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: files.make_folders(LOCAL, tmp_path / "a" / "b" / "c"), range(16)))
        assert (tmp_path / "a" / "b" / "c").is_dir()

    def test_sweeping_removes_temporaries_and_nothing_else(self, tmp_path):
        names = {"a", ".hidden", ".tiffin", ".tiffin-x.tmp", "x.tmp", f"{TEMPORARY}.x"}
        for name in names | {TEMPORARY}:
            (tmp_path / name).write_text("")
        assert files.sweep(LOCAL, tmp_path) == 1
        assert set(listed(tmp_path)) == names

    def test_a_temporary_that_goes_away_while_sweeping_is_no_error(self):
        class Racing(SimulatedFiles):
            def remove(self, path: Path) -> None:
                super().remove(path)
                raise FileNotFoundError(2, "no such file", str(path))

        fs = Racing()
        for name in (TEMPORARY, TEMPORARY.replace("0", "1")):
            fs.create(Path("/") / name, b"")
        files.sweep(fs, Path("/"))
        assert fs.names(Path("/")) == []

    def test_temporaries_are_of_the_kind_that_is_swept_and_their_names_do_not_repeat(self):
        class Dying(SimulatedFiles):
            def sync(self, path: Path) -> None:
                raise KeyboardInterrupt

        fs = Dying()
        for _ in range(3):
            with contextlib.suppress(KeyboardInterrupt):
                files.publish(fs, Path("/a"), b"")
        assert len(fs.names(Path("/"))) == 3
        assert files.sweep(fs, Path("/")) == 3

    def test_a_tree_is_removed_without_following_links(self, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "precious").write_text("")
        (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
        (tmp_path / "tree" / "a" / "file").write_text("")
        (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
        files.remove_tree(LOCAL, tmp_path / "tree")
        files.remove_tree(LOCAL, tmp_path / "tree")
        assert listed(tmp_path) == ["outside"]
        assert (tmp_path / "outside" / "precious").exists()


class TestContained:
    def test_names_are_joined(self, tmp_path):
        assert files.contained(tmp_path, "features", "user", ".lock") == tmp_path / "features" / "user" / ".lock"

    @pytest.mark.parametrize("part", ["", ".", "..", "/etc", "a/b", "a/../..", "\0", "a\0b", "a\\b", "../x"])
    def test_anything_but_a_name_is_refused(self, tmp_path, part):
        with pytest.raises(InvalidName):
            files.contained(tmp_path, "features", part)

    @given(st.lists(st.text(max_size=5) | st.sampled_from(["..", ".", "/", "a/..", "\\"]), max_size=4))
    def test_the_result_is_inside_or_there_is_none(self, parts):
        base = Path("/nonexistent/base")
        with contextlib.suppress(InvalidName):
            path = files.contained(base, *parts)
            assert os.path.normpath(path).startswith(str(base))
            assert len(path.parts) == len(base.parts) + len(parts)

    def test_a_symbolic_link_on_the_way_is_refused_wherever_it_leads(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        for parts in (("link",), ("link", "a")):
            with pytest.raises(StorageError, match="is a symbolic link"):
                files.contained(tmp_path, *parts)
        assert files.contained(tmp_path / "link", "a") == tmp_path / "link" / "a"
