"""The clock jumps, stands still or goes back; versions stay in order, and nothing goes that should stay."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from faults.simfs import SimulatedFiles
from tiffin.errors import VersionNotFound
from tiffin.files import LOCAL
from tiffin.schema.names import TableName
from tiffin.schema.table import Column
from tiffin.tables import saving, upkeep
from tiffin.tables.log import Log
from tiffin.tables.table import Commit, Options, Table

DAY_NS = 86_400 * 10**9


class Clock:
    """Shows what it is told to."""

    def __init__(self) -> None:
        self.now_ns = 20_000 * DAY_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(tmp_path: Path, clock: Clock) -> Table:
    return Table(LOCAL, tmp_path / "table", TableName("group", "name"), Options(), clock)


def save(table: Table, value: int) -> Commit:
    frame = pl.DataFrame({"value": [value]})
    request = saving.Save(frame=frame, columns=[Column("value", frame.schema["value"])])
    return upkeep.after_commit(table, saving.save(table, table.log.latest(), request))


def milliseconds(commit: Commit) -> int:
    return round(commit.timestamp.timestamp() * 1000)


def version_at(table: Table, time: int) -> int | None:
    try:
        return table.log.at_time(time).version
    except VersionNotFound:
        return None


def oldest_after_a_clock_set_back(table: Table, clock: Clock) -> int:
    """Save while the clock is back; when it is right again, vacuum what was replaced a week ago: nothing was."""
    save(table, 0)
    clock.now_ns -= 10 * DAY_NS
    save(table, 1)
    clock.now_ns += 10 * DAY_NS
    return upkeep.vacuum(table, older_than=timedelta(days=7)).oldest_version


class TestClock:
    @pytest.mark.parametrize("steps", [[0, 0, 0], [1, -10, 0], [-10, 5, 20], [400, -400, 1]])
    def test_times_grow_with_versions_and_find_them_whatever_the_clock_does(
        self, table: Table, clock: Clock, steps: list[int], figure: Callable[[str], None]
    ):
        commits = [save(table, 0)]
        for value, days in enumerate(steps, start=1):
            clock.now_ns += days * DAY_NS
            commits.append(save(table, value))
        times = [milliseconds(commit) for commit in commits]
        assert times == sorted(set(times))
        assert [commit.timestamp for commit in table.history()[::-1]] == [commit.timestamp for commit in commits]
        for version, time in enumerate(times):
            assert table.log.at_time(time).version == version
            if version:
                assert table.log.at_time(time - 1).version == version - 1
        with pytest.raises(VersionNotFound):
            table.log.at_time(times[0] - 1)
        figure(f"{len(commits)} versions under a clock that is set back and leaps, each found by its time")

    def test_a_version_ages_from_when_it_was_replaced(self, table: Table, clock: Clock):
        save(table, 0)
        clock.now_ns += 30 * DAY_NS
        save(table, 1)
        clock.now_ns += DAY_NS
        # Version 0 is old, but was the newest until yesterday.
        assert upkeep.vacuum(table, older_than=timedelta(days=2)).oldest_version == 0
        clock.now_ns += 2 * DAY_NS
        assert upkeep.vacuum(table, older_than=timedelta(days=2)).oldest_version == 1

    def test_a_clock_set_back_makes_nothing_old(self, table: Table, clock: Clock):
        save(table, 0)
        clock.now_ns -= 10 * DAY_NS
        save(table, 1)
        assert upkeep.vacuum(table, older_than=timedelta(days=1)).oldest_version == 0
        assert table.read(table.log.at(0))["value"].to_list() == [0]

    def test_a_clock_that_was_back_for_a_while_makes_nothing_old(self, table: Table, clock: Clock):
        assert oldest_after_a_clock_set_back(table, clock) == 0

    def test_a_save_is_seen_though_the_clock_was_set_back_or_leaps(self, table: Table, clock: Clock, tmp_path: Path):
        other = Table(LOCAL, tmp_path / "table", TableName("group", "name"), Options(), clock)
        for value, days in enumerate([0, -10, 40_000, -39_000, 0]):
            clock.now_ns += days * DAY_NS
            save(table, value)
            assert other.read(other.log.require())["value"].to_list() == [value]

    def test_a_save_within_the_same_tick_of_the_file_systems_clock_is_seen(self, clock: Clock):
        """File systems keep coarse time: a folder can change twice and show one time of change."""
        fs = SimulatedFiles()
        fs._clock = itertools.repeat(clock.now_ns)
        one, other = (Table(fs, Path("/table"), TableName("group", "name"), Options(), clock) for _ in range(2))
        for value in range(5):
            save(one, value)
            clock.now_ns += 1_000_000
            assert other.read(other.log.require())["value"].to_list() == [value]


class TestNegativeControls:
    """With versions that have the time which the clock shows, and nothing else."""

    @pytest.fixture(autouse=True)
    def _only_the_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Log, "next_timestamp", lambda log, before: log.now())

    def test_other_versions_are_found(self, table: Table, clock: Clock, figure: Callable[[str], None]):
        times = [milliseconds(save(table, 0))]
        for value, days in enumerate([0, -10, 5, -3, 20], start=1):
            clock.now_ns += days * DAY_NS
            times.append(milliseconds(save(table, value)))
        wrong = [time for version, time in enumerate(times) if version_at(table, time) != version]
        figure(f"versions with the clock's time: {len(wrong)} of {len(times)} not found by their time (wanted)")
        assert wrong

    def test_a_vacuum_by_time_alone_removes_what_was_replaced_just_now(
        self, table: Table, clock: Clock, figure: Callable[[str], None]
    ):
        oldest = oldest_after_a_clock_set_back(table, clock)
        figure(f"a vacuum by time alone, after the clock was set back: {oldest} version removed too early (wanted)")
        assert oldest == 1
