"""Features recomputed from the raw ratings by plain Python loops, which share no code with the store."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]

ROWS = 1000


class Recount:
    """Remembers ratings and genres, and says by counting what was known at a moment.

    Parameters
    ----------
    ratings : iterable of dict
        `user_id`, `movie_id`, `rating`, `event_timestamp`.
    genres : iterable of dict
        `movie_id` and flags.
    """

    def __init__(self, ratings: Iterable[Row], genres: Iterable[Row]) -> None:
        self._given: dict[tuple[str, Any], list[tuple[datetime, float]]] = defaultdict(list)
        for row in ratings:
            for key in ("user", "movie"):
                self._given[key, row[f"{key}_id"]].append((row["event_timestamp"], row["rating"]))
        self._genres = {row["movie_id"]: row for row in genres}

    def known(self, row: Row, flags: Iterable[str]) -> dict[str, Any]:
        """Count what was known of a rating's user and movie before it was given."""
        found: dict[str, Any] = {}
        for key in ("user", "movie"):
            earlier = [value for time, value in self._given[key, row[f"{key}_id"]] if time < row["event_timestamp"]]
            found |= _figures(earlier, key)
        genres = self._genres.get(row["movie_id"], {})
        return {**found, **{flag: genres.get(flag) for flag in flags}}


def _figures(values: list[float], key: str) -> dict[str, Any]:
    count = len(values)
    mean = sum(values) / count if count else None
    deviation = None
    if mean is not None and count > 1:
        squares = 0.0
        for value in values:
            squares += (value - mean) ** 2
        deviation = math.sqrt(squares / (count - 1))
    return {f"{key}_count": count or None, f"{key}_mean": mean, f"{key}_deviation": deviation}


def differences(rows: Iterable[Row], recount: Recount, flags: Iterable[str]) -> list[str]:
    """Recompute rows of a training frame, and say in words where they differ.

    Parameters
    ----------
    rows : iterable of dict
        Rows of the training frame.
    recount : Recount
        Knows the raw ratings.
    flags : iterable of str
        Which of the movies' flags.
    """
    flags = tuple(flags)
    return [
        f"user {row['user_id']}, movie {row['movie_id']}, {row['event_timestamp']}: {name} is {row[name]}, not {value}"
        for row in rows
        for name, value in recount.known(row, flags).items()
        if not _is_same(row[name], value)
    ]


def chosen(height: int, seed: int) -> list[int]:
    """Choose rows to recompute: up to 1,000, each once."""
    generator = random.Random(seed)  # noqa: S311 - nothing is kept secret
    return generator.sample(range(height), min(height, ROWS))


def _is_same(given: Any, expected: Any) -> bool:
    if given is None or expected is None:
        return given is expected
    # Sums in another order differ in their last digits.
    return math.isclose(given, expected, rel_tol=1e-9, abs_tol=1e-9)
