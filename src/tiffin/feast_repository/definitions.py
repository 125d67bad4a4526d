"""What a Feast repository defines, as far as Tiffin can take it over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec

from tiffin.feast_repository.kinds import Kind
from tiffin.feast_repository.values import Place


class LeftOut(msgspec.Struct, frozen=True):
    """Something that was not taken over."""

    what: str
    where: str
    """File and line, or the table it is about."""
    why: str


@dataclass(frozen=True)
class Field:
    """A column that a feature view declares."""

    name: str
    kind: Kind
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A Parquet file, or a folder of them."""

    path: Path
    written: str
    """The path as it is written."""
    timestamp: str
    """Empty if it is not said."""
    created: str
    mapping: dict[str, str]
    """Columns of the file to the names that they have in views."""


@dataclass(frozen=True)
class View:
    """A feature view whose rows lie in a Parquet file."""

    name: str
    place: Place
    source: Source
    keys: tuple[str, ...]
    """Join keys of its entities; none if it has no entity."""
    fields: tuple[Field, ...]
    """Columns whose type is declared. None of them a feature: all columns are."""
    ttl: timedelta | None
    online: bool
    description: str
    owner: str
    labels: Mapping[str, str]

    @property
    def features(self) -> list[str]:
        """Names of the features that are declared."""
        return [each.name for each in self.fields if each.name not in self.keys]


@dataclass(frozen=True)
class Part:
    """What a feature service takes of one view."""

    view: str
    features: tuple[str, ...] | None
    """None if it takes them all."""


@dataclass(frozen=True)
class Service:
    """A feature service, as far as it asks for views that are taken over."""

    name: str
    place: Place
    parts: tuple[Part, ...]
    description: str


@dataclass(frozen=True)
class Definitions:
    """What a repository defines."""

    views: list[View]
    services: list[Service]
    left_out: list[LeftOut]
