"""Values drawn from a fuzzer's bytes: the same from the same bytes, and without the fuzzer too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_NUMBERS = (0, 1, -1, 7, 127, -128, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 2**127, 10**400)
_FLOATS = (0.0, -0.0, 0.5, 7.0, -1.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"))
_TEXTS = ("", "a", "7", "nan", "null", "é", "e\u0301", "\0", "\n", "'", '"', "`", "..", "2024-05-31", "\ud800", "😀")
_EPOCH = datetime(2024, 5, 1, tzinfo=UTC)
_DEEPEST = 5


class Draw:
    """Takes values off the front of some bytes; where there are none left, the first of what there is.

    Parameters
    ----------
    data : bytes
        What the fuzzer made.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def byte(self) -> int:
        """Take a byte."""
        self._place += 1
        return self._data[self._place - 1] if self._place <= len(self._data) else 0

    def one_of(self, options: Sequence[T]) -> T:
        """Choose one of some."""
        return options[self.byte() % len(options)]

    def some(self, most: int, draw: Any) -> list[Any]:
        """Draw so many values at most."""
        return [draw() for _ in range(self.byte() % (most + 1))]

    def rest(self) -> bytes:
        """Take all that is left."""
        rest = self._data[self._place :]
        self._place = len(self._data)
        return rest

    def text(self) -> str:
        """Draw a short text: a known one, or of any characters."""
        kind = self.byte()
        if kind < 160:
            return _TEXTS[kind % len(_TEXTS)]
        length = kind % 24
        self._place += length
        return self._data[self._place - length : self._place].decode("utf-8", "replace")

    def number(self) -> int:
        """Draw a whole number: a known one, or a small one."""
        kind = self.byte()
        return _NUMBERS[kind % len(_NUMBERS)] if kind < 100 else kind - 178

    def moment(self) -> datetime:
        """Draw a time, with a zone or without."""
        moment = _EPOCH + timedelta(hours=self.byte() - 128)
        return moment if self.byte() % 2 else moment.replace(tzinfo=None)

    def scalar(self) -> Any:
        """Draw a value that JSON has."""
        match self.byte() % 6:
            case 0:
                return self.text()
            case 1:
                return self.number()
            case 2:
                return self.one_of(_FLOATS)
            case 3:
                return bool(self.byte() % 2)
            case 4:
                return self.moment().isoformat()
        return None

    def value(self, names: Sequence[str] = (), depth: int = 0) -> Any:
        """Draw a value of any shape that JSON has, whose objects mostly have some of these keys."""
        kind = self.byte() % 8
        if depth == _DEEPEST or kind > 3:
            return self.scalar()
        if kind > 1:
            return self.some(3, lambda: self.value(names, depth + 1))
        keys = self.some(4, lambda: self.one_of(names) if names and self.byte() % 4 else self.text())
        return {key: self.value(names, depth + 1) for key in keys}
