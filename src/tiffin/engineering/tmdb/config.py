"""Settings of the TMDB processor; every number that a result depends on is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any

from tiffin.errors import InvalidInputError, did_you_mean


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, kw_only=True)
class TMDBConfig:
    """What the features depend on besides the movies.

    Parameters
    ----------
    now : date or datetime
        The day that ages are counted to; an aware datetime counts as its day in UTC. Default: today in UTC.
    recent_years : float
        A movie is recent up to this age, in years.
    classic_years : float
        A movie is a classic from this age on, in years.
    minimum_votes : float, optional
        Votes at which a movie's own rating and the mean rating of all movies weigh the same.
        Default: the median number of votes of the movies that have any.
    seed : int
        Seed of the synthetic interactions.
    interactions : int
        Number of synthetic interactions.
    users : int
        Number of synthetic users who may have them.

    Raises
    ------
    InvalidInputError
        A value of the wrong type or out of range.
    """

    now: date = field(default_factory=_today)
    recent_years: float = 2.0
    classic_years: float = 25.0
    minimum_votes: float | None = None
    seed: int = 0
    interactions: int = 10_000
    users: int = 1_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "now", _day(self.now))
        _require_number("recent_years", self.recent_years, at_least=0)
        _require_number("classic_years", self.classic_years, at_least=0)
        if self.minimum_votes is not None:
            _require_number("minimum_votes", self.minimum_votes, at_least=1)
        _require_whole("seed", self.seed, at_least=None)
        _require_whole("interactions", self.interactions, at_least=0)
        _require_whole("users", self.users, at_least=1)

    @classmethod
    def of(cls, config: TMDBConfig | Mapping[str, Any] | None) -> TMDBConfig:
        """Accept a ready configuration, a mapping of settings, or nothing.

        Raises
        ------
        InvalidInputError
            Not a mapping, or a mapping with an unknown setting.
        """
        if isinstance(config, cls):
            return config
        if config is None:
            return cls()
        if not isinstance(config, Mapping):
            raise InvalidInputError(
                f"config is a {type(config).__name__}", hint="pass a TMDBConfig or a mapping of its settings"
            )
        known = {setting.name for setting in fields(cls)}
        for name in config:
            if name not in known:
                raise InvalidInputError(
                    f"Unknown setting {name!r} of the TMDB processor", hint=did_you_mean(str(name), known), setting=name
                )
        return cls(**config)


def _day(now: object) -> date:
    if isinstance(now, datetime):
        return now.astimezone(UTC).date() if now.tzinfo else now.date()
    if isinstance(now, date):
        return now
    raise InvalidInputError(f"now is {now!r}", hint="pass a datetime.date or datetime.datetime")


def _require_number(name: str, value: object, *, at_least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value < float("inf"):
        raise InvalidInputError(f"{name} is {value!r}", hint=f"pass a finite number of at least {at_least}")


def _require_whole(name: str, value: object, *, at_least: int | None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or (at_least is not None and value < at_least):
        bound = "" if at_least is None else f" of at least {at_least}"
        raise InvalidInputError(f"{name} is {value!r}", hint=f"pass a whole number{bound}")
