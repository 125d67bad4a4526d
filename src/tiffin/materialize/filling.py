"""Bringing the index to a version of a table: with all rows anew, or with what the commits since then changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl

from tiffin.errors import VersionNotFound
from tiffin.materialize import layout as layouts
from tiffin.materialize.changes import Change, changed_entities, since
from tiffin.materialize.chunks import Files, Range, ahead
from tiffin.materialize.layout import Layout
from tiffin.materialize.newest import newest, timed
from tiffin.materialize.packing import Item, merge, pack
from tiffin.online.base import Head, OnlineIndex
from tiffin.schema import dtypes
from tiffin.tables.actions import Add
from tiffin.tables.state import State
from tiffin.tables.table import Selection, Table

Progress = Callable[[str, int, int], None]
"""Is told the table, and how many rows of how many have been read."""


@dataclass
class Done:
    """What it took."""

    written: int = 0
    removed: int = 0
    rows_read: int = 0
    from_scratch: bool = False


@dataclass
class Filling:
    """Brings the index to one version of one table; nobody else fills it for that table meanwhile.

    Parameters
    ----------
    index : OnlineIndex
        Where the rows go.
    table : Table
        Where they come from.
    state : State
        The version.
    moment : int
        When it is now, microseconds since 1970-01-01 UTC.
    progress : callable or None
        Is told how far it is.
    chunk_bytes : int
        Parquet bytes that are read at once, about.
    """

    index: OnlineIndex
    table: Table
    state: State
    moment: int
    progress: Progress | None
    chunk_bytes: int
    done: Done = field(default_factory=Done, init=False)

    def run(self, *, from_scratch: bool = False) -> Done | None:
        """Do it; None if others changed the index meanwhile: then another filling has to be begun."""
        head = self.index.head(self._id)
        layout = layouts.after(head, self.state) if head else None
        if head is None or layout is None or from_scratch:
            return self._load()
        if head == layout.head(self.state):
            return self.done
        change = since(head, self.table, self.state)
        if change is None or not self._is_worth_following(change):
            return self._load()
        try:
            with self.table.reading(self.state, since=head.version):
                return self._follow(head, layout, change)
        except VersionNotFound:
            # Vacuumed in between, with the files that went.
            return self._load()

    @property
    def _id(self) -> str:
        return self.state.metadata.id

    def _is_worth_following(self, change: Change) -> bool:
        """Tell whether what has changed is less than all there is."""
        if change.is_addition:
            return True
        return bool(self.state.spec.entity) and change.size_bytes < self.state.size_bytes

    def _load(self) -> Done | None:
        """Fill the index from scratch."""
        layout = layouts.new(self.state.spec)
        self.done.from_scratch = True
        with self.table.reading(self.state):
            is_loaded = self.index.load(self._id, layout.head(self.state), lambda after: self._batches(layout, after))
        return self.done if is_loaded else None

    def _batches(self, layout: Layout, after: bytes | None) -> Iterator[list[Item]]:
        files = self._files(list(self.state.files.values()))
        for chunk in ahead(files.newest(self.moment, cut) for cut in _rest(files.ranges(), layout, after)):
            items = pack(chunk.rows, layout)
            if after is not None:
                items = [item for item in items if item[0] > after]
            self.done.written += len(items)
            self._advance(chunk.rows_read, self.state.rows)
            yield items

    def _follow(self, head: Head, layout: Layout, change: Change) -> Done | None:
        """Change the entities that the commits after the watermark concern.

        A large change is made in several steps; until the last, rows may be ahead of the watermark. To make a step
        again does no harm.
        """
        follow = self._added if change.is_addition else self._replaced
        cuts = self._files([*change.gone, *change.come]).ranges()
        for cut in cuts:
            puts, deletes = follow(layout, change, cut)
            reached = layout.head(self.state) if cut is cuts[-1] else head
            if not self.index.apply(self._id, head, reached, puts, deletes):
                return None
            self.done.written += len(puts)
            self.done.removed += len(deletes)
        return self.done

    def _added(self, layout: Layout, change: Change, cut: Range) -> tuple[list[Item], list[bytes]]:
        """Merge rows that were only added with those that the index has."""
        chunk = self._files(change.come).newest(self.moment, cut)
        self._advance(chunk.rows_read, change.rows)
        items = pack(chunk.rows, layout)
        known = self.index.get_many([(self._id, [key for key, _ in items])])[0].rows
        return list(merge(items, known, layout, self.moment)), []

    def _replaced(self, layout: Layout, change: Change, cut: Range) -> tuple[list[Item], list[bytes]]:
        """Set the entities that have other rows than before to what the new version says of them."""
        spec, changed = self.state.spec, changed_entities(self._files(change.come), self._files(change.gone), cut)
        rows = timed(self.table.read(self.state, Selection(keys=changed)).lazy(), spec).collect()
        self._advance(rows.height, change.rows)
        items = pack(newest(rows, spec.entity, self.moment), layout)
        left = {key for key, _ in items}
        return items, [key for key in layout.encode(changed) if key not in left]

    def _files(self, adds: list[Add]) -> Files:
        return Files(self.table, self.state.spec, adds, self.chunk_bytes)

    def _advance(self, rows: int, total: int | None) -> None:
        self.done.rows_read += rows
        if self.progress is not None:
            self.progress(self.state.table, self.done.rows_read, max(total or 0, self.done.rows_read))


def _rest(cuts: list[Range], layout: Layout, after: bytes | None) -> list[Range]:
    """Leave out the ranges that a load has done already, as far as a key tells."""
    entity = layout.keys.decode(after) if after is not None and layout.keys is not None else None
    if entity is None:
        return cuts
    name = layout.spec.entity[0]
    first = dtypes.to_stored(pl.DataFrame({name: entity[:1]}, schema={name: layout.spec.dtypes[name]}))[name][0]
    return [cut for cut in cuts if cut.high is None or cut.high > first]
