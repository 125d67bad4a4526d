"""Names and references: what is let through, by rules written down a second time."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tiffin.errors import InvalidName
from tiffin.schema.names import check_part, parse_reference

_PART = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]{0,127}\Z", re.ASCII)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])\Z", re.IGNORECASE)


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    _check_part(text)
    try:
        reference = parse_reference(text)
    except InvalidName:
        assert not _is_plain_reference(text), text
        return
    assert _is_allowed(reference.name), text
    assert reference.group is None or _is_allowed(reference.group), text
    if isinstance(reference.version, str):
        assert _is_allowed(reference.version), text
    assert reference.version is None or isinstance(reference.version, str) or reference.version >= 0, text
    assert parse_reference(str(reference)) == reference, text
    path = PurePosixPath("base", reference.group or "group", reference.name)
    assert len(path.parts) == 3, text
    assert not {"..", "."} & {*path.parts}, text


def _check_part(text: str) -> None:
    try:
        assert check_part(text, "table") == text
        is_taken = True
    except InvalidName:
        is_taken = False
    assert is_taken == _is_allowed(text), text


def _is_allowed(text: str) -> bool:
    return bool(_PART.match(text)) and not _DEVICES.match(text)


def _is_plain_reference(text: str) -> bool:
    """Tell whether a text is `group/name`, which must be let through if both parts are."""
    group, slash, name = text.partition("/")
    return bool(slash) and _is_allowed(group) and _is_allowed(name)
