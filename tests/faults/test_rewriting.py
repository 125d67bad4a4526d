"""A column renamed or dropped, file by file, with every file operation failing or crashing: nothing is lost or torn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import polars as pl
import pytest

from faults.history import opened
from faults.simfs import Crash, SimulatedFiles
from faults.test_every_operation import faults
from tiffin.errors import OutcomeUnknown, StorageError
from tiffin.schema import evolution
from tiffin.schema.table import Column, Declaration, TableSpec
from tiffin.tables import saving
from tiffin.tables.publishing import Note
from tiffin.tables.rewriting import rewrite
from tiffin.tables.table import Table

BEFORE = {"id": [1, 2, 3], "x": [10, 20, 30], "y": [0, 0, 0]}
AFTER = {"rename": {"id": [1, 2, 3], "z": [10, 20, 30], "y": [0, 0, 0]}, "drop": {"id": [1, 2, 3], "x": [10, 20, 30]}}
REVISED: dict[str, Callable[[TableSpec], TableSpec]] = {
    "rename": lambda spec: evolution.rename(spec, "x", "z", "g/t"),
    "drop": lambda spec: evolution.drop(spec, ["y"], "g/t"),
}


def begun() -> SimulatedFiles:
    fs = SimulatedFiles()
    table = opened(fs)
    for number in range(3):
        frame = pl.DataFrame({name: values[number : number + 1] for name, values in BEFORE.items()})
        columns = [Column(name, dtype) for name, dtype in frame.schema.items()]
        saving.save(table, table.log.latest(), saving.Save(frame, columns, Declaration(entity="id"), mode="append"))
    return fs.after_crash("kept")


def act(table: Table, verb: str) -> None:
    rewrite(table, REVISED[verb], verb, Note(), changes_data=verb == "drop")


def rows(table: Table) -> dict[str, list[int]]:
    return table.read(table.log.require()).to_dict(as_series=False)


@pytest.mark.parametrize("verb", ["rename", pytest.param("drop", marks=pytest.mark.slow)])
def test_a_rewrite_is_there_whole_or_not_at_all(verb, figure):
    disk = begun()
    dry = disk.after_crash("kept")
    dry.plan(None)
    act(opened(dry), verb)
    cases = list(faults(list(dry.operations), every=4))
    assert len(cases) > 60
    figure(f"{3 * len(cases)} cases of a column renamed or dropped, 0 violations")
    for fault in cases:
        fs, is_told, is_refused = disk.after_crash("kept"), False, False
        table = opened(fs)
        fs.plan(fault)
        with contextlib.suppress(Crash):
            try:
                act(table, verb)
                is_told = True
            except StorageError as error:
                is_refused = not isinstance(error, OutcomeUnknown)
        fs.plan(None)
        for outcome in ("lost", "kept", "torn"):
            again = opened(fs.after_crash(outcome))
            found = rows(again)
            assert found in (BEFORE, AFTER[verb]), (fault, outcome)
            assert not is_told or found == AFTER[verb], (fault, outcome)
            assert not is_refused or found == BEFORE, (fault, outcome)
            assert again.read(again.log.at(2)).to_dict(as_series=False) == BEFORE, (fault, outcome)
            if found == BEFORE:
                act(again, verb)
                assert rows(again) == AFTER[verb], (fault, outcome)
