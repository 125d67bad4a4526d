"""Names of tables and references to what they hold.

A *reference* is how people point at data: ``group/name`` (all features), ``group/name:feature``,
``group/name@3`` and ``group/name@3:feature`` (pinned to a version), or with the name of a tag or a stage for the
number: ``group/name@prod:feature``. The group may be left out where the name is unique in the store.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from tiffin.errors import InvalidInputError, InvalidName

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}")
_RESERVED_ON_WINDOWS = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))]
)
_RULE = "use 1 to 128 letters, digits, '_' or '-', not starting with '-'"
_GRAMMAR = "write group/name, group/name:feature, group/name@3:feature or group/name@tag:feature"
_MAX_REFERENCE = 600
_MOST_DIGITS = 18

ONLINE = "online"
"""Stands for what the online index holds, where a version is asked for: no tag and no stage may be called so."""


def check_part(text: str, what: str) -> str:
    """Check one part of a name; return it.

    Parameters
    ----------
    text : str
        The part as the caller wrote it.
    what : str
        What it names, for the message: "group", "table", "service".

    Raises
    ------
    InvalidName
        If it could be mistaken for a path, is too long, or is a device name on Windows.
    """
    if not isinstance(text, str) or not _PART.fullmatch(text):
        shown = repr(text if len(repr(text)) <= 60 else str(text)[:57] + "…")
        raise InvalidName(f"{what} name {shown} is not allowed", hint=_RULE, name=str(text)[:200])
    if text.lower() in _RESERVED_ON_WINDOWS:
        raise InvalidName(
            f"{what} name {text!r} is a device name on Windows",
            hint="a store must be readable wherever its folder is carried: choose another name",
            name=text,
        )
    return text


def check_pin(text: str, what: str) -> str:
    """Check a name that stands where a version's number may stand; return it.

    Parameters
    ----------
    text : str
        The name as the caller wrote it.
    what : str
        What it names, for the message: "tag", "stage".

    Raises
    ------
    InvalidName
        It is no name, or a number, or `online`.
    """
    check_part(text, what)
    if text.isdigit():
        raise InvalidName(
            f"{what} name {text!r} is a number", hint="choose a word: a number after @ is a version", name=text
        )
    if text == ONLINE:
        raise InvalidName(
            f"{what} name {text!r} is not allowed",
            hint="choose another: it means what the online index holds",
            name=text,
        )
    return text


def check_text(text: str, what: str) -> str:
    """Check a text that people wrote, a message or a description; return it.

    Parameters
    ----------
    text : str
        As the caller gave it.
    what : str
        What it is, for the message.

    Raises
    ------
    InvalidInputError
        If it is no text, or holds what UTF-8 has no bytes for: half a character, or a byte that was none.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"{what} is {text!r}", hint="describe it in words")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} holds {text[error.start]!a}, which is no character", hint="write it in UTF-8"
        ) from error
    return text


def is_part(text: str) -> bool:
    """Tell whether a text can be one part of a name."""
    try:
        check_part(text, "part")
    except InvalidName:
        return False
    return True


class TableName(NamedTuple):
    """Group and name of one table; prints as ``group/name``."""

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


class Reference(NamedTuple):
    """What a reference says; parts that were left out are None."""

    group: str | None
    name: str
    version: int | str | None = None
    """A number, or the name of a tag or a stage."""
    feature: str | None = None

    def __str__(self) -> str:
        text = f"{self.group}/{self.name}" if self.group else self.name
        if self.version is not None:
            text += f"@{self.version}"
        return f"{text}:{self.feature}" if self.feature is not None else text


def parse_reference(text: str) -> Reference:
    """Parse ``[group/]name[@version][:feature]``.

    Parameters
    ----------
    text : str
        At most 600 characters.

    Returns
    -------
    Reference

    Raises
    ------
    InvalidName
        If the text does not follow the grammar or a part is not allowed.
    """
    if not isinstance(text, str) or len(text) > _MAX_REFERENCE:
        raise InvalidName(f"a reference is a short text, not {str(text)[:60]!r}", hint=_GRAMMAR)
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Reference:
    table, colon, feature = text.partition(":")
    table, at, pin = table.partition("@")
    group, slash, name = table.partition("/")
    if not slash:
        group, name = "", table
    if colon and not feature:
        raise InvalidName(f"reference {text!r} ends before the feature", hint=_GRAMMAR)
    return Reference(
        check_part(group, "group") if slash else None,
        check_part(name, "table"),
        _pin(pin, text) if at else None,
        feature if colon else None,
    )


def _pin(pin: str, text: str) -> int | str:
    is_number = pin.isascii() and pin.isdigit()
    if is_number and len(pin) <= _MOST_DIGITS:
        return int(pin)
    if is_number or not is_part(pin):
        raise InvalidName(
            f"reference {text!r} pins {pin!r}, which is neither a version number nor the name of a tag or stage",
            hint=_GRAMMAR,
        )
    return pin
