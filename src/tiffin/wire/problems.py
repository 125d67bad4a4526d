"""Errors over the wire: RFC 9457 problems, rebuilt on the other side from their code."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tiffin.errors import TiffinError


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
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    code: str = ""
    hint: str = ""
    request_id: str = ""


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
    )


def to_error(problem: Problem) -> TiffinError:
    """Rebuild the error that a problem tells of.

    Returns
    -------
    TiffinError
        Of the class that has its code, with the same message and hint; of the base class if there is none here.
    """
    kind = next((kind for kind in _kinds(TiffinError) if kind.code == problem.code), TiffinError)
    message = problem.detail or problem.title
    return kind(message, hint=problem.hint, status=problem.status, request_id=problem.request_id)


def _kinds(base: type[TiffinError]) -> Iterator[type[TiffinError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
