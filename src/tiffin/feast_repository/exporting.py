"""Tables and feature services out, as a Feast repository."""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from tiffin.errors import ConflictError, InvalidInputError, InvalidName, StorageError
from tiffin.feast_repository.definitions import LeftOut
from tiffin.feast_repository.kinds import Kind, dtype_for, kind_for
from tiffin.feast_repository.settings import FILE, write_settings
from tiffin.feast_repository.writing import KEY_KINDS, WrittenService, WrittenView, write_definitions
from tiffin.files import LOCAL, make_folders, translated, write_durably
from tiffin.registry import Service
from tiffin.schema.names import parse_reference
from tiffin.store import FeatureStore
from tiffin.tables.catalog import TableInfo

_DEFINITIONS = "definitions.py"
_PROJECT = re.compile("[A-Za-z0-9][A-Za-z0-9_]*")
_UTC = pl.Datetime("us", "UTC")


class ExportedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that was written as a feature view."""

    table: str
    version: int
    view: str
    file: str
    """Its rows, in the repository's folder."""
    rows: int


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A Feast repository that was written."""

    folder: str
    project: str
    tables: tuple[ExportedTable, ...]
    services: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def export_repository(
    store: FeatureStore,
    folder: str | os.PathLike[str],
    *,
    tables: Sequence[str] | None = None,
    services: Sequence[str] | None = None,
    project: str | None = None,
    online_url: str | None = None,
    replace: bool = False,
) -> Exported:
    """Write tables and feature services as a Feast repository, which `feast apply` takes over.

    Parameters
    ----------
    store : FeatureStore
        Where they are. The newest versions are written.
    folder : str or Path
        Made if it is not there.
    tables, services : sequence of str, optional
        Only these; services bring the tables that they ask for. All of both if neither is given.
    project : str, optional
        What Feast is to call it; else the group of the tables, if they have one, or `tiffin`.
    online_url : str, optional
        The address of a Tiffin server that is to answer for single entities. Without it Feast does, from SQLite.
    replace : bool
        Whether files of the same names may be replaced.

    Returns
    -------
    Exported
        With what was left out, and why.

    Raises
    ------
    TableNotFound, ServiceNotFound
        What is to be exported is not there.
    ConflictError
        The folder is not empty.
    InvalidInputError
        Feast could take over none of the tables.
    InvalidName
        The project's name is not allowed.
    StorageError
        The disk refused.
    MissingDependency
        PyYAML is not installed.
    """
    root = Path(folder).absolute()
    _check_folder(root, replace=replace)
    chosen = _chosen_services(store, tables, services)
    infos = _chosen_tables(store, tables, services, chosen)
    project = _project(project, infos)
    left_out: list[LeftOut] = []
    views = _views(store, infos, left_out, by_sqlite=online_url is None)
    if not views:
        reasons = "; ".join(f"{each.where}: {each.why}" for each in left_out)
        raise InvalidInputError(
            f"Feast could take over none of the tables{f' ({reasons})' if reasons else ''}",
            hint="save a table with a timestamp first",
        )
    renamed = {info.table: {old: one.name for one in info.columns for old in one.aliases} for info in infos}
    written = [made for service in chosen if (made := _service(service, views, renamed, left_out))]
    settings = write_settings(project, online_url)
    make_folders(LOCAL, root / "data")
    done = tuple(_write_rows(store, root, view) for view in views)
    write_durably(LOCAL, root / _DEFINITIONS, write_definitions(views, written).encode())
    write_durably(LOCAL, root / FILE, settings)
    names = tuple(service.name for service in written)
    return Exported(folder=str(root), project=project, tables=done, services=names, left_out=tuple(left_out))


def _check_folder(root: Path, *, replace: bool) -> None:
    with translated(root, doing="list"):
        if not root.exists():
            return
        if not root.is_dir():
            raise StorageError(f"{str(root)!r} is a file, not a folder", hint="choose another place")
        if not replace and any(root.iterdir()):
            raise ConflictError(
                f"{str(root)!r} is not empty", hint="choose another folder, or pass replace=True (--replace)"
            )


def _chosen_services(
    store: FeatureStore, tables: Sequence[str] | None, services: Sequence[str] | None
) -> list[Service]:
    if services is not None:
        return [store.service(name) for name in dict.fromkeys(services)]
    return store.services() if tables is None else []


def _chosen_tables(
    store: FeatureStore, tables: Sequence[str] | None, services: Sequence[str] | None, chosen: Iterable[Service]
) -> list[TableInfo]:
    if tables is None and services is None:
        return store.tables()
    asked = [*(tables or ())]
    for service in chosen:
        asked += [str(parse_reference(each)._replace(feature=None, version=None)) for each in service.features]
    infos = {info.table: info for info in map(store.describe, asked)}
    return [infos[name] for name in sorted(infos)]


def _project(project: str | None, infos: Iterable[TableInfo]) -> str:
    if project is None:
        groups = {info.table.partition("/")[0] for info in infos}
        name = groups.pop() if len(groups) == 1 else "tiffin"
        return name.replace("-", "_").lstrip("_") or "tiffin"
    if not _PROJECT.fullmatch(project):
        raise InvalidName(
            f"Feast takes no project called {project!r}", hint="use letters, digits and '_', not starting with '_'"
        )
    return project


def _views(
    store: FeatureStore, infos: Sequence[TableInfo], left_out: list[LeftOut], *, by_sqlite: bool
) -> list[WrittenView]:
    """Tell what each table is as a feature view, as far as Feast can have it."""
    # Feast tells views apart by their names alone, without looking at case.
    shared = Counter(info.table.partition("/")[2].lower() for info in infos)
    views: list[WrittenView] = []
    keys: dict[str, Kind] = {}
    for info in infos:
        if info.problem:
            left_out.append(LeftOut("table", info.table, info.problem))
            continue
        view, lost = _view(store, info)
        left_out += [LeftOut(what, info.table, why) for what, why in lost]
        why = ""
        if shared[info.table.partition("/")[2].lower()] > 1:
            why = "another table has this name, in its own group: export them one by one"
        elif by_sqlite and "-" in info.table.partition("/")[2]:
            why = "Feast's SQLite store takes no '-' in names: export with the address of a server (--online-url)"
        elif view is not None:
            clash = [name for name, kind in view.keys.items() if keys.get(name, kind) != kind]
            why = f"{clash[0]!r} is of another type in a table before it" if clash else ""
        if why:
            left_out.append(LeftOut("table", info.table, why))
        elif view is not None:
            views.append(view)
            keys |= view.keys
    return views


def _view(store: FeatureStore, info: TableInfo) -> tuple[WrittenView | None, list[tuple[str, str]]]:
    """Tell what a table is as a feature view; and what of it is lost, and why."""
    if info.timestamp is None:
        return None, [("table", "Feast needs a timestamp: save the table with one")]
    schema = store.read(f"{info.table}@{info.version}", limit=0).to_polars().schema
    kinds = {name: kind_for(dtype) for name, dtype in schema.items()}
    keys = {name: _key_kind(kinds[name]) for name in info.entity}
    odd = [name for name, kind in keys.items() if kind is None]
    if odd:
        return None, [("table", f"Feast takes no keys of the type {schema[odd[0]]}, as {odd[0]!r} is")]
    times = {info.timestamp, info.created}
    features = {name: kind for name, kind in kinds.items() if name not in {*times, *keys}}
    lost = [(f"column {name}", f"Feast has no type for {schema[name]}") for name, kind in features.items() if not kind]
    lost += [(f"default of {each.name}", "Feast has no defaults") for each in info.columns if each.default is not None]
    taken = {name: kind for name, kind in features.items() if kind}
    if not taken:
        return None, [*lost, ("table", "it has no feature that Feast could have")]
    view = WrittenView(
        name=info.table.partition("/")[2],
        table=info.table,
        version=info.version,
        keys={name: kind for name, kind in keys.items() if kind},
        features=taken,
        timestamp=info.timestamp,
        created=info.created,
        ttl=info.ttl,
        online=info.online,
        description=info.description,
        owner=info.owner,
        labels=info.labels,
        said={each.name: (each.description, each.labels) for each in info.columns if each.description or each.labels},
    )
    return view, [*lost, *_unsaid(info)]


def _unsaid(info: TableInfo) -> Iterator[tuple[str, str]]:
    """List what is said of a table that Feast has no place for."""
    if info.links or any(each.links for each in info.columns):
        yield "links", "Feast has no place for them"
    for each in info.columns:
        if each.unit or each.owner:
            yield f"unit, owner of {each.name}", "Feast has no place for them"
        if each.name in {info.timestamp, info.created} and (each.description or each.labels):
            yield f"what is said of {each.name}", "times are no fields in Feast"


def _key_kind(kind: Kind | None) -> Kind | None:
    """Name the type of a key: whole numbers are all of one, so that tables share their entities."""
    if kind is not None and kind.name == "Int32":
        return Kind("Int64")
    return kind if kind is not None and kind.name in KEY_KINDS else None


def _service(
    service: Service, views: Sequence[WrittenView], renamed: Mapping[str, Mapping[str, str]], left_out: list[LeftOut]
) -> WrittenService | None:
    """Tell what a service asks of the views, by the names of today; None if nothing is left."""
    by_table = {view.table: view for view in views}
    asked: dict[str, list[str] | None] = {}
    for text in service.features:
        reference = parse_reference(text)
        table, feature = f"{reference.group}/{reference.name}", reference.feature
        view, why = by_table.get(table), ""
        feature = feature and renamed.get(table, {}).get(feature, feature)
        if reference.version is not None:
            why = "it is pinned to a version, and the newest is exported"
        elif view is None:
            why = "its table is not exported"
        elif feature is not None and feature not in view.features:
            why = "its column is not exported"
        if why or view is None:
            left_out.append(LeftOut(text, f"service {service.name}", why))
        elif feature is None:
            asked[view.name] = None
        elif (features := asked.setdefault(view.name, [])) is not None and feature not in features:
            features.append(feature)
    if not asked:
        left_out.append(LeftOut("service", service.name, "nothing that it asks for is exported"))
        return None
    return WrittenService(service.name, asked, service.description)


def _write_rows(store: FeatureStore, root: Path, view: WrittenView) -> ExportedTable:
    """Write the rows of a table in the types that Feast has for them."""
    frame = store.read(f"{view.table}@{view.version}").to_polars()
    columns = [pl.col(name).cast(dtype_for(kind)) for name, kind in {**view.keys, **view.features}.items()]
    columns += [pl.col(name).cast(_UTC) for name in (view.timestamp, view.created) if name]
    buffer = io.BytesIO()
    frame.select(columns).write_parquet(buffer)
    write_durably(LOCAL, root / view.file, buffer.getbuffer())
    return ExportedTable(table=view.table, version=view.version, view=view.name, file=view.file, rows=frame.height)
