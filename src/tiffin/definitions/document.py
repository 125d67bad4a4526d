"""Definitions as TOML: written for people and git, read strictly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

import msgspec
import tomli_w

from tiffin.definitions.model import ColumnDefinition, Definitions, ServiceDefinition, TableDefinition
from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.schema.constraints import texts
from tiffin.schema.constraints.kinds import Constraint
from tiffin.schema.durations import parse_duration, write_duration
from tiffin.schema.names import check_part, parse_reference
from tiffin.schema.toml import read_toml

T = TypeVar("T", TableDefinition, ColumnDefinition, ServiceDefinition)

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def write(definitions: Definitions) -> str:
    """Write definitions as TOML, tables and services by name; the same definitions give the same text.

    Parameters
    ----------
    definitions : Definitions
        What to write.

    Returns
    -------
    str
        What `read` makes the same definitions of; tables that cannot be read are named in a comment.
    """
    tables = {name: builtins_of(definitions.tables[name]) for name in sorted(definitions.tables)}
    services = {name: builtins_of(definitions.services[name]) for name in sorted(definitions.services)}
    document = {key: value for key, value in (("tables", tables), ("services", services)) if value}
    missing = "".join(f"# Not here, because it cannot be read: {name}\n" for name in definitions.unreadable)
    return missing + tomli_w.dumps(document)


def builtins_of(definition: msgspec.Struct) -> dict[str, Any]:
    """Write a definition as values that TOML has; what is not said is left out."""
    said: dict[str, Any] = _plain(msgspec.to_builtins(definition, builtin_types=(date, timedelta)))
    for constraint in said.get("constraints", {}).values():
        # It is the key.
        constraint.pop("name", None)
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return write_duration(value) if isinstance(value, timedelta) else value


def read(text: str) -> Definitions:
    """Read definitions.

    Parameters
    ----------
    text : str
        TOML.

    Returns
    -------
    Definitions

    Raises
    ------
    InvalidInputError
        It is no TOML, or says what no definition can: the message names the line, or the key.
    """
    document = read_toml(text, hint="see docs/catalogue.md")
    _check_keys(document, ("tables", "services"), ())
    tables = {_table_name(name): _read_table(said, ("tables", name)) for name, said in _section(document, "tables")}
    services = {
        check_part(name, "service"): _read(ServiceDefinition, said, ("services", name))
        for name, said in _section(document, "services")
    }
    return Definitions(tables=tables, services=services)


def key_path(parts: Sequence[str]) -> str:
    """Write a path of keys as TOML does: `tables."user/ratings".owner`."""
    return ".".join(part if part and _BARE.issuperset(part) else _quoted(part) for part in parts)


def _quoted(part: str) -> str:
    return msgspec.json.encode(part).decode()


def _section(mapping: Mapping[str, Any], name: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield from _toml_table(mapping.get(name, {}), (*above, name)).items()


def _toml_table(value: object, path: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{key_path(path)} is {value!r}, not a table of TOML", hint=f"write [{key_path(path)}]")
    return value


def _table_name(text: str) -> str:
    parsed = parse_reference(text)
    if parsed.group is None or str(parsed) != f"{parsed.group}/{parsed.name}":
        raise InvalidInputError(
            f"{key_path(('tables', text))} names no table", hint='write [tables."group/name"], with the quotes'
        )
    return text


def _read_table(said: object, path: tuple[str, ...]) -> TableDefinition:
    table = _read(TableDefinition, said, path, without=("columns", "constraints", "ttl"))
    said = _toml_table(said, path)
    columns = {
        name: _read(ColumnDefinition, one, (*path, "columns", name)) for name, one in _section(said, "columns", path)
    }
    ttl = _read_duration(said["ttl"], (*path, "ttl")) if said.get("ttl", "") != "" else None
    constraints = {
        name: _read_constraint(name, one, (*path, "constraints", name))
        for name, one in _section(said, "constraints", path)
    }
    return msgspec.structs.replace(table, columns=columns, constraints=constraints, ttl=ttl)


def _read_constraint(name: str, written: object, path: tuple[str, ...]) -> Constraint:
    """Read a constraint: in words, or as a table of TOML."""
    try:
        if isinstance(written, str):
            return msgspec.structs.replace(texts.read(written), name=name)
        return texts.read({**_toml_table(written, path), "name": name})
    except InvalidInputError as error:
        raise InvalidInputError(f"{key_path(path)}: {error.message}", hint=error.hint) from error


def _read_duration(written: object, path: tuple[str, ...]) -> timedelta:
    if not isinstance(written, str):
        raise InvalidInputError(f"{key_path(path)} is {written!r}", hint='write it like ttl = "30d"')
    try:
        return parse_duration(written)
    except InvalidInputError as error:
        raise InvalidInputError(f"{key_path(path)}: {error.message}", hint=error.hint) from error


def _read(kind: type[T], said: object, path: tuple[str, ...], without: tuple[str, ...] = ()) -> T:
    """Read one definition; what is in `without` is left for others to read."""
    written = _toml_table(said, path)
    _check_keys(written, kind.__struct_fields__, path)
    fields = {name: value for name, value in written.items() if name not in without}
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise InvalidInputError(
            f"{key_path(path)}{where.rstrip('`')}: {what}", hint="see docs/catalogue.md for what each key takes"
        ) from error


def _check_keys(said: Mapping[str, Any], known: Sequence[str], path: tuple[str, ...]) -> None:
    for name in said:
        if name not in known:
            raise InvalidInputError(
                f"{key_path((*path, name))}: there is no such key",
                hint=did_you_mean(name, known) or f"known are {', '.join(known)}",
            )
