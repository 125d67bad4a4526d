"""What a table declares: its columns, keys and promises, kept in the table's own Delta metadata.

There is no second registry: everything below is written into the `metaData` action of the table's log (the
schema's fields and the configuration), where other Delta readers see an ordinary schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import msgspec
import polars as pl

from tiffin.errors import CorruptData, FeatureNotFound, InvalidInputError, SchemaMismatch, did_you_mean
from tiffin.schema import about as abouts
from tiffin.schema import dtypes
from tiffin.schema.about import NOTHING, About
from tiffin.schema.constraints import delta
from tiffin.schema.constraints.fitting import check_constraints
from tiffin.schema.constraints.kinds import Constraint, merged, renamed
from tiffin.schema.defaults import Default, check_default, from_text, in_type, to_text
from tiffin.schema.deprecation import Deprecation
from tiffin.schema.derivation import Derivation
from tiffin.schema.rules import Rule, check_rule

DECLARATION = "tiffin.table"
"""Key of the table's declaration in the configuration of the Delta metadata."""

_DTYPE, _ORIGIN, _DEFAULT, _COMMENT = "tiffin.dtype", "tiffin.origin", "tiffin.default", "comment"
_ABOUT = "tiffin.about"
_ALIASES, _DEPRECATED = "tiffin.aliases", "tiffin.deprecated"
_PARTITION_TYPES = (pl.String, pl.Boolean, pl.Date, pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_NOT_A_KEY = (pl.Float16, pl.Float32, pl.Float64, pl.List, pl.Array, pl.Struct, pl.Map, pl.Object, pl.Null)


class Column(msgspec.Struct, frozen=True):
    """One feature of a table."""

    name: str
    dtype: pl.DataType
    origin: str = ""
    """Type in the pandas or Arrow frame it came from, where the dtype does not say it all."""
    description: str = ""
    default: Default | None = None
    """Answers for a value that is missing, where features are asked for; None if nothing does."""
    about: About = NOTHING
    aliases: tuple[str, ...] = ()
    """Names that the column had before, the latest first; they still mean it."""
    deprecated: Deprecation | None = None
    """Says that it should not be used any more; None if it may."""


class TableSpec(msgspec.Struct, frozen=True, dict=True):
    """Everything a table declares about itself.

    What follows from the fields is worked out once: a table may have thousands of columns, and be asked for each.
    """

    columns: tuple[Column, ...]
    entity: tuple[str, ...] = ()
    timestamp: str | None = None
    created: str | None = None
    """Column that says when a row was made; decides between rows of equal timestamps."""
    ttl: timedelta | None = None
    partition_by: tuple[str, ...] = ()
    description: str = ""
    online: bool = False
    """Whether the online index holds the table's newest rows."""
    derivation: Derivation | None = None
    """What the rows are made from, if `derive` makes them."""
    about: About = NOTHING
    rule: Rule = "backward"
    """What the table promises its readers, whatever is saved to it."""
    major: int = 0
    """How often that promise was broken: each time, with `evolve`, the schema became one for other readers."""
    constraints: tuple[Constraint, ...] = ()
    """What its rows must satisfy; each has a name of its own."""

    @cached_property
    def names(self) -> list[str]:
        """Names of all columns, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def features(self) -> list[str]:
        """Names of the columns that are neither keys nor times."""
        keys = {*self.entity, self.timestamp, self.created}
        return [column.name for column in self.columns if column.name not in keys]

    @cached_property
    def aliases(self) -> dict[str, str]:
        """The column that each name of before means now."""
        return {alias: column.name for column in self.columns for alias in column.aliases}

    @cached_property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Dtype of each column, as the table's users see it."""
        return {column.name: column.dtype for column in self.columns}

    @cached_property
    def stored(self) -> dict[str, pl.DataType]:
        """Dtype of each column as it lies in the Parquet files."""
        return {column.name: dtypes.stored_dtype(column.dtype) for column in self.columns}

    @cached_property
    def origins(self) -> dict[str, str]:
        """Origin of each column that has one."""
        return {column.name: column.origin for column in self.columns if column.origin}

    @cached_property
    def defaults(self) -> dict[str, Default]:
        """Default of each feature that has one, of the same kind as the column's values."""
        return {
            column.name: in_type(column.default, column.dtype) for column in self.columns if column.default is not None
        }

    @property
    def order(self) -> list[str]:
        """Columns by which rows are sorted in the files; empty where the order they were saved in is kept."""
        if not (self.entity and self.timestamp):
            return []
        return [*self.entity, self.timestamp, *([self.created] if self.created else [])]

    @property
    def row_key(self) -> list[str]:
        """Columns that tell rows apart: the entity, with the timestamp if there is one."""
        return [*self.entity, *([self.timestamp] if self.timestamp and self.entity else [])]

    def check_features(self, names: Sequence[str], table: str) -> list[str]:
        """Return `names` if the table has them all.

        Raises
        ------
        FeatureNotFound
            Naming the first one that is missing, with close names.
        InvalidInputError
            It is no list of names.
        """
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise InvalidInputError(f"columns is a list of names, not {names!r}", hint=f"write [{names!r}]")
        known = self.dtypes
        wanted = list(names)
        for name in wanted:
            if not isinstance(name, str) or name not in known:
                raise FeatureNotFound(f"table {table} has no feature {name!r}", hint=did_you_mean(str(name), known))
        return list(dict.fromkeys(wanted))


class Declaration(msgspec.Struct, frozen=True):
    """What the caller of a save declares; None leaves it as the table has it."""

    entity: str | Sequence[str] | None = None
    timestamp: str | None = None
    created: str | None = None
    ttl: timedelta | None = None
    partition_by: str | Sequence[str] | None = None
    description: str | None = None
    online: bool | None = None
    defaults: Mapping[str, Default | None] | None = None
    """Defaults of some features; None as the value takes a feature's default away."""
    derivation: Derivation | None = None
    rule: Rule | None = None
    constraints: Sequence[Constraint] | None = None
    """Constraints to add; one of the same name takes the other's place."""


def declare(columns: Sequence[Column], declared: Declaration, previous: TableSpec | None) -> TableSpec:
    """Make the spec of a frame that is about to be saved; `check` tells whether it can be one.

    Parameters
    ----------
    columns : sequence of Column
        The frame's columns.
    declared : Declaration
        What the caller said.
    previous : TableSpec or None
        The table as it stands; what was not said is taken from it.

    Returns
    -------
    TableSpec

    Raises
    ------
    SchemaMismatch
        A default is declared of a column that the frame does not have.
    """
    old = previous or TableSpec(())
    entity = _as_tuple(declared.entity)
    if entity is None:
        entity = old.entity if previous else _default_entity(columns)
    partition_by = _as_tuple(declared.partition_by)
    return TableSpec(
        columns=_with_what_is_known(columns, declared.defaults or {}, old),
        entity=entity,
        timestamp=old.timestamp if declared.timestamp is None else declared.timestamp,
        created=old.created if declared.created is None else declared.created,
        ttl=old.ttl if declared.ttl is None else declared.ttl,
        partition_by=old.partition_by if partition_by is None else partition_by,
        description=old.description if declared.description is None else declared.description,
        online=old.online if declared.online is None else declared.online,
        derivation=old.derivation if declared.derivation is None else declared.derivation,
        about=old.about,
        rule=old.rule if declared.rule is None else declared.rule,
        major=old.major,
        constraints=merged(old.constraints, declared.constraints or ()),
    )


def _with_what_is_known(
    columns: Sequence[Column], declared: Mapping[str, Default | None], old: TableSpec
) -> tuple[Column, ...]:
    """Give the columns what the table declares of them, and the defaults that were declared anew."""
    names = [column.name for column in columns]
    for name in declared:
        if name not in names:
            raise SchemaMismatch(
                f"a default is declared of column {name!r}, which is not in the frame",
                hint=did_you_mean(str(name), names),
            )
    known = {column.name: column for column in old.columns}
    return tuple(_known(column, known.get(column.name, column), declared) for column in columns)


def _known(column: Column, known: Column, declared: Mapping[str, Default | None]) -> Column:
    return msgspec.structs.replace(
        known,
        dtype=column.dtype,
        origin=column.origin,
        description=column.description or known.description,
        default=declared.get(column.name, known.default),
    )


def _default_entity(columns: Sequence[Column]) -> tuple[str, ...]:
    """Take `entity_id` for the entity if it can be one: pandas makes floats of whole numbers with a gap."""
    usable = any(column.name == "entity_id" and column.dtype.base_type() not in _NOT_A_KEY for column in columns)
    return ("entity_id",) if usable else ()


def check_declaration(declared: Declaration, table: str) -> None:
    """Check that what a caller declares is of the right kind, whatever the frame holds.

    Raises
    ------
    InvalidInputError
        Naming the argument.
    """
    for argument, value in (("entity", declared.entity), ("partition_by", declared.partition_by)):
        names = (value,) if isinstance(value, str) or value is None else value
        if not isinstance(names, Sequence) or not all(isinstance(name, str | None) for name in names):
            raise InvalidInputError(
                f"{argument} of table {table} is {value!r}", hint=f"write {argument}='column' or a list of columns"
            )
    for argument, value in (("timestamp", declared.timestamp), ("created", declared.created)):
        if not isinstance(value, str | None):
            raise InvalidInputError(f"{argument} of table {table} is {value!r}", hint=f"write {argument}='column'")
    if not isinstance(declared.description, str | None):
        raise InvalidInputError(
            f"description of table {table} is {declared.description!r}", hint="describe it in words"
        )
    if not isinstance(declared.ttl, timedelta | None):
        raise InvalidInputError(f"ttl of table {table} is {declared.ttl!r}", hint="write timedelta(days=30)")
    if not isinstance(declared.online, bool | None):
        raise InvalidInputError(f"online of table {table} is {declared.online!r}", hint="write True or False")
    if not isinstance(declared.defaults, Mapping | None):
        raise InvalidInputError(
            f"defaults of table {table} are {declared.defaults!r}", hint="write defaults={'feature': value}"
        )
    if declared.rule is not None:
        check_rule(declared.rule, table)


def in_names(declared: Declaration, names: Mapping[str, str], table: str) -> Declaration:
    """Say what a caller declares of columns in other names of theirs.

    Raises
    ------
    InvalidInputError
        An SQL expression may name one of the columns: it is not rewritten.
    """

    def called(given: str | Sequence[str] | None) -> Any:
        if given is None or isinstance(given, str):
            return names.get(given, given) if given else given
        return [names.get(name, name) for name in given]

    defaults, constraints = declared.defaults, declared.constraints
    return msgspec.structs.replace(
        declared,
        entity=called(declared.entity),
        timestamp=called(declared.timestamp),
        created=called(declared.created),
        partition_by=called(declared.partition_by),
        defaults=defaults and {names.get(name, name): value for name, value in defaults.items()},
        constraints=constraints and renamed(constraints, names, table),
    )


def _as_tuple(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None or isinstance(names, str):
        return None if names is None else (names,)
    return tuple(names)


def check(spec: TableSpec, table: str) -> None:
    """Check that a spec's keys are columns that can serve as such.

    Raises
    ------
    SchemaMismatch
        A declared column is not there or has a type that cannot serve, or a default has no place in its column.
    InvalidInputError
        The ttl makes no sense, or the table cannot be online.
    """
    known = spec.dtypes
    roles = {
        "entity": spec.entity,
        "timestamp": (spec.timestamp,) if spec.timestamp else (),
        "created": (spec.created,) if spec.created else (),
        "partition": spec.partition_by,
    }
    for role, names in roles.items():
        for name in names:
            if name not in known:
                raise SchemaMismatch(
                    f"{role} column {name!r} of table {table} is not in the frame",
                    hint=did_you_mean(str(name), known),
                )
            _check_role(role, name, known[name], table)
    if len(set(spec.row_key)) != len(spec.row_key):
        raise SchemaMismatch(f"table {table} uses a column as a key twice: {', '.join(spec.row_key)}")
    if spec.ttl is not None and spec.ttl <= timedelta(0):
        raise InvalidInputError(f"ttl of table {table} is {spec.ttl}", hint="a ttl is a time longer than zero")
    if spec.ttl is not None and not spec.timestamp:
        raise InvalidInputError(
            f"table {table} has a ttl and no timestamp", hint="declare its column of times (timestamp=…, --timestamp)"
        )
    if spec.partition_by and len(spec.partition_by) == len(spec.columns):
        raise SchemaMismatch(f"table {table} is partitioned by all its columns", hint="leave one to be stored")
    if spec.online and not (spec.entity or spec.timestamp):
        raise InvalidInputError(
            f"table {table} is online and has neither an entity nor a timestamp to tell its newest rows by",
            hint="declare its keys (entity=…, --entity), or leave it offline (online=False, --no-online)",
        )
    _check_names(spec, table)
    _check_defaults(spec, table)
    check_constraints(spec.constraints, known, spec.row_key, spec.timestamp, table)


def _check_names(spec: TableSpec, table: str) -> None:
    """Refuse a name that means two columns, now or because one had it before; case tells no names apart."""
    seen: dict[str, str] = {}
    for column in spec.columns:
        for name in (column.name, *column.aliases):
            if seen.get(name.lower(), column.name) != column.name:
                raise SchemaMismatch(
                    f"in table {table}, {name!r} would mean two columns: {seen[name.lower()]!r} and {column.name!r}",
                    hint="a name means one column, also after it was renamed: choose another",
                )
            seen[name.lower()] = column.name


def _check_defaults(spec: TableSpec, table: str) -> None:
    features = spec.features
    for column in spec.columns:
        if column.default is None:
            continue
        if column.name not in features:
            raise SchemaMismatch(
                f"column {column.name!r} of table {table} has a default and is a key or time, which is never missing",
                hint=f"declare defaults of features only; take this one away (defaults={{{column.name!r}: None}}, "
                f"--default {column.name}=)",
            )
        check_default(column.default, column.dtype, column.name, table)


def _check_role(role: str, name: str, dtype: pl.DataType, table: str) -> None:
    base = dtype.base_type()
    where = f"{role} column {name!r} of table {table} is {dtype}"
    if role in {"timestamp", "created"} and base not in {pl.Datetime, pl.Date}:
        raise SchemaMismatch(where, hint="a time is a datetime or date column; parse texts and numbers first")
    if role == "partition" and base not in _PARTITION_TYPES:
        raise SchemaMismatch(where, hint="partition by texts, whole numbers, booleans or dates")
    if role == "entity" and base in _NOT_A_KEY:
        raise SchemaMismatch(where, hint="a key is compared for equality: use whole numbers, texts, dates or booleans")


def put_online(spec: TableSpec) -> TableSpec:
    """Declare a table online."""
    return msgspec.structs.replace(spec, online=True)


def to_metadata(spec: TableSpec) -> tuple[str, dict[str, str]]:
    """Write a spec as the Delta schema (JSON text) and the table's configuration."""
    not_null = delta.without_nulls(spec.constraints)
    fields = [
        {
            "name": column.name,
            "type": dtypes.delta_type(column.dtype),
            "nullable": column.name not in not_null,
            "metadata": _field_metadata(column),
        }
        for column in spec.columns
    ]
    declaration = {
        "entity": spec.entity,
        "timestamp": spec.timestamp,
        "created": spec.created,
        "ttl": spec.ttl,
        "description": spec.description,
        "online": spec.online,
        "derivation": spec.derivation,
        "about": spec.about if spec.about != NOTHING else None,
        "rule": spec.rule if spec.rule != "backward" else None,
        "major": spec.major,
        "constraints": spec.constraints,
    }
    text = msgspec.json.encode({name: value for name, value in declaration.items() if value}).decode()
    schema = msgspec.json.encode({"type": "struct", "fields": fields}).decode()
    # Without this, other writers would throw away the log of old versions when they write a checkpoint.
    kept = {DECLARATION: text, "delta.enableExpiredLogCleanup": "false"}
    return schema, kept | delta.checks(spec.constraints, spec.dtypes)


def _field_metadata(column: Column) -> dict[str, str]:
    kept = {_DTYPE: dtypes.encode(column.dtype), _ORIGIN: column.origin, _COMMENT: column.description}
    kept[_ABOUT] = abouts.to_text(column.about)
    if column.default is not None:
        kept[_DEFAULT] = to_text(column.default)
    if column.aliases:
        kept[_ALIASES] = msgspec.json.encode(column.aliases).decode()
    if column.deprecated is not None:
        kept[_DEPRECATED] = msgspec.json.encode(column.deprecated).decode()
    return {key: value for key, value in kept.items() if value}


class _Declared(msgspec.Struct):
    entity: tuple[str, ...] = ()
    timestamp: str | None = None
    created: str | None = None
    ttl: timedelta | None = None
    description: str = ""
    online: bool = False
    derivation: Derivation | None = None
    about: About = NOTHING
    rule: Rule = "backward"
    major: int = 0
    constraints: tuple[Constraint, ...] = ()


def from_metadata(schema: str, configuration: Mapping[str, str], partition_by: Sequence[str], table: str) -> TableSpec:
    """Read a spec back from Delta metadata; a table that another writer made declares nothing.

    Raises
    ------
    CorruptData
        The metadata cannot be understood.
    """
    try:
        fields = msgspec.json.decode(schema)["fields"]
        declared = msgspec.json.decode(configuration.get(DECLARATION, "{}"), type=_Declared)
        columns = tuple(_column(field) for field in fields)
        not_nullable = {field["name"] for field in fields if not field.get("nullable", True)}
    except (msgspec.MsgspecError, KeyError, TypeError, InvalidInputError) as error:
        raise CorruptData(f"the metadata of table {table} cannot be read: {error}") from error
    known = {column.name: column.dtype for column in columns}
    return TableSpec(
        columns=columns,
        entity=declared.entity,
        timestamp=declared.timestamp,
        created=declared.created,
        ttl=declared.ttl,
        partition_by=tuple(partition_by),
        description=declared.description,
        online=declared.online,
        derivation=declared.derivation,
        about=declared.about,
        rule=declared.rule,
        major=declared.major,
        constraints=delta.read_back(declared.constraints, known, not_nullable, configuration),
    )


def _column(field: Mapping[str, Any]) -> Column:
    metadata = field.get("metadata") or {}
    written = dtypes.from_delta(field["type"])
    dtype = dtypes.decode(metadata[_DTYPE]) if _DTYPE in metadata else written
    column = Column(
        field["name"],
        written,
        description=metadata.get(_COMMENT, ""),
        about=abouts.from_text(metadata.get(_ABOUT, "")),
        aliases=msgspec.json.decode(metadata[_ALIASES], type=tuple[str, ...]) if _ALIASES in metadata else (),
        deprecated=msgspec.json.decode(metadata[_DEPRECATED], type=Deprecation) if _DEPRECATED in metadata else None,
    )
    # Another writer may have changed the type and carried our note of the old one along.
    if dtypes.stored_dtype(dtype) != written:
        return column
    default = from_text(metadata[_DEFAULT]) if _DEFAULT in metadata else None
    return msgspec.structs.replace(column, dtype=dtype, origin=metadata.get(_ORIGIN, ""), default=default)
