"""Every file operation of a tag's and a stage's life fails or is crashed at: each is there whole, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from faults import history
from faults.history import NAME, Rows
from faults.simfs import OUTCOMES, WRITING, Crash, Fault, SimulatedFiles
from tiffin.errors import NotFoundError, StorageError
from tiffin.schema.table import Column, Declaration
from tiffin.tables import staging, tagging, upkeep
from tiffin.tables.saving import Note, Save
from tiffin.tables.table import Table

CHANGING = WRITING | {"remove", "remove_folder"}


@dataclass
class Model:
    """What is there, in plain values."""

    versions: list[Rows] = field(default_factory=list)
    tags: dict[str, int] = field(default_factory=dict)
    stages: dict[str, Rows] = field(default_factory=dict)


class Step(NamedTuple):
    """One thing that is done, to the table and to the model."""

    name: str
    act: Callable[[Table], object]
    change: Callable[[Model], object]
    halfway: Callable[[Model], object] | None = None
    """What a crash may leave instead, from where the step is finished when it is done again."""


def stage(name: str, mode: str, *rows: tuple[int, int], becomes: Rows) -> Step:
    frame = pl.DataFrame(rows, schema={"id": pl.Int64, "value": pl.Int64}, orient="row")
    columns = [Column(column, dtype) for column, dtype in frame.schema.items()]
    request = Save(frame=frame, columns=columns, declared=Declaration(), mode=mode)
    return Step(
        f"stage {name} {mode}",
        lambda table: staging.stage(table, request, name, replaces=True),
        lambda model: model.stages.update({name: becomes}),
    )


def tag(version: int, name: str) -> Step:
    return Step(
        f"tag {version} {name}",
        lambda table: tagging.tag(table, version, name, Note(), move=True),
        lambda model: model.tags.update({name: version}),
    )


PROMOTE = Step(
    "promote",
    lambda table: staging.promote(table, "b", Note()),
    lambda model: model.versions.append(model.stages.pop("b")),
    lambda model: model.versions.append(model.stages["b"]),
)
STEPS = [
    tag(0, "prod"),
    tag(1, "prod"),
    tag(0, "old"),
    stage("a", "overwrite", (9, 90), becomes=((9, 90),)),
    stage("b", "append", (4, 40), becomes=((1, 10), (2, 20), (3, 30), (4, 40))),
    stage("a", "upsert", (3, 33), becomes=((1, 10), (2, 20), (3, 33))),
    PROMOTE,
    Step("discard", lambda table: staging.discard(table, "a"), lambda model: model.stages.pop("a")),
    Step("untag", lambda table: tagging.untag(table, "prod"), lambda model: model.tags.pop("prod")),
]


def prepared(steps: list[Step]) -> tuple[SimulatedFiles, Model]:
    fs, model = SimulatedFiles(), Model([((1, 10), (2, 20)), ((1, 10), (2, 20), (3, 30))])
    table = history.opened(fs)
    history.overwrite((1, 10), (2, 20)).act(table)
    history.append((3, 30)).act(table)
    for step in steps:
        step.act(table)
        step.change(model)
    return fs, model


def seen(table: Table) -> Model:
    """Look at what is there: what is named through Tiffin, rows with Polars alone."""
    newest = table.log.require().version
    return Model(
        [history.rows_of(table, table.log.at(version)) for version in range(newest + 1)],
        {tag.name: tag.version for tag in table.tags.all() if table.at(tag.name).version == tag.version},
        {name: history.rows_of(table, table.at(name)) for name in table.stages.names()},
    )


def allowed(model: Model, step: Step, *, is_done: bool) -> list[Model]:
    models = [] if is_done else [deepcopy(model)]
    for change in (step.change, step.halfway):
        if change is not None:
            models.append(deepcopy(model))
            change(models[-1])
    return models


def do(table: Table, step: Step) -> bool:
    """Do a step, again after an error as a user would; tell whether it was acknowledged."""
    for _ in range(3):
        try:
            step.act(table)
        except StorageError:
            continue
        except NotFoundError:
            # What was to go had gone, and it was not known for how long.
            return False
        return True
    raise AssertionError(f"{step.name} cannot be repeated")


def trial(disk: SimulatedFiles, model: Model, step: Step, fault: Fault) -> list[str]:
    fs = disk.after_crash("kept")
    table, is_done, broken = history.opened(fs), False, []
    fs.plan(fault)
    try:
        with contextlib.suppress(Crash):
            is_done = do(table, step)
    except (AssertionError, OSError) as error:
        broken.append(f"{fault}: {type(error).__name__}: {error}")
    fs.plan(None)
    looked_at = set()
    for outcome in OUTCOMES:
        after = fs.after_crash(outcome)
        held = tuple(history.walk(after, Path("/")))
        if held not in looked_at:
            looked_at.add(held)
            wrong = violation(after, model, step, is_done=is_done)
            if wrong:
                broken.append(f"{fault}, {outcome}: {wrong}")
    return broken


def violation(disk: SimulatedFiles, model: Model, step: Step, *, is_done: bool) -> str:
    table = history.opened(disk)
    found = seen(table)
    if found not in allowed(model, step, is_done=is_done):
        return f"{found}"
    if table.log.set_aside:
        return "a commit was torn"
    if step.halfway and "b" in found.stages:
        staging.promote(table, "b", Note())
        found = seen(table)
        if found not in allowed(model, step, is_done=True)[:1]:
            return f"finished: {found}"
    upkeep.vacuum(table, keep_versions=1)
    kept = {*table.log.require().files, *(add.path for one in table.stages.all() for add in one.adds)}
    names = [*found.tags, *found.stages]
    if names:
        oldest = min(table.at(name).version for name in names)
        kept |= {path for version in range(oldest, len(found.versions)) for path in table.log.at(version).files}
    again = {name: history.rows_of(table, table.at(name)) for name in names}
    wanted = {name: found.versions[version] for name, version in found.tags.items()} | found.stages
    if again != wanted:
        return f"after a vacuum: {again}"
    files = [path.relative_to(table.folder).as_posix() for path, _ in history.walk(disk, table.folder)]
    left = {name for name in files if name.endswith((".parquet", ".tmp")) and "_delta_log" not in name} - kept
    return f"left: {left}" if left else ""


def faults(operations: list[str]) -> list[Fault]:
    found = []
    for at, operation in enumerate(operations):
        kinds = ["crash", "EIO", "ENOSPC"] if operation in WRITING else ["crash", "EIO"]
        found += [Fault(at, kind) for kind in kinds if operation in CHANGING]
        if operation == "create":
            found.append(Fault(at, "short"))
    return found


AMONG_THE_FAST = {"tag 1 prod", "stage a upsert", "promote", "discard"}
CASES = [
    pytest.param(at, id=step.name.replace(" ", "-"), marks=() if step.name in AMONG_THE_FAST else pytest.mark.slow)
    for at, step in enumerate(STEPS)
]


@pytest.mark.parametrize("at", CASES)
def test_no_fault_in_a_step_breaks_a_promise(at: int, figure: Callable[[str], None]):
    disk, model = prepared(STEPS[:at])
    dry = disk.after_crash("kept")
    table = history.opened(dry)
    dry.plan(None)
    STEPS[at].act(table)
    planned = faults(list(dry.operations))
    broken = [text for fault in planned for text in trial(disk, model, STEPS[at], fault)]
    figure(f"{len(planned) * len(OUTCOMES)} cases of tags and stages, {len(broken)} violations")
    assert len(planned) > 8
    assert broken == []
    assert table.name == NAME
