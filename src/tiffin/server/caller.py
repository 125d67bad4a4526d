"""Who asks, and what they may do. The guard puts a `Caller` into each request: `request.state.caller`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import Self

import msgspec

from tiffin.access import Key, Scope
from tiffin.errors import Forbidden, Unauthenticated
from tiffin.schema.names import TableName

KEY_HINT = "send the header 'Authorization: Bearer tfn_…'; `tiffin keys create` makes a key"

_RANKS = {"read": 1, "write": 2, "admin": 3}
_MOST_LOGGED = 20


class Caller(msgspec.Struct, kw_only=True):
    """Who a request comes from, and what it turned out to ask for.

    Parameters
    ----------
    name : str
        The key's name, for the logs.
    scopes : tuple of str
        "read", "write" and "admin", of which each includes those before it; empty for who has shown no key.
    groups : tuple of str
        Patterns of the groups whose tables they may use: `user`, `team_*`, `*`.
    """

    name: str
    scopes: tuple[Scope, ...] = ()
    groups: tuple[str, ...] = ()
    asked: Scope | None = None
    """The greatest scope that was required of them, for the audit log."""
    tables: list[str] = []
    """Tables that it was required for, at most 20."""

    @classmethod
    def of(cls, key: Key) -> Self:
        """Make the caller of one request that showed a key."""
        return cls(name=key.name, scopes=key.scopes, groups=key.groups)

    @property
    def sees_all(self) -> bool:
        """Whether no group is closed to them, as a call about the whole store needs."""
        return "*" in self.groups

    def may(self, scope: Scope) -> bool:
        """Tell whether they may read, write or administer at all."""
        return _RANKS[scope] <= _rank(self.scopes)

    def sees(self, table: str | TableName) -> bool:
        """Tell whether a table is in a group that is open to them: `group/name`; a name alone is in no group."""
        if self.sees_all:
            return True
        group, slash, _ = str(table).partition("/")
        return bool(slash) and any(fnmatchcase(group, pattern) for pattern in self.groups)

    def require(self, scope: Scope, tables: Iterable[str | TableName] = ()) -> None:
        """Refuse what they may not do.

        Parameters
        ----------
        scope : "read", "write" or "admin"
            What is to be done.
        tables : iterable of str or TableName
            To which tables, as `group/name` (what follows the name does not matter). None: to nothing in particular.

        Raises
        ------
        Unauthenticated
            They have shown no key.
        Forbidden
            Their key does not cover it.
        """
        if self.asked is None or _RANKS[scope] > _RANKS[self.asked]:
            self.asked = scope
        if not self.scopes:
            raise Unauthenticated("this server asks for an API key", hint=KEY_HINT)
        if not self.may(scope):
            raise Forbidden(
                f"the key {self.name!r} may not {'administer' if scope == 'admin' else scope}",
                hint=f"use a key with the scope {scope!r}",
                scope=scope,
            )
        sees_all = self.sees_all
        for table in tables:
            if len(self.tables) < _MOST_LOGGED:
                self.tables.append(str(table))
            if not (sees_all or self.sees(table)):
                # Which one is not told: a service, a training set or a name alone may stand for it.
                raise Forbidden(
                    f"the key {self.name!r} does not cover all tables that this concerns",
                    hint=f"it covers the groups {', '.join(self.groups)}",
                )


@cache
def _rank(scopes: tuple[Scope, ...]) -> int:
    return max(map(_RANKS.__getitem__, scopes), default=0)


def anyone() -> Caller:
    """Make the caller of a request where no keys exist: may do everything."""
    return Caller(name="anyone", scopes=("admin",), groups=("*",))


def nobody() -> Caller:
    """Make the caller of a request that shows no key where keys exist: reaches only what is open to all."""
    return Caller(name="nobody")
