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
    NotFoundError,
    NotReproducible,
    StorageError,
    TableNotFound,
    TrainingSetNotFound,
    did_you_mean,
)
from tiffin.files import FileSystem
from tiffin.frames import FeatureFrame, Ingested, Lock, Recipe, Source
from tiffin.schema.names import Reference, TableName, check_part, check_text
from tiffin.schema.table import Column, Declaration
from tiffin.tables import saving, upkeep
from tiffin.tables.catalog import Catalog
from tiffin.tables.table import Options, Table
from tiffin.training import sources

_GROUP = "training_sets"


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
        self._tables = Catalog(fs, folder, options)

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
        table = self._tables.table(TableName(_GROUP, check_part(name, "training set")))
        if not isinstance(frame, FeatureFrame) or frame.lock.recipe is None:
            raise InvalidInputError(
                "only a frame from get_historical_features can be saved as a training set: others have no spine",
                hint="save the FeatureFrame itself, not what .to_pandas() or .head() made of it",
            )
        check_text(description, f"the description of training set {name!r}")
        spine = frame.to_polars().select(frame.lock.recipe.spine)
        message = msgspec.json.encode(_Message(description, frame.lock.to_dict())).decode()
        request = saving.Save(
            frame=spine,
            columns=[Column(column, dtype, frame.origins.get(column, "")) for column, dtype in spine.schema.items()],
            declared=Declaration(entity=(), partition_by=()),
            evolve=True,
            expected_version=None if replace else -1,
            note=saving.Note(message, author),
        )
        with _kept(frame.lock.recipe, catalog):
            try:
                commit = saving.save(table, request)
            except CommitConflict as error:
                raise ConflictError(
                    f"there is a training set {name!r} already", hint="choose another name, or pass replace=True"
                ) from error
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
        table = self._table(name)
        with _damage_told(name):
            state = table.log.require()
            commit = table.describe_entry(state.version, table.log.read_commit(state.version))
            written = msgspec.json.decode(commit.message, type=_Message)
            lock = Lock.from_dict(written.lock)
        return TrainingSet(
            name=name,
            description=written.description,
            author=commit.author,
            saved=commit.timestamp,
            rows=commit.rows or 0,
            lock=lock,
        )

    def all(self) -> list[TrainingSet]:
        """List the training sets by name."""
        found = []
        for name in self._names():
            # Dropped since it was listed.
            with contextlib.suppress(NotFoundError):
                found.append(self.find(name))
        return found

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
            state = table.log.require()
            return Ingested(table.read(state), state.spec.origins)

    def examine(self) -> Iterator[Finding]:
        """Check that every training set can be read and is what was written.

        Yields
        ------
        Finding
        """
        for name in self._names():
            try:
                self.find(name)
                self.spine(name)
            except TrainingSetNotFound:
                # Dropped since it was listed.
                continue
            except CorruptData as error:
                table = str(TableName(_GROUP, name))
                yield Finding(table=table, kind="corrupt", what=error.message, hint=error.hint)

    def drop(self, name: str) -> None:
        """Remove a training set, even a damaged one.

        Raises
        ------
        TrainingSetNotFound
            There is none of this name.
        """
        upkeep.drop(self._table(name))

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
                hint="drop the training set first, or pass force=True",
                table=table,
                training_sets=users,
            )

    def _sources(self) -> list[tuple[str, Source]]:
        """List the tables of all training sets, each with the name of the set."""
        recipes = [(kept.name, kept.lock.recipe) for kept in self.all()]
        return [(name, source) for name, recipe in recipes if recipe for source in recipe.sources.values()]

    def _table(self, name: str) -> Table:
        try:
            return self._tables.find(Reference(_GROUP, check_part(name, "training set")))
        except TableNotFound as error:
            hint = did_you_mean(name, self._names()) or "there are none yet: save one first"
            raise TrainingSetNotFound(f"there is no training set {name!r}", hint=hint, name=name) from error

    def _names(self) -> list[str]:
        return [name.name for name in self._tables.names() if name.group == _GROUP]


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
