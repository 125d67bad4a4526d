"""Publishing: from what is to change in a table to the commit that says so."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from tiffin.schema.constraints.delta import CHECK
from tiffin.schema.table import TableSpec, to_metadata
from tiffin.tables.actions import (
    ENGINE,
    POSITION,
    Action,
    Add,
    CommitInfo,
    Details,
    Entry,
    Input,
    Metadata,
    Once,
    Protocol,
    Remove,
)
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Table
from tiffin.version import __version__


@dataclass(frozen=True)
class Note:
    """What the caller wants remembered about a commit."""

    message: str = ""
    author: str = ""
    inputs: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()
    once: Once | None = None
    stage: str = ""
    """Id of the stage that is promoted."""
    recognised: tuple[Input, ...] = ()
    """Those of the inputs that are tables or files."""
    code: str = ""
    """The git commit of the code that saves."""
    quarantined: int = 0
    quarantine: str = ""
    """The file of the rows that are kept apart, and how many they are."""


@dataclass(frozen=True)
class Change:
    """What a commit does to a table's files."""

    spec: TableSpec
    adds: list[Add]
    removes: list[Add]
    rows_added: int = 0
    rows_removed: int | None = 0
    """None if another writer did not count them."""
    changes_data: bool = True
    """False if the rows are the same as before, in other files."""


Put = Callable[[Table, State | None, Change, str, Note], Commit]
"""Takes a change under the table's commit lock, with the newest version, an operation and a note, as `publish` does."""


def publish(table: Table, now: State | None, change: Change, operation: str, note: Note) -> Commit:
    """Commit a change on top of the version that is there; the caller holds the table's commit lock.

    Raises
    ------
    FileExistsError
        A writer that does not know the lock was first.
    """
    made = entry(table, now, change, operation, note)
    state = table.log.publish(now, made.info, made.actions)
    state.know(change.spec)
    return table.describe_entry(state.version, made)


def entry(table: Table, now: State | None, change: Change, operation: str, note: Note) -> Entry:
    """Write down a change, as a commit on top of the version that is there.

    Raises
    ------
    StorageError
        The table has a Delta feature or a rule for writers that forbids it.
    """
    if now is not None:
        now.protocol.check_writable(str(table.name))
        now.metadata.check_writable(str(table.name), removes_rows=bool(change.removes) and change.changes_data)
    timestamp = table.log.next_timestamp(now)
    actions = [
        *_metadata(now, change.spec, timestamp),
        *(Action(remove=_removal(add, timestamp, change)) for add in change.removes),
        *(Action(add=add) for add in _placed(change, now.version + 1 if now else 0)),
    ]
    before = now.rows if now else 0
    known = before is not None and change.rows_removed is not None
    info = CommitInfo(
        timestamp=timestamp,
        operation="WRITE" if change.changes_data else "OPTIMIZE",
        operation_parameters={"mode": operation.capitalize()},
        engine_info=ENGINE + __version__,
        user_metadata=note.message or None,
        tiffin=Details(
            author=note.author,
            version=now.version + 1 if now else 0,
            rows=(before or 0) + change.rows_added - (change.rows_removed or 0) if known else None,
            rows_added=change.rows_added,
            rows_removed=change.rows_removed,
            inputs=note.inputs,
            recognised=note.recognised,
            code=note.code,
            narrowed=note.narrowed,
            quarantined=note.quarantined,
            quarantine=note.quarantine,
            once=note.once,
            stage=note.stage,
            major=change.spec.major if now and change.spec.major != now.spec.major else None,
        ),
    )
    return Entry(info, tuple(actions))


def _placed(change: Change, version: int) -> list[Add]:
    """Give new files their place behind all others; files that are restored keep the one they had."""
    placed = []
    for place, add in enumerate(change.adds):
        tags = {POSITION: f"{_at(version)}{place:06}", **(add.tags or {})}
        placed.append(msgspec.structs.replace(add, tags=tags, data_change=change.changes_data))
    return placed


def unplaced(add: Add, version: int) -> Add:
    """Take from a file the place behind all others that it was given at a version; one in another's place stays."""
    tags = dict(add.tags or {})
    if (tags.get(POSITION) or "").startswith(_at(version)):
        del tags[POSITION]
    return msgspec.structs.replace(add, tags=tags)


def _at(version: int) -> str:
    return f"{version:020}."


def _metadata(now: State | None, spec: TableSpec, timestamp: int) -> list[Action]:
    if now is not None and now.spec == spec:
        return []
    schema, configuration = to_metadata(spec)
    if now is None:
        fresh = Metadata(
            id=str(uuid.uuid4()),
            schema_string=schema,
            partition_columns=list(spec.partition_by),
            configuration=configuration,
            created_time=timestamp,
        )
        return [*_protocol(None, configuration), Action(meta_data=fresh)]
    others = {key: value for key, value in now.metadata.configuration.items() if not key.startswith(CHECK)}
    changed = msgspec.structs.replace(
        now.metadata,
        schema_string=schema,
        partition_columns=list(spec.partition_by),
        configuration={**others, **configuration},
    )
    return [*_protocol(now.protocol, configuration), Action(meta_data=changed)]


def _protocol(now: Protocol | None, configuration: Mapping[str, str]) -> list[Action]:
    has_checks = any(key.startswith(CHECK) for key in configuration)
    needed = now or Protocol(1, 2)
    needed = needed.with_checks() if has_checks else needed
    return [] if needed == now else [Action(protocol=needed)]


def _removal(add: Add, timestamp: int, change: Change) -> Remove:
    return Remove(
        path=add.path,
        deletion_timestamp=timestamp,
        data_change=change.changes_data,
        partition_values=add.partition_values,
        size=add.size,
    )
