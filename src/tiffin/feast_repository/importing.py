"""A Feast repository in: its feature views become tables, its feature services feature services."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from tiffin import frames
from tiffin.errors import ConflictError, FeatureNotFound, InUse, did_you_mean
from tiffin.feast_repository.collecting import read_definitions
from tiffin.feast_repository.definitions import Definitions, LeftOut, Service, View
from tiffin.feast_repository.settings import read_project
from tiffin.feast_repository.sources import Rows, read_rows
from tiffin.schema import dtypes
from tiffin.schema.names import TableName, check_part
from tiffin.schema.table import Column, Declaration, check, declare
from tiffin.store import FeatureStore
from tiffin.tables.table import Commit


class ImportedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that was made, or would be made, of a feature view."""

    table: str
    rows: int
    version: int | None
    """None if it is only planned."""
    source: str
    """The Parquet file, as the repository names it."""
    entity: tuple[str, ...]
    timestamp: str
    created: str | None
    ttl: timedelta | None
    online: bool
    features: tuple[str, ...]


class ImportedService(msgspec.Struct, frozen=True, kw_only=True):
    """A feature service that was made, or would be made."""

    name: str
    features: tuple[str, ...]
    """References."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of a Feast repository."""

    project: str
    group: str
    is_plan: bool
    """Whether nothing was saved: this is what would be made."""
    tables: tuple[ImportedTable, ...]
    services: tuple[ImportedService, ...]
    left_out: tuple[LeftOut, ...]


def import_repository(
    store: FeatureStore,
    path: str | os.PathLike[str],
    *,
    group: str | None = None,
    plan: bool = False,
    replace: bool = False,
) -> Imported:
    """Make tables and feature services of a Feast repository.

    Its Python files are read, not run. Everything is read and checked before the first table is saved.

    Parameters
    ----------
    store : FeatureStore
        Where to save them.
    path : str or Path
        The folder of `feature_store.yaml`.
    group : str, optional
        The group of the tables; the name of the Feast project if left out.
    plan : bool
        Whether to read and check all of it, and save nothing.
    replace : bool
        Whether tables and services take the place of those of the same name: tables as another version.

    Returns
    -------
    Imported
        With what was left out, and why.

    Raises
    ------
    StorageError
        It is no repository, or a file cannot be read.
    InvalidInputError, SchemaMismatch, InvalidName
        A file is no Python, a column is missing or of another type than is declared, a name is not allowed; nothing
        was saved.
    ConflictError
        A table or service is there already, or cannot be replaced; nothing was saved.
    MissingDependency
        PyYAML is not installed.
    """
    root = Path(path).absolute()
    project = read_project(root)
    group = check_part(project if group is None else group, "group")
    found = read_definitions(root)
    _check_free(store, group, found, replace=replace)
    left_out = [*found.left_out]
    tables = [_checked(view, group, left_out) for view in found.views]
    _check_replaceable(store, tables, found)
    services = [_service(service, group, tables) for service in found.services]
    if not plan:
        tables = [_saved(store, view, table) for view, table in zip(found.views, tables, strict=True)]
        for made, service in zip(services, found.services, strict=True):
            store.create_service(made.name, made.features, description=service.description, replace=replace)
    return Imported(
        project=project,
        group=group,
        is_plan=plan,
        tables=tuple(tables),
        services=tuple(services),
        left_out=tuple(left_out),
    )


def _check_free(store: FeatureStore, group: str, found: Definitions, *, replace: bool) -> None:
    """Check that all names are allowed and, unless they are to be replaced, free."""
    for view in found.views:
        check_part(view.name, "table")
    for service in found.services:
        check_part(service.name, "service")
    if replace:
        return
    tables = {info.table for info in store.tables()} & {f"{group}/{view.name}" for view in found.views}
    services = {service.name for service in store.services()} & {service.name for service in found.services}
    taken = [f"table {name}" for name in sorted(tables)] + [f"service {name}" for name in sorted(services)]
    if taken:
        raise ConflictError(
            f"there is already: {', '.join(taken)}",
            hint="replace them (replace=True, --replace), or drop them first",
        )


def _checked(view: View, group: str, left_out: list[LeftOut]) -> ImportedTable:
    """Read the rows of a view and check that they can be saved."""
    name = f"{group}/{view.name}"
    rows = read_rows(view)
    given = frames.ingest(rows.frame).frame
    columns = [Column(each, dtype) for each, dtype in given.schema.items()]
    spec = declare(columns, _declaration(view, rows), None)
    check(spec, name)
    dtypes.to_stored(given)
    left_out += [LeftOut(kept, str(view.place), "the declared type would change values") for kept in rows.kept]
    return ImportedTable(
        table=name,
        rows=given.height,
        version=None,
        source=view.source.written,
        entity=view.keys,
        timestamp=rows.timestamp,
        created=rows.created,
        ttl=view.ttl,
        online=view.online,
        features=tuple(spec.features),
    )


def _check_replaceable(store: FeatureStore, tables: list[ImportedTable], found: Definitions) -> None:
    """Check that tables that are there can become what is imported, and that nobody misses what goes with it."""
    made = {table.table: table for table in tables}
    remaining = [service for service in store.services() if service.name not in {each.name for each in found.services}]
    for info in store.tables():
        if info.table not in made:
            continue
        new = made[info.table]
        gone = {column.name for column in info.columns if column.role == "feature"} - {*new.features}
        name = TableName(*info.table.split("/"))
        # As where a save checks it: whoever uses the whole table uses each of its columns.
        uses = {each.name: {use.feature for use in each.uses(name) if use.version is None} for each in remaining}
        users = [each for each, features in uses.items() if features & {None, *gone}]
        if gone and users:
            raise InUse(
                f"{', '.join(map(repr, sorted(gone)))} of table {info.table} would go and is used by the feature "
                f"service {users[0]}",
                hint="drop or replace the service first",
            )


def _declaration(view: View, rows: Rows) -> Declaration:
    return Declaration(
        entity=view.keys,
        timestamp=rows.timestamp,
        created=rows.created,
        ttl=view.ttl,
        description=view.description,
        online=view.online,
    )


def _service(service: Service, group: str, tables: list[ImportedTable]) -> ImportedService:
    """Write what a service asks for as references."""
    features = {table.table: table.features for table in tables}
    references = []
    for part in service.parts:
        table = f"{group}/{part.view}"
        if part.features is None:
            references.append(table)
            continue
        for feature in part.features:
            if feature not in features[table]:
                raise FeatureNotFound(
                    f"feature service {service.name!r} ({service.place}) asks for {feature!r}, which feature view "
                    f"{part.view!r} does not have",
                    hint=did_you_mean(feature, features[table]),
                )
            references.append(f"{table}:{feature}")
    return ImportedService(name=service.name, features=tuple(dict.fromkeys(references)))


def _saved(store: FeatureStore, view: View, table: ImportedTable) -> ImportedTable:
    """Save the rows of a view: they are read anew, so that never more than one table is in memory."""
    rows = read_rows(view)
    _take_away(store, table)
    declared = msgspec.structs.asdict(_declaration(view, rows))
    commit = store.save(
        table.table,
        rows.frame,
        mode="overwrite",
        evolve=True,
        force=True,
        message=f"imported from Feast: {view.name} of {view.source.written}",
        inputs=[view.source.path],
        **{name: value for name, value in declared.items() if value is not None},
    )
    said = _declare(store, view, table)
    return msgspec.structs.replace(table, version=said.version if said else commit.version)


def _take_away(store: FeatureStore, table: ImportedTable) -> None:
    """Take away what a table that is replaced has and its feature view does not: a save leaves it as it is."""
    there = {info.table: info for info in store.tables()}.get(table.table)
    said: dict[str, Any] = {}
    if there is not None and there.ttl is not None and table.ttl is None:
        said["ttl"] = timedelta(0)
    if there is not None and there.created in table.features:
        said["created"] = ""
    if said:
        store.declare(table.table, **said, message="its feature view has none")


def _declare(store: FeatureStore, view: View, table: ImportedTable) -> Commit | None:
    """Declare what Feast says of a view and its fields, and of nothing else of before; None if that is nothing."""
    info = store.describe(table.table)
    labels = {**dict.fromkeys(info.labels), **view.labels}
    known = {column.name: column for column in info.columns}
    columns = {
        field.name: {
            "description": field.description,
            "labels": {**dict.fromkeys(known[field.name].labels), **field.labels},
        }
        for field in view.fields
        if field.name in known and (field.description or field.labels or known[field.name].description)
    }
    if not (view.owner or info.owner or labels or columns):
        return None
    return store.declare(
        table.table, owner=view.owner, labels=labels, columns=columns, message=f"imported from Feast: {view.name}"
    )
