"""A backup on top of another fails or crashes at any file operation: it is the earlier one, the new one, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from faults.simfs import Crash, SimulatedFiles
from faults.test_every_operation import faults
from tiffin.access.keys import Keys
from tiffin.backup import Parts, back_up, check_finished
from tiffin.derived.kept import KeptOnDemand
from tiffin.errors import StorageError
from tiffin.registry import Registry
from tiffin.schema.names import TableName
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving, tagging, upkeep
from tiffin.tables.catalog import Catalog
from tiffin.tables.publishing import Note
from tiffin.tables.table import Options, Table

STORE, BACKUP = Path("/simulated/store"), Path("/simulated/backup")
GROWN, REMADE = TableName("group", "grown"), TableName("group", "remade")
Held = dict[TableName, dict[int, list[int]]]


def parts(fs: SimulatedFiles) -> Parts:
    registry = STORE / "registry"
    return Parts(
        fs=fs,
        path=STORE,
        tables=Catalog(fs, STORE / "features", Options()),
        sets=Catalog(fs, registry, Options()),
        registry=Registry(fs, registry / "services"),
        on_demand=KeptOnDemand(fs, registry / "on_demand"),
        keys=Keys(fs, STORE / "config" / "keys.json"),
    )


def save(table: Table, value: int) -> None:
    frame = pl.DataFrame({"value": [value]})
    columns = [Column(name, dtype) for name, dtype in frame.schema.items()]
    saving.save(table, table.log.latest(), saving.Save(frame, columns, Declaration(entity=()), mode="append"))


def held(fs: SimulatedFiles, folder: Path) -> Held:
    """Read every version of every table in a folder."""
    found: Held = {}
    catalog = Catalog(fs, folder / "features", Options())
    for name in catalog.names():
        table = catalog.table(name)
        versions = range(table.log.oldest(), table.log.require().version + 1)
        found[name] = {version: table.read(table.log.at(version))["value"].to_list() for version in versions}
        for tag in table.tags.all():
            table.tags.state(tag)
    return found


def begun() -> tuple[SimulatedFiles, Held]:
    """A store, an earlier backup of it, and what that holds; since then the store has changed."""
    fs = SimulatedFiles()
    tables = parts(fs).tables
    grown, remade = tables.table(GROWN), tables.table(REMADE)
    for value in range(3):
        save(grown, value)
        save(remade, value)
    tagging.tag(grown, 1, "prod", Note())
    back_up(parts(fs), BACKUP)
    earlier = held(fs, BACKUP)
    save(grown, 3)
    tagging.tag(grown, 3, "prod", Note(), move=True)
    upkeep.vacuum(grown, keep_versions=3)
    upkeep.drop(remade)
    save(remade, 10)
    return fs.after_crash("kept"), earlier


def includes(more: Held, less: Held) -> bool:
    """Tell whether all versions of `less` are in `more`, the same."""
    return all(versions.items() <= more.get(name, {}).items() for name, versions in less.items())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_backup_that_fails_anywhere_is_the_earlier_one_or_refused(figure: Callable[[str], None]):
    disk, earlier = begun()
    dry = disk.after_crash("kept")
    wanted = held(dry, STORE)
    dry.plan(None)
    back_up(parts(dry), BACKUP)
    cases = list(faults(list(dry.operations), every=16))[::2]
    refused = stayed = finished = 0
    for fault in cases:
        fs, is_told = disk.after_crash("kept"), False
        store = parts(fs)
        fs.plan(fault)
        with contextlib.suppress(Crash, StorageError):
            back_up(store, BACKUP)
            is_told = True
        fs.plan(None)
        for outcome in ("lost", "kept", "torn"):
            after = fs.after_crash(outcome)
            try:
                check_finished(after, BACKUP)
            except StorageError:
                assert not is_told, (fault, outcome)
                refused += 1
            else:
                found = held(after, BACKUP)
                assert found == wanted or (not is_told and includes(found, earlier)), (fault, outcome)
                finished, stayed = finished + (found == wanted), stayed + (found != wanted)
            assert held(after, STORE) == wanted, (fault, outcome)
            back_up(parts(after), BACKUP)
            check_finished(after, BACKUP)
            assert held(after, BACKUP) == wanted, (fault, outcome)
    assert min(refused, stayed, finished) > 0
    figure(
        f"{3 * len(cases)} cases of a backup that fails or crashes at a file operation: {stayed} left the earlier one "
        f"whole, {refused} were refused when opened, {finished} were finished; repeated, all were whole; 0 violations"
    )


def test_without_syncing_a_finished_backup_may_be_none(figure: Callable[[str], None]):
    """The negative control."""
    fs = SimulatedFiles(without_sync=True)
    save(parts(fs).tables.table(GROWN), 1)
    wanted = held(fs, STORE)
    back_up(parts(fs), BACKUP)
    broken = 0
    for outcome in ("lost", "torn", "empty"):
        after = fs.after_crash(outcome)
        try:
            check_finished(after, BACKUP)
            broken += held(after, BACKUP) != wanted
        except StorageError:
            broken += 1
    assert broken == 3
    figure(f"backups that are not synced: {broken} of 3 power cuts left none")
