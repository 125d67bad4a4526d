"""What the commits after the watermark did to a table: files whose rows were added, or that went and came."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tiffin.errors import CorruptData, VersionNotFound
from tiffin.materialize.chunks import SUM, Files, Range
from tiffin.online.base import Head
from tiffin.schema import dtypes
from tiffin.tables.actions import POSITION, Add, Entry
from tiffin.tables.state import State
from tiffin.tables.table import Table

_GONE = "\0gone"


@dataclass(frozen=True)
class Change:
    """Files whose rows make the difference between two versions."""

    come: list[Add]
    gone: list[Add]
    is_addition: bool
    """Whether all that was done is adding rows behind those that were there."""

    @property
    def size_bytes(self) -> int:
        """Bytes that have to be read to follow it."""
        return sum(add.size for add in (*self.come, *self.gone))

    @property
    def rows(self) -> int:
        """How many rows that is, where they are counted."""
        return sum(add.known.num_records or 0 for add in (*self.come, *self.gone))


def since(head: Head, table: Table, state: State) -> Change | None:
    """Tell what was done to a table after the watermark.

    Returns
    -------
    Change or None
        None if the log does not reach back that far, or is another than the one that the watermark is of.
    """
    entries = _entries(head, table, state)
    if entries is None:
        return None
    actions = [(version, action) for version, entry in entries for action in entry.actions]
    come = [(version, action.add) for version, action in actions if action.add and action.add.data_change]
    are_removed = any(action.remove and action.remove.data_change for _, action in actions)
    if not are_removed and all(_is_last(add, version) for version, add in come):
        return Change([add for _, add in come], [], is_addition=True)
    try:
        before = table.log.at(head.version)
    except VersionNotFound:
        return None
    return Change(
        [add for path, add in state.files.items() if path not in before.files],
        [add for path, add in before.files.items() if path not in state.files],
        is_addition=False,
    )


def _entries(head: Head, table: Table, state: State) -> list[tuple[int, Entry]] | None:
    if head.version > state.version:
        return None
    try:
        if table.log.read_commit(head.version).info.timestamp != head.timestamp:
            return None
        return [(version, table.log.read_commit(version)) for version in range(head.version + 1, state.version + 1)]
    except CorruptData:
        if table.log.oldest() > head.version:
            return None
        raise


def _is_last(add: Add, version: int) -> bool:
    """Tell whether a file that a version added stands behind all that were there: a restored one may not."""
    position = (add.tags or {}).get(POSITION)
    return position is None or position.startswith(f"{version:020}")


def changed_entities(come: Files, gone: Files, within: Range) -> pl.DataFrame:
    """Find the entities of a range that have other rows in the files that came than in those that went.

    Returns
    -------
    DataFrame
        The entity columns, in their own dtypes.
    """
    entity = list(come.spec.entity)
    both = come.sums(within).join(gone.sums(within), on=entity, how="full", coalesce=True, suffix=_GONE)
    changed = both.filter(pl.col(SUM).ne_missing(pl.col(SUM + _GONE))).select(entity)
    return dtypes.from_stored(changed, come.spec.dtypes)
