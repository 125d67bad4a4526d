"""What is particular to the online index in LMDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conformance.indexes import head_of, in_batches, key_of, row_of, rows_of
from tiffin.errors import InvalidInputError
from tiffin.files import LOCAL
from tiffin.online import OnlineIndex, environment, lmdb, open_index
from tiffin.online.examination import problem


def index_in(folder: Path) -> OnlineIndex:
    return open_index("lmdb", folder, LOCAL, 1 << 30)


def load(index: OnlineIndex, version: int, count: int, table: str = "one") -> None:
    assert index.load(table, head_of(version), lambda after: in_batches(rows_of(count, version, after), 1000))


def used_bytes(folder: Path) -> int:
    return len((folder / "data.mdb").read_bytes().rstrip(b"\0"))


class TestSpace:
    def test_what_is_replaced_or_dropped_is_used_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(lmdb, "BATCH_ROWS", 2000)
        index = index_in(tmp_path)
        for version in range(4):
            load(index, version, 5000)
        before = used_bytes(tmp_path)
        for version in range(4, 20):
            load(index, version, 5000)
            load(index, version, 5000, table="two")
            index.drop("two")
        assert used_bytes(tmp_path) < 2 * before

    def test_a_load_fills_its_pages(self, tmp_path: Path):
        rows = [(key_of(number), row_of(number, 1)[:16]) for number in range(20_000)]
        assert index_in(tmp_path).load("one", head_of(1), lambda after: in_batches(rows, 1000))
        assert used_bytes(tmp_path) / 20_000 < (4 + 8 + 16 + 10) * 1.2

    def test_so_do_two_at_once(self, tmp_path: Path):
        index = index_in(tmp_path)
        rows = rows_of(3000, 1)

        def beside(after: bytes | None):
            for batch in in_batches(rows, 500):
                yield batch
                load(index, int.from_bytes(batch[0][0], "big"), 10, table="two")

        assert index.load("one", head_of(1), beside)
        assert [index.get_many([("one", [key])])[0].rows for key, _ in rows[::100]] == [[row] for _, row in rows[::100]]
        assert index.count("two") == 10

    def test_rows_left_by_a_killed_load_are_deleted_by_the_next(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        index = index_in(tmp_path)
        load(index, 1, 3000)
        with monkeypatch.context() as patched:
            patched.setattr(lmdb.LmdbIndex, "_sweep", lambda self: None)
            load(index, 2, 10)
        left = used_bytes(tmp_path)
        load(index, 3, 10)
        load(index, 4, 3000)
        assert used_bytes(tmp_path) < left * 1.2


class TestTheFile:
    def test_is_longer_than_its_pages(self, tmp_path: Path):
        index = index_in(tmp_path)
        for count in (10, 10_000):
            load(index, count, count)
            assert (tmp_path / "data.mdb").stat().st_size >= used_bytes(tmp_path) + environment.SLACK_BYTES

    def test_is_made_longer_when_it_is_opened(self, tmp_path: Path):
        index = index_in(tmp_path)
        load(index, 1, 10)
        index.close()
        used = -(-used_bytes(tmp_path) // 4096) * 4096
        with (tmp_path / "data.mdb").open("r+b") as file:
            file.truncate(used)
        assert index.head("one") == head_of(1)
        assert (tmp_path / "data.mdb").stat().st_size >= used + environment.SLACK_BYTES

    def test_is_found_whole_after_much_use(self, tmp_path: Path):
        index = index_in(tmp_path)
        load(index, 0, 2000)
        for version in range(1, 30):
            puts = [(key_of(number), row_of(number * 7, version)) for number in range(version, 3000, 17)]
            deletes = [key_of(number) for number in range(version, 2000, 13)]
            assert index.apply("one", head_of(version - 1), head_of(version), puts, deletes)
            assert problem(tmp_path, (tmp_path / "data.mdb").read_bytes()) == ""
        large = [(key_of(number), bytes(9000 + number)) for number in range(20)]
        assert index.apply("one", head_of(29), head_of(30), large, [])
        assert problem(tmp_path, (tmp_path / "data.mdb").read_bytes()) == ""

    def test_a_node_that_reaches_into_the_next_is_a_problem(self, tmp_path: Path):
        load(index_in(tmp_path), 1, 200)
        data = (tmp_path / "data.mdb").read_bytes()
        key = data.index(key_of(77) + row_of(77, 1)) - 4
        size = key - 8
        damaged = data[:size] + bytes([data[size] ^ 1]) + data[size + 1 :]
        (tmp_path / "data.mdb").write_bytes(damaged)
        assert problem(tmp_path, damaged)


class TestAMarkedFile:
    def test_a_write_leaves_no_mark(self, tmp_path: Path):
        load(index_in(tmp_path), 1, 10)
        assert not (tmp_path / environment.UNFINISHED).exists()

    def test_a_file_that_is_found_whole_is_used_on(self, tmp_path: Path):
        index = index_in(tmp_path)
        load(index, 1, 10)
        (tmp_path / environment.UNFINISHED).write_bytes(b"begun")
        load(index, 2, 10)
        assert not (tmp_path / environment.UNFINISHED).exists()


class TestOpenIndex:
    def test_two_stores_of_one_process_share_the_files(self, tmp_path: Path):
        (tmp_path / "link").symlink_to(tmp_path / "online")
        one, two = index_in(tmp_path / "online"), index_in(tmp_path / "link")
        load(one, 1, 10)
        assert two.count("one") == 10
        one.close()
        assert two.count("one") == 10
        load(two, 2, 5)
        assert one.count("one") == 5

    def test_nothing_is_made_before_it_is_used(self, tmp_path: Path):
        index_in(tmp_path / "online")
        assert not (tmp_path / "online").exists()

    @pytest.mark.parametrize("where", ["", "sqlite", "http://localhost", "redis:", "LMDB"])
    def test_other_places_are_refused(self, tmp_path: Path, where: str):
        with pytest.raises(InvalidInputError, match="online index"):
            open_index(where, tmp_path, LOCAL, 1 << 20)


class Lagging:
    """A transaction whose number is that of the one before, as LMDB's now and then is."""

    def __init__(self, transaction: Any, number: int) -> None:
        self._transaction = transaction
        self._number = number

    def id(self) -> int:
        return self._number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


def test_rows_are_found_where_they_are_though_the_transactions_number_lags_behind(tmp_path: Path):
    index = index_in(tmp_path)
    load(index, 1, 10)
    wanted = [("one", [key_of(3)])]
    assert index.get_many(wanted)[0].rows == [row_of(3, 1)]
    opened = environment._opened[tmp_path.resolve()]
    begin, number = opened.begin, opened.begin().id()
    # What is loaded now lies elsewhere, and where it was it is deleted.
    load(index, 2, 10)
    opened.begin = lambda *args, **kwargs: Lagging(begin(*args, **kwargs), number)
    assert index.get_many(wanted)[0].rows == [row_of(3, 2)]
