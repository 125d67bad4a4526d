"""A lineage as OpenLineage events, which catalogues such as Marquez and DataHub take in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tiffin.errors import StorageError, VersionNotFound
from tiffin.lineage.graph import Edge, Lineage, Node
from tiffin.schema.names import TableName
from tiffin.schema.table import TableSpec
from tiffin.tables.catalog import Catalog
from tiffin.tables.table import Commit, Table
from tiffin.version import __version__

PRODUCER = f"urn:tiffin:{__version__}"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "tiffin"
"""Of jobs, and of inputs that are neither tables nor files nor have an address."""
_FACETS = {
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "documentation": "1-1-0/DocumentationDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "ownership": "1-0-1/OwnershipDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
}

Event = dict[str, Any]


def events(catalog: Catalog, lineage: Lineage) -> list[Event]:
    """Write the commits of a lineage as events, each of one completed run; oldest first.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    lineage : Lineage
        What to write: the version that it is about, and every other that was made from something it knows.

    Returns
    -------
    list of dict
        `RunEvent` of OpenLineage 2-0-2, as values that JSON has. A table is named by its folder, as other programs name
        it that read its files. The same commit gives the same run for ever.
    """
    nodes = {node.id: node for node in lineage.nodes}
    asked = {(f"table {lineage.table}", lineage.version)}
    asked |= {(edge.target, made) for edge in lineage.edges for _, made in edge.versions if made is not None}
    written = []
    for target, version in asked:
        table = catalog.table(TableName(*nodes[target].name.split("/")))
        try:
            commit = table.describe_entry(version, table.log.read_commit(version))
            spec = table.log.at(version).spec
        except (StorageError, VersionNotFound):
            # Vacuumed since, or damaged: nothing is known to be said of it.
            continue
        edges = [edge for edge in lineage.edges if edge.target == target]
        inputs = [each for edge in edges for each in _inputs(catalog, edge, nodes, version)]
        written.append(_event(table, commit, spec, inputs))
    return sorted(written, key=lambda event: (event["eventTime"], event["job"]["name"]))


def _event(table: Table, commit: Commit, spec: TableSpec, inputs: list[Event]) -> Event:
    identity = table.log.require().metadata.id
    output = _table(table, commit.version, spec)
    if commit.rows is not None:
        output["outputFacets"] = {"outputStatistics": _facet("outputStatistics", rowCount=commit.rows)}
    return {
        "eventType": "COMPLETE",
        "eventTime": commit.timestamp.isoformat(),
        "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"tiffin:{identity}@{commit.version}"))},
        "job": {"namespace": NAMESPACE, "name": f"{commit.operation} {table.name}"},
        "inputs": inputs,
        "outputs": [output],
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _inputs(catalog: Catalog, edge: Edge, nodes: dict[str, Node], version: int) -> Iterator[Event]:
    """Write what a version was made from, along one edge."""
    node = nodes[edge.source]
    for read, made in edge.versions:
        if made != version:
            continue
        if node.kind != "table" or node.is_gone:
            yield _elsewhere(node)
            continue
        table = catalog.table(TableName(*node.name.split("/")))
        try:
            yield _table(table, read, None if read is None else table.log.at(read).spec)
        except (StorageError, VersionNotFound):
            yield _table(table, read, None)


def _table(table: Table, version: int | None, spec: TableSpec | None) -> Event:
    facets = {"dataSource": _facet("dataSource", name=str(table.name), uri=table.folder.as_uri())}
    if version is not None:
        facets["version"] = _facet("version", datasetVersion=str(version))
    if spec is not None:
        fields = [
            {"name": column.name, "type": str(column.dtype)}
            | ({"description": column.description} if column.description else {})
            for column in spec.columns
        ]
        facets["schema"] = _facet("schema", fields=fields)
        if spec.description:
            facets["documentation"] = _facet("documentation", description=spec.description)
        if spec.about.owner:
            facets["ownership"] = _facet("ownership", owners=[{"name": spec.about.owner}])
    return {"namespace": "file", "name": str(table.folder), "facets": facets}


def _elsewhere(node: Node) -> Event:
    """Name what is no table of the store, as OpenLineage names it: by where it lies and its path there."""
    if node.kind == "file":
        facets = {"version": _facet("version", datasetVersion=node.xxh3[-1])} if node.xxh3 else {}
        return {"namespace": "file", "name": str(Path(node.name).absolute()), "facets": facets}
    try:
        parts = urlsplit(node.name)
    except ValueError:
        # A text that looks like an address and is none; anybody may name one.
        return {"namespace": NAMESPACE, "name": node.name}
    if parts.scheme and parts.netloc:
        # Without a user and password: the catalogue is another's.
        place = parts.netloc.rpartition("@")[2]
        return {"namespace": f"{parts.scheme}://{place}", "name": parts.path.lstrip("/") or "/"}
    return {"namespace": NAMESPACE, "name": node.name}


def _facet(kind: str, **fields: Any) -> Event:
    place = _FACETS[kind]
    name = place.partition("/")[2]
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"https://openlineage.io/spec/facets/{place}.json#/$defs/{name}",
        **fields,
    }
