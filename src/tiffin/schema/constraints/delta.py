"""Constraints in Delta's own words, so that other writers are held to them too, and theirs read back (pure).

A column without nulls is `nullable: false` in the schema; what SQL can say of a row is a CHECK, a key
`delta.constraints.<name>` of the configuration. Source: the Delta transaction log protocol, "CHECK constraints".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import polars as pl

from tiffin.errors import TiffinError
from tiffin.schema.constraints.kinds import Constraint, Fresh, NotNull, RowChange, Rows, Sql, Unique
from tiffin.schema.constraints.rows import check_sql

CHECK = "delta.constraints."
"""Begins the keys of CHECK constraints in the configuration."""


def without_nulls(constraints: Iterable[Constraint]) -> set[str]:
    """Name the columns that are not to be nullable."""
    return {each.column for each in constraints if isinstance(each, NotNull) and each.severity == "error"}


def checks(constraints: Iterable[Constraint], dtypes: Mapping[str, pl.DataType]) -> dict[str, str]:
    """Write the CHECK constraints of a table, as they stand in its configuration."""
    return {key: told for each in constraints if (key := CHECK + each.name) and (told := _check(each, dtypes))}


def _check(constraint: Constraint, dtypes: Mapping[str, pl.DataType]) -> str | None:
    if isinstance(constraint, Unique | Fresh | Rows | RowChange):
        return None
    try:
        return check_sql(constraint, dtypes)
    except TiffinError:
        # Another writer changed the columns: told where rows are to be checked by it, not where they are read.
        return None


def read_back(
    own: Iterable[Constraint],
    dtypes: Mapping[str, pl.DataType],
    not_nullable: Collection[str],
    configuration: Mapping[str, str],
) -> tuple[Constraint, ...]:
    """Put together what a table declares itself and what Delta's own words say, which other writers may have changed.

    Parameters
    ----------
    own : iterable of Constraint
        What stands in the table's own declaration.
    dtypes : mapping of str to DataType
        The table's columns.
    not_nullable : collection of str
        The columns that are not nullable.
    configuration : mapping of str to str
        Of the table's metadata.

    Returns
    -------
    tuple of Constraint
        Those of its own that still stand, and those of other writers.
    """
    found = {key: text for key, text in configuration.items() if key.startswith(CHECK)}
    kept, told = [], set()
    for each in own:
        if isinstance(each, NotNull) and each.severity == "error":
            stands = each.column in not_nullable
        else:
            text = _check(each, dtypes)
            stands = text is None or found.get(CHECK + each.name) == text
            told |= {CHECK + each.name} if stands and text is not None else set()
        kept += [each] if stands else []
    known = without_nulls(kept)
    kept += [
        NotNull(name=f"{name}_not_null", column=name) for name in dtypes if name in not_nullable and name not in known
    ]
    kept += [Sql(name=key.removeprefix(CHECK), sql=text, strict=True) for key, text in found.items() if key not in told]
    return tuple(kept)
