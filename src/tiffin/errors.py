"""Every error Tiffin raises on purpose.

::

    TiffinError                       .code  .hint  .context
    ├─ NotFoundError (LookupError)    TableNotFound, FeatureNotFound, VersionNotFound, ServiceNotFound,
    │                                 TrainingSetNotFound, NotOnline
    ├─ InvalidInputError (ValueError) InvalidName, SchemaMismatch, ConstraintViolated
    ├─ ConflictError                  CommitConflict, Ambiguous, InUse, NotReproducible
    ├─ AccessError                    Unauthenticated, Forbidden
    ├─ LimitError                     TooLarge, TooMany, Busy, TooSlow, TimedOut
    ├─ StorageError                   CorruptData, NoSpace, OutcomeUnknown, IndexDamaged, OnlineUnavailable
    └─ UnavailableError               MissingDependency, Unreachable

    FutureWarning                     DeprecatedFeature
    UserWarning                       MajorChanged

`code` is a stable word for machines; the message says what is wrong and where; `hint` says what to
do about it; `context` holds the values the message was made from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class TiffinError(Exception):
    """Base of every error that Tiffin raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong and where, one sentence.
    hint : str, optional
        What to do about it.
    **context : object
        The values behind the message, for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class NotFoundError(TiffinError, LookupError):
    """Something that was named does not exist."""

    code = "not_found"


class TableNotFound(NotFoundError):
    """No table has this name."""

    code = "table_not_found"


class FeatureNotFound(NotFoundError):
    """The table has no such feature."""

    code = "feature_not_found"


class VersionNotFound(NotFoundError):
    """The table has no such version, or it was vacuumed."""

    code = "version_not_found"


class ServiceNotFound(NotFoundError):
    """No feature service has this name."""

    code = "service_not_found"


class TrainingSetNotFound(NotFoundError):
    """No training set was saved under this name."""

    code = "training_set_not_found"


class NotOnline(NotFoundError):
    """The table has no rows in the online index: it is not declared online."""

    code = "not_online"


class InvalidInputError(TiffinError, ValueError):
    """The caller's input cannot be used as it is."""

    code = "invalid_input"


class InvalidName(InvalidInputError):
    """A group, table or feature name that is not allowed."""

    code = "invalid_name"


class SchemaMismatch(InvalidInputError):
    """A frame does not fit the table it is meant for."""

    code = "schema_mismatch"


class ConstraintViolated(InvalidInputError):
    """Rows break a rule the table declares."""

    code = "constraint_violated"


class ConflictError(TiffinError):
    """The request conflicts with the state of the store."""

    code = "conflict"


class CommitConflict(ConflictError):
    """Another writer committed first and this write cannot be repeated safely."""

    code = "commit_conflict"


class Ambiguous(ConflictError):
    """A short name fits several tables."""

    code = "ambiguous"


class InUse(ConflictError):
    """What is to be removed is used by a feature service or needed by a training set."""

    code = "in_use"


class NotReproducible(ConflictError):
    """A training set cannot be made again as it was: what it came from has changed."""

    code = "not_reproducible"


class AccessError(TiffinError):
    """The caller may not do this."""

    code = "access"


class Unauthenticated(AccessError):
    """No key was given, or it is not valid."""

    code = "unauthenticated"


class Forbidden(AccessError):
    """What was asked for is closed to who asked."""

    code = "forbidden"


class LimitError(TiffinError):
    """A bound on size, rows or time was exceeded."""

    code = "limit"


class TooLarge(LimitError):
    """More bytes, rows, entities or levels than one request may have."""

    code = "too_large"


class TooMany(LimitError):
    """One client has more connections open than it may."""

    code = "too_many"


class Busy(LimitError):
    """As many requests are under way as may be; nothing was done, try again soon."""

    code = "busy"


class TooSlow(LimitError):
    """The client took too long to send its request."""

    code = "too_slow"


class TimedOut(LimitError):
    """The work took longer than it may; what it was to change may have been changed."""

    code = "timed_out"


class StorageError(TiffinError):
    """The disk, or what lies on it, failed."""

    code = "storage"


class CorruptData(StorageError):
    """Stored bytes are not what was written."""

    code = "corrupt_data"


class NoSpace(StorageError):
    """The disk (or a quota) is full."""

    code = "no_space"


class OutcomeUnknown(StorageError):
    """The write may or may not survive a power loss; read before repeating it."""

    code = "outcome_unknown"


class IndexDamaged(StorageError):
    """The online index is not what was written; it can be made again from the tables."""

    code = "index_damaged"


class OnlineUnavailable(StorageError):
    """The online index cannot be reached."""

    code = "online_unavailable"


class UnavailableError(TiffinError):
    """A capability is not there in this installation."""

    code = "unavailable"


class MissingDependency(UnavailableError):
    """An optional library is needed and not installed."""

    code = "missing_dependency"


class Unreachable(UnavailableError):
    """The server does not answer, or what answers is none."""

    code = "unreachable"


class DeprecatedFeature(FutureWarning):
    """A feature was asked for that should not be used any more: a warning, for people; nothing fails."""


class MajorChanged(UserWarning):
    """A service or training set was made for another major version of a table's schema: a warning; nothing fails."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the known names closest to a mistyped one.

    Parameters
    ----------
    name : str
        What the caller wrote.
    known : iterable of str
        What exists.

    Returns
    -------
    str
        A sentence for a `hint`; empty when nothing exists.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if names:
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        return f"there is: {shown}"
    return ""
