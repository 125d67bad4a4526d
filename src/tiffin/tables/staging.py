"""Trying a version before it is one: staging a save, promoting it, discarding it."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from urllib.parse import unquote

import msgspec

from tiffin.errors import (
    CommitConflict,
    ConflictError,
    CorruptData,
    LimitError,
    StorageError,
    VersionNotFound,
    did_you_mean,
)
from tiffin.files import translated
from tiffin.schema.constraints.kinds import TableConstraint
from tiffin.schema.names import check_pin
from tiffin.schema.table import TableSpec
from tiffin.tables import datafiles
from tiffin.tables.actions import Entry
from tiffin.tables.publishing import Change, Note, entry, publish, unplaced
from tiffin.tables.saving import Save, save
from tiffin.tables.stages import Stage, Staged
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table

MOST_STAGES = 100
"""Of one table."""
_SHOWN = 3
"""As many versions are named that came in between."""


def stage(table: Table, request: Save, name: str, *, replaces: bool = False) -> Stage:
    """Write down a save as a stage on top of the newest version; when this returns, it survives a power loss.

    Parameters
    ----------
    table : Table
        The table, which exists.
    request : Save
        What to save, and how.
    name : str
        The stage.
    replaces : bool
        Whether it takes the place of a stage of the same name.

    Returns
    -------
    Stage

    Raises
    ------
    ConflictError
        A tag, or a stage that is not to be replaced, has the name.
    TiffinError
        As for `saving.save`: what cannot be saved cannot be staged.
    """
    check_pin(name, "stage")
    _check_free(table, name, replaces=replaces)
    made: list[Stage] = []

    def put(table: Table, now: State | None, change: Change, operation: str, note: Note) -> Commit:
        if now is None:
            raise CommitConflict(
                f"table {table.name} was dropped meanwhile", hint="a stage stands on a table: save one"
            )
        written = entry(table, now, change, operation, note)
        made.append(_put_aside(table, now, written, name, replaces=replaces))
        return table.describe_entry(now.version, written)

    warnings = save(table, table.log.latest(), replace(request, put=put)).warnings
    return msgspec.structs.replace(made[-1], warnings=warnings)


def require(table: Table, name: str) -> Staged:
    """Return a stage.

    Raises
    ------
    VersionNotFound
        There is none of this name; the hint says which are close.
    CorruptData
        Its file is damaged.
    """
    check_pin(name, "stage")
    found = table.stages.find(name)
    if found is None:
        raise _not_found(table, name)
    return found


def _not_found(table: Table, name: str) -> VersionNotFound:
    return VersionNotFound(
        f"table {table.name} has no stage {name!r}",
        hint=did_you_mean(name, table.stages.names()) or "it has no stages",
        table=str(table.name),
    )


def _check_free(table: Table, name: str, *, replaces: bool) -> None:
    if table.tags.find(name) is not None:
        raise ConflictError(f"table {table.name} has a tag {name!r}", hint="choose another name for the stage")
    names = table.stages.names()
    if name in names and not replaces:
        raise ConflictError(
            f"table {table.name} has a stage {name!r} already",
            hint="choose another name, or replace it (replace=True, --replace)",
        )
    if name not in names and len(names) >= MOST_STAGES:
        raise LimitError(f"table {table.name} has {MOST_STAGES} stages", hint="promote or discard some of them")


def _put_aside(table: Table, now: State, made: Entry, name: str, *, replaces: bool) -> Stage:
    """Write a commit down as a stage; the caller holds the table's commit lock."""
    _check_free(table, name, replaces=replaces)
    old = None
    with contextlib.suppress(CorruptData):
        old = table.stages.find(name)
    stage = Staged(
        table_id=now.metadata.id,
        id=str(uuid.uuid4()),
        name=name,
        base=now.version,
        base_timestamp=now.timestamp,
        info=made.info,
        actions=made.actions,
    )
    table.stages.write(stage)
    if old is not None:
        _remove_files(table, old)
    return table.stages.describe(stage)


def discard(table: Table, name: str) -> None:
    """Remove a stage with the files that only it has, even if it is damaged.

    Raises
    ------
    VersionNotFound
        There is none of this name.
    StorageError
        The disk refused; the stage is still there, or gone and its files wait for a vacuum.
    """
    check_pin(name, "stage")
    with table.log.writing(), table.log.committing():
        known = None
        with contextlib.suppress(CorruptData):
            known = table.stages.find(name)
        if not table.stages.remove(name):
            raise _not_found(table, name)
        if known is not None:
            _remove_files(table, known)


def _remove_files(table: Table, stage: Staged) -> None:
    """Remove the data files that a stage brought, unless it was promoted; what is left is for the next vacuum."""
    with contextlib.suppress(StorageError):
        # Another tool may have shortened the log: then it does not tell whether they are the table's by now.
        is_told = stage.base >= table.log.oldest()
        if is_told and _promoted(table, stage) is None:
            datafiles.discard(table.fs, table.folder, stage.adds)


def promote(table: Table, name: str, note: Note, *, force: bool = False) -> Commit:
    """Make a stage the next version of its table; nothing is copied.

    An append goes behind whatever the table holds by now. An overwrite and an upsert are promoted as long as the table
    holds what it did when they were staged.

    Parameters
    ----------
    table : Table
        The table.
    name : str
        The stage.
    note : Note
        Who promotes it, and why; without a message, the stage's. What it was made from is known already.
    force : bool
        Whether an overwrite replaces whatever the table holds by now.

    Returns
    -------
    Commit
        Of a stage whose promotion was interrupted after the commit, the one that it made then.

    Raises
    ------
    VersionNotFound
        There is no such stage.
    CommitConflict
        The table has changed since; says what came in between. The stage is as it was.
    CorruptData
        The stage is damaged or a file of it is gone; the table is as it was.
    StorageError
        The disk refused; table and stage are as they were.
    OutcomeUnknown
        The version is there, but whether it survives a power loss is not known; promote again.
    """
    with table.log.writing(), table.log.committing():
        stage = require(table, name)
        commit = _promoted(table, stage)
        if commit is None:
            _check_files(table, stage)
            commit = _publish(table, stage, note, force=force)
        try:
            table.stages.remove(name)
        except StorageError as error:
            warning = f"stage {name!r} is promoted, and its file is still there: {error.message}; discard it"
            commit = msgspec.structs.replace(commit, warnings=(*commit.warnings, warning))
    return commit


def _promoted(table: Table, stage: Staged) -> Commit | None:
    """Find the version that a stage has become, if its promotion was interrupted after the commit."""
    for version, made in table.log.commits(table.log.require().version, stage.base + 1):
        if made.info.tiffin is not None and made.info.tiffin.stage == stage.id:
            with translated(table.log.folder, doing="write"):
                # Whoever was told that it is not known to last asks again, and is told that it does.
                table.fs.sync_folder(table.log.folder)
            return table.describe_entry(version, made)
    return None


def _check_files(table: Table, stage: Staged) -> None:
    """See that the files are still there: another tool's vacuum may have taken what no log names."""
    for add in stage.adds:
        path = table.folder / unquote(add.path)
        with translated(path, doing="look at"):
            found = table.fs.stat(path)
        if found is None or found.size != add.size:
            raise CorruptData(
                f"stage {stage.name!r} of table {table.name} cannot be promoted: its file {add.path} is "
                f"{'gone' if found is None else 'not what was written'}",
                hint="stage the rows again (replace=True, --replace)",
                path=str(path),
            )


def _publish(table: Table, stage: Staged, note: Note, *, force: bool) -> Commit:
    noted = replace(
        note,
        message=note.message or stage.info.message or f"promoted stage {stage.name}",
        inputs=stage.details.inputs,
        recognised=stage.details.recognised,
        code=stage.details.code,
        narrowed=stage.details.narrowed,
        stage=stage.id,
    )
    while True:
        now = table.log.require()
        change = _change(table, stage, now, force=force)
        # A writer that does not know our lock may be first.
        with contextlib.suppress(FileExistsError):
            return publish(table, now, change, stage.operation, noted)


def _change(table: Table, stage: Staged, now: State, *, force: bool) -> Change:
    """Say what the stage changes in the newest version.

    Raises
    ------
    CommitConflict
        It no longer can.
    """
    base, state = table.stages.base(stage), table.stages.state(stage)
    since = list(table.log.commits(now.version, base.version + 1))[::-1]
    is_moved = any(map(_changes_rows, (made for _, made in since)))
    is_overwrite, spec = stage.operation == "overwrite", _spec(state, base.spec, now.spec)
    # Behind those that came in between.
    adds = [unplaced(add, base.version + 1) for add in stage.adds] if since else stage.adds
    removes = [base.files[action.remove.path] for action in stage.actions if action.remove]
    # They hold of all rows together, and were checked together with those of the base.
    is_bound = is_moved and any(isinstance(one, TableConstraint) for one in now.spec.constraints)
    if is_overwrite:
        removes = list(now.files.values())
        fits = force or not is_moved
    elif stage.operation == "append" and not removes:
        fits = True
    else:
        # Which rows an upsert replaces hangs on those that were there.
        fits = not is_moved and all(add.path in now.files for add in removes)
    if spec is None or is_bound or not fits:
        raise _conflict(stage, table, since, can_be_forced=is_overwrite and spec is not None and not is_bound)
    rows_removed = now.rows if is_overwrite else stage.details.rows_removed
    return Change(spec, adds, removes, stage.details.rows_added or 0, rows_removed)


def _changes_rows(made: Entry) -> bool:
    """Tell a commit that changes rows from one that merges files or declares something."""
    changed = (action.add or action.remove for action in made.actions)
    return any(one.data_change for one in changed if one is not None)


def _spec(state: State, base: TableSpec, now: TableSpec) -> TableSpec | None:
    """Say what the table declares with the stage in it; None if it declares something since that the rows may not fit.

    What people are told of the table and its columns may change meanwhile.
    """
    if now == base:
        return state.spec
    return now if state.spec == base and _binding(now) == _binding(base) else None


def _binding(spec: TableSpec) -> tuple[object, ...]:
    """Gather what a table declares that rows must fit."""
    # A name may mean another column since: then it was renamed, or a major version has begun.
    names = spec.aliases, spec.major, spec.derivation
    return spec.dtypes, names, spec.row_key, spec.created, spec.partition_by, spec.constraints


def _conflict(stage: Staged, table: Table, since: list[tuple[int, Entry]], *, can_be_forced: bool) -> CommitConflict:
    commits = [table.describe_entry(version, made) for version, made in since]
    said = [f"version {one.version} ({one.operation} by {one.author}{_why(one)})" for one in commits[:_SHOWN]]
    more = len(commits) - _SHOWN
    happened = ", ".join(said) + (f" and {more} more" if more > 0 else "")
    again = "stage the rows again (replace=True, --replace)"
    hint = f"promote it all the same (force=True, --force): that replaces those rows too; or {again}"
    return CommitConflict(
        f"stage {stage.name!r} of table {table.name} was made on version {stage.base}; since then: {happened}",
        hint=hint if can_be_forced else again,
        table=str(table.name),
        base=stage.base,
        since=[one.version for one in commits],
    )


def _why(commit: Commit) -> str:
    return f": {commit.message!r}" if commit.message else ""
