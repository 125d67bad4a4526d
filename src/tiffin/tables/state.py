"""The state of a table at one version: what replaying its log up to there gives (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

import msgspec

from tiffin.errors import CorruptData, StorageError
from tiffin.schema.table import TableSpec, from_metadata
from tiffin.tables.actions import POSITION, Action, Add, Entry, Metadata, Protocol

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""A file name that needs no closer look: nothing in it can lead out of the folder."""


class Aside(NamedTuple):
    """Which stage a state is of."""

    name: str
    id: str
    """Of this stage alone: one made later under the same name has another."""


@dataclass(frozen=True)
class State:
    """A table at one version, or a stage of it; immutable, so it can be shared between threads and kept."""

    table: str
    version: int
    """Of a stage the version that it stands on."""
    timestamp: int
    """When the version was committed, or the stage made, milliseconds since 1970-01-01 UTC."""
    protocol: Protocol
    metadata: Metadata
    files: Mapping[str, Add]
    """The data files by path, in the order of their rows."""
    stage: Aside | None = None

    @property
    def pin(self) -> int | str:
        """What stands after the `@` of a reference to just this: the version's number, or the stage's name."""
        return self.stage.name if self.stage else self.version

    @property
    def mark(self) -> tuple[str, int, int]:
        """What is of no other rows, ever: an id, the version and its time.

        With its time: where a table was put back from a copy, or a commit that nobody was promised was lost with the
        power, the same number is given a second time. A stage has an id of its own.
        """
        return self.stage.id if self.stage else self.metadata.id, self.version, self.timestamp

    @cached_property
    def spec(self) -> TableSpec:
        """What the table declares at this version."""
        metadata = self.metadata
        return from_metadata(metadata.schema_string, metadata.configuration, metadata.partition_columns, self.table)

    def know(self, spec: TableSpec) -> None:
        """Take the spec from one who knows it, instead of parsing it from the metadata."""
        self.__dict__["spec"] = spec

    @cached_property
    def rows(self) -> int | None:
        """Number of rows; None if a writer of some file did not count them."""
        counts = [add.known.num_records for add in self.files.values()]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def size_bytes(self) -> int:
        """Bytes of the data files."""
        return sum(add.size for add in self.files.values())

    def apply(self, version: int, entry: Entry) -> State:
        """Return the state after one more commit."""
        return replay(self.table, version, entry.info.timestamp, entry.actions, self)


def replay(table: str, version: int, timestamp: int, actions: Iterable[Action], before: State | None = None) -> State:
    """Apply a commit's actions, or those of a checkpoint, to the state before.

    Raises
    ------
    CorruptData
        The actions do not make a table, or name a file outside its folder.
    StorageError
        The table uses a Delta feature that Tiffin does not read.
    """
    protocol = before.protocol if before else None
    metadata = before.metadata if before else None
    files = dict(before.files) if before else {}
    for action in actions:
        protocol = action.protocol or protocol
        metadata = action.meta_data or metadata
        if action.remove:
            files.pop(action.remove.path, None)
        elif action.add:
            _check_add(action.add, table)
            files.pop(action.add.path, None)
            files[action.add.path] = action.add
    files = _in_order(files)
    if protocol is None or metadata is None:
        raise CorruptData(f"the log of table {table} does not say what the table is (at version {version})")
    protocol.check_readable(table)
    metadata.check_readable(table)
    state = State(table, version, timestamp, protocol, metadata, files)
    if before and before.metadata is metadata:
        # The spec hangs on the metadata alone: do not parse it again for every version.
        state.know(before.spec)
    return state


def _in_order(files: dict[str, Add]) -> dict[str, Add]:
    """Put files in the order of their positions; one that has none stays behind the file before it."""
    positions = []
    last = ""
    for add in files.values():
        last = (add.tags or {}).get(POSITION) or last
        positions.append(last)
    if all(a <= b for a, b in pairwise(positions)):
        return files
    order = sorted(range(len(positions)), key=positions.__getitem__)
    items = list(files.items())
    return dict(items[index] for index in order)


def at_their_places(files: Iterable[Add]) -> Iterator[Add]:
    """Give files of other writers, which name no place of their own, the one behind the file before them."""
    place, behind = "0", 0
    for add in files:
        own = (add.tags or {}).get(POSITION)
        if own:
            place, behind = own, 0
            yield add
        else:
            behind += 1
            yield msgspec.structs.replace(add, tags={**(add.tags or {}), POSITION: f"{place}-{behind:06}"})


def _check_add(add: Add, table: str) -> None:
    if add.deletion_vector is not None:
        raise StorageError(
            f"table {table} uses deletion vectors, which Tiffin does not read",
            hint="rewrite the table without them with the tool that added them",
        )
    if _PLAIN.fullmatch(add.path):
        return
    path = PurePosixPath(unquote(add.path))
    if path.is_absolute() or ".." in path.parts or "\0" in str(path) or ":" in str(path) or not path.parts:
        raise CorruptData(
            f"the log of table {table} names a file outside the table: {add.path!r}",
            hint="a table's files lie in its own folder; do not use this log",
        )
