"""The tables and versions that a lock names: whether they are as they were, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tiffin.errors import CorruptData, VersionNotFound
from tiffin.features import Wanted
from tiffin.frames import Recipe, Source
from tiffin.schema.names import TableName, parse_reference
from tiffin.tables.catalog import Catalog
from tiffin.tables.state import State
from tiffin.tables.table import Table


def committed(state: State) -> datetime:
    """Tell when a version was committed, UTC."""
    return datetime.fromtimestamp(state.timestamp / 1000, UTC)


def table(name: str, catalog: Catalog) -> Table:
    """Return the table that a lock names; it may not exist any more."""
    return catalog.table(TableName(*name.split("/")))


def changes(recipe: Recipe, catalog: Catalog) -> list[str]:
    """Tell what is no longer as it was when a training frame was made.

    Parameters
    ----------
    recipe : Recipe
        How the frame was made.
    catalog : Catalog
        The tables.

    Returns
    -------
    list of str
        A sentence for each table; empty if all versions are there.
    """
    found = (_change(name, source, table(name, catalog)) for name, source in recipe.sources.items())
    return [change for change in found if change]


def _change(name: str, source: Source, there: Table) -> str:
    if source.stage:
        return f"stage {source.stage!r} of table {name} is no version: promote it, and ask for the table"
    latest = there.log.latest()
    if latest is None:
        return f"table {name} was dropped"
    if latest.metadata.id != source.id:
        first = there.log.read_commit(there.log.oldest()).info.timestamp
        return f"table {name} was dropped, and another of its name made at {datetime.fromtimestamp(first / 1000, UTC)}"
    oldest = there.log.oldest()
    if source.oldest < oldest:
        return f"version {source.oldest} of table {name} was vacuumed; the oldest that is left is {oldest}"
    try:
        state = there.log.at(source.version)
    except VersionNotFound:
        return f"table {name} ends before version {source.version}: its folder was put back from an older copy"
    except CorruptData as error:
        return f"version {source.version} of table {name} is damaged: {error.message}"
    if committed(state) != source.committed:
        return (
            f"version {source.version} of table {name} is another: it was committed at {committed(state)}, "
            f"not at {source.committed}"
        )
    return ""


def wanted(recipe: Recipe, catalog: Catalog) -> list[Wanted]:
    """Ask again for what a training frame was made from, at the versions it was made from.

    Parameters
    ----------
    recipe : Recipe
        How the frame was made.
    catalog : Catalog
        The tables; nothing has changed in them.

    Returns
    -------
    list of Wanted
        One for each table.
    """
    return list(_wanted(recipe, catalog))


def _wanted(recipe: Recipe, catalog: Catalog) -> Iterator[Wanted]:
    asked = [(place, name, parse_reference(text)) for place, (name, text) in enumerate(recipe.features.items())]
    for name, source in recipe.sources.items():
        there = table(name, catalog)
        mine = [(place, answer, str(of.feature)) for place, answer, of in asked if f"{of.group}/{of.name}" == name]
        places, names, features = zip(*mine, strict=True)
        yield Wanted(there, there.log.at(source.version), features, names, pinned=False, places=places)
