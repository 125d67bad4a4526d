"""Numbers, sizes and times as people read them."""

import os
from datetime import datetime, timedelta

_UNITS = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def count(number: int | None) -> str:
    """Write a number with commas; one that is not known as a dash."""
    return "–" if number is None else f"{number:,}"


def many(number: int, thing: str) -> str:
    """Write a number of things: `1 row`, `2,000 rows`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def size(size_bytes: float) -> str:
    """Write a number of bytes with three digits: `1.23 MB` (powers of 1000)."""
    rank = 0
    while rank < len(_UNITS) - 1 and size_bytes >= 999.5:
        size_bytes /= 1000
        rank += 1
    if rank == 0:
        return f"{size_bytes:.0f} B"
    return f"{three_digits(size_bytes)} {_UNITS[rank]}"


def seconds(duration_s: float) -> str:
    """Write a short duration with three digits: `4.56 ms`."""
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if duration_s * factor >= 0.9995:
            return f"{three_digits(duration_s * factor)} {unit}"
    return f"{three_digits(duration_s * 1e6)} µs"


def three_digits(number: float) -> str:
    """Write a number of at least 0 with three digits, never fewer than it has before the point."""
    if number >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def ago(moment: datetime, now: datetime) -> str:
    """Write how long ago something was, in its largest unit: `3 days ago`."""
    passed_s = (now - moment).total_seconds()
    for length_s, name in _SPANS:
        if passed_s >= length_s:
            return f"{many(int(passed_s // length_s), name)} ago"
    return "just now"


def span(duration: timedelta) -> str:
    """Write a duration as it can be given to an option: `30d`, `1h30m`."""
    left = duration // timedelta(milliseconds=1)
    written = ""
    for length, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")):
        number, left = divmod(left, length)
        written += f"{number}{unit}" if number else ""
    return written or "0s"


def printable(path: str) -> str:
    """Write a file's name, whatever its bytes; those that are no UTF-8 as a sign that says so."""
    return os.fsencode(path).decode(errors="replace")


def clock(moment: datetime) -> str:
    """Write a time of commit: `2024-05-31 12:00:00`, UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
