"""Training sets: what it takes to make a training frame again, kept.

A training set is a small table of its own, in `registry/training_sets/`: its rows are the spine, and the lock stands
in the message of the commit that made it. So both come into being in one step, come back exactly as they were, and
damage to them is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tiffin.doctor import Finding
from tiffin.errors import (
    CommitConflict,
    ConflictError,
    CorruptData,
    InUse,
    InvalidInputError,
    NotReproducible,
    StorageError,
    TableNotFound,
    TrainingSetNotFound,
    did_you_mean,
)
from tiffin.files import FileSystem, remove_tree, translated
from tiffin.frames import FeatureFrame, Ingested, Lock, Recipe, Source
from tiffin.schema.names import TableName, check_part, check_text, is_part, parse_reference
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving, upkeep
from tiffin.tables.catalog import Catalog
from tiffin.tables.publishing import Note
from tiffin.tables.state import State
from tiffin.tables.table import Options, Table
from tiffin.training import sources

_GROUP = "training_sets"
_ABANDONED_MS = 60_000
"""A first save makes its folders before it locks them: so long at most, and without a commit, they may be in use."""


class _Message(msgspec.Struct):
    """What the commit that made a training set says."""

    description: str
    lock: dict[str, Any]


class TrainingSet(msgspec.Struct, frozen=True, kw_only=True):
    """A training frame that can be made again."""

    name: str
    description: str
    author: str
    saved: datetime
    """When, UTC."""
    rows: int
    lock: Lock
    """What it was made from, and how; with the hashes of the frame."""

    def to_dict(self) -> dict[str, Any]:
        """Give it as values that JSON has."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "lock"}
        builtins: dict[str, Any] = msgspec.to_builtins(fields)
        return {**builtins, "lock": self.lock.to_dict()}


class TrainingSets:
    """The training sets of a store.

    Parameters
    ----------
    fs : FileSystem
        Where they lie.
    folder : Path
        The store's registry.
    options : Options
        How tables are kept.
    """

    def __init__(self, fs: FileSystem, folder: Path, options: Options) -> None:
        self._fs = fs
        self._folder = folder / _GROUP
        self.tables = Catalog(fs, folder, options)
        self._read: dict[str, tuple[State, TrainingSet]] = {}
        """What was read, and of which version: whether that is still the newest, one `stat` tells."""
        self._is_swept = False

    def save(
        self,
        name: str,
        frame: FeatureFrame,
        catalog: Catalog,
        *,
        description: str = "",
        author: str = "",
        replace: bool = False,
    ) -> TrainingSet:
        """Keep the lock and the spine of a training frame; see `FeatureStore.save_training_set`."""
        table = self._table(name)
        if not isinstance(frame, FeatureFrame) or frame.lock.recipe is None:
            raise InvalidInputError(
                "only a frame from get_historical_features can be saved as a training set: others have no spine",
                hint="save the FeatureFrame itself, not what .to_pandas() or .head() made of it",
            )
        check_text(description, f"the description of training set {name!r}")
        _check_belongs(frame, frame.lock.recipe)
        spine = frame.to_polars().select(frame.lock.recipe.spine)
        message = msgspec.json.encode(_Message(description, frame.lock.to_dict())).decode()
        request = saving.Save(
            frame=spine,
            columns=[Column(column, dtype, frame.origins.get(column, "")) for column, dtype in spine.schema.items()],
            declared=Declaration(entity=(), partition_by=()),
            evolve=True,
            expected_version=None if replace else -1,
            note=Note(message, author),
        )
        if not self._is_swept:
            self._sweep()
        taken = ConflictError(
            f"there is a training set {name!r} already",
            hint="choose another name, or replace it (replace=True, --replace)",
        )
        if not replace and self._is_there(table):
            raise taken
        with _kept(frame.lock.recipe, catalog), _damage_told(name):
            try:
                commit = saving.save(table, table.log.latest(), request)
            except CommitConflict as error:
                raise taken from error
        if commit.version:
            # What it replaces goes now; if that cannot be, with the next.
            with contextlib.suppress(StorageError):
                upkeep.vacuum(table, keep_versions=1)
        return self.find(name)

    def find(self, name: str) -> TrainingSet:
        """Return a training set.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name; the hint says which are close.
        CorruptData
            It is damaged.
        """
        kept = self._find(name)
        if kept is None:
            raise self._not_found(name)
        return kept

    def all(self) -> list[TrainingSet]:
        """List the training sets by name, without those that are damaged."""
        found = []
        for name in self._folders():
            # Damage is told by `examine`, and to who asks for the set.
            with contextlib.suppress(StorageError):
                found.append(self._find(name))
        return [kept for kept in found if kept is not None]

    def spine(self, name: str) -> Ingested:
        """Read the spine of a training set.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        CorruptData
            It is damaged.
        """
        table = self._table(name)
        with _damage_told(name):
            state = self._state(table)
            if state is None:
                raise self._not_found(name)
            return Ingested(table.read(state), state.spec.origins)

    def examine(self, *, spines: bool = True) -> Iterator[Finding]:
        """Check that every training set can be read and is what was written.

        Parameters
        ----------
        spines : bool
            Whether to read the spines too, and not only the locks.

        Yields
        ------
        Finding
        """
        for name in self._folders():
            try:
                if self._find(name) is not None and spines:
                    self.spine(name)
            except TrainingSetNotFound:
                # Dropped since it was listed.
                continue
            except StorageError as error:
                table = str(TableName(_GROUP, name))
                yield Finding(table=table, kind="corrupt", what=error.message, hint=error.hint)

    def drop(self, name: str) -> None:
        """Remove a training set, even a damaged one.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        """
        table = self._table(name)
        if not self._is_there(table):
            raise self._not_found(name)
        upkeep.drop(table)

    def needed(self, table_id: str) -> list[int]:
        """List the oldest version of a table that each training set needs.

        Raises
        ------
        CorruptData
            A training set is damaged, so that what it needs is not known.
        """
        return [source.oldest for _, source in self._sources() if source.id == table_id]

    def check_unused(self, table: str, table_id: str) -> None:
        """Refuse to take away a table that training sets were made from.

        Parameters
        ----------
        table : str
            `group/name`, for the message.
        table_id : str
            Its id.

        Raises
        ------
        InUse
            Naming the training sets.
        CorruptData
            As for `needed`.
        """
        users = [name for name, source in self._sources() if source.id == table_id]
        if users:
            raise InUse(
                f"table {table} cannot be removed: {', '.join(users)} could not be made again without it",
                hint="drop the training set first, or force it (force=True, --force)",
                table=table,
                training_sets=users,
            )

    def _sources(self) -> list[tuple[str, Source]]:
        """List the tables of all training sets, each with the name of the set."""
        recipes = [(name, kept.lock.recipe) for name in self._folders() if (kept := self._find(name))]
        return [(name, source) for name, recipe in recipes if recipe for source in recipe.sources.values()]

    def _find(self, name: str) -> TrainingSet | None:
        table = self._table(name)
        with _damage_told(name):
            state = self._state(table)
            if state is None:
                return None
            known = self._read.get(name)
            if known is None or known[0] is not state:
                known = self._read[name] = state, _decoded(name, table, state)
            return known[1]

    def _state(self, table: Table) -> State | None:
        """Return the newest version of a training set; None if there is none.

        Raises
        ------
        CorruptData
            There was one, of which only a part is left.
        """
        state = table.log.latest()
        if state is None and self._has_commits(table):
            # It may have been saved between the two looks.
            state = table.log.latest()
            if state is None and self._has_commits(table):
                raise CorruptData("only a part of its lock is left")
        return state

    def _has_commits(self, table: Table) -> bool:
        """Tell whether there ever was a version: its files, also those set aside, begin with its number."""
        folder = table.log.folder
        with translated(folder, doing="list"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return any(name[0].isdigit() for name in self._fs.names(folder))
        return False

    def _is_there(self, table: Table) -> bool:
        try:
            return self._state(table) is not None
        except StorageError:
            # There, and damaged.
            return True

    def _sweep(self) -> None:
        """Remove what is left of first saves that were interrupted."""
        self._is_swept = True
        for name in self._folders():
            table = self._table(name)
            with translated(table.log.folder, doing="look at"):
                found = self._fs.stat(table.log.folder)
            if found is None or table.log.now() - found.mtime_ns // 1_000_000 < _ABANDONED_MS:
                continue
            # What cannot be removed is in nobody's way.
            with (
                contextlib.suppress(TableNotFound, StorageError),
                table.log.writing(shared=False, wait=False) as alone,
            ):
                if alone and not self._has_commits(table):
                    remove_tree(self._fs, table.folder)

    def _table(self, name: str) -> Table:
        """Return the table of a training set that may or may not exist."""
        return self.tables.table(TableName(_GROUP, check_part(name, "training set")))

    def _not_found(self, name: str) -> TrainingSetNotFound:
        known = [other for other in self._folders() if self._is_there(self._table(other))]
        hint = did_you_mean(name, known) or "there are none yet: save one first"
        return TrainingSetNotFound(f"there is no training set {name!r}", hint=hint, name=name)

    def _folders(self) -> list[str]:
        """List by name what may be training sets."""
        with translated(self._folder, doing="list"):
            names = self._fs.names(self._folder) if self._fs.stat(self._folder) else []
            return [
                name
                for name in sorted(names)
                if is_part(name) and (found := self._fs.stat(self._folder / name)) and found.is_folder
            ]


def kept_in(table: Table) -> TrainingSet:
    """Read the training set that a table is.

    Raises
    ------
    CorruptData
        It is damaged.
    """
    with _damage_told(table.name.name):
        return _decoded(table.name.name, table, table.log.require())


def _decoded(name: str, table: Table, state: State) -> TrainingSet:
    commit = table.describe_entry(state.version, table.log.read_commit(state.version))
    written = msgspec.json.decode(commit.message, type=_Message)
    return TrainingSet(
        name=name,
        description=written.description,
        author=commit.author,
        saved=commit.timestamp,
        rows=commit.rows or 0,
        lock=Lock.from_dict(written.lock),
    )


def _check_belongs(frame: FeatureFrame, recipe: Recipe) -> None:
    """Refuse a lock that cannot be the frame's: one that came over a network may say anything."""
    asked = map(parse_reference, recipe.features.values())
    tables = {f"{reference.group}/{reference.name}" for reference in asked}
    columns = [*recipe.spine, *recipe.columns]
    if not columns == frame.columns == [*frame.lock.column_hashes] or tables != {*recipe.sources}:
        raise InvalidInputError(
            "the frame and its lock do not belong together", hint="save the frame as get_historical_features gave it"
        )


@contextlib.contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """Say of damage that it is to a training set, and that it can be dropped."""
    try:
        yield
    except (CorruptData, msgspec.MsgspecError) as error:
        problem = error.message if isinstance(error, CorruptData) else f"its lock cannot be read: {error}"
        raise CorruptData(
            f"training set {name!r} is damaged: {problem}",
            hint="put its folder back from a copy, or drop the training set",
            training_set=name,
        ) from error


@contextlib.contextmanager
def _kept(recipe: Recipe, catalog: Catalog) -> Iterator[None]:
    """Keep the versions of a recipe from vacuums until the training set can do so itself."""
    with contextlib.ExitStack() as held:
        for name in recipe.sources:
            # Gone altogether: that is told below.
            with contextlib.suppress(TableNotFound):
                held.enter_context(sources.table(name, catalog).log.writing())
        problems = sources.changes(recipe, catalog)
        if problems:
            raise NotReproducible(
                f"the frame could not be made again any more: {'; '.join(problems)}",
                hint="make it anew, and save that",
                problems=problems,
            )
        yield
