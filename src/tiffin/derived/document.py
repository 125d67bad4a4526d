"""Definitions of derived tables in a TOML file, so that they can live in git."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from tiffin.derived.listing import Derived
from tiffin.errors import InvalidInputError
from tiffin.schema.derivation import Windowed, definition
from tiffin.schema.names import parse_reference
from tiffin.schema.toml import read_toml

_EXAMPLE = """["user/activity"]
source = "interaction/ratings"
entity = "user_id"
windows = ["7d", "30d"]
aggregations.rating = ["mean", "count"]"""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a definition comes to."""

    table: str
    does: Literal["make", "make anew", "refresh", "nothing"]
    definition: Windowed
    online: bool | None = None
    """Whether the table is to be online; None leaves it as it is."""


def parse(text: str) -> dict[str, tuple[Windowed, bool | None]]:
    """Read definitions.

    Parameters
    ----------
    text : str
        TOML: a table for each derived table, called by its name, with the fields of `Windowed`, and `online`.

    Returns
    -------
    dict of str to (Windowed, bool or None)
        Of each table its definition, and whether it is to be online.

    Raises
    ------
    InvalidInputError
        It is no TOML, or a definition makes no sense; names the table.
    """
    document = read_toml(text, hint=f"write\n{_EXAMPLE}")
    return {name: _parsed(name, fields) for name, fields in document.items()}


def _parsed(name: str, fields: object) -> tuple[Windowed, bool | None]:
    reference = parse_reference(name)
    if not isinstance(fields, dict) or reference.group is None or reference.version or reference.feature:
        raise InvalidInputError(f"{name!r} defines no table", hint=f"write\n{_EXAMPLE}")
    fields = dict(fields)
    online = fields.pop("online", None)
    if not isinstance(online, bool | None):
        raise InvalidInputError(f"online of table {name} is {online!r}", hint="write true or false")
    try:
        return definition(fields), online
    except InvalidInputError as error:
        raise type(error)(f"table {name}: {error.message}", hint=error.hint) from error


def plan(definitions: dict[str, tuple[Windowed, bool | None]], derived: Sequence[Derived]) -> list[Planned]:
    """Tell what applying definitions comes to, in an order in which each finds its source.

    Parameters
    ----------
    definitions : dict
        As `parse` gives them.
    derived : sequence of Derived
        The tables that are derived already.
    """
    known = {one.table: one for one in derived}
    planned = []
    for name in _sources_first(definitions):
        what, online = definitions[name]
        one = known.get(name)
        if one is None:
            does: Literal["make", "make anew", "refresh", "nothing"] = "make"
        elif one.definition != what or online not in {None, one.online}:
            does = "make anew"
        else:
            does = "nothing" if one.behind == 0 else "refresh"
        planned.append(Planned(table=name, does=does, definition=what, online=online))
    return planned


def _sources_first(definitions: dict[str, tuple[Windowed, bool | None]]) -> list[str]:
    order: list[str] = []

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InvalidInputError(f"table {name} would be derived from itself", hint="derive it from another table")
        source = definitions[name][0].source
        if source in definitions:
            place(source, (*path, name))
        if name not in order:
            order.append(name)

    for name in definitions:
        place(name, ())
    return order
