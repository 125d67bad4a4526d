"""Upkeep: checkpoints, merging small files, and removing versions that are no longer wanted.

All of it may fail without harm: a version is never worse off than before, and the next save or vacuum tries again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import msgspec

from tiffin.errors import InvalidInputError, NotFoundError, StorageError
from tiffin.files import remove_tree, sweep, translated
from tiffin.schema.evolution import restored
from tiffin.schema.table import TableSpec
from tiffin.tables import checkpoint, datafiles
from tiffin.tables.actions import Add, Input
from tiffin.tables.constraining import bound
from tiffin.tables.merging import stretches
from tiffin.tables.publishing import Change, Note, publish
from tiffin.tables.stages import Staged
from tiffin.tables.state import State, at_their_places
from tiffin.tables.table import Commit, Options, Table

_SMALLEST_TIER = 64 << 10
_VERSIONED = re.compile(r"\.?(\d{20})\.")
"""Names in the log folder that belong to a version."""


class Vacuumed(msgspec.Struct, frozen=True, kw_only=True):
    """What a vacuum removed, or would remove."""

    table: str
    oldest_version: int
    """The oldest version that can be read afterwards."""
    versions_removed: int
    files_removed: int
    bytes_freed: int
    """Size of the data files removed."""
    held_version: int | None = None
    """A version that someone was reading, or that a tag, stage, training set or feature service needs, so that it was
    kept and all after it."""
    dry_run: bool = False


def after_commit(table: Table, commit: Commit) -> Commit:
    """Do what is due after a commit; what fails becomes a warning, because the commit stands.

    Returns
    -------
    Commit
        The same one, with warnings.
    """
    warnings = []
    versions = [commit.version]
    try:
        if commit.operation in {"append", "upsert", "refresh"} and (merged := compact(table, only_if_due=True)):
            versions.append(merged.version)
        due = [version for version in versions if version and version % table.options.checkpoint_every == 0]
        if due:
            # As a writer: or another process' sweep could take the unfinished file for a dead one's.
            with table.log.writing():
                write_checkpoint(table, table.log.at(due[-1]))
        if due and table.options.keep_versions is not None:
            # Only as often as checkpoints are due: so a save pays a small share of it.
            _retire(table, versions[-1] - table.options.keep_versions + 1, wait=False)
    except (StorageError, NotFoundError) as error:
        # Not found: another process has vacuumed this version or dropped the table already.
        warnings.append(f"upkeep of table {table.name} was put off: {error.message}")
    return msgspec.structs.replace(commit, warnings=(*commit.warnings, *warnings))


def write_checkpoint(table: Table, state: State) -> None:
    """Write the checkpoint of a version, if it has none."""
    path = table.log.folder / checkpoint.checkpoint_name(state.version)
    with translated(path, doing="look at"):
        is_missing = table.fs.stat(path) is None
    if is_missing:
        checkpoint.write(table.fs, table.log.folder, state)


def compact(table: Table, *, only_if_due: bool = False) -> Commit | None:
    """Merge small files at the end of a table into one, as a version with the same rows.

    A table in partitions is left as it is.

    Parameters
    ----------
    table : Table
        The table.
    only_if_due : bool
        Whether to merge only where enough files of similar size have come together, so that each row is rewritten
        a number of times that grows with the logarithm of the table.

    Returns
    -------
    Commit or None
        The version, or None if there was nothing to merge.
    """
    state = table.log.require()
    if only_if_due and not _due(list(state.files.values()), table.options):
        return None
    with table.log.writing(), table.log.committing():
        now = table.log.require()
        if now.spec.partition_by:
            return None
        files = list(now.files.values())
        count = _due(files, table.options) if only_if_due else _small(files, table)
        if count < 2:
            return None
        old = files[-count:]
        rows = stretches(table, old, now.spec)
        new = datafiles.write_stretches(table.fs, table.folder, rows, now.spec, table.options.encoding)
        change = Change(now.spec, new, old, changes_data=False)
        try:
            return publish(table, now, change, "compact", Note(message=f"merged {count} files"))
        except FileExistsError:
            datafiles.discard(table.fs, table.folder, new)
            return None


def _small(files: Sequence[Add], table: Table) -> int:
    """Count the files at the end that are smaller than a file should be."""
    count = 0
    while count < len(files) and files[-1 - count].size < table.options.target_file_bytes:
        count += 1
    return count


def _due(files: Sequence[Add], options: Options) -> int:
    """Count the files at the end that should be merged now; 0 if none.

    Files are looked at in tiers, each `compact_files` times as large as the one before, up to the size that a file
    should have. As soon as so many files of a tier stand at the end they are merged, which may complete the next.
    """
    fan_in, target = options.compact_files, options.target_file_bytes
    chosen, lower, upper = 0, 0, min(_SMALLEST_TIER, target)
    while fan_in > 1 and lower < target:
        run = 0
        while run < len(files) and files[-1 - run].size < upper:
            run += 1
        # What was chosen in the tiers below counts as the one file it will be.
        in_tier = sum(add.size >= lower for add in files[len(files) - run : len(files) - chosen])
        if in_tier + bool(chosen) >= fan_in:
            chosen = run
        lower, upper = upper, min(upper * fan_in, target)
    return chosen


def vacuum(
    table: Table,
    *,
    keep_versions: int | None = None,
    older_than: timedelta | None = None,
    dry_run: bool = False,
) -> Vacuumed:
    """Remove old versions, and files that belong to no version.

    A version that someone is reading, that a tag names or a stage stands on, or that something else in the store needs,
    is kept, and so are all after it. The newest version always stays.

    Parameters
    ----------
    table : Table
        The table.
    keep_versions : int, optional
        How many of the newest versions to keep; with neither this nor `older_than`, all of them.
    older_than : timedelta, optional
        Remove only versions that were replaced longer ago than this.
    dry_run : bool
        Whether only to tell what would be removed.

    Returns
    -------
    Vacuumed

    Raises
    ------
    InvalidInputError
        Fewer than one version is to be kept, or the time is negative or none.
    CorruptData
        What says which versions have tags or stages is damaged; nothing was removed.
    """
    if keep_versions is not None and (not isinstance(keep_versions, int) or keep_versions < 1):
        raise InvalidInputError(f"cannot keep {keep_versions!r} versions", hint="give a whole number: the newest stays")
    if older_than is not None and (not isinstance(older_than, timedelta) or older_than < timedelta(0)):
        raise InvalidInputError(f"older_than is {older_than!r}", hint="give a timedelta of zero or more")
    newest = table.log.require().version
    before = 0
    if keep_versions is not None or older_than is not None:
        before = newest if keep_versions is None else max(newest - keep_versions + 1, 0)
    if older_than is not None:
        moment = table.log.now() - older_than // timedelta(milliseconds=1)
        # A version stops being current when the next is committed: that is when its age begins.
        while before > table.log.oldest() and table.log.read_commit(before).info.timestamp > moment:
            before -= 1
    return _retire(table, max(before, table.log.oldest()), wait=True, dry_run=dry_run)


def _retire(table: Table, before: int, *, wait: bool, dry_run: bool = False) -> Vacuumed:
    """Remove the versions before one, and all files that no version from there on needs."""
    oldest = table.log.oldest()
    nothing = Vacuumed(
        table=str(table.name),
        oldest_version=oldest,
        versions_removed=0,
        files_removed=0,
        bytes_freed=0,
        dry_run=dry_run,
    )
    # Alone: a writer's files that are not in the log yet would look as if nobody needed them.
    with table.log.writing(shared=False, wait=wait) as alone:
        if not alone:
            return nothing
        oldest = table.log.oldest()
        stages = table.stages.all()
        held = [*_held(table), *_needed(table, oldest, stages)]
        first = max(min(before, *held), oldest) if held else max(before, oldest)
        first_state = table.log.at(first)
        needed = set(first_state.files)
        known = set(needed)
        for version, entry in table.log.commits(table.log.require().version):
            added = {action.add.path for action in entry.actions if action.add}
            removed = {action.remove.path for action in entry.actions if action.remove}
            known |= added | removed
            needed |= added if version > first else set()
        needed |= {add.path for stage in stages for add in stage.adds}
        unneeded = _unneeded(table, needed, known)
        if not dry_run:
            if first > oldest:
                write_checkpoint(table, first_state)
                _forget(table, first)
                if any(version < first for version in _held(table)):
                    # Someone began to read after the first look and before the log was shortened: what that reader
                    # needs goes with the next vacuum.
                    unneeded = {}
            _remove_files(table, unneeded)
    return msgspec.structs.replace(
        nothing,
        oldest_version=first,
        versions_removed=first - oldest,
        files_removed=len(unneeded),
        bytes_freed=sum(unneeded.values()),
        held_version=min(held) if held and min(held) < before else None,
    )


def _held(table: Table) -> list[int]:
    """List the versions that someone is reading; leases of readers that died are removed."""
    leases = table.folder / ".leases"
    held = []
    with translated(leases, doing="list"):
        names = table.fs.names(leases) if table.fs.stat(leases) else []
    for name in names:
        with table.fs.lock(leases / name, wait=False) as alone:
            if alone:
                with translated(leases / name, doing="remove"):
                    table.fs.remove(leases / name)
            elif name.isdigit():
                held.append(int(name))
    return held


def _needed(table: Table, oldest: int, stages: Iterable[Staged]) -> list[int]:
    """List the versions that are there and that a tag, a stage or something else in the store needs."""
    needed = table.options.needed(table.name, table.log.require().metadata.id)
    versions = [*needed, *(tag.version for tag in table.tags.all()), *(stage.base for stage in stages)]
    return [version for version in versions if version >= oldest]


def _unneeded(table: Table, needed: set[str], known: set[str]) -> dict[str, int]:
    """Find data files that no version needs, with their sizes.

    Files of other writers count only if the log knows them: one that is not in it yet may be about to be.
    """
    needed_paths = {unquote(path) for path in needed}
    known_paths = {unquote(path) for path in known}
    found: dict[str, int] = {}
    with translated(table.folder, doing="list"):
        for folder in _data_folders(table, table.folder):
            for name in table.fs.names(folder):
                path = (folder / name).relative_to(table.folder).as_posix()
                ours = path in known_paths or datafiles.NAME.fullmatch(name)
                entry = table.fs.stat(folder / name) if ours and path not in needed_paths else None
                if entry is not None:
                    found[path] = entry.size
    return found


def _data_folders(table: Table, folder: Path) -> Iterator[Path]:
    """List the table's folder and those of its partitions."""
    yield folder
    with translated(folder, doing="list"):
        inside = [folder / name for name in table.fs.names(folder) if "=" in name]
        below = [path for path in inside if (found := table.fs.stat(path)) and found.is_folder]
    for path in below:
        yield from _data_folders(table, path)


def _forget(table: Table, first: int) -> None:
    """Remove the log before a version, oldest first.

    After a power loss any of it may be there again, except version 0, which is surely gone before the others go: a
    log that begins with version 0 has no holes.
    """
    folder = table.log.folder
    with translated(folder, doing="vacuum"):
        names = sorted(table.fs.names(folder), key=lambda name: name.lstrip("."))
        doomed = [name for name in names if (digits := _VERSIONED.match(name)) and int(digits[1]) < first]
        for name in doomed:
            table.fs.remove(folder / name)
            if name == table.log.commit_path(0).name:
                table.fs.sync_folder(folder)


def _remove_files(table: Table, unneeded: dict[str, int]) -> None:
    with translated(table.log.folder, doing="vacuum"):
        # Perhaps of an earlier vacuum that failed: no version may come back after its files have gone.
        table.fs.sync_folder(table.log.folder)
        stages = [table.stages.folder] if table.fs.stat(table.stages.folder) else []
    for folder in (table.log.folder, *stages, *_data_folders(table, table.folder)):
        sweep(table.fs, folder)
    for path in unneeded:
        with translated(table.folder / path, doing="remove"):
            table.fs.remove(table.folder / path)


def drop(table: Table) -> None:
    """Remove a table, even a damaged one, with all its versions; others see it whole or not at all.

    Raises
    ------
    TableNotFound
        There is no such table any more.
    StorageError
        The disk refused; the table is as it was, or gone and its folder not yet emptied.
    """
    doomed = table.folder.with_name(f".dropped-{table.name.name}-{time.time_ns()}")
    with table.log.writing(shared=False), table.log.committing(), translated(table.folder, doing="drop"):
        table.fs.rename(table.folder, doomed)
        table.fs.sync_folder(table.folder.parent)
    remove_tree(table.fs, doomed)


def restore(table: Table, version: int, note: Note, *, force: bool = False) -> Commit:
    """Make the newest version the same as an older one; history keeps both.

    The constraints that the table declares by now stay, and the older rows must satisfy them; with `force`, those that
    it declared then come back with them.

    Raises
    ------
    ConstraintViolated
        The older rows break a constraint.
    VersionNotFound
        There is no such version, or no more.
    CommitConflict
        Writers that do not know the table's lock never let this one through.
    """
    state = table.log.at(version)  # tells a version that never was from one that was vacuumed
    source = Input(name=f"{table.name}@{version}", table=str(table.name), id=state.metadata.id, version=version)
    note = replace(note, recognised=(source,))
    with table.leased(version), table.log.writing(), table.log.committing():
        while True:
            now, old = table.log.require(), table.log.at(version)
            adds = [add for add in at_their_places(old.files.values()) if add.path not in now.files]
            removes = [add for path, add in now.files.items() if path not in old.files]
            counts = [[add.known.num_records for add in files] for files in (adds, removes)]
            unknown = any(None in numbers for numbers in counts)
            added, removed = (0, None) if unknown else (sum(n or 0 for n in numbers) for numbers in counts)
            spec = _still_online(restored(old.spec, now.spec), now.spec)
            spec = spec if force else bound(table, old, spec, now)
            change = Change(spec, adds, removes, added, removed)
            try:
                return publish(table, now, change, "restore", note)
            except FileExistsError:
                continue


def _still_online(spec: TableSpec, now: TableSpec) -> TableSpec:
    """Leave a table online, or not, as it is: that is about who reads it, not about its rows."""
    return msgspec.structs.replace(spec, online=now.online and bool(spec.entity or spec.timestamp))
