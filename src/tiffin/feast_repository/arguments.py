"""Arguments of definitions, each as the type that it must be of."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.values import Made, Value, shown, unknown_in


def text(made: Made, argument: str, default: str | None = None) -> str:
    """Return a text or path; one without a default is needed, and not empty.

    Raises
    ------
    InvalidInputError
        It is no text, or not known.
    """
    value = made.named.get(argument, default)
    if value is None and default is not None:
        return default
    if isinstance(value, PurePath):
        return str(value)
    if not isinstance(value, str) or (not value and default is None):
        raise unreadable(made, argument, value)
    return value


def flag(made: Made, argument: str, *, default: bool) -> bool:
    """Return True or False.

    Raises
    ------
    InvalidInputError
        It is neither, or not known.
    """
    value = made.named.get(argument, default)
    if not isinstance(value, bool):
        raise unreadable(made, argument, value)
    return value


def items(made: Made, argument: str) -> list[Value]:
    """Return the items of a list; none if it is not given.

    Raises
    ------
    InvalidInputError
        It is no list, or not known.
    """
    value = made.named.get(argument)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise unreadable(made, argument, value)
    return [*value]


def texts(made: Made, argument: str) -> dict[str, str]:
    """Return a dict of texts to texts; an empty one if it is not given.

    Raises
    ------
    InvalidInputError
        It is no such dict, or not known.
    """
    value = made.named.get(argument) or {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in [*value, *value.values()]):
        raise unreadable(made, argument, value)
    return value


def duration(made: Made, argument: str) -> timedelta | None:
    """Return a duration; None for none, which Feast also writes as one of zero.

    Raises
    ------
    InvalidInputError
        It is no duration, a negative one, or not known.
    """
    value = made.named.get(argument)
    if not isinstance(value, timedelta | None) or (value is not None and value < timedelta(0)):
        raise unreadable(made, argument, value)
    return value or None


def unreadable(made: Made, argument: str, value: Value) -> InvalidInputError:
    """Say why an argument cannot be taken over.

    Parameters
    ----------
    made : Made
        What it is an argument of.
    argument : str
        Its name.
    value : Value
        What was found.

    Returns
    -------
    InvalidInputError
    """
    unknown = unknown_in(value)
    if unknown is None:
        return InvalidInputError(f"{argument} of {made.label} at {made.place} is {shown(value)}")
    return InvalidInputError(
        f"{argument} of {made.label}: {unknown.why} ({unknown.place})", hint="write it as a literal to have it read"
    )
