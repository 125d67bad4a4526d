"""What a definition says of a table, its columns and a feature service; and how a table comes to declare it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from tiffin.errors import FeatureNotFound, InvalidInputError, SchemaMismatch, did_you_mean
from tiffin.schema.about import About, check_about
from tiffin.schema.constraints.kinds import Constraint
from tiffin.schema.defaults import Default
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.names import check_text
from tiffin.schema.rules import Rule
from tiffin.schema.table import Column, TableSpec


class ColumnDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a column."""

    description: str = ""
    unit: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    links: tuple[str, ...] = ()
    default: Default | None = None
    """Answers for a value that is missing; None if nothing does."""
    deprecated: Deprecation | None = None
    """Says that it should not be used any more."""


class TableDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a table: the whole of it, except for its keys where they are None."""

    description: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    links: tuple[str, ...] = ()
    entity: tuple[str, ...] | None = None
    """None leaves it as the table has it, as with the two columns of times; an empty text takes those away."""
    timestamp: str | None = None
    created: str | None = None
    ttl: timedelta | None = None
    online: bool = False
    rule: Rule = "backward"
    constraints: dict[str, Constraint] = {}
    """What rows must satisfy, by name."""
    columns: dict[str, ColumnDefinition] = {}
    """Of columns that are not named here, nothing is said."""


class ServiceDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of a feature service."""

    features: tuple[str, ...]
    description: str = ""


class Definitions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tables and feature services declare, by name."""

    tables: dict[str, TableDefinition] = {}
    services: dict[str, ServiceDefinition] = {}
    unreadable: tuple[str, ...] = ()
    """Tables (`group/name`) and services that are there, and too damaged to tell what they declare."""


_NOTHING = ColumnDefinition()


def define(spec: TableSpec, *, every_column: bool = False) -> TableDefinition:
    """Say what a table declares.

    Parameters
    ----------
    spec : TableSpec
        The table.
    every_column : bool
        Whether to name also the columns of which nothing is said.
    """
    columns = {column.name: _define_column(column) for column in spec.columns}
    return TableDefinition(
        description=spec.description,
        owner=spec.about.owner,
        labels=_sorted(spec.about.labels),
        links=spec.about.links,
        entity=spec.entity,
        timestamp=spec.timestamp,
        created=spec.created,
        ttl=spec.ttl,
        online=spec.online,
        rule=spec.rule,
        constraints={constraint.name: constraint for constraint in spec.constraints},
        columns={name: said for name, said in columns.items() if every_column or said != _NOTHING},
    )


def _define_column(column: Column) -> ColumnDefinition:
    return ColumnDefinition(
        description=column.description,
        unit=column.about.unit,
        owner=column.about.owner,
        labels=_sorted(column.about.labels),
        links=column.about.links,
        default=column.default,
        deprecated=column.deprecated,
    )


def revise(spec: TableSpec, definition: TableDefinition, table: str) -> TableSpec:
    """Make a table declare what a definition says; `schema.table.check` tells whether the whole can be.

    Parameters
    ----------
    spec : TableSpec
        The table as it stands.
    definition : TableDefinition
        What it is to declare.
    table : str
        Its name, for messages.

    Returns
    -------
    TableSpec
        With the same columns of the same types, so that no file need be written anew.

    Raises
    ------
    FeatureNotFound
        The table does not have one of the columns.
    SchemaMismatch
        The keys would change in a way that needs the rows to be written anew.
    InvalidInputError
        A text, label or link is none.
    """
    unknown = [name for name in definition.columns if name not in spec.dtypes]
    if unknown:
        raise FeatureNotFound(
            f"table {table} has no column {unknown[0]!r}", hint=did_you_mean(unknown[0], spec.names), table=table
        )
    about = About(definition.owner, _sorted(definition.labels), definition.links)
    check_about(about, f"table {table}")
    revised = msgspec.structs.replace(
        spec,
        columns=tuple(
            _revised(column, definition.columns.get(column.name, _NOTHING), table) for column in spec.columns
        ),
        timestamp=spec.timestamp if definition.timestamp is None else definition.timestamp or None,
        created=spec.created if definition.created is None else definition.created or None,
        ttl=definition.ttl,
        description=check_text(definition.description, f"the description of table {table}"),
        online=definition.online,
        rule=definition.rule,
        constraints=tuple(definition.constraints.values()),
        about=about,
    )
    _check_order(spec, revised, definition, table)
    return revised


def _revised(column: Column, said: ColumnDefinition, table: str) -> Column:
    what = f"column {column.name!r} of table {table}"
    about = About(said.owner, _sorted(said.labels), said.links, said.unit)
    check_about(about, what)
    check_text(said.description, f"the description of {what}")
    return msgspec.structs.replace(
        column, description=said.description, about=about, default=said.default, deprecated=said.deprecated
    )


def _check_order(spec: TableSpec, revised: TableSpec, definition: TableDefinition, table: str) -> None:
    """Refuse what changes by which columns rows are found, or sorted in the files; a shorter order is no other one."""
    if spec.derivation is not None and (revised.timestamp, revised.created) != (spec.timestamp, spec.created):
        raise SchemaMismatch(
            f"the columns of times of table {table} are those that its definition says",
            hint="derive it anew (store.derive, tiffin derive make)",
            table=table,
        )
    same_entity = definition.entity is None or definition.entity == spec.entity
    if same_entity and revised.order == spec.order[: len(revised.order)]:
        return
    before, after = (spec.entity, definition.entity) if not same_entity else (spec.order, revised.order)
    raise SchemaMismatch(
        f"the rows of table {table} are kept by {', '.join(before) or 'no key'}, not by {', '.join(after or ())}",
        hint="save the rows anew with these keys: mode='overwrite', evolve=True (--evolve)",
        table=table,
    )


def update(definition: TableDefinition, said: Mapping[str, Any], table: str) -> TableDefinition:
    """Change a definition where something is said.

    Parameters
    ----------
    definition : TableDefinition
        What the table declares, with every column.
    said : mapping of str to object
        Field to value; in the mappings `labels`, `columns` and `defaults` only what is named changes, and a label or
        default that is None goes.
    table : str
        The table's name, for messages.

    Raises
    ------
    InvalidInputError
        Something is said that a table or column has no place for, or is of the wrong kind.
    """
    fields = {**said}
    columns = dict(definition.columns)
    for name, value in _pairs(fields.pop("defaults", {}), f"defaults of table {table}"):
        columns[name] = msgspec.structs.replace(columns.get(name, _NOTHING), default=value)
    for name, one in _pairs(fields.pop("columns", {}), f"columns of table {table}"):
        is_whole = isinstance(one, ColumnDefinition)
        columns[name] = one if is_whole else _update(columns.get(name, _NOTHING), one, f"column {name!r} of {table}")
    updated: TableDefinition = _update(definition, fields, f"table {table}")
    return msgspec.structs.replace(updated, columns=columns)


def _update(definition: Any, said: Any, what: str) -> Any:
    """Change some fields of a definition."""
    known = type(definition).__struct_fields__
    fields: dict[str, Any] = {}
    for name, value in _pairs(said, f"what is said of {what}"):
        if name not in known:
            raise InvalidInputError(f"{what} has no {name!r}", hint=did_you_mean(str(name), known))
        fields[name] = _labels(definition.labels, value, what) if name == "labels" else value
        if name == "links" and isinstance(value, list | tuple):
            fields[name] = tuple(value)
    try:
        return msgspec.convert({**msgspec.structs.asdict(definition), **fields}, type(definition))
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{what} cannot be declared so: {error}", hint="see docs/catalogue.md") from error


def _labels(now: Mapping[str, str], said: object, what: str) -> dict[str, str]:
    changed: dict[str, Any] = {**now, **dict(_pairs(said, f"labels of {what}"))}
    return _sorted({label: value for label, value in changed.items() if value is not None})


def _pairs(mapping: object, what: str) -> list[tuple[Any, Any]]:
    if not isinstance(mapping, Mapping):
        raise InvalidInputError(f"{what} is {mapping!r}", hint="write a mapping, {'name': value}")
    return list(mapping.items())


def _sorted(labels: Mapping[str, str]) -> dict[str, str]:
    return {label: labels[label] for label in sorted(labels)}
