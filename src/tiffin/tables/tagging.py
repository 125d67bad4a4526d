"""Giving names to versions, and taking them away.

Both happen under the table's locks, so that no vacuum takes a version while it is given a name, and of two who move a
tag at the same time the later one wins as a whole.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from tiffin.errors import ConflictError, InvalidInputError, LimitError, VersionNotFound, did_you_mean
from tiffin.schema.names import check_pin
from tiffin.tables.publishing import Note
from tiffin.tables.table import Table
from tiffin.tables.tags import Tag, committed

MOST_TAGS = 1000
"""Of one table."""
_LONGEST_MESSAGE = 1000


def tag(table: Table, version: int | str, name: str, note: Note, *, move: bool = False) -> Tag:
    """Give a version a name; when this returns, it survives a power loss.

    Parameters
    ----------
    table : Table
        The table.
    version : int or str
        The version, by its number or by another tag of it.
    name : str
        The tag.
    note : Note
        Its message and its author are remembered.
    move : bool
        Whether the tag may be taken from another version that has it.

    Returns
    -------
    Tag
        As it was, if the version has the tag already and there is no new message.

    Raises
    ------
    ConflictError
        Another version has the tag and it may not be moved, or a stage has the name.
    VersionNotFound
        There is no such version.
    InvalidName, InvalidInputError, LimitError
        The name cannot be a tag, a stage is to be tagged, the message is too long, or there are too many tags.
    CorruptData
        The file of the tags is damaged; nothing was changed.
    """
    check_pin(name, "tag")
    if len(note.message) > _LONGEST_MESSAGE:
        raise InvalidInputError(
            f"the message of tag {name!r} has more than {_LONGEST_MESSAGE:,} characters", hint="say in a few words why"
        )
    with table.log.writing(), table.log.committing():
        state = table.at(version)
        if state.stage:
            raise InvalidInputError(
                f"{version!r} is a stage of table {table.name}, and only versions have tags",
                hint="promote the stage first (store.promote, tiffin promote), then tag the version that it becomes",
            )
        if name in table.stages.names():
            raise ConflictError(
                f"table {table.name} has a stage {name!r}",
                hint="choose another name for the tag",
                table=str(table.name),
            )
        known = {tag.name: tag for tag in table.tags.all()}
        made = Tag(
            table=str(table.name),
            name=name,
            version=state.version,
            committed=committed(state),
            tagged=datetime.now(UTC),
            author=note.author,
            message=note.message,
        )
        if (old := known.get(name)) is not None:
            # Written all the same: whoever asks again may have been told that the first time is not known to last.
            made = old if _is_same(old, made) else made
            _check_may_move(old, made, move=move)
        elif len(known) >= MOST_TAGS:
            raise LimitError(f"table {table.name} has {MOST_TAGS:,} tags", hint="take away what is no longer used")
        table.tags.write((known | {name: made}).values())
    return made


def _is_same(old: Tag, new: Tag) -> bool:
    """Tell whether nothing is new but the time at which it is said."""
    return msgspec.structs.replace(new, tagged=old.tagged, author=old.author, message=new.message or old.message) == old


def _check_may_move(old: Tag, new: Tag, *, move: bool) -> None:
    if not move and (old.version, old.committed) != (new.version, new.committed):
        raise ConflictError(
            f"tag {old.name!r} of table {old.table} names version {old.version}, not {new.version}",
            hint="move it (move=True, --move), or choose another name",
            table=old.table,
            version=old.version,
        )


def untag(table: Table, name: str) -> Tag:
    """Take a name from the version that has it; the version stays as long as nothing vacuums it.

    Returns
    -------
    Tag
        What it was.

    Raises
    ------
    VersionNotFound
        No version has the tag.
    CorruptData
        The file of the tags is damaged; nothing was changed.
    """
    check_pin(name, "tag")
    with table.log.writing(), table.log.committing():
        known = {tag.name: tag for tag in table.tags.all()}
        if name not in known:
            raise VersionNotFound(
                f"table {table.name} has no tag {name!r}",
                hint=did_you_mean(name, known) or "it has no tags",
                table=str(table.name),
            )
        gone = known.pop(name)
        table.tags.write(known.values())
    return gone
