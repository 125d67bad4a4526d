"""What applying a definition changes, field by field (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tiffin.definitions.document import builtins_of, key_path
from tiffin.definitions.model import ServiceDefinition, TableDefinition


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a definition that is added, changed or removed."""

    what: Literal["table", "service"]
    name: str
    """Of the table, `group/name`, or of the service."""
    field: str
    """As in TOML: `owner`, `labels.team`, `columns.mean.unit`."""
    kind: Literal["added", "changed", "removed"]
    old: Any = None
    """None if it is added."""
    new: Any = None
    """None if it is removed."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What definitions changed, or would change."""

    is_plan: bool
    """Whether nothing was changed: this is what would be."""
    changes: tuple[FieldChange, ...]
    versions: dict[str, int] = {}
    """Table to the version that was made; a table that declares what it should already gets none."""
    missing: tuple[str, ...] = ()
    """Tables that do not exist, and were passed over."""
    warnings: tuple[str, ...] = ()
    """What went wrong after a version was made, which is there all the same; and what rows break that only warns."""


def compare(
    name: str, old: TableDefinition | ServiceDefinition | None, new: TableDefinition | ServiceDefinition
) -> tuple[FieldChange, ...]:
    """List what differs between two definitions, in the order of their fields.

    Parameters
    ----------
    name : str
        Of the table or service.
    old : TableDefinition or ServiceDefinition or None
        What is declared; None of a service that does not exist.
    new : TableDefinition or ServiceDefinition
        What is to be declared. Keys of a table that are None stay as they are.

    Returns
    -------
    tuple of FieldChange
    """
    what: Literal["table", "service"] = "table" if isinstance(new, TableDefinition) else "service"
    before = dict(_fields(old)) if old is not None else {}
    after = dict(_fields(new))
    if isinstance(new, TableDefinition):
        kept = [key for key in ("entity", "timestamp", "created") if getattr(new, key) is None]
        after |= {(key,): before[(key,)] for key in kept if (key,) in before}
    changes = []
    for path in dict.fromkeys([*before, *after]):
        if before.get(path) == after.get(path):
            continue
        kind: Literal["added", "changed", "removed"] = "changed" if path in before else "added"
        changes.append(
            FieldChange(
                what=what,
                name=name,
                field=key_path(path),
                kind=kind if path in after else "removed",
                old=before.get(path),
                new=after.get(path),
            )
        )
    return tuple(changes)


def _fields(definition: msgspec.Struct) -> Iterator[tuple[tuple[str, ...], Any]]:
    """List what is said, one field after the other: what is not said is left out."""
    yield from _leaves(builtins_of(definition), ())


def _leaves(said: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(said, dict):
        for name, value in said.items():
            yield from _leaves(value, (*path, name))
    else:
        yield path, said
