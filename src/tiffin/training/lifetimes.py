"""Which data files of a table could be seen when: as of a version, or as of what each row of a spine may know.

A file belongs to a table from the version that added it to the one that removed it. Where a spine goes back to many
versions, each file is joined once, with the rows that see it; merges of files and restores need no case of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from tiffin.errors import TableNotFound, VersionNotFound
from tiffin.schema.table import TableSpec
from tiffin.tables.actions import Add, Entry
from tiffin.tables.state import State
from tiffin.tables.table import Table


@dataclass(eq=False)
class Life:
    """A data file, as long as it belonged to the table."""

    add: Add
    first: int
    """The version that added it."""
    end: int
    """The version that removed it, or the one after the last that was looked at."""

    @property
    def versions(self) -> range:
        """The versions that have the file."""
        return range(self.first, self.end)


@dataclass
class Era:
    """Successive versions at which a table declared the same, with their files in the order of the rows."""

    spec: TableSpec
    first: int
    end: int
    lives: list[Life] = field(default_factory=list)


def at_version(state: State) -> Era:
    """Describe one version."""
    era = Era(state.spec, state.version, state.version + 1)
    era.lives = [Life(add, era.first, era.end) for add in state.files.values()]
    return era


def newest_known(table: Table, limit: State, moment_ms: int) -> State | None:
    """Return the newest version that was committed by a moment.

    Parameters
    ----------
    table : Table
        The table.
    limit : State
        A version after which none is looked at.
    moment_ms : int
        Milliseconds since 1970-01-01 UTC.

    Returns
    -------
    State or None
        None if there was no version yet.

    Raises
    ------
    VersionNotFound
        The version of then was vacuumed.
    """
    try:
        found = table.log.at_time(moment_ms)
    except VersionNotFound:
        made = limit.metadata.created_time
        if table.log.oldest() > 0 and (made is None or moment_ms >= made):
            raise
        return None
    return found if found.version < limit.version else limit


def versions_known(table: Table, limit: State, known: pl.Series) -> tuple[list[Era], pl.Series]:
    """Find for each row of a spine the version of a table that was the newest when its knowledge ends.

    Parameters
    ----------
    table : Table
        The table.
    limit : State
        A version after which none is looked at.
    known : Series of Int64, shape (n,)
        Microseconds since 1970-01-01 UTC; null where nothing is known.

    Returns
    -------
    tuple of list of Era and Series of Int64, shape (n,)
        The eras that the rows look at, oldest first, and each row's version; null where it sees none.

    Raises
    ------
    TableNotFound, VersionNotFound
        The table was dropped meanwhile, or the version of then was vacuumed.
    """
    if table.log.at(limit.version).metadata.id != limit.metadata.id:
        raise TableNotFound(f"table {table.name} was dropped meanwhile, and another made", table=str(table.name))
    moments = known // 1_000
    last = None if moments.min() is None else newest_known(table, limit, _most(moments))
    if last is None:
        return [], pl.repeat(None, len(known), dtype=pl.Int64, eager=True)
    begin = newest_known(table, limit, _least(moments))
    if begin is None:
        begin = table.log.at(table.log.oldest())
        # Of the moments before it, the last one tells whether there were versions then.
        newest_known(table, limit, _most(moments.filter(moments < begin.timestamp)))
    with table.leased(begin.version):
        commits = list(table.log.commits(last.version, begin.version + 1))[::-1]
    times = pl.Series([begin.timestamp, *(entry.info.timestamp for _, entry in commits)])
    behind = times.search_sorted(moments, "right").cast(pl.Int64) - 1
    versions = (behind + begin.version).set(behind < 0, None).set(moments.is_null(), None)
    seen = set(versions.drop_nulls().unique())
    return [era for era in _eras(begin, commits) if not seen.isdisjoint(range(era.first, era.end))], versions


def _least(moments: pl.Series) -> int:
    return int(moments.min())  # type: ignore[arg-type]  # of whole numbers, and not empty


def _most(moments: pl.Series) -> int:
    return int(moments.max())  # type: ignore[arg-type]  # as above


def _eras(begin: State, commits: list[tuple[int, Entry]]) -> Iterator[Era]:
    """Replay commits, noting which files came and stayed."""
    era, state = at_version(begin), begin
    present = {life.add.path: life for life in era.lives}
    for version, entry in commits:
        before, state = state, state.apply(version, entry)
        if state.metadata is not before.metadata and state.spec != before.spec:
            yield era
            era = at_version(state)
            present = {life.add.path: life for life in era.lives}
            continue
        for action in entry.actions:
            if changed := action.remove or action.add:
                present.pop(changed.path, None)
        _begin_lives(era, state, present)
        for life in present.values():
            life.end = version + 1
        era.end = version + 1
    yield era


def _begin_lives(era: Era, state: State, present: dict[str, Life]) -> None:
    """Add the files that are new at a version to an era, in their places among those that are there already."""
    paths = list(state.files)
    standing = max((place for place, path in enumerate(paths) if path in present), default=-1)
    for place, path in enumerate(paths):
        if path in present:
            continue
        life = present[path] = Life(state.files[path], state.version, state.version + 1)
        # Behind all that stand: behind those that have gone, too, whatever their number.
        if place > standing:
            era.lives.append(life)
        else:
            era.lives.insert(era.lives.index(present[paths[place - 1]]) + 1 if place else 0, life)
