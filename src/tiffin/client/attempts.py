"""Whether and when a call is sent again."""

from __future__ import annotations

import random
import time
from typing import Any

from tiffin.client.call import Call
from tiffin.client.exchange import Answer, Outcome, problem
from tiffin.client.options import ClientOptions
from tiffin.errors import Busy, TooMany

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PASSING = frozenset({502, 503, 504})
"""Statuses of what may be otherwise a moment later."""


class Attempts:
    """The attempts at one call: how many, and how long all of them may take.

    Parameters
    ----------
    call : Call
        What is asked.
    options : ClientOptions
        How much patience there is.
    """

    def __init__(self, call: Call[Any], options: ClientOptions) -> None:
        self._call = call
        self._options = options
        self._ends = time.monotonic() + options.timeout_s
        self._made = 0

    def left_s(self) -> float:
        """Return how many seconds are left; a little, where none are."""
        return max(self._ends - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """Whether time has run out."""
        return time.monotonic() >= self._ends

    def pause_s(self, outcome: Outcome) -> float | None:
        """Tell in how many seconds the next attempt is to be made; None if this outcome stands.

        The pauses double, and each is drawn anew between zero and that, so that many clients do not come back at once.
        """
        self._made += 1
        if not self._is_worth_repeating(outcome) or self._made > self._options.retries:
            return None
        pause: float = random.uniform(0, min(_FIRST_PAUSE_S * 2 ** (self._made - 1), _LONGEST_PAUSE_S))  # noqa: S311 - no secret
        if isinstance(outcome, Answer):
            pause += _retry_after_s(outcome)
        return pause if pause < self.left_s() and not self.is_over else None

    def _is_worth_repeating(self, outcome: Outcome) -> bool:
        if not isinstance(outcome, Answer):
            return not outcome.was_overlong and (self._call.is_repeatable or not outcome.was_sent)
        # The server says so before it does anything.
        was_turned_away = outcome.status in {429, 503} and isinstance(problem(outcome), Busy | TooMany)
        return was_turned_away or (self._call.is_repeatable and outcome.status in _PASSING)


def _retry_after_s(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
