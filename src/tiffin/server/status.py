"""The HTTP status of every error, and what of it the world may know.

Errors that only HTTP has share the code of the class above them: to a program they are of that kind.
"""

from __future__ import annotations

from tiffin import errors
from tiffin.errors import InvalidInputError, NotFoundError, StorageError, TiffinError


class Malformed(InvalidInputError):
    """The body is not of the format that it is said to be."""


class NotAcceptable(InvalidInputError):
    """The answer cannot be given in a format that the caller accepts."""


class UnsupportedMedia(InvalidInputError):
    """The body is of a format that is not taken here."""


class NotReady(errors.StorageError):
    """The store cannot be read."""


class UnknownRoute(NotFoundError):
    """There is nothing at this address."""


class MethodNotAllowed(InvalidInputError):
    """The address does not answer this method."""


class HeadTooLarge(errors.TooLarge):
    """The address and the headers of a request are too long."""


_STATUSES: dict[type[TiffinError], int] = {
    Malformed: 400,
    NotAcceptable: 406,
    UnsupportedMedia: 415,
    MethodNotAllowed: 405,
    HeadTooLarge: 431,
    errors.NotFoundError: 404,
    errors.InvalidInputError: 422,
    errors.ConflictError: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.AccessError: 403,
    errors.TooLarge: 413,
    errors.TooMany: 429,
    errors.Busy: 503,
    errors.TooSlow: 408,
    errors.TimedOut: 504,
    errors.LimitError: 413,
    errors.NoSpace: 507,
    errors.OnlineUnavailable: 503,
    errors.StorageError: 500,
    NotReady: 503,
    errors.MissingDependency: 501,
    errors.UnavailableError: 501,
}

_LONGEST_TOLD = 10_000
"""Characters of what is told of broken constraints."""

# What a disk or an index says names its files and its machine: that is for the log. Callers are told by these.
_TOLD: dict[type[StorageError], tuple[str, str]] = {
    errors.CorruptData: (
        "stored data is not what was written",
        "the server's operator finds out more with `tiffin doctor`",
    ),
    errors.NoSpace: ("the server has no room left on its disk; nothing was changed", "try again later"),
    errors.OutcomeUnknown: (
        "the write may or may not survive a power loss on the server",
        "read the table before repeating it",
    ),
    errors.IndexDamaged: (
        "the online index is damaged",
        "the server's operator makes it again: `tiffin materialize --from-scratch`",
    ),
    errors.OnlineUnavailable: ("the online index cannot be reached", "try again later"),
    NotReady: ("the store cannot be read", "the server's log tells more under the request id"),
    errors.StorageError: ("the server's storage failed", "the server's log tells more under the request id"),
}


def status_of(error: TiffinError) -> int:
    """Return the HTTP status of an error.

    Parameters
    ----------
    error : TiffinError
        What went wrong.

    Returns
    -------
    int
        400 to 599: that of the nearest of its classes that has one.
    """
    return next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), 500)


def public(error: TiffinError) -> TiffinError:
    """Return an error as callers may see it.

    Parameters
    ----------
    error : TiffinError
        What went wrong.

    Returns
    -------
    TiffinError
        The same, unless it is the storage's: then one of its class with a fixed text. Of a message of several lines,
        the first: a library below says there what is wrong, and then how it came about it. What constraints are broken
        stands in the lines that follow, which we wrote.
    """
    if isinstance(error, errors.ConstraintViolated) and len(error.message) <= _LONGEST_TOLD:
        return error
    if not isinstance(error, StorageError):
        first, _, more = error.message.partition("\n")
        return type(error)(first, hint=error.hint, **error.context) if more else error
    message, hint = next(_TOLD[kind] for kind in type(error).__mro__ if kind in _TOLD)
    return type(error)(message, hint=hint)


def headers_of(error: TiffinError) -> dict[str, str]:
    """Return the headers that belong to the answer that tells of an error."""
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="tiffin"'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.context["allowed"])}
    if isinstance(error, errors.Busy | errors.TooMany | errors.OnlineUnavailable | NotReady):
        return {"Retry-After": "1"}
    return {}
