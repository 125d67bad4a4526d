"""Windows by brute force, in plain Python: every event of an entity is looked at for every instant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

Event = dict[str, Any]

LENGTHS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def sort_key(value: Any) -> tuple:
    """Null first, then values, then NaN."""
    if value is None:
        return (0, 0)
    return (2, 0) if value != value else (1, value)


def ordered(events: Sequence[Event], columns: Sequence[str]) -> list[Event]:
    return sorted(
        events, key=lambda event: (event["at"], sort_key(event.get("made")), *(sort_key(event[c]) for c in columns))
    )


def inside(events: Sequence[Event], window: str, at: Any) -> list[Event]:
    if window == "all":
        return [event for event in events if event["at"] <= at]
    width = timedelta(**{LENGTHS[window[-1]]: int(window[:-1])})
    return [event for event in events if event["at"] <= at and at - event["at"] < width]


def value(aggregation: str, values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if aggregation == "count":
        return len(known)
    if aggregation == "distinct":
        return len({"nan" if value != value else value for value in known})
    if not known or (aggregation == "std" and len(known) < 2):
        return None
    if aggregation in {"first", "last"}:
        return known[0 if aggregation == "first" else -1]
    has_nan = any(value != value for value in known)
    if aggregation in {"min", "max"}:
        real = [value for value in known if value == value]
        if not real or (has_nan and aggregation == "max"):
            return math.nan
        return min(real) if aggregation == "min" else max(real)
    if any(isinstance(value, float) and not math.isfinite(value) for value in known):
        if aggregation == "std":
            return math.nan
        total = sum(value for value in known if isinstance(value, float) and not math.isfinite(value))
        return total if aggregation in {"sum", "mean"} else math.nan
    return exact(aggregation, known)


def exact(aggregation: str, known: list[Any]) -> Any:
    if isinstance(known[0], timedelta):
        micros = [value // timedelta(microseconds=1) for value in known]
        found = exact(aggregation, micros)
        return timedelta(microseconds=round(found))
    fractions = [Fraction(value) for value in known]
    total = sum(fractions)
    if aggregation == "sum":
        return (
            float(total)
            if isinstance(known[0], float)
            else type(known[0])(sum(known))
            if not isinstance(known[0], bool)
            else sum(known)
        )
    if aggregation == "mean":
        return float(total / len(known))
    try:
        return math.sqrt(statistics.variance(fractions))
    except OverflowError:
        return math.inf


def same(a: Any, b: Any, scale: float = 0.0) -> bool:
    """Tell whether two values are equal; floats up to the rounding of sums of values of this scale."""
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or abs(a - b) <= 1e-12 * max(scale, abs(b))
    return type(a) is type(b) and a == b
