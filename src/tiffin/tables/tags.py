"""The tags of one table: names that people gave to versions, in one small file beside the log.

The file goes where the table's folder goes. It is replaced in one step and read anew each time, so that what one
process tags the others see at once. Other Delta readers pass over it, as over all names that begin with ``_``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tiffin.errors import CorruptData, VersionNotFound
from tiffin.files import contained, write_durably
from tiffin.files.sealed import read_sealed, seal
from tiffin.tables.log import Log
from tiffin.tables.state import State

FILE = "_tags.json"


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A name that was given to a version of a table."""

    table: str
    name: str
    version: int
    committed: datetime
    """When the version was committed, UTC: should another be given its number, that is not the one that is meant."""
    tagged: datetime
    """When it was given the name, UTC."""
    author: str = ""
    message: str = ""


class _Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds."""

    table_id: str
    """A table of the same name that was made after a drop has another, and none of these tags."""
    tags: tuple[Tag, ...]


class Tags:
    """The tags of a table.

    Parameters
    ----------
    log : Log
        The table's log.
    folder : Path
        The table's folder.
    """

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        self._folder = folder

    def all(self) -> tuple[Tag, ...]:
        """List the tags by name.

        Raises
        ------
        TableNotFound
            There is no such table.
        CorruptData
            The file is damaged.
        """
        contents = read_sealed(self._log.fs, contained(self._folder, FILE), _Contents)
        if contents is None or contents.table_id != self._log.require().metadata.id:
            return ()
        # The folder may have come from a table of another name.
        return tuple(msgspec.structs.replace(tag, table=self._log.table) for tag in contents.tags)

    def find(self, name: str) -> Tag | None:
        """Return the tag of a name, if there is one; raises as `all` does."""
        return next((tag for tag in self.all() if tag.name == name), None)

    def state(self, tag: Tag) -> State:
        """Return the version that a tag names.

        Raises
        ------
        VersionNotFound
            It is not there any more.
        CorruptData
            Another version has its number: the table was put back from a copy.
        """
        try:
            state = self._log.at(tag.version)
        except VersionNotFound as error:
            raise VersionNotFound(
                f"tag {tag.name!r} names version {tag.version}: {error.message}", hint=error.hint, table=tag.table
            ) from error
        if committed(state) == tag.committed:
            return state
        raise CorruptData(
            f"tag {tag.name!r} of table {tag.table} names the version {tag.version} committed at {tag.committed}; "
            f"the one that is there was committed at {committed(state)}",
            hint="look at the history, and move the tag (store.tag(…, move=True), tiffin tag --move)",
            table=tag.table,
        )

    def write(self, tags: Iterable[Tag]) -> None:
        """Replace all tags; the caller holds the table's commit lock.

        Raises
        ------
        StorageError
            The disk refused; nothing was changed.
        OutcomeUnknown
            They are replaced; whether that survives a power loss is not known.
        """
        ordered = tuple(sorted(tags, key=lambda tag: tag.name))
        contents = _Contents(table_id=self._log.require().metadata.id, tags=ordered)
        write_durably(self._log.fs, contained(self._folder, FILE), seal(contents))


def committed(state: State) -> datetime:
    """Tell when a version was committed, UTC."""
    return datetime.fromtimestamp(state.timestamp / 1000, UTC)
