"""Fields of a definition on the command line: `--set columns.mean.unit=stars`, `--unset ttl`."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tiffin.cli.arguments.assignments import parse_assignment, unquoted, value_of_type
from tiffin.errors import InvalidInputError
from tiffin.schema.durations import parse_duration

if TYPE_CHECKING:
    import polars as pl

_HINT = "write it like owner=search, labels.team=search or columns.mean.unit=stars; a name with a dot in quotes"
_TEXTS = ("description", "owner", "timestamp", "created", "rule", "unit")
_GONE: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, ""),
    "links": (),
    "ttl": timedelta(0),
    "online": False,
    "default": None,
}


def said(
    sets: Iterable[str], unsets: Iterable[str], schema: "Callable[[], Mapping[str, pl.DataType]]"
) -> dict[str, Any]:
    """Read fields as arguments of `FeatureStore.declare`.

    Parameters
    ----------
    sets : iterable of str
        `FIELD=VALUE`.
    unsets : iterable of str
        `FIELD`: what is to be taken away.
    schema : callable
        Returns the table's columns; called for defaults, which are of their types.

    Raises
    ------
    InvalidInputError
        A field is none, or its value cannot be read.
    """
    fields: dict[str, Any] = {}
    for text in sets:
        key, value = parse_assignment(text)
        path = _path(key)
        _put(fields, path, _read(path, unquoted(value), schema))
    for key in unsets:
        path = _path(key)
        _put(fields, path, None if "labels" in path[-2:-1] else _gone(path, key))
    return fields


def _path(key: str) -> tuple[str, ...]:
    """Split a key as TOML does, which knows quotes."""
    try:
        found: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        raise InvalidInputError(f"{key!r} is no field", hint=_HINT) from None
    path = []
    while isinstance(found, dict):
        ((name, found),) = found.items()
        path.append(name)
    is_label = len(path) > 1 and path[-2] == "labels"
    within = path[2:] if path[0] == "columns" else path
    if len(within) != 1 + is_label or (not is_label and within[0] not in _GONE):
        raise InvalidInputError(f"{key!r} is no field that can be set", hint=_HINT)
    return tuple(path)


def _put(fields: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {})
    fields[path[-1]] = value


def _read(path: tuple[str, ...], value: str, schema: "Callable[[], Mapping[str, pl.DataType]]") -> Any:
    name = path[-1]
    if "labels" in path[-2:-1] or name in _TEXTS:
        return value
    if name == "ttl":
        return parse_duration(value)
    if name == "links":
        return tuple(link.strip() for link in value.split(",") if link.strip())
    if name == "default":
        return value_of_type(value, schema().get(path[1]), path[1])
    words = {"yes": True, "true": True, "no": False, "false": False}
    if value.lower() not in words:
        raise InvalidInputError(f"online is {value!r}", hint="write online=yes or online=no")
    return words[value.lower()]


def _gone(path: tuple[str, ...], key: str) -> Any:
    if path[-1] == "rule":
        raise InvalidInputError(f"{key} cannot be taken away", hint="set it to the usual one: --set rule=backward")
    return _GONE[path[-1]]
