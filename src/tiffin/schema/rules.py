"""Compatibility rules: what a table promises those who read it, whatever is saved to it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from tiffin.errors import InvalidInputError

Rule = Literal["backward", "forward", "full", "none"]
Direction = Literal["backward", "forward"]
"""`backward`: who knows the new schema can read rows of the old one. `forward`: who knows the old schema can read rows
of the new one."""

PROMISES: Mapping[Rule, frozenset[Direction]] = {
    "backward": frozenset(["backward"]),
    "forward": frozenset(["forward"]),
    "full": frozenset(["backward", "forward"]),
    "none": frozenset(),
}
"""What each rule promises; the words are those of Avro and of schema registries."""


def check_rule(rule: object, table: str) -> None:
    """Check that a caller names a rule.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    if rule not in get_args(Rule):
        raise InvalidInputError(
            f"rule of table {table} is {rule!r}",
            hint=f"choose {', '.join(get_args(Rule)[:-1])} or {get_args(Rule)[-1]}",
        )
