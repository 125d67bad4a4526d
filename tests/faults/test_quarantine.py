"""A save that keeps bad rows apart, with every file operation failing or crashing: no row is lost."""

from __future__ import annotations

import contextlib

import polars as pl

from faults.history import opened
from faults.simfs import Crash, Fault, SimulatedFiles
from faults.test_every_operation import faults
from tiffin.errors import OutcomeUnknown, StorageError
from tiffin.schema.constraints.texts import read_all
from tiffin.schema.table import Column, Declaration
from tiffin.tables import quarantine, saving
from tiffin.tables.table import Table


def save(table: Table, *ids: int) -> None:
    frame = pl.DataFrame({"id": ids})
    columns = [Column("id", pl.Int64())]
    declared = Declaration(entity="id", constraints=read_all(["id > 0"]))
    saving.save(
        table, table.log.latest(), saving.Save(frame, columns, declared, mode="append", on_violation="quarantine")
    )


def begun() -> SimulatedFiles:
    fs = SimulatedFiles()
    table = opened(fs)
    save(table, 1)
    save(table, 2, -2)
    return fs.after_crash("kept")


def planned() -> list[Fault]:
    fs = begun()
    fs.plan(None)
    save(opened(fs), 3, -3)
    return list(faults(list(fs.operations), every=4))


def found(fs: SimulatedFiles) -> tuple[set[int], dict[int, bool]]:
    """Rows of the table, and those kept apart with whether their save landed."""
    table = opened(fs)
    apart = quarantine.read(table)
    landed: dict[int, bool] = {}
    for row, is_landed in apart.select("id", "quarantine_landed").iter_rows():
        landed[row] = landed.get(row, False) or is_landed
    return set(table.read(table.log.require())["id"].to_list()), landed


def test_good_rows_never_land_without_the_bad_ones_apart(figure):
    cases = planned()
    assert len(cases) > 40
    figure(f"{3 * len(cases)} cases of a save with bad rows, 0 violations")
    for fault in cases:
        fs, is_told, is_refused, is_unknown = begun(), False, False, False
        table = opened(fs)
        fs.plan(fault)
        with contextlib.suppress(Crash):
            try:
                save(table, 3, -3)
                is_told = True
            except StorageError as error:
                is_unknown = isinstance(error, OutcomeUnknown)
                is_refused = not is_unknown
        fs.plan(None)
        for outcome in ("lost", "kept", "torn"):
            rows, apart = found(fs.after_crash(outcome))
            assert rows in ({1, 2}, {1, 2, 3}), (fault, outcome)
            assert apart[-2], (fault, outcome)
            assert apart.get(-3, False) == (3 in rows), (fault, outcome)
            assert not is_told or 3 in rows, (fault, outcome)
            assert not is_refused or 3 not in rows, (fault, outcome)
            assert not (is_unknown and outcome == "kept") or 3 in rows, (fault, outcome)
