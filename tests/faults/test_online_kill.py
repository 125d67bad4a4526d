"""A process that changes the online index is killed at any moment; what is in the index is of one version."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.indexes import SHARED, Place
from faults.index_kill import EVERY, TABLE, advance, advance_until_killed, random_moment, wrong_rows
from faults.test_kill import wait_for
from faults.workload import PROCESSES, notes
from tiffin.online import OnlineIndex


@pytest.fixture(params=SHARED)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    where = request.getfixturevalue("redis_url") if request.param == "redis" else request.param
    place = Place(where, tmp_path / "online")
    place.open().reset()
    return place


def settled(index: OnlineIndex, least: int, most: int) -> int:
    """Return the version that the index has whole; it must be one of some."""
    head = index.head(TABLE)
    version = -1 if head is None else head.version
    assert least <= version <= most
    assert list(wrong_rows(index)) == []
    return version


def kill_many(place: Place, log: Path, rounds: int) -> str:
    index = place.open()
    in_a_load = 0
    for seed in range(rounds):
        lines = len(notes(log))
        writer = PROCESSES.Process(daemon=True, target=advance_until_killed, args=(place, log))
        writer.start()
        wait_for(lambda lines=lines: len(notes(log)) > lines, "the writer to begin")
        # Not waiting for anything: this is the random moment.
        time.sleep(random_moment(seed))
        writer.kill()
        writer.join()
        begun = [line["version"] for line in notes(log) if line["event"] == "begin"][-1]
        done = max((line["version"] for line in notes(log) if line["event"] == "done"), default=-1)
        # What was committed when the kill came may be seen by readers only once another process has written.
        seen = settled(index, done, begun)
        index.tables()
        version = settled(index, seen, begun)
        in_a_load += begun % EVERY == 0 and version < begun
    assert advance(index, version + 1)
    assert list(wrong_rows(index)) == []
    index.drop(TABLE)
    assert (index.tables(), index.count(TABLE)) == ([], 0)
    return f"{rounds} kills, {in_a_load} of them in a load; {done} changes, 0 lost, 0 torn"


class TestKill:
    @pytest.mark.slow
    def test_a_writer_killed_at_any_moment_leaves_one_version(
        self, place: Place, tmp_path: Path, figure: Callable[[str], None]
    ):
        figure(kill_many(place, tmp_path / "log", 10))

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    def test_a_writer_killed_a_hundred_times(self, place: Place, tmp_path: Path, figure: Callable[[str], None]):
        figure(kill_many(place, tmp_path / "log", 100))

    def test_the_oracle_sees_a_torn_change(self, place: Place, figure: Callable[[str], None]):
        index = place.open()
        for version in range(3):
            assert advance(index, version)
        assert list(wrong_rows(index)) == []
        torn = index.head(TABLE)
        assert torn is not None
        advance(index, 3)
        after = index.head(TABLE)
        assert after is not None
        assert index.apply(TABLE, after, torn, [], [])
        wrong = list(wrong_rows(index))
        figure(f"an index whose rows are of another version than its head: {len(wrong)} wrong rows seen (wanted)")
        assert wrong
