"""API keys of a store, in one file that only its owner may read.

A key's secret is shown once, when it is made; the file holds its SHA-256. A hash that is slow on purpose, as for
passwords, would gain nothing: nobody tries out 2 ** 256 secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tiffin.errors import ConflictError, CorruptData, InvalidInputError, NotFoundError, StorageError, did_you_mean
from tiffin.files import LOCAL, FileSystem, Stat, contained, make_folders, sweep, translated, write_durably
from tiffin.files.sealed import seal, unseal
from tiffin.schema.names import check_part

Scope = Literal["read", "write", "admin"]

SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""What a key may be for; each includes those before it."""

PREFIX = "tfn_"
"""How every secret begins, so that one that has leaked is found by searching."""

LOOK_EVERY_S = 0.5
"""How long a change of the file may go unnoticed, seconds: a key that was revoked works no longer than that."""

_PATTERN = re.compile(r"[A-Za-z0-9_*?-]{1,128}")
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key without its secret."""

    name: str
    scopes: tuple[Scope, ...]
    """What it is for: "read", "write" or "admin", each of which includes those before it."""
    groups: tuple[str, ...] = ("*",)
    """Patterns of the groups whose tables it covers: `user`, `team_*`, `*`."""
    created: _Instant
    """UTC."""
    expires: _Instant | None = None
    """From when on it is refused, UTC."""
    revoked: _Instant | None = None
    """Since when it is refused, UTC."""

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class _Stored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: Key
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: tuple[_Stored, ...] = ()


class Keys:
    """The API keys of a store.

    Parameters
    ----------
    fs : FileSystem
        Where their file lies.
    path : Path
        The file; it need not exist.
    """

    def __init__(self, fs: FileSystem, path: Path) -> None:
        self._fs = fs
        self._path = path
        self._edition: Stat | None = None
        self._stored: tuple[_Stored, ...] = ()
        self._look_at = float("-inf")

    def create(
        self, name: str, scopes: Sequence[str], groups: Sequence[str] = ("*",), expires: datetime | None = None
    ) -> tuple[Key, str]:
        """Make a key; when this returns, it survives a power loss.

        Parameters
        ----------
        name : str
            What the key is called in lists and logs; that of a revoked or expired key can be taken again.
        scopes : sequence of str
            At least one of "read", "write" and "admin".
        groups : sequence of str
            Patterns of the groups that it covers, with `*` and `?`.
        expires : datetime, optional
            From when on it is refused; without a zone, UTC.

        Returns
        -------
        key : Key
        secret : str
            Shown now and never again.

        Raises
        ------
        ConflictError
            The name is that of a valid key.
        InvalidInputError
            A scope, a pattern or the time is not allowed.
        """
        now = datetime.now(UTC)
        key = Key(
            name=check_part(name, "key"),
            scopes=_scopes(scopes),
            groups=_groups(groups),
            created=now,
            expires=_expiry(expires, now),
        )
        secret = PREFIX + secrets.token_urlsafe(32)
        make_folders(self._fs, self._path.parent)
        with self._fs.lock(self._lock_path):
            kept = [stored for stored in self._read() if stored.key.name != name or stored.key.is_valid(now)]
            if any(stored.key.name == name for stored in kept):
                raise ConflictError(
                    f"there is a key {name!r} already", hint="choose another name, or revoke that one first", key=name
                )
            self._write([*kept, _Stored(key=key, sha256=_digest(secret))])
        return key, secret

    def keys(self) -> list[Key]:
        """List all keys, also those that were revoked or have expired, in the order they were made.

        Raises
        ------
        CorruptData
            The file is damaged.
        """
        return [stored.key for stored in self._read()]

    def revoke(self, name: str) -> Key:
        """Refuse a key from now on; running servers follow within half a second.

        The key stays in the list: a store whose last key was revoked is closed, not open.

        Returns
        -------
        Key
            As it is now.

        Raises
        ------
        NotFoundError
            There is no valid key of this name.
        """
        now = datetime.now(UTC)
        make_folders(self._fs, self._path.parent)
        with self._fs.lock(self._lock_path):
            stored = self._read()
            valid = {each.key.name: each for each in stored if each.key.is_valid(now)}
            if name not in valid:
                hint = did_you_mean(name, valid) or "there are no keys to revoke"
                raise NotFoundError(f"there is no valid key {name!r}", hint=hint, key=name)
            revoked = msgspec.structs.replace(valid[name].key, revoked=now)
            self._write(
                [msgspec.structs.replace(each, key=revoked) if each is valid[name] else each for each in stored]
            )
        return revoked

    def exist(self) -> bool:
        """Tell whether a key was ever made here, so that requests must show one.

        Raises
        ------
        CorruptData
            The file is damaged: then nobody is let in.
        """
        self._look()
        return bool(self._stored)

    def verify(self, secret: str) -> Key | None:
        """Find the valid key that has this secret.

        Takes the same time for every wrong secret: its hash is compared in full to that of each key.

        Parameters
        ----------
        secret : str
            As the caller sent it.

        Returns
        -------
        Key or None
            None if there is none.

        Raises
        ------
        CorruptData
            The file is damaged: then nobody is let in.
        """
        self._look()
        digest = _digest(secret)
        found = None
        for stored in self._stored:
            if hmac.compare_digest(stored.sha256, digest):
                found = stored.key
        return found if found is not None and found.is_valid(datetime.now(UTC)) else None

    def _look(self) -> None:
        """Read the file again if it is another than it was, which is looked up now and then."""
        now = time.monotonic()
        if now < self._look_at:
            return
        with translated(self._path, doing="look at"):
            edition = self._fs.stat(self._path)
            is_gone = edition is None and self._stored and self._fs.stat(self._path.parent) is None
        if is_gone:
            # Somebody who removes the file opens the store; a disk that is away must not.
            raise StorageError(
                f"the folder of the API keys is gone: {self._path.parent}", hint="look whether its disk is there"
            )
        if edition != self._edition:
            self._stored, self._edition = self._read(), edition
        self._look_at = now + LOOK_EVERY_S

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(f".{self._path.name}.lock")

    def _read(self) -> tuple[_Stored, ...]:
        with translated(self._path, doing="read"):
            if self._fs.stat(self._path) is None:
                return ()
            text = bytes(self._fs.read(self._path))
        try:
            return unseal(text, _File, is_always_sealed=False).keys
        except msgspec.MsgspecError as error:
            raise CorruptData(
                f"the file of API keys is damaged: {self._path}: {error}",
                hint="put it back from a copy, or remove it and create the keys again",
            ) from error

    def _write(self, stored: Sequence[_Stored]) -> None:
        sweep(self._fs, self._path.parent)
        write_durably(self._fs, self._path, seal(_File(keys=tuple(stored))), is_private=True)
        self._look_at = float("-inf")


def keys_of(store: Path) -> Keys:
    """Return the API keys of the store in a folder."""
    return Keys(LOCAL, contained(store, "config") / "keys.json")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes or isinstance(scopes, str):
        raise InvalidInputError(
            f"scopes are {', '.join(map(repr, unknown)) or repr(scopes)}", hint=f"name some of {', '.join(SCOPES)}"
        )
    return tuple(scope for scope in SCOPES if scope in scopes)


def _groups(groups: Sequence[str]) -> tuple[str, ...]:
    wrong = [pattern for pattern in groups if not _PATTERN.fullmatch(pattern)]
    if wrong or not groups or isinstance(groups, str):
        raise InvalidInputError(
            f"groups are {', '.join(map(repr, wrong)) or repr(groups)}",
            hint="name groups, or patterns of them with * and ?, such as team_*",
        )
    return tuple(groups)


def _expiry(expires: datetime | None, now: datetime) -> datetime | None:
    if expires is None:
        return None
    moment = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    if moment <= now:
        raise InvalidInputError(f"the key would have expired at {moment.isoformat()}", hint="give a time to come")
    return moment.astimezone(UTC)
