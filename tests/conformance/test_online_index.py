"""The contract of the online index, the same for every backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.index_processes import (
    apply_many,
    follow_a_reset,
    fork_with_it_open,
    load_slowly,
    read_while,
    write_after_a_reset,
)
from conformance.indexes import (
    ALL,
    PROCESSES,
    SHARED,
    MemoryIndex,
    Place,
    Row,
    contents,
    head_of,
    in_batches,
    key_of,
    row_of,
    rows_of,
)
from tiffin.errors import InvalidInputError
from tiffin.online import OnlineIndex
from tiffin.online.base import MAX_KEY_BYTES

TABLE, OTHER = "0b8f", "77c1"


def place_of(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    where = request.getfixturevalue("redis_url") if backend == "redis" else backend
    place = Place(where, tmp_path / "online")
    place.open().reset()
    return place


@pytest.fixture(params=ALL)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineIndex]:
    if request.param == "memory":
        yield MemoryIndex()
        return
    opened = place_of(request.param, request, tmp_path).open()
    yield opened
    opened.close()


@pytest.fixture(params=SHARED)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place_of(request.param, request, tmp_path)


def load(index: OnlineIndex, version: int, count: int = 10, table: str = TABLE) -> None:
    """Load rows that all tell the version."""
    assert index.load(table, head_of(version), lambda after: in_batches(rows_of(count, version, after), 1000))


class TestAnEmptyIndex:
    def test_knows_nothing(self, index: OnlineIndex):
        assert index.head(TABLE) is None
        assert index.get_many([(TABLE, [key_of(1), key_of(2)])]) == [(None, [None, None])]
        assert (index.count(TABLE), index.keys(TABLE, 5), index.tables()) == (0, [], [])

    def test_cannot_be_changed_only_loaded(self, index: OnlineIndex):
        assert not index.apply(TABLE, head_of(1), head_of(2), rows_of(1, 2), [])
        assert index.head(TABLE) is None

    def test_drops_what_it_does_not_have(self, index: OnlineIndex):
        index.drop(TABLE)
        assert index.tables() == []


class TestLoad:
    def test_head_and_rows_come_back(self, index: OnlineIndex):
        load(index, 1, 2500)
        assert index.head(TABLE) == head_of(1)
        assert contents(index, TABLE, [0, 2499, 1000, 0, 2500]) == (1, [1, 1, 1, 1, None])
        assert index.count(TABLE) == 2500

    def test_replaces_all_that_was_there(self, index: OnlineIndex):
        load(index, 1, 20)
        load(index, 2, 10)
        assert contents(index, TABLE, [9, 10]) == (2, [2, None])
        assert index.count(TABLE) == 10

    def test_nothing_can_be_loaded(self, index: OnlineIndex):
        load(index, 1, 20)
        assert index.load(TABLE, head_of(2), lambda after: [])
        assert contents(index, TABLE, [1]) == (2, [None])
        assert (index.count(TABLE), index.keys(TABLE, 9)) == (0, [])

    def test_a_hundred_thousand_rows_in_one_batch_or_many(self, index: OnlineIndex):
        rows = rows_of(100_000, 1)
        assert index.load(TABLE, head_of(1), lambda after: [rows])
        assert index.count(TABLE) == 100_000
        assert contents(index, TABLE, range(0, 100_000, 9)) == (1, [1] * len(range(0, 100_000, 9)))

    def test_tables_do_not_mix(self, index: OnlineIndex):
        load(index, 1)
        load(index, 2, table=OTHER)
        load(index, 3)
        assert contents(index, TABLE, [1]) == (3, [3])
        assert contents(index, OTHER, [1]) == (2, [2])
        assert sorted(index.tables()) == [TABLE, OTHER]

    @pytest.mark.parametrize("keys", [[2, 1], [1, 1]])
    def test_keys_must_ascend(self, index: OnlineIndex, keys: list[int]):
        load(index, 1)
        rows = [(key_of(number), b"row") for number in keys]
        with pytest.raises(InvalidInputError, match="ascend"):
            index.load(TABLE, head_of(2), lambda after: [rows])
        with pytest.raises(InvalidInputError, match="ascend"):
            index.load(TABLE, head_of(2), lambda after: [rows[:1], rows[1:]])
        assert contents(index, TABLE, [1]) == (1, [1])

    def test_readers_see_the_old_rows_until_the_last_batch_is_in(self, index: OnlineIndex):
        load(index, 1, 30)

        def batches(after: bytes | None) -> Iterator[list[Row]]:
            for batch in in_batches(rows_of(30, 2, after), 10):
                yield batch
                assert contents(index, TABLE, [0, 15, 29]) == (1, [1, 1, 1])
                assert index.count(TABLE) == 30

        assert index.load(TABLE, head_of(2), batches)
        assert contents(index, TABLE, [0, 15, 29]) == (2, [2, 2, 2])


class Interrupted(Exception):
    pass


def interrupted(rows: list[Row], size: int) -> Iterator[list[Row]]:
    yield rows[:size]
    yield rows[size : 2 * size]
    raise Interrupted


class TestAnInterruptedLoad:
    def test_goes_on_where_it_stopped(self, index: OnlineIndex):
        begun: list[bytes | None] = []
        with pytest.raises(Interrupted):
            index.load(TABLE, head_of(1), lambda after: interrupted(rows_of(50, 1), 10))
        assert index.head(TABLE) is None
        assert index.load(TABLE, head_of(1), lambda after: begun.append(after) or [rows_of(50, 1, after)])
        assert begun == [key_of(19)]
        assert contents(index, TABLE, range(50)) == (1, [1] * 50)
        assert index.count(TABLE) == 50

    def test_begins_anew_with_another_head(self, index: OnlineIndex):
        with pytest.raises(Interrupted):
            index.load(TABLE, head_of(1), lambda after: interrupted(rows_of(50, 1), 10))
        load(index, 2, 15)
        assert contents(index, TABLE, range(20)) == (2, [2] * 15 + [None] * 5)
        assert index.count(TABLE) == 15

    def test_is_forgotten_when_the_table_is_dropped(self, index: OnlineIndex):
        begun: list[bytes | None] = []
        with pytest.raises(Interrupted):
            index.load(TABLE, head_of(1), lambda after: interrupted(rows_of(50, 1), 10))
        index.drop(TABLE)
        assert index.load(TABLE, head_of(1), lambda after: begun.append(after) or [])
        assert begun == [None]


def in_the_midst(index: OnlineIndex, work: Callable[[], object]) -> bool:
    """Load version 2, and do something when half of it is in."""
    calls = iter([work])

    def batches(after: bytes | None) -> Iterator[list[Row]]:
        for batch in in_batches(rows_of(30, 2, after), 10):
            yield batch
            next(calls, lambda: None)()

    return index.load(TABLE, head_of(2), batches)


class TestALoadBesideOthers:
    def test_fails_if_the_head_was_changed(self, index: OnlineIndex):
        load(index, 1, 30)
        new = [(key_of(0), row_of(0, 5))]
        assert not in_the_midst(index, lambda: index.apply(TABLE, head_of(1), head_of(5), new, []))
        assert contents(index, TABLE, [0, 1]) == (5, [5, 1])

    def test_fails_if_another_load_was_begun(self, index: OnlineIndex):
        load(index, 1, 30)
        assert not in_the_midst(index, lambda: load(index, 3, 20))
        assert contents(index, TABLE, [0, 19, 20]) == (3, [3, 3, None])

    def test_fails_if_the_table_was_dropped(self, index: OnlineIndex):
        load(index, 1, 30)
        assert not in_the_midst(index, lambda: index.drop(TABLE))
        assert index.head(TABLE) is None

    def test_shares_the_work_with_an_equal_one(self, index: OnlineIndex):
        load(index, 1, 50)
        others: list[bool] = []
        assert in_the_midst(index, lambda: others.append(in_the_midst(index, lambda: None)))
        assert others == [True]
        assert contents(index, TABLE, range(31)) == (2, [2] * 30 + [None])
        assert index.count(TABLE) == 30


class TestApply:
    def test_changes_rows_and_the_head_together(self, index: OnlineIndex):
        load(index, 1, 10)
        puts = [(key_of(number), row_of(number, 2)) for number in (12, 3)]
        assert index.apply(TABLE, head_of(1), head_of(2), puts, [key_of(4), key_of(99)])
        assert contents(index, TABLE, [2, 3, 4, 12, 99]) == (2, [1, 2, None, 2, None])
        assert index.count(TABLE) == 10
        assert index.head(TABLE) == head_of(2)

    def test_does_nothing_if_the_head_is_another(self, index: OnlineIndex):
        load(index, 1, 10)
        assert not index.apply(TABLE, head_of(0), head_of(2), rows_of(3, 2), [key_of(5)])
        assert contents(index, TABLE, [0, 5]) == (1, [1, 1])

    def test_changes_the_head_alone(self, index: OnlineIndex):
        load(index, 1, 10)
        assert index.apply(TABLE, head_of(1), head_of(2), [], [])
        assert contents(index, TABLE, [0, 5]) == (2, [1, 1])

    def test_the_last_row_can_go(self, index: OnlineIndex):
        load(index, 1, 1)
        assert index.apply(TABLE, head_of(1), head_of(2), [], [key_of(0)])
        assert contents(index, TABLE, [0]) == (2, [None])
        assert index.apply(TABLE, head_of(2), head_of(3), rows_of(1, 3), [])
        assert contents(index, TABLE, [0]) == (3, [3])
        assert index.count(TABLE) == 1

    def test_many_rows_at_once(self, index: OnlineIndex):
        load(index, 1, 10)
        assert index.apply(TABLE, head_of(1), head_of(2), rows_of(25_000, 2)[::-1], [])
        assert contents(index, TABLE, range(25_000)) == (2, [2] * 25_000)


class TestGetMany:
    def test_answers_for_several_tables_in_order(self, index: OnlineIndex):
        load(index, 1)
        load(index, 2, table=OTHER)
        answers = index.get_many([(OTHER, [key_of(3)]), ("unknown", [key_of(3)]), (TABLE, []), (TABLE, [key_of(4)])])
        assert [list(rows) for _, rows in answers] == [[row_of(3, 2)], [None], [], [row_of(4, 1)]]
        assert [head is None for head, _ in answers] == [False, True, False, False]
        assert answers[2].head == answers[3].head != answers[0].head

    def test_the_head_is_the_same_bytes_until_it_changes(self, index: OnlineIndex):
        load(index, 1)
        [before] = index.get_many([(TABLE, [])])
        [again] = index.get_many([(TABLE, [])])
        load(index, 2)
        [after] = index.get_many([(TABLE, [])])
        assert before.head == again.head != after.head

    def test_any_bytes_are_a_key(self, index: OnlineIndex):
        keys = [b"\0", b"\0\0", b"\0\1", b"a\0b", b"h", b"l", b"n", b"\x80\0\0\1", b"\xff" * 8, b"x" * MAX_KEY_BYTES]
        rows = [(key, b"row of " + key) for key in keys]
        assert index.load(TABLE, head_of(1), lambda after: [sorted(rows)])
        assert index.get_many([(TABLE, keys)])[0].rows == [row for _, row in rows]
        assert sorted(index.keys(TABLE, 100)) == sorted(keys)
        assert index.tables() == [TABLE]
        assert index.apply(TABLE, head_of(1), head_of(2), [], keys)
        assert index.count(TABLE) == 0

    def test_a_row_can_be_large(self, index: OnlineIndex):
        row = os.urandom(1_000_000)
        assert index.load(TABLE, head_of(1), lambda after: [[(b"key", row)]])
        assert index.get_many([(TABLE, [b"key"])])[0].rows == [row]


class TestKeys:
    def test_are_spread_over_the_table(self, index: OnlineIndex):
        load(index, 1, 1050)
        load(index, 1, 1050, table=OTHER)
        keys = index.keys(TABLE, 100)
        assert len(set(keys)) == 100
        assert set(keys) <= {key_of(number) for number in range(1050)}
        assert min(keys) < key_of(300)
        assert max(keys) > key_of(800)

    @pytest.mark.parametrize("limit", [0, 1, 9, 10, 11, 1000])
    def test_are_no_more_than_asked_for_or_there(self, index: OnlineIndex, limit: int):
        load(index, 1, 10)
        assert len(set(index.keys(TABLE, limit))) == min(limit, 10)


class TestDropAndReset:
    def test_a_dropped_table_is_gone_and_others_stay(self, index: OnlineIndex):
        load(index, 1)
        load(index, 2, table=OTHER)
        index.drop(TABLE)
        assert contents(index, TABLE, [1]) == (None, [None])
        assert contents(index, OTHER, [1]) == (2, [2])
        assert (index.tables(), index.count(TABLE), index.keys(TABLE, 3)) == ([OTHER], 0, [])

    def test_a_dropped_table_can_be_loaded_again(self, index: OnlineIndex):
        load(index, 1, 20)
        index.drop(TABLE)
        load(index, 1, 10)
        assert contents(index, TABLE, [5, 15]) == (1, [1, None])

    def test_reset_leaves_nothing(self, index: OnlineIndex):
        load(index, 1)
        index.reset()
        assert (index.tables(), index.head(TABLE)) == ([], None)
        assert contents(index, TABLE, [1]) == (None, [None])
        load(index, 2)
        assert contents(index, TABLE, [1]) == (2, [2])

    def test_it_opens_again_after_it_was_closed(self, index: OnlineIndex):
        load(index, 1)
        index.close()
        index.close()
        assert contents(index, TABLE, [1]) == (1, [1])


class TestThreads:
    def test_readers_and_a_writer_share_one_index(self, index: OnlineIndex):
        load(index, 0, 50)
        mixed: list[Any] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                head, versions = contents(index, TABLE, range(50))
                if set(versions) != {head}:
                    mixed.append((head, versions))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for version in range(1, 30):
            if version % 10:
                assert index.apply(TABLE, head_of(version - 1), head_of(version), rows_of(50, version), [])
            else:
                load(index, version, 50)
        done.set()
        for reader in readers:
            reader.join()
        assert mixed == []


class TestProcesses:
    def test_readers_see_the_old_rows_or_the_new_never_a_mix(self, place: Place, tmp_path: Path):
        index, stop, report = place.open(), tmp_path / "stop", tmp_path / "report"
        load(index, 0, 200)
        reader = PROCESSES.Process(daemon=True, target=read_while, args=(place, TABLE, 200, stop, report))
        reader.start()
        version = 0
        while version < 40 or (reader.is_alive() and not report.exists()):
            version += 1
            if version % 4:
                assert index.apply(TABLE, head_of(version - 1), head_of(version), rows_of(200, version), [])
            else:
                assert index.load(
                    TABLE, head_of(version), lambda after, v=version: in_batches(rows_of(200, v, after), 50)
                )
        stop.touch()
        reader.join(60)
        assert reader.exitcode == 0, "the reader saw a mix, see its output"
        assert int(report.read_text()) > 0

    def test_of_two_writers_only_one_changes_a_head(self, place: Place, tmp_path: Path):
        index = place.open()
        load(index, 0, 10)
        reports = [tmp_path / "one", tmp_path / "two"]
        together = PROCESSES.Barrier(2)
        writers = [
            PROCESSES.Process(daemon=True, target=apply_many, args=(place, TABLE, 100, together, report))
            for report in reports
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
            assert writer.exitcode == 0
        assert [int(report.read_text()) for report in reports] == [100, 100]
        assert contents(index, TABLE, [0]) == (200, [200])
        assert index.count(TABLE) == 210

    def test_a_load_goes_on_after_its_process_was_killed(self, place: Place, tmp_path: Path):
        index, report, begun = place.open(), tmp_path / "report", []
        load(index, 1, 50)
        loader = PROCESSES.Process(daemon=True, target=load_slowly, args=(place, TABLE, 2, 400, report))
        loader.start()
        while not report.exists():
            assert loader.is_alive()
        loader.kill()
        loader.join()
        assert contents(index, TABLE, [0, 49, 50]) == (1, [1, 1, None])
        assert index.load(TABLE, head_of(2), lambda after: begun.append(after) or [rows_of(400, 2, after)])
        assert begun[0] >= key_of(99)
        assert contents(index, TABLE, range(400)) == (2, [2] * 400)
        assert index.count(TABLE) == 400

    @pytest.mark.parametrize("work", [follow_a_reset, write_after_a_reset])
    def test_a_reset_is_seen_by_those_who_have_it_open(self, place: Place, tmp_path: Path, work: Callable[..., None]):
        index, gate, report = place.open(), tmp_path / "gate", tmp_path / "report"
        load(index, 1, 10)
        other = PROCESSES.Process(daemon=True, target=work, args=(place, TABLE, gate, report))
        other.start()
        while not report.exists():
            assert other.is_alive()
        index.reset()
        load(index, 7, 10)
        gate.touch()
        other.join(30)
        assert other.exitcode == 0
        assert contents(index, TABLE, [0]) == (8 if work is write_after_a_reset else 7, [7])

    def test_a_forked_child_reads_and_writes(self, place: Place):
        load(place.open(), 1, 10)
        # Not forked from here: Polars has threads.
        parent = PROCESSES.Process(daemon=True, target=fork_with_it_open, args=(place, TABLE))
        parent.start()
        parent.join(60)
        assert parent.exitcode == 0
        assert contents(place.open(), TABLE, [3]) == (4, [1])
