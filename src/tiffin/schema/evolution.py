"""How a table's columns evolve under their names: renamed, dropped, marked as about to go (pure).

A column that was renamed keeps its old names as aliases: whatever asks for one of them is given the column, in versions
before the change and after it. A name or alias means one column only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tiffin.errors import FeatureNotFound, InvalidInputError, did_you_mean
from tiffin.schema.constraints import kinds
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.table import Column, TableSpec


def column_of(spec: TableSpec, name: str, newest: TableSpec | None = None) -> str | None:
    """Find the column of a table that a name means.

    Parameters
    ----------
    spec : TableSpec
        The table at some version.
    name : str
        What the column is called there, was called before, or has been called since.
    newest : TableSpec, optional
        The table as it is now: knows what columns have been called since.

    Returns
    -------
    str or None
        What the column is called at that version; None if there is none.
    """
    if name in spec.dtypes or name in spec.aliases:
        return spec.aliases.get(name, name)
    current = newest and (name if name in newest.dtypes else newest.aliases.get(name))
    if newest is None or current is None:
        return None
    names = (current, *next(column.aliases for column in newest.columns if column.name == current))
    return next((spec.aliases.get(one, one) for one in names if one in spec.dtypes or one in spec.aliases), None)


def other_names(spec: TableSpec, newest: TableSpec) -> dict[str, str]:
    """List the names, before or since, by which columns of a version are known; with each, what it is called there."""
    if not (spec.aliases or newest.aliases):
        return {}
    since = {name for column in newest.columns if column.aliases for name in (column.name, *column.aliases)}
    found = {name: column_of(spec, name, newest) for name in (*spec.aliases, *since)}
    return {name: column for name, column in found.items() if column is not None and column != name}


def called(spec: TableSpec, other: TableSpec) -> dict[str, str]:
    """List the columns of a version that another calls otherwise; with each, what it is called there."""
    return {column: name for name, column in other_names(spec, other).items() if name in other.dtypes}


def rename(spec: TableSpec, old: str, new: str, table: str) -> TableSpec:
    """Call a feature otherwise; its old name goes on to mean it.

    Raises
    ------
    FeatureNotFound
        There is no such feature.
    InvalidInputError
        It is a key or time, or known by another name by now; or the new name means another column.
    """
    column = _feature(spec, old, table, "renamed")
    if new == old:
        raise InvalidInputError(f"feature {old!r} of table {table} is called that already")
    if new in spec.names or spec.aliases.get(new, old) != old:
        means = f"a name of before of {spec.aliases[new]!r}" if new in spec.aliases else "a column of its own"
        raise InvalidInputError(
            f"feature {old!r} of table {table} cannot be renamed to {new!r}, which is {means}",
            hint="a name means one column, also after it was renamed: choose another, or drop that column first "
            f"(store.drop_columns({table!r}, [{spec.aliases.get(new, new)!r}]), tiffin drop-columns)",
        )
    aliases = (old, *(alias for alias in column.aliases if alias != new))
    renamed = msgspec.structs.replace(column, name=new, aliases=aliases)
    return msgspec.structs.replace(
        spec,
        columns=tuple(renamed if one is column else one for one in spec.columns),
        constraints=kinds.renamed(spec.constraints, {old: new}, table),
        partition_by=tuple(new if name == old else name for name in spec.partition_by),
    )


def drop(spec: TableSpec, names: Sequence[str], table: str) -> TableSpec:
    """Take features away, with their old names; the schema is a new major version, unless nothing was promised.

    Raises
    ------
    FeatureNotFound
        There is no such feature.
    InvalidInputError
        One is a key or time, or what the files are kept apart by, or no column would be left.
    """
    gone = {_feature(spec, name, table, "dropped").name for name in names}
    for name in spec.partition_by:
        if name in gone:
            raise InvalidInputError(
                f"column {name!r} keeps the files of table {table} apart", hint=_instead("partition it otherwise")
            )
    columns = tuple(column for column in spec.columns if column.name not in gone)
    if not columns:
        raise InvalidInputError(f"table {table} would have no column left", hint="drop the table: store.drop(…)")
    is_broken = bool(gone) and spec.rule != "none"
    return msgspec.structs.replace(spec, columns=columns, major=spec.major + is_broken)


def deprecate(spec: TableSpec, feature: str, mark: Deprecation | None, table: str) -> TableSpec:
    """Mark a feature as about to go, or take the mark away.

    Raises
    ------
    FeatureNotFound
        There is no such feature.
    InvalidInputError
        It is a key or time, or known by another name by now.
    """
    column = _feature(spec, feature, table, "deprecated")
    marked = msgspec.structs.replace(column, deprecated=mark)
    return msgspec.structs.replace(spec, columns=tuple(marked if one is column else one for one in spec.columns))


def restored(then: TableSpec, now: TableSpec) -> TableSpec:
    """Make what a table declared once what it declares again, with what it has promised its readers since.

    The names that columns have been given since go on to mean them, the rule stays, and a major version that had ended
    is begun as a new one: a number never means two schemas.
    """
    means = {name.lower(): column.name for column in then.columns for name in (column.name, *column.aliases)}
    columns = []
    for column in then.columns:
        known = dict.fromkeys([column.name, *column.aliases])
        for name in _names(now, *known):
            if means.setdefault(name.lower(), column.name) == column.name:
                known[name] = None
        columns.append(msgspec.structs.replace(column, aliases=tuple(known)[1:]))
    major = now.major + (then.major != now.major)
    return msgspec.structs.replace(then, columns=tuple(columns), rule=now.rule, major=major)


def names_left(spec: TableSpec, columns: Iterable[str]) -> set[str]:
    """List the names that mean a column where a frame of some columns takes the place of a table's rows."""
    given = set(columns)
    kept = {column_of(spec, name) for name in given}
    return given.union(*((one.name, *one.aliases) for one in spec.columns if one.name in kept))


def _names(spec: TableSpec, *known: str) -> list[str]:
    """List all names of the columns that some names mean."""
    found = {column_of(spec, name) for name in known}
    return [name for column in spec.columns if column.name in found for name in (column.name, *column.aliases)]


def _feature(spec: TableSpec, name: str, table: str, what: str) -> Column:
    """Find a feature by the name it has now."""
    if name in spec.aliases:
        raise InvalidInputError(
            f"{name!r} is a name of before of feature {spec.aliases[name]!r} of table {table}",
            hint=f"say what it is called now: {spec.aliases[name]!r}",
        )
    if name not in spec.dtypes:
        raise FeatureNotFound(f"table {table} has no feature {name!r}", hint=did_you_mean(name, spec.features))
    if name not in spec.features:
        raise InvalidInputError(
            f"column {name!r} of table {table} is a key or time, by which rows are found: it cannot be {what}",
            hint=_instead("declare other keys"),
        )
    return next(column for column in spec.columns if column.name == name)


def _instead(what: str) -> str:
    return f"save the table anew to {what} (mode='overwrite', evolve=True; --mode overwrite --evolve)"
