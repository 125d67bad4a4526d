"""The stages of one table: versions that are tried, and that nobody sees who does not ask for them by name.

A stage is a commit that was written down beside the log instead of in it: one small file for each, which says on
which version it stands and what it changes there. The data files lie among the table's own, so that promoting a stage
copies nothing. Other Delta readers know of neither.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tiffin.errors import CorruptData
from tiffin.files import contained, make_folders, sweep, translated, write_durably
from tiffin.files.sealed import read_sealed, seal
from tiffin.schema.names import is_part
from tiffin.tables.actions import Action, Add, CommitInfo, Details
from tiffin.tables.log import Log
from tiffin.tables.state import Aside, State, replay

FOLDER = "_stages"
_SUFFIX = ".json"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is tried: what it changes, and on top of which version."""

    table: str
    name: str
    base: int
    """The version that it stands on."""
    behind: int
    """How many versions the table has made since."""
    operation: str
    """`overwrite`, `append` or `upsert`."""
    rows: int | None
    """Rows of the table in this stage; None if another writer did not count its own."""
    rows_added: int | None = None
    rows_removed: int | None = None
    staged: datetime
    """When it was made, UTC."""
    message: str = ""
    author: str = ""
    inputs: tuple[str, ...] = ()
    """What the rows were made from, as the caller named it."""
    warnings: tuple[str, ...] = ()
    """Of a stage just made: constraints that only warn, and that its rows break."""

    @property
    def reference(self) -> str:
        """The stage as a reference, with which it can be read, profiled, compared and joined."""
        return f"{self.table}@{self.name}"


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """What the file of a stage holds."""

    table_id: str
    """A table of the same name that was made after a drop has another, and none of these stages."""
    id: str
    """Of this stage alone."""
    name: str
    base: int
    base_timestamp: int
    """Milliseconds since 1970-01-01 UTC."""
    info: CommitInfo
    actions: tuple[Action, ...]

    @property
    def adds(self) -> list[Add]:
        """The data files that it brings."""
        return [action.add for action in self.actions if action.add]

    @property
    def operation(self) -> str:
        """What kind of save it was."""
        return str(self.info.operation_parameters["mode"]).lower()

    @property
    def details(self) -> Details:
        """What was noted about it."""
        return self.info.tiffin or Details()


class Stages:
    """The stages of a table.

    Parameters
    ----------
    log : Log
        The table's log.
    folder : Path
        The table's folder.
    """

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        self._fs = log.fs
        self.folder = folder / FOLDER

    def names(self) -> list[str]:
        """List the names of the stages, also of damaged ones."""
        with translated(self.folder, doing="list"):
            try:
                names = self._fs.names(self.folder)
            except FileNotFoundError:
                return []
        found = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(name for name in found if is_part(name))

    def all(self) -> list[Staged]:
        """Read all stages.

        Raises
        ------
        CorruptData
            The file of one is damaged.
        """
        return [stage for name in self.names() if (stage := self.find(name)) is not None]

    def find(self, name: str) -> Staged | None:
        """Read the stage of a name, if there is one.

        Raises
        ------
        TableNotFound
            There is no such table.
        CorruptData
            Its file is damaged.
        """
        stage = read_sealed(self._fs, self._path(name), Staged)
        if stage is None or stage.table_id != self._log.require().metadata.id:
            return None
        if stage.name != name:
            raise CorruptData(
                f"{self._path(name)} is the file of stage {stage.name!r}", hint="give it its name back, or remove it"
            )
        return stage

    def has(self, aside: Aside) -> bool:
        """Tell whether a stage is still there; raises as `find` does."""
        stage = self.find(aside.name)
        return stage is not None and stage.id == aside.id

    def state(self, stage: Staged) -> State:
        """Return the table as it would be if the stage were promoted on top of its base.

        Raises
        ------
        VersionNotFound
            Its base is not there any more.
        CorruptData
            Another version has its base's number, or the actions do not fit there.
        """
        base = self.base(stage)
        state = replay(self._log.table, base.version, stage.info.timestamp, stage.actions, base)
        aside = replace(state, stage=Aside(stage.name, stage.id))
        if state.metadata is base.metadata:
            aside.know(base.spec)
        return aside

    def base(self, stage: Staged) -> State:
        """Return the version that a stage stands on; raises as `state` does."""
        base = self._log.at(stage.base)
        if base.timestamp != stage.base_timestamp:
            raise CorruptData(
                f"stage {stage.name!r} of table {self._log.table} was made on another version {stage.base} than is "
                "there: the table was put back from a copy",
                hint="discard it (store.discard, tiffin discard) and stage the rows again",
                table=self._log.table,
            )
        return base

    def describe(self, stage: Staged) -> Stage:
        """Tell what is known of a stage."""
        details = stage.details
        return Stage(
            table=self._log.table,
            name=stage.name,
            base=stage.base,
            behind=self._log.require().version - stage.base,
            operation=stage.operation,
            rows=details.rows,
            rows_added=details.rows_added,
            rows_removed=details.rows_removed,
            staged=datetime.fromtimestamp(stage.info.timestamp / 1000, UTC),
            message=stage.info.message,
            author=details.author,
            inputs=details.inputs,
        )

    def write(self, stage: Staged) -> None:
        """Write the file of a stage, in place of one of the same name; the caller holds the table's commit lock.

        Raises
        ------
        StorageError
            The disk refused; nothing was changed.
        OutcomeUnknown
            It is there; whether it survives a power loss is not known.
        """
        make_folders(self._fs, self.folder)
        sweep(self._fs, self.folder)
        write_durably(self._fs, self._path(stage.name), seal(stage))

    def remove(self, name: str) -> bool:
        """Remove the file of a stage, even a damaged one; the caller holds the table's commit lock.

        Returns
        -------
        bool
            Whether there was one.
        """
        path = self._path(name)
        with translated(path, doing="remove"):
            if self._fs.stat(path) is None:
                return False
            self._fs.remove(path)
            self._fs.sync_folder(self.folder)
        return True

    def _path(self, name: str) -> Path:
        return contained(self.folder.parent, FOLDER, name + _SUFFIX)
