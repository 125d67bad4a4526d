"""What the Python of a Feast repository stands for, as far as it can be told without running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

Value = Any
"""A literal of Python, a `timedelta`, a `PurePath`, or one of the classes below; lists and dicts hold more of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: prints as ``features.py:12``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """What would have to be run to be known."""

    place: Place
    why: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A name that is imported from a library: ``feast.types.Float32``."""

    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def is_of_feast(self) -> bool:
        """Whether the library is Feast."""
        return self.path.partition(".")[0] == "feast"


@dataclass(frozen=True, slots=True)
class Function:
    """A function or class of the repository: it would have to be run."""

    name: str


@dataclass(frozen=True, slots=True)
class Method:
    """A method of something, not called yet."""

    owner: Value
    name: str


@dataclass(eq=False)
class Made:
    """What a call of one of Feast's classes makes. It is the same object wherever a name leads to it."""

    kind: str
    place: Place
    positional: list[Value] = field(default_factory=list)
    named: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kind = _DECORATORS.get(self.kind, self.kind)

    @property
    def name(self) -> str:
        """The name that it is given; empty if it has none, or one that is not known."""
        name = self.named.get("name")
        return name if isinstance(name, str) else ""

    @property
    def label(self) -> str:
        """What people call it: its kind, and its name where it has one."""
        return f"{self.kind} {self.name}" if self.name else self.kind


_DECORATORS = {
    "batch_feature_view": "BatchFeatureView",
    "on_demand_feature_view": "OnDemandFeatureView",
    "stream_feature_view": "StreamFeatureView",
}


@dataclass(eq=False)
class Module:
    """A file of the repository, and what its names stand for when it has been read to the end."""

    file: str
    names: dict[str, Value] = field(default_factory=dict)


def unknown_in(value: Value) -> Unknown | None:
    """Find something that is not known in a value, at any depth of its lists and dicts; None if all is known."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, Unknown):
            return part
        # A list may stand in many places: it is looked through once.
        if isinstance(part, dict | list | tuple) and id(part) not in seen:
            seen.add(id(part))
            waiting += part.values() if isinstance(part, dict) else part
    return None


def shown(value: Value) -> str:
    """Write a value for a message."""
    match value:
        case Made():
            return value.label
        case Outside():
            return value.path
        case Function():
            return f"{value.name}()"
        case str() | PurePath():
            text = repr(str(value))
            return text if len(text) <= 60 else text[:57] + "…"
        case int() | float() | None:
            return repr(value)
    return f"a {type(value).__name__.lower()}"
