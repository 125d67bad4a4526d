"""Copying a table while others save to it, merge its files, vacuum it, drop it.

A copy has the versions that can be read at the moment when it is begun, with the tags and stages of then. A reader's
lease keeps vacuums from them; only a drop, or a stage that is discarded, takes files away in the midst, and then the
copy is begun anew.

An earlier copy is only added to, in the order in which saves would: files before the commits that name them, commits in
order. So it can be read, whole, at any moment. Where that cannot be, the copy is made aside, and takes the place of the
earlier one in `settle`, where also goes what the table has no more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from urllib.parse import unquote

import xxhash

from tiffin.errors import CorruptData, NotFoundError, StorageError, VersionNotFound
from tiffin.files import FileSystem, make_folders, remove_tree, translated, write_durably
from tiffin.tables import checkpoint, quarantine, upkeep
from tiffin.tables.actions import Add
from tiffin.tables.stages import Staged
from tiffin.tables.state import State
from tiffin.tables.table import Options, Table
from tiffin.tables.tags import FILE as TAGS
from tiffin.tables.tags import Tag

ASIDE = ".copying-"
"""Begins the name of a copy's folder while it must not be seen: no table's name begins so."""
_ATTEMPTS = 50

Told = Callable[[str, int, int], object]
"""Is told the table, how many of its versions are copied, and how many it has."""


@dataclass
class Work:
    """How files are copied, and which were."""

    fs: FileSystem
    check: bool = True
    """Whether files that are there already are read and compared, or known by name and size."""
    progress: Told | None = None
    written: set[Path] = field(default_factory=set)
    found: set[Path] = field(default_factory=set)
    """Files that were there already."""
    size_bytes: int = 0
    """Of what was written."""

    def bring(
        self,
        source: Path,
        target: Path,
        *,
        earlier: Path | None = None,
        size: int | None = None,
        checksum: str | None = None,
    ) -> None:
        """Copy a file durably, unless it is there; what is read is compared with what is known of it.

        Parameters
        ----------
        source, target : Path
            From where to where.
        earlier : Path, optional
            Where an earlier copy of it may be, which will not be there for long.
        size, checksum : int, str, optional
            What is known: bytes, and XXH3-64 in hexadecimal.

        Raises
        ------
        CorruptData
            The source is not there, or not what was written.
        StorageError
            It cannot be read, or the target not be written.
        """
        is_there = self._is_there(source, target, size, checksum)
        if not is_there and earlier is not None and self._is_there(source, earlier, size, checksum):
            is_there = self._is_linked(earlier, target)
        if is_there:
            if target not in self.written:
                self.found.add(target)
            return
        write_durably(self.fs, target, lambda file: self._pour(source, file, size, checksum))
        self.written.add(target)

    def _is_linked(self, earlier: Path, target: Path) -> bool:
        """Give an earlier copy of a file a second name, where the file system can."""
        try:
            self.fs.link(earlier, target)
            self.fs.sync_folder(target.parent)
        except OSError:
            return False
        return True

    def replace(self, source: Path, target: Path) -> None:
        """Copy a file that changes, durably, for its owner alone."""
        write_durably(self.fs, target, lambda file: self._pour(source, file, None, None), is_private=True)
        self.written.add(target)

    def _is_there(self, source: Path, target: Path, size: int | None, checksum: str | None) -> bool:
        with translated(target, doing="look at"):
            found = self.fs.stat(target)
        if found is None or found.is_link or found.size != (self._size(source) if size is None else size):
            return False
        is_known = not self.check or target in self.written or target in self.found
        return is_known or self._sum(target) == (checksum or self._sum(source))

    def _size(self, path: Path) -> int | None:
        with translated(path, doing="look at"):
            found = self.fs.stat(path)
        return found.size if found else None

    def _sum(self, path: Path) -> str:
        digest = xxhash.xxh3_64()
        with translated(path, doing="read"):
            for piece in self.fs.pieces(path):
                digest.update(piece)
        return digest.hexdigest()

    def _pour(self, source: Path, file: RawIOBase, size: int | None, checksum: str | None) -> None:
        digest, total = xxhash.xxh3_64(), 0
        for piece in self._pieces(source):
            digest.update(piece)
            total += len(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) or 0 :]
        if (size is not None and total != size) or (checksum and digest.hexdigest() != checksum):
            raise CorruptData(
                f"{source} cannot be copied: it is not what was written",
                hint="put it back from an earlier copy; `tiffin doctor` tells which versions need it",
                path=str(source),
            )
        self.size_bytes += total

    def _pieces(self, source: Path) -> Iterable[bytes]:
        """Read a file; what fails is about it, not about the one that is written."""
        with translated(source, doing="read"):
            try:
                yield from self.fs.pieces(source)
            except FileNotFoundError as error:
                raise CorruptData(f"{source} is missing", hint="put it back from an earlier copy") from error


@dataclass(frozen=True)
class Copied:
    """A table that is copied, and what is left to do for it to be the table."""

    copy: Table = field(compare=False)
    mark: tuple[str, int, int]
    """Of its newest version."""
    oldest: int
    versions: int
    tags: tuple[Tag, ...]
    stages: tuple[Staged, ...]
    quarantined: frozenset[str]


def copy(table: Table, group: Path, work: Work, *, is_aside: bool = False) -> Copied | None:
    """Copy a table's files; an earlier copy is added to, and a first one lies aside until it is settled.

    Parameters
    ----------
    table : Table
        What to copy.
    group : Path
        The folder in which the copy's folder is to lie; nobody else writes there.
    work : Work
        How.
    is_aside : bool
        Whether an earlier copy is left as it is in any case.

    Returns
    -------
    Copied or None
        None if the table was dropped meanwhile.

    Raises
    ------
    CorruptData
        A commit or a file is missing, or is not what was written.
    StorageError
        Something cannot be read or written.
    """
    for left in reversed(range(_ATTEMPTS)):
        before = _footing(table)
        if before is None:
            return None
        try:
            copied = _copy(table, group, work, is_aside=is_aside)
        except (NotFoundError, StorageError):
            # What a drop, a vacuum or a discard took is missing, and nothing is damaged.
            if not left or _footing(table) == before:
                raise
            continue
        now = table.log.latest()
        # Of a table that was dropped and made anew, commits of both may have been read.
        if now is not None and now.metadata.id == copied.mark[0]:
            return copied
    raise StorageError(
        f"table {table.name} cannot be copied: it is dropped and made anew all the time", hint="try again later"
    )


def _footing(table: Table) -> tuple[object, ...] | None:
    """Tell what would make a copy that was begun impossible to finish, were it another now; None without a table."""
    state = table.log.latest()
    if state is None:
        return None
    with contextlib.suppress(NotFoundError):
        return state.metadata.id, table.log.oldest(), [stage.id for stage in table.stages.all()]
    return None


def _copy(table: Table, group: Path, work: Work, *, is_aside: bool) -> Copied:
    oldest = table.log.oldest()
    with table.leased(oldest):
        if table.log.oldest() != oldest:
            raise VersionNotFound(f"table {table.name} was replaced meanwhile", table=str(table.name))
        # In this order: what tags and stages name is then among the versions.
        tags, stages = table.tags.all(), tuple(table.stages.all())
        state = table.log.require()
        made = _place(table, group, state, oldest, is_aside=is_aside)
        made.prepare(None)
        _copy_versions(table, made, work, oldest, state.version)
        for add in (add for stage in stages for add in stage.adds):
            _bring_data(table, made, add, work)
        _copy_checkpoints(table, made, oldest, state.version)
        quarantined = _copy_quarantine(table, made, work)
    return Copied(made, state.mark, oldest, state.version - oldest + 1, tags, stages, quarantined)


def _place(table: Table, group: Path, state: State, oldest: int, *, is_aside: bool) -> Table:
    """Choose where to copy to: an earlier copy of the same table, or a folder aside."""
    for name in (table.name.name, f"{ASIDE}{table.name.name}")[is_aside:]:
        made = Table(table.fs, group / name, table.name, Options())
        if _is_continued(made, table, state, oldest):
            return made
    remove_tree(table.fs, made.folder)
    return Table(table.fs, made.folder, table.name, Options())


def _is_continued(made: Table, table: Table, state: State, oldest: int) -> bool:
    """Tell whether the table's log goes on from that of a copy: then it can be added to."""
    try:
        newest = made.log.latest()
        if newest is None:
            # Aside, of a first copy that was interrupted: its files are of use.
            return made.folder.name.startswith(ASIDE)
        if newest.metadata.id != state.metadata.id or not oldest - 1 <= newest.version <= state.version:
            return False
        if checkpoint.damaged(made.fs, made.log.folder, made.log.checkpoints(), made.log.table):
            return False
        both = [version for version in range(oldest, newest.version + 1) if made.log.has(version)]
        return all(_commit(made, version) == _commit(table, version) for version in both)
    except StorageError:
        # Damaged: what can be had anew need not be mended.
        return False


def _commit(table: Table, version: int) -> bytes:
    path = table.log.commit_path(version)
    with translated(path, doing="read"):
        return bytes(table.fs.read(path))


def _copy_versions(table: Table, made: Table, work: Work, oldest: int, newest: int) -> None:
    first = table.log.at(oldest)
    for add in first.files.values():
        _bring_data(table, made, add, work)
    if oldest:
        # Without it a log that does not begin with version 0 cannot be read.
        upkeep.write_checkpoint(made, first)
    for version in range(oldest, newest + 1):
        entry = table.log.read_commit(version)
        for add in (action.add for action in entry.actions if action.add):
            if version > oldest:
                _bring_data(table, made, add, work)
        _bring(made, table.log.commit_path(version), table, work)
        if work.progress is not None:
            work.progress(str(table.name), version - oldest + 1, newest - oldest + 1)


def _bring_data(table: Table, made: Table, add: Add, work: Work) -> None:
    source, target = table.data.locate(add), made.folder / unquote(add.path)
    if target.parent != made.folder:
        make_folders(work.fs, target.parent)
    _bring(made, source, table, work, size=add.size, checksum=add.checksum)


def _bring(
    made: Table, source: Path, table: Table, work: Work, *, size: int | None = None, checksum: str | None = None
) -> None:
    """Copy a file of a table to where it belongs in the copy."""
    inside = source.relative_to(table.folder)
    earlier = made.folder.with_name(made.name.name) / inside if made.folder.name.startswith(ASIDE) else None
    work.bring(source, made.folder / inside, earlier=earlier, size=size, checksum=checksum)


def _copy_checkpoints(table: Table, made: Table, oldest: int, newest: int) -> None:
    """Write those checkpoints that are whole: the log is, so the others are no loss."""
    for version in table.log.checkpoints():
        if oldest < version <= newest:
            with contextlib.suppress(CorruptData):
                timestamp = table.log.read_commit(version).info.timestamp
                state = checkpoint.read(table.fs, table.log.folder, version, timestamp, str(table.name))
                upkeep.write_checkpoint(made, state)


def _copy_quarantine(table: Table, made: Table, work: Work) -> frozenset[str]:
    source, target = table.folder / quarantine.FOLDER, made.folder / quarantine.FOLDER
    names = quarantine.file_names(table)
    if names:
        make_folders(work.fs, target)
    kept = set()
    for name in names:
        try:
            _bring(made, source / name, table, work)
            quarantine.check(made, name)
            kept.add(name)
        except CorruptData:
            # Cleared since.
            if name in quarantine.file_names(table):
                raise
    return frozenset(kept)


def settle(copied: Copied) -> None:
    """Make a copy the table: under its name, with its tags and stages, without what the table has no more.

    It can be repeated, and is finished by a repetition when it was interrupted.
    """
    made = copied.copy
    if made.folder.name.startswith(ASIDE):
        made = _moved(made)
    fs = made.fs
    with translated(made.folder, doing="look at"):
        has_tags = fs.stat(made.folder / TAGS) is not None
    if copied.tags or has_tags:
        made.tags.write(copied.tags)
    for name in {*made.stages.names()} - {stage.name for stage in copied.stages}:
        made.stages.remove(name)
    for stage in copied.stages:
        made.stages.write(stage)
    with translated(made.folder / quarantine.FOLDER, doing="remove"):
        for name in {*quarantine.file_names(made)} - copied.quarantined:
            fs.remove(made.folder / quarantine.FOLDER / name)
    upkeep.vacuum(made, keep_versions=copied.versions)


def _moved(made: Table) -> Table:
    """Give a copy that lies aside its name, in place of what had it."""
    final = made.folder.with_name(made.name.name)
    remove_tree(made.fs, final)
    with translated(final, doing="move into place"):
        made.fs.rename(made.folder, final)
        made.fs.sync_folder(final.parent)
    return Table(made.fs, final, made.name, Options())
