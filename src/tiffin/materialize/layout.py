"""How the rows of a table lie in the online index: their keys, their values, and whether those written before fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import polars as pl

from tiffin.materialize.newest import CREATED
from tiffin.online.base import Head
from tiffin.online.keys import KeyCodec
from tiffin.online.rows import FORMAT, RowCodec
from tiffin.schema import dtypes
from tiffin.schema.table import TableSpec
from tiffin.tables.state import State

NO_ENTITY = b"\0"
"""The key of the only row of a table without an entity."""


@dataclass(frozen=True)
class Layout:
    """The codecs of a table's keys and rows.

    Attributes
    ----------
    keys : KeyCodec or None
        None for a table without an entity.
    rows : RowCodec
        Of the features, and of `created` if the table declares one: without it, no row could tell whether it wins
        against one of the same timestamp that comes later.
    fingerprint : str
        Differs for rows that were packed otherwise.
    """

    spec: TableSpec
    keys: KeyCodec | None
    rows: RowCodec
    fingerprint: str

    @property
    def created(self) -> int | None:
        """Where `created` stands in a row; None if the table declares none."""
        return self.rows.order.index(CREATED) + 1 if self.spec.created else None

    def encode(self, entities: pl.DataFrame) -> pl.Series:
        """Return the key of each row; null where a part of the entity is."""
        if self.keys is None:
            return pl.repeat(NO_ENTITY, entities.height, dtype=pl.Binary, eager=True)
        return self.keys.encode_frame(entities)

    def head(self, state: State) -> Head:
        """Return what the index is to know of a version."""
        return Head(state.table, state.version, state.timestamp, self.rows.order, self.fingerprint)


def new(spec: TableSpec) -> Layout:
    """Lay out the rows of a table that is not in the index."""
    return _layout(spec, None)


def after(head: Head, state: State) -> Layout | None:
    """Lay out rows beside those that are in the index; None if they would not fit together.

    Features that were added since stand behind the others: rows that were packed before lack them, and answer null.
    """
    values = _values(state.spec)
    if head.table != state.table or not set(head.columns) <= set(values):
        return None
    if head.layout != _fingerprint(state.spec, head.columns):
        return None
    return _layout(state.spec, [*head.columns, *(name for name in values if name not in head.columns)])


def _layout(spec: TableSpec, order: Sequence[str] | None) -> Layout:
    keys = KeyCodec({name: spec.dtypes[name] for name in spec.entity}) if spec.entity else None
    rows = RowCodec(_values(spec), order)
    return Layout(spec, keys, rows, _fingerprint(spec, rows.order))


def _values(spec: TableSpec) -> dict[str, pl.DataType]:
    known = spec.dtypes
    created: dict[str, pl.DataType] = {CREATED: pl.Int64()} if spec.created else {}
    return {**{name: known[name] for name in spec.features}, **created}


def _fingerprint(spec: TableSpec, order: Sequence[str]) -> str:
    entity = [(name, dtypes.encode(spec.dtypes[name])) for name in spec.entity]
    values = _values(spec)
    columns = [(name, dtypes.encode(values[name])) for name in order]
    text = msgspec.json.encode([FORMAT, entity, spec.timestamp, spec.created, columns])
    return hashlib.blake2b(text, digest_size=8).hexdigest()
