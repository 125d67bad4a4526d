"""TOML that people write: read in reasonable time, whatever it holds (pure)."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tiffin.errors import InvalidInputError
from tiffin.schema.names import check_text

_MOST_CHARACTERS = 64 << 20
_MOST_PARTS = 100
_ENDLESS_KEY = re.compile(rf"""(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{_MOST_PARTS}}}""")
"""A key of so many parts that reading it takes as long as its length squared."""


def read_toml(text: str, *, hint: str) -> dict[str, Any]:
    """Read the TOML of definitions, of a size and depth that can be read in reasonable time.

    Parameters
    ----------
    text : str
        TOML.
    hint : str
        What an error is to say of how definitions are written.

    Raises
    ------
    InvalidInputError
        It is no TOML, or too much of it.
    """
    if len(check_text(text, "definitions")) > _MOST_CHARACTERS:
        raise InvalidInputError("definitions of more than 64 MiB are not read", hint="split the file")
    if endless := _ENDLESS_KEY.search(text):
        line = text.count("\n", 0, endless.start()) + 1
        raise InvalidInputError(
            f"the definitions have a key of more than {_MOST_PARTS} parts in line {line}", hint=hint
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInputError(f"the definitions are no TOML: {error}", hint=hint) from error
