"""The Python of a Feast repository, as one would write it by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tiffin.feast_repository.kinds import Kind

_VALUE_TYPES = {"Bytes": "BYTES", "Int64": "INT64", "String": "STRING"}
"""Feast's names for the types of keys, where they are not those of other values."""

KEY_KINDS = frozenset(_VALUE_TYPES)
"""Types that a join key may have."""


@dataclass(frozen=True)
class WrittenView:
    """A feature view to be written, with its source."""

    name: str
    table: str
    version: int
    keys: Mapping[str, Kind]
    features: Mapping[str, Kind]
    timestamp: str
    created: str | None
    ttl: timedelta | None
    online: bool
    description: str
    owner: str
    labels: Mapping[str, str]
    said: Mapping[str, tuple[str, Mapping[str, str]]]
    """Description and labels of the columns that have any."""

    @property
    def file(self) -> str:
        """Where its rows lie in the repository."""
        return f"data/{self.name}.parquet"


@dataclass(frozen=True)
class WrittenService:
    """A feature service to be written."""

    name: str
    features: Mapping[str, Sequence[str] | None]
    """Names of views to the features that it takes of them; None for all of them."""
    description: str


def write_definitions(views: Sequence[WrittenView], services: Sequence[WrittenService]) -> str:
    """Write the definitions of a repository: the same text for the same tables and services.

    Parameters
    ----------
    views : sequence of WrittenView
        Their names differ; join keys of one name are of one kind.
    services : sequence of WrittenService
        They ask for those views only.

    Returns
    -------
    str
        Python.
    """
    keys = {name: kind for view in views for name, kind in view.keys.items()}
    entities = _variables(keys, "entity")
    variables = _variables([view.name for view in views], "view")
    blocks = [
        '"""Feature views and feature services that were exported from Tiffin."""',
        _imports(views, services),
        *(_entity(variable, name, keys[name]) for name, variable in entities.items()),
        *(text for view in views for text in _view(view, variables[view.name], entities)),
    ]
    names = _variables([service.name for service in services], "service")
    blocks += [_service(service, names[service.name], variables) for service in services]
    return "\n\n".join(blocks) + "\n"


def _imports(views: Sequence[WrittenView], services: Sequence[WrittenService]) -> str:
    classes = {"FeatureView", "Field", "FileSource"}
    classes |= {"Entity", "ValueType"} if any(view.keys for view in views) else set()
    classes |= {"FeatureService"} if services else set()
    kinds = {name for view in views for kind in (*view.keys.values(), *view.features.values()) for name in kind.names()}
    lines = [f"from feast import {', '.join(sorted(classes))}", f"from feast.types import {', '.join(sorted(kinds))}"]
    if any(view.ttl for view in views):
        lines = ["from datetime import timedelta", "", *lines]
    return "\n".join(lines)


def _entity(variable: str, name: str, kind: Kind) -> str:
    arguments = {
        "name": _text(name),
        "join_keys": f"[{_text(name)}]",
        "value_type": f"ValueType.{_VALUE_TYPES[kind.name]}",
    }
    return _call(variable, "Entity", arguments)


def _view(view: WrittenView, variable: str, entities: Mapping[str, str]) -> Iterable[str]:
    source = f"{variable.removesuffix('_view')}_source"
    arguments = {"name": _text(f"{view.name}_source"), "path": _text(view.file)}
    arguments["timestamp_field"] = _text(view.timestamp)
    if view.created:
        arguments["created_timestamp_column"] = _text(view.created)
    yield _call(source, "FileSource", arguments)
    fields = {**view.keys, **view.features}
    arguments = {
        "name": _text(view.name),
        "entities": f"[{', '.join(entities[name] for name in view.keys)}]",
        "ttl": _duration(view.ttl) if view.ttl else "",
        "schema": _lines(_field(view, name, kind) for name, kind in fields.items()),
        "online": str(view.online),
        "source": source,
        "description": _text(view.description) if view.description else "",
        "tags": _dict({**view.labels, "tiffin_table": view.table, "tiffin_version": str(view.version)}),
        "owner": _text(view.owner) if view.owner else "",
    }
    yield _call(variable, "FeatureView", arguments)


def _field(view: WrittenView, name: str, kind: Kind) -> str:
    description, labels = view.said.get(name, ("", {}))
    more = f", description={_text(description)}" if description else ""
    more += f", tags={_dict(labels)}" if labels else ""
    return f"Field(name={_text(name)}, dtype={kind}{more})"


def _dict(texts: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{_text(key)}: {_text(value)}' for key, value in texts.items())}}}"


def _service(service: WrittenService, variable: str, views: Mapping[str, str]) -> str:
    taken = [
        views[name] if features is None else f"{views[name]}[[{', '.join(map(_text, features))}]]"
        for name, features in service.features.items()
    ]
    arguments = {"name": _text(service.name), "features": _lines(taken)}
    arguments["description"] = _text(service.description) if service.description else ""
    return _call(variable, "FeatureService", arguments)


def _call(variable: str, function: str, arguments: Mapping[str, str]) -> str:
    lines = [f"    {name}={value}," for name, value in arguments.items() if value]
    return "\n".join([f"{variable} = {function}(", *lines, ")"])


def _lines(items: Iterable[str]) -> str:
    return "\n".join(["[", *(f"        {item}," for item in items), "    ]"])


def _text(text: str) -> str:
    """Write a text as Python, in the quotes that need fewer escapes; JSON's escapes are Python's too."""
    written = json.dumps(text, ensure_ascii=False)
    if '"' in text and "'" not in text:
        written = "'" + written[1:-1].replace('\\"', '"') + "'"
    return written


def _duration(ttl: timedelta) -> str:
    parts = {"days": ttl.days, "seconds": ttl.seconds, "microseconds": ttl.microseconds}
    return f"timedelta({', '.join(f'{name}={number}' for name, number in parts.items() if number)})"


def _variables(names: Iterable[str], suffix: str) -> dict[str, str]:
    """Give each name a variable of its own."""
    variables: dict[str, str] = {}
    for name in names:
        stem = re.sub(r"\W", "_", name)
        stem = f"_{stem}" if stem[:1].isdigit() else stem
        variable, number = f"{stem}_{suffix}", 2
        while variable in variables.values():
            variable, number = f"{stem}_{number}_{suffix}", number + 1
        variables[name] = variable
    return variables
