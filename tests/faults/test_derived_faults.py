"""A refresh that is crashed or fails at any file operation leaves the derived table as it was, or as it is to be."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from faults.simfs import SimulatedFiles, trials
from tiffin.derived.following import fill, follow
from tiffin.derived.source import Source
from tiffin.schema.derivation import definition
from tiffin.schema.names import TableName
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving
from tiffin.tables.publishing import Note
from tiffin.tables.table import Options, Table

WHAT = definition({"source": "a/events", "entity": "id", "windows": "1h", "aggregations": {"x": ["sum", "count"]}})
SCHEMA = {"id": pl.Int64, "at": pl.Datetime("us"), "x": pl.Int64}
HOUR = 3_600_000_000


def opened(fs: SimulatedFiles) -> tuple[Table, Table]:
    names = TableName("a", "events"), TableName("a", "windows")
    events, windows = (Table(fs, Path("/store/features", *name), name, Options(compact_files=0)) for name in names)
    return events, windows


def save(table: Table, mode: str, *rows: tuple[int, int, int]) -> None:
    frame = pl.DataFrame(rows, schema={"id": pl.Int64, "at": pl.Int64, "x": pl.Int64}, orient="row").cast(SCHEMA)
    columns = [Column(name, dtype) for name, dtype in frame.schema.items()]
    declared = Declaration(entity="id", timestamp="at")
    saving.save(table, table.log.latest(), saving.Save(frame=frame, columns=columns, declared=declared, mode=mode))


def source_of(events: Table) -> Source:
    return Source(events, events.log.require(), WHAT)


def rows_of(table: Table) -> list[tuple]:
    return table.read(table.log.require()).sort("id", "at").rows()


@pytest.fixture
def disk() -> tuple[SimulatedFiles, list[tuple], list[tuple]]:
    """A derived table that is behind its source; its rows, and those that it is to have."""
    fs = SimulatedFiles()
    events, windows = opened(fs)
    save(events, "overwrite", (1, 0, 10), (2, 0, 20))
    fill(windows, source_of(events), Note())
    before = rows_of(windows)
    save(events, "append", (1, HOUR // 2, 5))
    dry = opened(fs.after_crash("kept"))[1]
    follow(dry, source_of(events), Note())
    return fs, before, rows_of(dry)


@pytest.mark.slow
def test_no_fault_in_a_refresh_leaves_half_of_it(disk, figure):
    fs, before, after = disk
    assert before != after

    def work(files: SimulatedFiles, acknowledged: list[object]) -> None:
        events, windows = opened(files)
        acknowledged.append(follow(windows, source_of(events), Note()))

    cases = 0
    for trial in trials(fs, work):
        events, windows = opened(trial.disk)
        found = rows_of(windows)
        assert found == after or (found == before and not trial.acknowledged), trial
        follow(windows, source_of(events), Note())
        assert rows_of(windows) == after, trial
        cases += 1
    figure(f"{cases} cases of a derived table refreshed, 0 violations")
    assert cases > 100
