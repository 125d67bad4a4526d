"""Errors as answers: `application/problem+json` with a request id, without traces, paths or what a disk said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from polars.exceptions import PanicException
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from tiffin.errors import Ambiguous, ConflictError, InUse, InvalidInputError, NotFoundError, StorageError, TiffinError
from tiffin.server.status import MethodNotAllowed, UnknownRoute, headers_of, public, status_of
from tiffin.wire import encode, problem_of
from tiffin.wire.media import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("tiffin.server")


def answer_of(error: TiffinError, request_id: str) -> tuple[int, bytes]:
    """Say an error as a status and a body.

    Parameters
    ----------
    error : TiffinError
        What went wrong.
    request_id : str
        Names the request; what callers are not told is in the log under it.

    Returns
    -------
    int, bytes
        The HTTP status, and a problem (RFC 9457) as JSON.
    """
    if isinstance(error, StorageError):
        _log.error("request %s: %s", request_id, error, exc_info=error)
    status = status_of(error)
    return status, encode(problem_of(public(error), status, request_id))


def unexpected(error: BaseException, request_id: str) -> tuple[int, bytes]:
    """Say an error that nobody foresaw as a status and a body; all about it goes to the log."""
    _log.error("request %s failed", request_id, exc_info=error)
    told = TiffinError("the server failed at this request", hint="its log tells more under the request id")
    return 500, encode(problem_of(told, 500, request_id))


class Problems:
    """Answers every error of the app it wraps; the one place where any exception ends.

    Parameters
    ----------
    app : ASGI app
        What may fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        has_begun = False

        def watched(message: Message) -> Awaitable[None]:
            nonlocal has_begun
            has_begun = True
            return send(message)

        try:
            await self._app(scope, receive, watched)
        except TiffinError as error:
            shown = _for_caller(error, scope)
            status, body = answer_of(shown, request_id_of(scope))
            headers = headers_of(shown)
            failed: BaseException = error
        except ClientDisconnect as error:
            # Nobody is there any more to be answered, and whoever hangs up must not be able to fill the log.
            _let_go(error)
            return
        except (Exception, PanicException) as error:  # noqa: BLE001 - the server's edge: nothing may leave it but an answer
            status, body = unexpected(error, request_id_of(scope))
            headers = {}
            failed = error
        else:
            return
        if has_begun:
            # A part of the answer is on its way: only breaking it off tells that it is not whole.
            raise failed
        _let_go(failed)
        await Response(body, status, {**headers, "Cache-Control": "no-store"}, media_type=PROBLEM)(scope, receive, send)


def _let_go(error: BaseException) -> None:
    """Cut an error from the frames that it has passed.

    They know it too, and such a circle would keep all that they hold, such as a body of many megabytes, until the
    garbage collector looks at everything.
    """
    passed: BaseException | None = error
    while passed is not None:
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__


def request_id_of(scope: Scope) -> str:
    """Return what names a request in answers and logs."""
    return str(scope.get("state", {}).get("request_id", ""))


def _for_caller(error: TiffinError, scope: Scope) -> TiffinError:
    """Take from an error the names of what is closed to the caller: tables, feature services, training sets."""
    caller = scope.get("state", {}).get("caller")
    if caller is None or caller.sees_all or not isinstance(error, NotFoundError | ConflictError):
        return error
    if isinstance(error, InUse):
        return InUse("it cannot be removed: it is used", hint="see what uses it, or force it (force=True, --force)")
    if isinstance(error, Ambiguous):
        return Ambiguous("several tables have that name", hint="write the group too")
    return type(error)(error.message, **error.context)


async def unknown_route(request: Request, error: HTTPException) -> Response:
    """Turn what the router refuses into an error of ours.

    Raises
    ------
    UnknownRoute, MethodNotAllowed, InvalidInputError
        Always.
    """
    if error.status_code == 404:
        raise UnknownRoute("there is nothing at this address", hint="/docs lists what there is") from error
    if error.status_code == 405:
        told = (error.headers or {}).get("Allow", "").split(", ")
        found = {*_methods(request), *told} - {""}
        allowed = sorted(found | {"HEAD"} if "GET" in found else found)
        raise MethodNotAllowed(
            f"this address does not answer {request.method}", hint=f"it answers {', '.join(allowed)}", allowed=allowed
        ) from error
    raise InvalidInputError(str(error.detail)) from error


def _methods(request: Request) -> set[str]:
    """List the methods that an address answers: several routes may share it, and the router tells of one."""
    routes = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in routes for method in route.methods}


async def invalid_parameter(_request: Request, error: RequestValidationError) -> Response:
    """Turn what FastAPI says of a parameter into an error of ours.

    Raises
    ------
    InvalidInputError
        Always; names the parameter.
    """
    first: dict[str, Any] = error.errors()[0]
    where = " ".join(map(str, first["loc"]))
    raise InvalidInputError(f"{where}: {first['msg']}", hint="/docs describes every parameter") from error
