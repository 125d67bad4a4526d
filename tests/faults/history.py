"""A table's life in steps on a simulated disk, and the oracle that says what must be there after any crash.

The oracle keeps plain rows for each version. It reads the table's log through Tiffin, but its data files with Polars
alone, so that a reader that papers over a loss would not hide it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import polars as pl

from faults.simfs import SimulatedFiles
from tiffin.errors import OutcomeUnknown, StorageError, TiffinError
from tiffin.schema.compatibility import Mode
from tiffin.schema.names import TableName
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving, upkeep
from tiffin.tables.catalog import Catalog
from tiffin.tables.publishing import Note
from tiffin.tables.saving import Save
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Options, Table

FOLDER = Path("/store/features/group/name")
NAME = TableName("group", "name")
OPTIONS = Options(checkpoint_every=2, compact_files=0)
ATTEMPTS = 3

Rows = tuple[tuple[int, int], ...]


def opened(fs: SimulatedFiles) -> Table:
    """Open the store and take the table out of it."""
    return Catalog(fs, FOLDER.parents[1], OPTIONS).table(NAME)


class Step(NamedTuple):
    """One thing that is done to a table: how, and what its rows are then."""

    name: str
    act: Callable[[Table], Commit | None]
    rows: Callable[[list[Rows]], Rows] | None
    """From the rows of all versions so far; None if the step makes no version."""


@dataclass
class Ledger:
    """What the test was told, version by version."""

    versions: list[Rows] = field(default_factory=list)
    """Rows that each version has, if it is there."""
    acknowledged: int = -1
    """Newest version that was acknowledged; it and all before it must survive."""
    oldest: int = 0
    """Versions before this one may be gone."""
    in_flight: Step | None = None
    """Step during which the power went."""
    may_be_dropped: bool = False
    is_dropped: bool = False


def _save(mode: Mode, *rows: tuple[int, int]) -> Callable[[Table], Commit]:
    frame = pl.DataFrame(rows, schema={"id": pl.Int64, "value": pl.Int64}, orient="row")
    columns = [Column(name, dtype) for name, dtype in frame.schema.items()]

    def act(table: Table) -> Commit:
        request = Save(frame=frame, columns=columns, declared=Declaration(entity="id"), mode=mode)
        return upkeep.after_commit(table, saving.save(table, table.log.latest(), request))

    return act


def overwrite(*rows: tuple[int, int]) -> Step:
    return Step("overwrite", _save("overwrite", *rows), lambda before: rows)


def append(*rows: tuple[int, int]) -> Step:
    return Step("append", _save("append", *rows), lambda before: tuple(sorted((*(before or [()])[-1], *rows))))


def upsert(*rows: tuple[int, int]) -> Step:
    return Step(
        "upsert", _save("upsert", *rows), lambda before: tuple(sorted({**dict(before[-1]), **dict(rows)}.items()))
    )


def restore(version: int) -> Step:
    return Step(
        f"restore {version}",
        lambda table: upkeep.after_commit(table, upkeep.restore(table, version, Note())),
        lambda before: before[version],
    )


def vacuum(keep: int) -> Step:
    return Step(f"vacuum to {keep}", lambda table: upkeep.vacuum(table, keep_versions=keep) and None, None)


COMPACT = Step("compact", upkeep.compact, lambda before: before[-1])
DROP = Step("drop", upkeep.drop, None)
HISTORY = [
    overwrite((1, 10), (2, 20)),
    overwrite((1, 11), (3, 30)),
    append((4, 40)),
    upsert((3, 31), (5, 50)),
    append((6, 60)),
    COMPACT,
    restore(1),
    vacuum(2),
    append((7, 70)),
    DROP,
]


def run(table: Table, steps: list[Step], ledger: Ledger) -> None:
    """Do the steps, each again after an error, as a user would; `ledger` follows what the table answers."""
    for step in steps:
        for attempt in range(ATTEMPTS):
            ledger.in_flight = step
            if step.name.startswith("vacuum"):
                ledger.oldest = len(ledger.versions) - int(step.name.rpartition(" ")[2])
            try:
                commit = step.act(table)
            except OutcomeUnknown:
                if step.rows is not None:
                    ledger.versions.append(step.rows(ledger.versions))
                continue
            except StorageError:
                if step.name == "drop":
                    ledger.may_be_dropped = True
                    if table.log.latest() is None:
                        break
                assert attempt < ATTEMPTS - 1, f"{step.name} cannot be repeated"
                continue
            if step is not COMPACT or commit is not None:
                _acknowledge(step, commit, ledger)
            break
        ledger.in_flight = None


def _acknowledge(step: Step, commit: Commit | None, ledger: Ledger) -> None:
    ledger.is_dropped = step.name == "drop"
    if step.rows is not None:
        assert commit is not None
        ledger.versions.append(step.rows(ledger.versions))
        ledger.acknowledged = len(ledger.versions) - 1
        assert commit.version == ledger.acknowledged, f"{step.name} made version {commit.version}"


def prepared(steps: list[Step], **variant: bool) -> tuple[SimulatedFiles, Ledger]:
    """Do some steps without a fault."""
    fs, ledger = SimulatedFiles(**variant), Ledger()
    run(opened(fs), steps, ledger)
    return fs, ledger


def violation(disk: SimulatedFiles, ledger: Ledger, *, and_then: bool) -> str:
    """Open the table on what a disk holds; tell what is not as promised, or nothing.

    `and_then` also saves, vacuums and looks for what should not be left.
    """
    ledger = deepcopy(ledger)
    in_flight = ledger.in_flight.name if ledger.in_flight else ""
    may_be_dropped = ledger.is_dropped or ledger.may_be_dropped or in_flight == "drop"
    try:
        table = opened(disk)
        latest = table.log.latest()
        if latest is None:
            wrong = "" if may_be_dropped or ledger.acknowledged < 0 else "the table is gone"
            ledger = Ledger()
        else:
            wrong = "a dropped table is back" if ledger.is_dropped else _wrong_versions(table, latest, ledger)
        if table.log.set_aside:
            # It would be repaired, but our own commits must not come to need that.
            wrong = "a commit was torn"
        if not wrong and and_then:
            wrong = _wrong_afterwards(table, ledger)
    except (TiffinError, OSError, AssertionError, pl.exceptions.PolarsError) as error:
        return f"{type(error).__name__}: {error}"
    return wrong


def _wrong_versions(table: Table, latest: State, ledger: Ledger) -> str:
    allowed = list(ledger.versions)
    if ledger.in_flight is not None and ledger.in_flight.rows is not None:
        allowed.append(ledger.in_flight.rows(ledger.versions))
    if not ledger.acknowledged <= latest.version < len(allowed):
        return f"the newest version is {latest.version}, of {ledger.acknowledged} acknowledged"
    oldest = table.log.oldest()
    if oldest > ledger.oldest:
        return f"the oldest version is {oldest}, not {ledger.oldest}"
    for version in range(oldest, latest.version + 1):
        found = rows_of(table, table.log.at(version))
        if found != allowed[version]:
            return f"version {version} is {found}, not {allowed[version]}"
    seen = tuple(sorted(table.read(latest).rows()))
    ledger.versions, ledger.in_flight = allowed[: latest.version + 1], None
    return "" if seen == allowed[latest.version] else f"a read gives {seen}"


def _wrong_afterwards(table: Table, ledger: Ledger) -> str:
    run(table, [append((8, 80)), vacuum(1)], ledger)
    state = table.log.require()
    if rows_of(table, state) != ledger.versions[-1]:
        return "the next save went wrong"
    names = [path.relative_to(FOLDER).as_posix() for path, _ in walk(table.fs, FOLDER)]
    if [name for name in names if name.endswith(".tmp")]:
        return f"temporaries are left: {names}"
    if any(name.startswith(".dropped") for name in table.fs.names(FOLDER.parent)):
        return "what was dropped is left"
    data = {name for name in names if name.endswith(".parquet") and "/" not in name}
    return "" if data == set(state.files) else f"files are left: {data - set(state.files)}"


def rows_of(table: Table, state: State) -> Rows:
    files = [bytes(table.fs.read(table.folder / unquote(add.path))) for add in state.files.values()]
    return tuple(sorted(row for data in files for row in _decoded(data)))


@functools.lru_cache(maxsize=4096)
def _decoded(data: bytes) -> Rows:
    return tuple(pl.read_parquet(io.BytesIO(data)).rows())


def walk(fs: SimulatedFiles, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """List all files below a folder with what they hold."""
    found = fs.stat(folder)
    if found is None:
        return
    for name in sorted(fs.names(folder)):
        path = folder / name
        entry = fs.stat(path)
        if entry is not None and entry.is_folder:
            yield from walk(fs, path)
        else:
            yield path, fs.read(path)
