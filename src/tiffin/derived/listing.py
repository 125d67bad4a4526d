"""Which tables are derived, from what, and how far behind it they are."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tiffin.derived.windows import needed
from tiffin.errors import InUse
from tiffin.schema.derivation import Windowed
from tiffin.schema.names import TableName
from tiffin.schema.table import TableSpec
from tiffin.tables.catalog import Catalog


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """A derived table."""

    table: str
    version: int
    definition: Windowed
    source_version: int
    """The version of the source that its rows are of."""
    behind: int | None
    """How many versions the source has gone on since; None if it is another table now, or gone."""
    online: bool
    """Whether the online index holds its newest rows."""


def listed(catalog: Catalog) -> list[Derived]:
    """List the derived tables by name; those that cannot be read are passed over."""
    found = []
    for name in catalog.names():
        state = catalog.readable(name)
        derivation = state.spec.derivation if state else None
        if state is not None and derivation is not None:
            found.append(
                Derived(
                    table=str(name),
                    version=state.version,
                    definition=derivation.definition,
                    source_version=derivation.version,
                    behind=catalog.behind(derivation),
                    online=state.spec.online,
                )
            )
    return found


def check_no_source(
    catalog: Catalog, table: TableName, columns: Collection[str] | None = None, spec: TableSpec | None = None
) -> None:
    """Refuse to take away what derived tables are made from.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    table : TableName
        The table.
    columns : collection of str, optional
        Those of its columns; all if left out.
    spec : TableSpec, optional
        What the table declares; needed with `columns`.

    Raises
    ------
    InUse
        Naming the derived table.
    """
    for one in listed(catalog):
        if one.definition.source != str(table) or one.table == str(table):
            continue
        if columns is None or spec is None:
            what = f"table {table} cannot be removed: {one.table} is derived from it"
        elif used := {*columns}.intersection(needed(one.definition, spec)):
            what = f"table {one.table} is derived from {', '.join(map(repr, sorted(used)))} of table {table}"
        else:
            continue
        raise InUse(
            what,
            hint="drop it or derive it from something else first, or force it where that can be (force=True, --force)",
            table=str(table),
        )
