"""The events that a derived table is made from: read with bounded memory, and which entities a commit concerned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import polars as pl

from tiffin.derived import windows
from tiffin.errors import VersionNotFound
from tiffin.materialize.changes import changed_entities, since
from tiffin.materialize.chunks import ALL, Files, Range, ahead
from tiffin.online.base import Head
from tiffin.schema import dtypes
from tiffin.schema.derivation import Derivation, Windowed
from tiffin.tables.actions import Add, Input
from tiffin.tables.state import State
from tiffin.tables.table import Selection, Table

CHUNK_BYTES = 1 << 20
"""Parquet bytes of the source that are worked on at once, about: in memory they and their windows may be a hundred
times as many."""

_MOST_CONCERNED = 1 / 8
"""Part of a source's events: if more are of entities that are concerned, all anew is quicker, and takes less memory."""
_MOST_RANGES = 64
"""Of a source whose files are not sorted by entity."""


@dataclass(frozen=True)
class Source:
    """A version of the table whose rows are the events.

    Attributes
    ----------
    definition : Windowed
        What is made of them.
    """

    table: Table
    state: State
    definition: Windowed

    @property
    def derivation(self) -> Derivation:
        """What a table says that is made from this version."""
        state = self.state
        return Derivation(
            definition=self.definition,
            source_id=state.metadata.id,
            version=state.version,
            timestamp=state.timestamp,
        )

    @property
    def reference(self) -> str:
        """The version as a reference."""
        return f"{self.table.name}@{self.state.version}"

    @property
    def input(self) -> Input:
        """The version as what a commit was made from."""
        state = self.state
        return Input(name=self.reference, table=str(self.table.name), id=state.metadata.id, version=state.version)

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The columns of the derived table; raises as `windows.columns_of` does."""
        return windows.columns_of(self.definition, self.state.spec)

    def newest(self) -> Source:
        """Return the newest version of the same table."""
        return replace(self, state=self.table.log.require())

    def at_least(self, derivation: Derivation) -> Source:
        """Return a version no older than the one that a table is made from: others may have followed it further."""
        is_same = derivation.source_id == self.state.metadata.id
        return self.newest() if is_same and derivation.version > self.state.version else self

    def is_ahead(self, derivation: Derivation) -> bool:
        """Tell whether a table that is made from an older version has something to follow."""
        return derivation != self.derivation

    def all_rows(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[pl.DataFrame]:
        """Make all rows of the derived table, a range of entities at a time."""
        if not self._is_sorted:
            # Each range looks through all keys.
            chunk_bytes = max(chunk_bytes, self.state.size_bytes // _MOST_RANGES)
        ranges = self._files(list(self.state.files.values()), chunk_bytes).ranges()
        for rows in ahead(map(self._made, ranges)):
            if rows.height:
                yield rows

    def rows_of(self, entities: pl.DataFrame) -> pl.DataFrame:
        """Make the rows of some entities."""
        return self._from(self.table.read(self.state, self._selection(keys=entities)))

    def concerned(self, derivation: Derivation) -> list[pl.DataFrame] | None:
        """Find the entities whose events are not those of an earlier version.

        Parameters
        ----------
        derivation : Derivation
            Tells of that version.

        Returns
        -------
        list of DataFrame or None
            The entity columns, in shares to be worked on one after the other. None if all rows are to be made anew:
            the log does not reach back that far, what the source declares of its columns has changed, or so many events
            are concerned that it is less work.
        """
        entities = self._concerned(derivation)
        return None if entities is None else self._shares(entities)

    def _concerned(self, derivation: Derivation) -> pl.DataFrame | None:
        if derivation.source_id != self.state.metadata.id or not self._reads_the_same(derivation.version):
            return None
        head = Head(str(self.table.name), derivation.version, derivation.timestamp, (), "")
        change = since(head, self.table, self.state)
        if change is None or (change.is_addition and change.size_bytes > max(CHUNK_BYTES, self.state.size_bytes // 2)):
            return None
        try:
            with self.table.reading(self.state, since=derivation.version):
                come = self._files(change.come)
                if change.is_addition:
                    return self._entities(come)
                return changed_entities(come, self._files(change.gone), ALL)
        except VersionNotFound:
            # Vacuumed in between, with the files that went.
            return None

    def _shares(self, entities: pl.DataFrame) -> list[pl.DataFrame] | None:
        """Divide entities so that each share has about as many events as are worked on at once."""
        chunks = self.state.size_bytes // CHUNK_BYTES
        if not chunks or not entities.height:
            return [entities]
        events = self._count(entities)
        if self.state.rows is None or events > self.state.rows * _MOST_CONCERNED:
            return None
        shares = events * chunks // self.state.rows + 1
        step = -(-entities.height // shares)
        ordered = entities.sort(entities.columns)
        return [ordered.slice(start, step) for start in range(0, ordered.height, step)]

    def _count(self, entities: pl.DataFrame) -> int:
        """Count the events of some entities."""
        keys = dtypes.to_stored(entities)
        first = keys.to_series()
        adds = list(self.state.files.values())
        rows = self.table.data.scan(adds, self.state.spec).select(keys.columns)
        rows = rows.filter(pl.col(first.name).is_between(pl.lit(first.min()), pl.lit(first.max())))
        with self.table.reading(self.state):
            found = self.table.data.collect(rows.join(keys.lazy(), on=keys.columns, how="semi").select(pl.len()), adds)
        return int(found.item())

    def _reads_the_same(self, version: int) -> bool:
        try:
            before = self.table.log.at(version).spec
        except VersionNotFound:
            return False
        now = self.state.spec
        needed = windows.needed(self.definition, now)
        return (before.timestamp, before.created) == (now.timestamp, now.created) and all(
            before.dtypes.get(name) == now.dtypes[name] for name in needed
        )

    def _entities(self, files: Files) -> pl.DataFrame:
        entity = list(self.definition.entity)
        rows = files.table.data.scan(files.adds, self.state.spec).select(entity).drop_nulls().unique()
        return dtypes.from_stored(files.table.data.collect(rows, files.adds), self.state.spec.dtypes)

    def _made(self, within: Range) -> pl.DataFrame:
        needed, spec = windows.needed(self.definition, self.state.spec), self.state.spec
        with self.table.reading(self.state):
            parts = [pl.DataFrame(schema={name: spec.stored[name] for name in needed})]
            for add in self.state.files.values():
                rows = self._inside(self.table.data.scan([add], spec), add, within)
                parts.append(self.table.data.collect(rows.select(needed), [add]))
        return self._from(dtypes.from_stored(pl.concat(parts), spec.dtypes))

    def _inside(self, rows: pl.LazyFrame, add: Add, within: Range) -> pl.LazyFrame:
        if add.path in within.rows:
            return rows.slice(*within.rows[add.path])
        first = pl.col(self.definition.entity[0])
        if within.low is not None:
            rows = rows.filter(first >= pl.lit(within.low))
        return rows if within.high is None else rows.filter(first < pl.lit(within.high))

    def _from(self, events: pl.DataFrame) -> pl.DataFrame:
        return windows.rows(self.definition, self.state.spec, events)

    def _selection(self, keys: pl.DataFrame) -> Selection:
        return Selection(columns=windows.needed(self.definition, self.state.spec), keys=keys)

    def _files(self, adds: list[Add], chunk_bytes: int = CHUNK_BYTES) -> Files:
        # As if the source were about the derived table's entities.
        spec = msgspec.structs.replace(self.state.spec, entity=self.definition.entity)
        if not self._is_sorted:
            spec = msgspec.structs.replace(spec, timestamp=None, created=None)
        return Files(self.table, spec, adds, chunk_bytes)

    @property
    def _is_sorted(self) -> bool:
        """Whether the source's files are sorted by what the ranges are of: the first column of the entity."""
        return bool(self.state.spec.order) and self.state.spec.entity[0] == self.definition.entity[0]
