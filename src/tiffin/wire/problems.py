"""Errors over the wire: RFC 9457 problems, rebuilt on the other side from their code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from tiffin.errors import ConstraintViolated, TiffinError

_CONTEXT = ("table", "violations")
_MOST_TOLD = 20
_LONGEST = 200
"""Characters of a text among what programs are told."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, as every error of the server says it.

    Attributes
    ----------
    type : str
        `urn:tiffin:error:` and the code.
    title : str
        What errors of this code have in common.
    status : int
        The HTTP status.
    detail : str
        What is wrong and where.
    code : str
        The error's stable word.
    hint : str
        What to do about it.
    request_id : str
        Names the request in the server's logs.
    context : dict
        What programs are told besides: of a broken constraint the `violations`, each with some of the caller's rows.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str = ""
    hint: str = ""
    request_id: str = ""
    context: dict[str, Any] = {}


def problem_of(error: TiffinError, status: int, request_id: str = "") -> Problem:
    """Say an error as a problem.

    Parameters
    ----------
    error : TiffinError
        What went wrong.
    status : int
        The HTTP status of its answer.
    request_id : str, optional
        Names the request.
    """
    about = (type(error).__doc__ or error.code).partition("\n")[0].rstrip(".")
    return Problem(
        type=f"urn:tiffin:error:{error.code}",
        title=about,
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        request_id=request_id,
        context=_told(error) if isinstance(error, ConstraintViolated) else {},
    )


def _told(error: ConstraintViolated) -> dict[str, Any]:
    """Take the first violations, with long texts cut off: an answer that tells of an error is short."""
    return {name: _short(error.context[name]) for name in _CONTEXT if name in error.context}


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(one) for name, one in itertools.islice(value.items(), _MOST_TOLD)}
    if isinstance(value, list | tuple):
        return [_short(one) for one in value[:_MOST_TOLD]]
    return f"{value[: _LONGEST - 1]}…" if isinstance(value, str) and len(value) > _LONGEST else value


def to_error(problem: Problem) -> TiffinError:
    """Rebuild the error that a problem tells of.

    Returns
    -------
    TiffinError
        Of the class that has its code, with the same message and hint; of the base class if there is none here.
    """
    kind = next((kind for kind in _kinds(TiffinError) if kind.code == problem.code), TiffinError)
    message = problem.detail or problem.title
    about = {name: problem.context[name] for name in _CONTEXT if name in problem.context}
    return kind(message, hint=problem.hint, status=problem.status, request_id=problem.request_id, **about)


def _kinds(base: type[TiffinError]) -> Iterator[type[TiffinError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
