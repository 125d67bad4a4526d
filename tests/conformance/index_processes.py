"""What other processes do with an index, at once with the tests."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

from conformance.indexes import Place, Row, contents, head_of, in_batches, key_of, row_of, rows_of


def read_while(place: Place, table: str, count: int, stop: Path, report: Path) -> None:
    """Read whole states until told to stop, and report how many, once there were some and again at the end."""
    index = place.open()
    seen: set[int | None] = set()
    reads = 0
    while not stop.exists():
        head, versions = contents(index, table, range(count))
        assert set(versions) == {head}, f"head {head}, rows {set(versions)}"
        seen.add(head)
        reads += 1
        if len(seen) == 5:
            report.write_text(str(reads))
    report.write_text(str(reads))


def apply_many(place: Place, table: str, times: int, together: Barrier, report: Path) -> None:
    """Raise the version of the head a number of times, each time with a new entity and the same old one."""
    index = place.open()
    raised = 0
    together.wait(30)
    while raised < times:
        head = index.head(table)
        assert head is not None
        version = head.version + 1
        puts = [(key_of(0), row_of(0, version)), (key_of(1000 + version), row_of(1000 + version, version))]
        raised += index.apply(table, head, head_of(version), puts, [])
    report.write_text(str(raised))


def load_slowly(place: Place, table: str, version: int, count: int, report: Path) -> None:
    """Load rows, and wait to be killed when some are in."""

    def batches(after: bytes | None) -> Iterator[list[Row]]:
        for number, batch in enumerate(in_batches(rows_of(count, version, after), 50)):
            if number == 2:
                report.touch()
                time.sleep(60)
            yield batch

    place.open().load(table, head_of(version), batches)


def follow_a_reset(place: Place, table: str, gate: Path, report: Path) -> None:
    """Read an index that is reset meanwhile, until the new one is seen; report when it was read first."""
    index = place.open()
    assert index.head(table) == head_of(1)
    report.touch()
    while not gate.exists():
        time.sleep(0.001)
    while index.head(table) != head_of(7):
        time.sleep(0.001)


def write_after_a_reset(place: Place, table: str, gate: Path, report: Path) -> None:
    """Read an index that is reset meanwhile, then write: to the new one, and not with what was read before."""
    index = place.open()
    before = index.head(table)
    assert before == head_of(1)
    report.touch()
    while not gate.exists():
        time.sleep(0.001)
    assert not index.apply(table, before, head_of(2), rows_of(1, 2), [])
    assert index.apply(table, head_of(7), head_of(8), [], [])


def fork_with_it_open(place: Place, table: str) -> None:
    """Fork while a thread reads; parent and child go on reading and writing in turn."""
    index = place.open()
    # A thread that is importing when the process forks leaves its module locked in the child: Python's own limit.
    assert contents(index, table, [3])[1] == [1]
    failed: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert contents(index, table, [3])[1] == [1]
        except BaseException as error:
            failed.append(error)
            raise

    reader = threading.Thread(target=read)
    reader.start()
    child = os.fork()
    if child == 0:
        is_right = contents(index, table, [3]) == (1, [1]) and index.apply(table, head_of(1), head_of(2), [], [])
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert contents(index, table, [3]) == (2, [1])
    assert index.apply(table, head_of(2), head_of(3), [], [])
    child = os.fork()
    if child == 0:
        os._exit(0 if index.apply(table, head_of(3), head_of(4), [], []) else 1)
    assert os.waitpid(child, 0)[1] == 0
    done.set()
    reader.join()
    assert failed == []
