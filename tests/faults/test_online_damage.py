"""An online index with damaged files: what is answered is right or missing, and it is made anew by itself."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import index_damage
from faults.index_damage import MAP_BYTES, build, head_of, key_of, rows_of
from tiffin.errors import IndexDamaged, NoSpace, StorageError
from tiffin.files import LOCAL
from tiffin.online import OnlineIndex, open_index

MOST_OUTDATED = {"flips": 1e-5, "scribbles": 1e-4}
"""Share of answers that may be of an earlier version: a damaged page, or a pointer, can lead to an old copy."""
MOST_DEATHS = 6
"""How often the same damage may kill a process that writes: as often as `changed` does something else to it."""


def index_in(folder: Path) -> OnlineIndex:
    return open_index("lmdb", folder, LOCAL, MAP_BYTES)


def damaged(tmp_path: Path, kind: str, count: int, seed: int) -> str:
    """Do damage after damage in a process that is started again when it dies; return the figures."""
    original, report = tmp_path / "original.mdb", tmp_path / "report"
    original.write_bytes(build(tmp_path / "original"))
    died: list[int] = []
    while True:
        first, again = (died[-1], "again") if died else (0, "")
        command = [sys.executable, "-m", index_damage.__name__, kind, str(tmp_path / "damaged"), str(original)]
        command += [str(count), str(seed), str(report), str(first), again]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        if done.returncode == 0:
            break
        assert done.returncode < 0, done.stderr
        assert "looked up" in lines[-1], f"a look-up killed the process: {done.stderr}"
        died.append(lines[-1]["looked up"])
        # Seldom does a write through a damaged page kill the process only after it was done: then nothing marks it, and
        # the next write is done too.
        assert died.count(died[-1]) <= MOST_DEATHS, f"it died of the same damage again and again: {done.stderr}"
    assert sum("end" in line for line in lines) == count
    outcomes = sum((Counter(line.get("outcome", {})) for line in lines), Counter())
    assert outcomes["wrong"] == 0
    assert outcomes["damaged"] > 0
    assert outcomes["refused"] > 0
    assert outcomes["outdated"] <= max(1, MOST_OUTDATED[kind] * outcomes["right"])
    again = len(died) - len(set(died))
    found = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    return (
        f"{count} {kind} in the online index: {found}, 0 wrong; "
        f"{len(died) - again} killed a process that wrote, {again} did so again"
    )


class TestDamagedBytes:
    def test_flipped_bits_give_no_wrong_value(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(damaged(tmp_path, "flips", 120, 1))

    @pytest.mark.slow
    def test_overwritten_pages_give_no_wrong_value(self, tmp_path: Path, figure: Callable[[str], None]):
        figure(damaged(tmp_path, "scribbles", 40, 1))

    @pytest.mark.slow
    @pytest.mark.timeout(1200)
    @pytest.mark.parametrize(("kind", "count"), [("flips", 1500), ("scribbles", 500)])
    def test_thousands_of_them(self, tmp_path: Path, kind: str, count: int, figure: Callable[[str], None]):
        figure(damaged(tmp_path, kind, count, 2))


def emptied(data: bytes) -> bytes:
    return b""


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def one_page_short(data: bytes) -> bytes:
    used = len(data.rstrip(b"\0"))
    return data[: used // 4096 * 4096]


def garbage(data: bytes) -> bytes:
    return os.urandom(len(data))


def text(data: bytes) -> bytes:
    return b"this was never an index\n"


def other_version(data: bytes) -> bytes:
    return data.replace(
        (0xBEEFC0DE).to_bytes(4, sys.byteorder) + b"\1", (0xBEEFC0DE).to_bytes(4, sys.byteorder) + b"\3"
    )


CONTENTS = [emptied, cut(0.9), cut(0.5), cut(0.001), one_page_short, garbage, text, other_version]


class TestAbsurdFiles:
    @pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
    @pytest.mark.parametrize("change", CONTENTS, ids=lambda change: change.__name__)
    def test_another_content_is_noticed_and_the_index_can_be_made_anew(
        self, tmp_path: Path, name: str, change: Callable[[bytes], bytes]
    ):
        data = build(tmp_path)
        (tmp_path / name).write_bytes(change(data if name == "data.mdb" else (tmp_path / name).read_bytes()))
        index = index_in(tmp_path)
        try:
            [(_, rows)] = index.get_many([("one", [key_of(1)])])
            assert list(rows) in ([None], [dict(rows_of(2, range(2)))[key_of(1)]])
        except IndexDamaged:
            index.reset()
        assert index.load("one", head_of(5), lambda after: [rows_of(5, range(10))])
        assert index.get_many([("one", [key_of(1)])])[0].rows == [rows_of(5, range(2))[1][1]]

    @pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
    def test_a_folder_in_the_place_of_a_file(self, tmp_path: Path, name: str):
        build(tmp_path)
        (tmp_path / name).unlink()
        (tmp_path / name / "deep").mkdir(parents=True)
        index = index_in(tmp_path)
        with pytest.raises(StorageError):
            index.head("one")
        index.reset()
        assert index.head("one") is None

    def test_a_link_is_not_followed(self, tmp_path: Path):
        build(tmp_path / "elsewhere")
        (tmp_path / "online").mkdir()
        (tmp_path / "online" / "data.mdb").symlink_to(tmp_path / "elsewhere" / "data.mdb")
        index = index_in(tmp_path / "online")
        with pytest.raises(IndexDamaged):
            index.head("one")
        index.reset()
        assert index.tables() == []
        assert index_in(tmp_path / "elsewhere").head("one") == head_of(3)

    def test_damage_found_by_two_is_repaired_once(self, tmp_path: Path):
        data = build(tmp_path)
        (tmp_path / "data.mdb").write_bytes(garbage(data))
        one, two = index_in(tmp_path), index_in(tmp_path)
        for index in (one, two):
            with pytest.raises(IndexDamaged):
                index.head("one")
        one.reset()
        assert one.load("one", head_of(5), lambda after: [rows_of(5, range(10))])
        two.reset()
        assert two.head("one") == head_of(5)


class TestWhatIsLostWhileItIsOpen:
    @pytest.mark.parametrize("names", [["data.mdb", "lock.mdb"], ["data.mdb"], ["lock.mdb"], []])
    def test_a_reader_goes_on_and_a_writer_begins_anew(self, tmp_path: Path, names: list[str]):
        build(tmp_path / "online")
        index = index_in(tmp_path / "online")
        assert index.head("one") == head_of(3)
        for name in names:
            (tmp_path / "online" / name).unlink()
        if not names:
            shutil.rmtree(tmp_path / "online")
        [(_, rows)] = index.get_many([("one", [key_of(1)])])
        assert list(rows) in ([None], [rows_of(2, range(2))[1][1]])
        is_kept = names == ["lock.mdb"]
        assert index.apply("one", head_of(3), head_of(4), [], []) == is_kept
        assert (index.head("one") is not None) == is_kept
        assert index.load("one", head_of(5), lambda after: [rows_of(5, range(10))])
        assert index.count("one") == 10


class TestAFullIndex:
    def test_a_write_that_does_not_fit_changes_nothing(self, tmp_path: Path):
        index = open_index("lmdb", tmp_path, LOCAL, 1 << 20)
        assert index.load("one", head_of(1), lambda after: [rows_of(1, range(1000))])
        with pytest.raises(NoSpace, match="1,048,576"):
            index.load("one", head_of(2), lambda after: [rows_of(2, range(100_000))])
        with pytest.raises(NoSpace):
            index.apply("one", head_of(1), head_of(2), rows_of(2, range(20_000)), [])
        assert index.head("one") == head_of(1)
        assert index.count("one") == 1000
        assert index.apply("one", head_of(1), head_of(2), rows_of(2, range(10)), [])
        index.close()
        assert open_index("lmdb", tmp_path, LOCAL, 1 << 24).load("one", head_of(3), lambda after: [])

    def test_a_write_of_which_the_disk_takes_only_a_part_is_no_damage(self, tmp_path: Path):
        """LMDB says of it what it says of a disk that fails."""
        index = open_index("lmdb", tmp_path, LOCAL, MAP_BYTES)
        assert index.load("one", head_of(1), lambda after: [rows_of(1, range(1000))])
        index.load("gone", head_of(1), lambda after: [rows_of(1, range(20_000))])
        index.drop("gone")  # so that the next write begins inside the file
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "data.mdb").stat().st_size + 50_000, limits[1]))
        try:
            with pytest.raises(NoSpace, match="no space is left"):
                index.load("two", head_of(2), lambda after: [rows_of(2, range(100_000))])
            assert index.get_many([("one", [key_of(1)])])[0].rows == [rows_of(1, range(2))[1][1]]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert index.count("one") == 1000
        assert index.load("two", head_of(2), lambda after: [rows_of(2, range(100_000))])
