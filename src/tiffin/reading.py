"""Reading a version of a table through the caches.

The version is part of every key, so a cached frame is never stale. Memory holds whole versions (and columns of them
that were asked for); where a newer one comes in, the one that it replaced goes, so that a table that is saved and read
all the time does not fill the memory with what nobody asks for any more. The disk cache holds whole versions, decoded,
unless they are small. A read of a few rows uses a version that is in memory or on the disk already, and otherwise
fetches just those rows from the Parquet files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import polars as pl

from tiffin.cache import DiskCache, DiskStats, MemoryCache, MemoryStats
from tiffin.errors import InvalidInputError
from tiffin.frames import FeatureFrame, ingest
from tiffin.frames.forked import check_threads
from tiffin.locks import new_lock
from tiffin.schema import filters
from tiffin.schema.evolution import other_names
from tiffin.schema.table import TableSpec
from tiffin.tables.state import State
from tiffin.tables.table import Selection, Table

_MOST_ROWS = (1 << 32) - 1
"""As many rows as Polars can count: a limit beyond is none."""
_WORTH_A_FILE_BYTES = 128 << 10
"""Below this size a frame is decoded from Parquet in about a millisecond: not worth a file in the disk cache."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a store."""

    path: str
    groups: int
    tables: int
    features: int
    rows: int
    """Rows of the newest versions, where they are counted."""
    size_bytes: int
    """Size of the newest versions' data files."""
    unreadable: tuple[str, ...] = ()
    """Tables that are too damaged to be counted, except among the tables."""
    memory_cache: MemoryStats | None
    disk_cache: DiskStats | None


@dataclass(frozen=True)
class Question:
    """Which rows and columns a caller asks for, in the caller's words."""

    columns: Sequence[str] | None = None
    feature: str | None = None
    """The one feature that the reference names; the keys come with it."""
    where: filters.Where | None = None
    entities: Any = None
    limit: int | None = None
    offset: int = 0

    def select(self, state: State, newest: TableSpec) -> tuple[Selection, dict[str, str]]:
        """Put the question to a version of a table.

        Parameters
        ----------
        state : State
            The version.
        newest : TableSpec
            The table as it is now: knows what columns have been called since.

        Returns
        -------
        tuple of Selection and dict of str to str
            With it, the names in the answer of columns that were asked for by another than the version's.

        Raises
        ------
        FeatureNotFound
            The table has no such column.
        InvalidInputError
            The question makes no sense there.
        UnavailableError
            Polars cannot try it out: this process was forked.
        """
        check_threads()
        spec, columns, entities = state.spec, self.columns, self.entities
        if self.feature is not None:
            if columns is not None:
                raise InvalidInputError("the reference and columns both choose features", hint="use one of them")
            columns = [*spec.row_key, self.feature]
        to_list = getattr(entities, "to_list", None) or getattr(entities, "tolist", None)
        if to_list is not None:
            entities = to_list()
        elif hasattr(entities, "columns") or hasattr(entities, "__arrow_c_stream__"):
            entities = ingest(entities).frame
        others = other_names(spec, newest)
        columns, called = _as_there(columns, others)
        selection = Selection(
            columns=None if columns is None else spec.check_features(columns, state.table),
            predicate=None
            if self.where is None
            else filters.predicate(filters.renamed(self.where, others), spec.dtypes, state.table),
            keys=None if entities is None else filters.keys(entities, spec.entity, spec.dtypes, state.table),
            limit=self.limit,
            offset=not_negative("offset", self.offset) or 0,
        )
        return selection, called


def _as_there(columns: Sequence[str] | None, others: Mapping[str, str]) -> tuple[Sequence[str] | None, dict[str, str]]:
    """Call columns as a version does; with them, by which other names they were asked for."""
    if not (others and isinstance(columns, list | tuple) and all(isinstance(name, str) for name in columns)):
        return columns, {}
    called: dict[str, str] = {}
    for name in columns:
        called.setdefault(others.get(name, name), name)
    return list(called), {column: name for column, name in called.items() if column != name}


def not_negative(name: str, value: int | None) -> int | None:
    """Return a count that a caller gave, if it is one.

    Raises
    ------
    InvalidInputError
        It is not a whole number of zero or more.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise InvalidInputError(f"{name} is {value!r}", hint="give a whole number of zero or more")
    return None if value is None else min(value, _MOST_ROWS)


class Held:
    """A frame in memory, with the conversions that were made of it, for all who read it.

    Attributes
    ----------
    frame : DataFrame
        Never changed; readers get clones.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self._made: dict[str, Any] = {}
        self._lock = new_lock()

    def share(self, name: str, convert: Callable[[], Any]) -> Any:
        """Return a conversion of the frame, made once."""
        made = self._made.get(name)
        if made is None:
            with self._lock:
                made = self._made.get(name)
                if made is None:
                    made = self._made[name] = convert()
        return made

    @property
    def size_bytes(self) -> int:
        """Bytes, counted as if pandas will be given a copy of its own: what is kept must not outgrow its bound."""
        return 2 * int(self.frame.estimated_size())


class Reader:
    """Reads versions of tables through a memory cache and a disk cache.

    Parameters
    ----------
    memory : MemoryCache or None
        Frames in memory; None keeps none.
    disk : DiskCache or None
        Decoded frames on disk; None keeps none.
    """

    def __init__(self, memory: MemoryCache[Held] | None, disk: DiskCache | None) -> None:
        self.memory = memory
        self.disk = disk

    def read(
        self,
        table: Table,
        state: State,
        selection: Selection,
        *,
        called: Mapping[str, str] | None = None,
        use_cache: bool = True,
        is_newest: bool = False,
    ) -> FeatureFrame:
        """Read rows and columns of a version.

        Parameters
        ----------
        table : Table
            The table.
        state : State
            The version.
        selection : Selection
            Which rows and columns.
        called : mapping of str to str, optional
            What columns are to be called that the version calls otherwise.
        use_cache : bool
            Whether the caches may answer; without, the Parquet files are read.
        is_newest : bool
            Whether it is the table's newest version: then memory lets go of the one before it.

        Returns
        -------
        FeatureFrame
        """
        if selection.columns is not None and not selection.columns and state.spec.names:
            # Polars forgets how many rows there are where no column is chosen.
            counted = self.read(table, state, replace(selection, columns=state.spec.names[:1]), use_cache=use_cache)
            return FeatureFrame(pl.DataFrame(height=len(counted)), lock=counted.lock)
        if not use_cache:
            held = Held(table.read(state, selection))
        elif selection.is_whole:
            held = self._whole(table, state, selection, is_newest=is_newest)
        else:
            held = Held(self._part(table, state, selection))
        origins = state.spec.origins
        if called:
            held = Held(held.frame.rename(dict(called)))
            origins = {called.get(name, name): origin for name, origin in origins.items()}
        return FeatureFrame(
            held.frame,
            origins=origins,
            # A stage is no version, and may be gone tomorrow.
            lock={} if state.stage else {str(table.name): state.version},
            share=held.share,
        )

    def _whole(self, table: Table, state: State, selection: Selection, *, is_newest: bool) -> Held:
        columns = None if selection.columns is None else tuple(selection.columns)
        memory = self.memory
        if memory is None:
            return Held(self._load(table, state, selection))

        def load() -> Held:
            if is_newest:
                _forget_the_one_before(state, memory)
            return Held(self._load(table, state, selection))

        return memory.get_or_load((*state.mark, columns), load, lambda held: held.size_bytes)

    def _load(self, table: Table, state: State, selection: Selection) -> pl.DataFrame:
        known = self.known(state)
        if known is not None:
            return known if selection.columns is None else known.select(selection.columns)
        frame = table.read(state, selection)
        if self.disk is not None and selection.columns is None and frame.estimated_size() >= _WORTH_A_FILE_BYTES:
            self.disk.put_later(state.mark, frame)
        return frame

    def _part(self, table: Table, state: State, selection: Selection) -> pl.DataFrame:
        known = self.known(state)
        return table.read(state, selection) if known is None else selection.apply(known)

    def known(self, state: State) -> pl.DataFrame | None:
        """Return a whole version, if memory or the disk has it."""
        held = self.memory.peek((*state.mark, None)) if self.memory is not None else None
        if held is not None:
            return held.frame
        return self.disk.get(state.mark) if self.disk is not None else None


def _forget_the_one_before(newest: State, memory: MemoryCache[Held]) -> None:
    """Drop the last version before the newest; those before it are there because somebody asks for them."""
    table_id, version, _ = newest.mark
    older = [kept for kept_id, kept, *_ in memory.kept_keys() if kept_id == table_id and kept < version]
    if older:
        memory.discard_where(lambda key: key[:2] == (table_id, max(older)))
