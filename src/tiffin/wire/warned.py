"""Warnings over the wire: in a header of the answer, as the same warnings on the other side."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, unquote

import msgspec

from tiffin.errors import DeprecatedFeature, MajorChanged

KINDS: tuple[type[Warning], ...] = (DeprecatedFeature, MajorChanged)
"""Warnings that are for who asks, wherever they are."""

Told = tuple[type[Warning], str]
"""Class and text of a warning."""

_BY_NAME = {kind.__name__: kind for kind in KINDS}
_MOST = 4
_LONGEST = 500
"""Characters of a text: headers are short."""


def write_warnings(told: Sequence[Told]) -> str:
    """Write warnings as the value of a header: the first four, with long texts cut off."""
    listed = [(kind.__name__, text[:_LONGEST]) for kind, text in told[:_MOST]]
    return quote(msgspec.json.encode(listed), safe="[]{}:,/ '")


def read_warnings(header: str) -> list[Told]:
    """Read what `write_warnings` wrote; what is no warning that is known here is passed over."""
    try:
        listed = msgspec.json.decode(unquote(header), type=list[tuple[str, str]])
    except msgspec.MsgspecError:
        return []
    return [(_BY_NAME[name], text) for name, text in listed if name in _BY_NAME]
