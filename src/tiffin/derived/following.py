"""Making a derived table, and bringing it up to its source: one commit each, of the rows that differ."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import polars as pl

from tiffin.derived.source import Source
from tiffin.errors import CommitConflict
from tiffin.schema.table import Column, TableSpec
from tiffin.tables.exchange import Part, exchange
from tiffin.tables.publishing import Note
from tiffin.tables.state import State
from tiffin.tables.table import Commit, Selection, Table

_ATTEMPTS = 5
_COUNTS = {"count", "distinct"}
_THERE = "\0there"


def fill(table: Table, source: Source, note: Note, *, online: bool | None = None) -> Commit:
    """Make all rows of a derived table, in place of those that it has.

    Parameters
    ----------
    table : Table
        The table; it need not exist yet.
    source : Source
        What it is made from.
    note : Note
        What is to be remembered.
    online : bool, optional
        Whether it is online; as it is if left out.

    Returns
    -------
    Commit

    Raises
    ------
    FeatureNotFound, InvalidInputError, SchemaMismatch
        It cannot be made from this source.
    CommitConflict
        Others changed the table all the time.
    """
    for _ in range(_ATTEMPTS):
        before = table.log.latest()
        spec = _spec(source, before, online)
        told = _told(note, source)
        parts = (Part(rows.clear(), rows) for rows in source.all_rows())
        commit = exchange(table, before, spec, parts=parts, all_go=True, operation="derive", note=told)
        if commit is not None:
            return commit
        source = source.newest()
    raise _busy(table)


def follow(table: Table, source: Source, note: Note) -> Commit | None:
    """Bring a derived table up to its source; the work follows what has changed there.

    The rows of each entity that was concerned are made anew, and those that come out otherwise are exchanged. So the
    table is, to the last bit, what `fill` would make of the same version.

    Returns
    -------
    Commit or None
        None if it is up to date.

    Raises
    ------
    FeatureNotFound, InvalidInputError, SchemaMismatch
        It cannot be made from this source any more.
    CommitConflict
        Others changed the table all the time.
    """
    for _ in range(_ATTEMPTS):
        before = table.log.require()
        derivation = before.spec.derivation
        if derivation is not None:
            source = source.at_least(derivation)
            if not source.is_ahead(derivation):
                return None
        spec = _spec(source, before, None)
        is_same = (spec.dtypes, spec.row_key) == (before.spec.dtypes, before.spec.row_key)
        if derivation is None or derivation.definition != source.definition or not is_same:
            return fill(table, source, note)
        shares = source.concerned(derivation)
        if shares is None:
            return fill(table, source, note)
        parts = (_difference(table, before, source, entities) for entities in shares)
        told = _told(note, source)
        commit = exchange(table, before, spec, parts=parts, all_go=False, operation="refresh", note=told)
        if commit is not None:
            return commit
        # Whoever came first may have followed the source further.
        source = source.newest()
    raise _busy(table)


def _told(note: Note, source: Source) -> Note:
    return replace(note, inputs=(source.reference,), recognised=(source.input,))


def _spec(source: Source, before: State | None, online: bool | None) -> TableSpec:
    """Say what a derived table declares: what its rows are, and beside it what it has declared so far."""
    known = {column.name: column for column in before.spec.columns} if before else {}
    counts = {name for name, (_, aggregation, _) in source.definition.features().items() if aggregation in _COUNTS}
    columns = tuple(
        msgspec.structs.replace(known[name], dtype=dtype, origin="")
        if name in known
        # Of an entity that nothing is known of, nothing has happened.
        else Column(name, dtype, default=0 if name in counts else None)
        for name, dtype in source.columns.items()
    )
    old = before.spec if before else TableSpec(())
    return msgspec.structs.replace(
        old,
        columns=columns,
        entity=source.definition.entity,
        timestamp=source.state.spec.timestamp,
        online=old.online if online is None else online,
        derivation=source.derivation,
    )


def _difference(table: Table, before: State, source: Source, entities: pl.DataFrame) -> Part:
    """Make the rows of some entities, and compare them with those that are there; one that changes goes and comes."""
    key = before.spec.row_key
    new = source.rows_of(entities)
    old = table.read(before, Selection(keys=entities)).select(new.columns)
    paired = new.join(
        old.with_columns(pl.lit(True).alias(_THERE)), on=key, how="left", suffix="\0", maintain_order="left"
    )
    differs = [pl.col(name).ne_missing(pl.col(f"{name}\0")) for name in new.columns if name not in key]
    come = paired.filter(pl.any_horizontal(pl.col(_THERE).is_null(), *differs)).select(new.columns)
    stale = old.select(key).join(new.select(key), on=key, how="anti")
    return Part(pl.concat([stale, come.select(key).join(old.select(key), on=key, how="semi")]), come)


def _busy(table: Table) -> CommitConflict:
    return CommitConflict(
        f"table {table.name} was changed by others {_ATTEMPTS} times while it was derived",
        hint="try again when it is quieter",
    )
