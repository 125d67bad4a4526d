"""What is asked for: from references, or the name of a feature service, to tables, versions and columns.

Training and serving both begin here, so that one list of references means the same to both.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from tiffin.errors import (
    Ambiguous,
    DeprecatedFeature,
    FeatureNotFound,
    InvalidInputError,
    MajorChanged,
    ServiceNotFound,
    TableNotFound,
    did_you_mean,
)
from tiffin.registry import Registry, Service
from tiffin.schema.evolution import column_of
from tiffin.schema.names import Reference, TableName, parse_reference
from tiffin.tables.catalog import Catalog
from tiffin.tables.state import State
from tiffin.tables.table import Table

Features = str | Sequence[str] | Service
"""References, one reference, or a feature service or its name."""

_HINT = "write ['group/name:feature', …], or the name of a feature service"


class Wanted(NamedTuple):
    """What is asked of one table."""

    table: Table
    state: State
    """The version that answers."""
    features: tuple[str, ...]
    """Columns of the table."""
    names: tuple[str, ...]
    """Their names in the answer."""
    pinned: bool
    """Whether the references chose the version; else it is the newest."""
    places: tuple[int, ...]
    """Where each feature stands among all that are asked for."""


@dataclass
class _Asked:
    """References to one table, as they are gathered."""

    first: str
    """The first of them, as it was written."""
    version: int | str | None
    table: Table
    state: State
    names: dict[str, str] = field(default_factory=dict)
    """Column to its name in the answer."""
    places: list[int] = field(default_factory=list)

    def add(self, feature: str, name: str, place: int) -> None:
        self.names[feature] = name
        self.places.append(place)

    def wanted(self) -> Wanted:
        pinned = self.version is not None
        return Wanted(self.table, self.state, (*self.names,), (*self.names.values(),), pinned, (*self.places,))


def resolve(
    catalog: Catalog, registry: Registry, features: Features, *, full_feature_names: bool = False
) -> list[Wanted]:
    """Find the tables, versions and columns that are asked for.

    A feature that is asked for twice is given once. Each table is looked up once, so its features are all of one
    version.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    registry : Registry
        The feature services.
    features : str, sequence of str, or Service
        References (`group/name` alone means all its features), a service, or the name of one.
    full_feature_names : bool
        Name the answers `group__name__feature`, or `name__feature` where the reference leaves the group out, instead
        of `feature`.

    Returns
    -------
    list of Wanted
        One for each table, in the order of first mention.

    Raises
    ------
    TableNotFound, FeatureNotFound, VersionNotFound, ServiceNotFound, InvalidName
        What is asked for is not there, or cannot be.
    Ambiguous
        A name means several tables, or a table and a service.
    InvalidInputError
        Nothing is asked for, one table at two versions, or two features of one name in the answer.
    """
    asked: dict[TableName, _Asked] = {}
    tables: dict[Reference, TableName] = {}
    owners: dict[str, str] = {}
    for text in references(catalog, registry, features):
        reference = parse_reference(text)
        # Once for each table: without a group, all tables are looked through.
        written = Reference(reference.group, reference.name)
        if written not in tables:
            tables[written] = catalog.name_of(reference)
        about = _about(catalog, asked, tables[written], reference)
        for feature in _columns(about, reference):
            if feature in about.names:
                continue
            # What was asked for by a name of before, or of later, is answered under that name.
            called = reference.feature or feature
            name = _answer_name(reference, called) if full_feature_names else called
            if name in owners:
                raise _same_name(name, owners[name], f"{about.table.name}:{feature}", full_feature_names)
            about.add(feature, name, len(owners))
            owners[name] = f"{about.table.name}:{feature}"
    return [one.wanted() for one in asked.values()]


def references(catalog: Catalog, registry: Registry, features: Features) -> tuple[str, ...]:
    """List what is asked for as references: those of the service, if it is one that is named.

    Raises
    ------
    InvalidInputError
        It is no list of texts, or an empty one.
    Ambiguous
        The text names both a service and a table.
    TableNotFound
        It names neither.
    """
    if isinstance(features, Service):
        return tuple(features.features)
    if isinstance(features, str):
        service = _service_named(catalog, registry, features)
        return (features,) if service is None else tuple(service.features)
    listed = tuple(features) if isinstance(features, Iterable) else (None,)
    if not all(isinstance(text, str) for text in listed):
        raise InvalidInputError(f"features is {features!r}", hint=_HINT)
    if not listed:
        raise InvalidInputError("no feature is asked for", hint=_HINT)
    return listed


def answer_names(wanted: Iterable[Wanted]) -> list[str]:
    """List the names of the features in the answer, in the order they were asked for."""
    placed = [pair for one in wanted for pair in zip(one.places, one.names, strict=True)]
    return [name for _, name in sorted(placed)]


def warn_of_deprecated(wanted: Iterable[Wanted]) -> None:
    """Warn, once for all of them, of features that should not be used any more."""
    today = datetime.now(UTC).date()
    told = []
    for one in wanted:
        marked = {column.name: column.deprecated for column in one.state.spec.columns if column.deprecated}
        told += [marked[name].warning(f"{one.table.name}:{name}", today) for name in one.features if name in marked]
    if told:
        warnings.warn(". ".join(told), DeprecatedFeature, stacklevel=callers_level())


def warn_of_majors(catalog: Catalog, registry: Registry, features: Features) -> None:
    """Warn if a service is asked for that was saved when the schema of a table was of another major version."""
    service = _service(catalog, registry, features)
    if service is None:
        return
    known = dict(zip(map(parse_reference, service.features), service.majors, strict=False))
    then = {reference._replace(feature=None): major for reference, major in known.items() if major is not None}
    _warn_of_majors(
        f"feature service {service.name!r}",
        ((str(at), major, catalog.resolve(at)[1].spec.major) for at, major in then.items()),
        "save it anew once that is what its model expects (replace=True, --replace)",
    )


def warn_of_majors_since(training_set: str, wanted: Iterable[Wanted]) -> None:
    """Warn if the schema of a table that a training set was made from is of another major version by now."""
    _warn_of_majors(
        f"training set {training_set!r}",
        ((str(one.table.name), one.state.spec.major, one.table.log.require().spec.major) for one in wanted),
        "a model that is trained on it may not fit what is served",
    )


def _warn_of_majors(what: str, majors: Iterable[tuple[str, int, int]], advice: str) -> None:
    told = [f"{table} ({then}, now {now})" for table, then, now in majors if then != now]
    if told:
        message = f"{what} was made for another major version of the schema of {', '.join(told)}: {advice}"
        warnings.warn(message, MajorChanged, stacklevel=callers_level())


def callers_level() -> int:
    """Count the calls up to the code that is not ours: it is warned where it asks for the feature."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "tiffin":
        level, frame = level + 1, frame.f_back
    return level - 1


def _service(catalog: Catalog, registry: Registry, features: Features) -> Service | None:
    """Return the service that is asked for, as it is or by its name; None if references are."""
    if isinstance(features, Service):
        return features
    return _service_named(catalog, registry, features) if isinstance(features, str) else None


def _service_named(catalog: Catalog, registry: Registry, text: str) -> Service | None:
    """Return the service of that name; None if the text is a reference."""
    if parse_reference(text) != Reference(None, text):
        return None
    tables = [str(name) for name in catalog.names() if name.name == text]
    try:
        service = registry.service(text)
    except ServiceNotFound as error:
        if tables:
            return None
        known = [*map(str, catalog.names()), *(service.name for service in registry.services())]
        raise TableNotFound(
            f"there is neither a table nor a feature service {text!r}", hint=did_you_mean(text, known), table=text
        ) from error
    if tables:
        raise Ambiguous(
            f"{text!r} is a feature service and the table {tables[0]}",
            hint=f"write {tables[0]} for the table; for the service pass store.service({text!r}), or --service {text}",
            candidates=[text, *tables],
        )
    return service


def _about(catalog: Catalog, asked: dict[TableName, _Asked], name: TableName, reference: Reference) -> _Asked:
    """Find the table of a reference, at the version that the references before it settled."""
    about = asked.get(name)
    if about is None:
        found = catalog.resolve(reference._replace(group=name.group))
        about = asked[name] = _Asked(str(reference), reference.version, *found)
    elif about.version != reference.version:
        raise InvalidInputError(
            f"{about.first} and {reference} ask for one table at two versions",
            hint="write the same @version in both; for two versions side by side, ask twice",
        )
    return about


def _columns(about: _Asked, reference: Reference) -> list[str]:
    spec = about.state.spec
    if reference.feature is None:
        if not spec.features:
            raise FeatureNotFound(f"table {about.table.name} has no features, only keys and times")
        return spec.features
    column = column_of(spec, reference.feature) or column_of(spec, reference.feature, about.table.log.require().spec)
    if column not in spec.features:
        what = "is a key or time of" if reference.feature in spec.names else "is not in"
        raise FeatureNotFound(
            f"feature {reference.feature!r} {what} table {about.table.name}",
            hint=did_you_mean(reference.feature, spec.features),
            table=str(about.table.name),
        )
    return [column]


def _answer_name(reference: Reference, feature: str) -> str:
    parts = (reference.group, reference.name, feature)
    return "__".join(part for part in parts if part is not None)


def _same_name(name: str, first: str, second: str, is_full: bool) -> InvalidInputError:
    full_names = "ask for full names (full_feature_names=True, --full-feature-names)"
    hint = "write the group in each reference" if is_full else full_names
    return InvalidInputError(f"{first} and {second} would both be called {name!r} in the answer", hint=hint, name=name)
