"""Durations as people write them: `30d`, `1h30m`, `250ms`."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

from tiffin.errors import InvalidInputError

_MILLISECONDS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_PART = re.compile(rf"({_NUMBER})(ms|[smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str) -> timedelta:
    """Read a duration as people write it.

    Parameters
    ----------
    text : str
        Numbers with units, one after the other: `ms`, `s`, `m` (minutes), `h`, `d`, `w`, as in `30d` or `1h30m`.
        A single number without a unit is in seconds.

    Returns
    -------
    timedelta
        The sum, to the microsecond.

    Raises
    ------
    InvalidInputError
        The text is no such duration, or is longer than a `timedelta` can be.
    """
    compact = text.replace(" ", "").lower()
    if re.fullmatch(_NUMBER, compact):
        compact += "s"
    wrong = InvalidInputError(f"{text!r} is not a duration", hint='write it like "30d", "1h30m", "250ms" or "3600"')
    if not _DURATION.fullmatch(compact):
        raise wrong
    milliseconds = sum(Fraction(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(compact))
    try:
        return timedelta(microseconds=int(milliseconds * 1000))
    except OverflowError:
        raise wrong from None


def write_duration(duration: timedelta) -> str:
    """Write a duration of zero or more so that `parse_duration` reads it, to the microsecond."""
    left = duration // timedelta(microseconds=1)
    written = ""
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, _MILLISECONDS[unit] * 1000)
        written += f"{number}{unit}" if number else ""
    if left:
        written += f"{left / 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    return written or "0s"
