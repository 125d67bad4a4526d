"""Routes that are answered directly: bytes in, bytes out, past what FastAPI does for others.

FastAPI knows them all the same, for the OpenAPI document. What it does for a request (finding the route, parameters,
dependencies, models) takes several times as long as reading a row online.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request

from tiffin.errors import InvalidInputError, TooLarge
from tiffin.server.problems import Problems
from tiffin.server.requests.call import check_media
from tiffin.server.status import Malformed, MethodNotAllowed
from tiffin.wire.media import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from fastapi import APIRouter, FastAPI
    from starlette.types import Message, Receive, Scope, Send

T = TypeVar("T")


MOST_BYTES = 8 << 20
"""Bytes of a body that is decoded in one go, while all others wait."""

_TYPE = (b"content-type", JSON.encode())


class DirectRoute(APIRoute):
    """A POST route without parameters in its path, whose endpoint takes the request and gives the JSON of the answer.

    `async def endpoint(request: Request) -> bytes`
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(
                f"this address does not answer {scope['method']}", hint="it answers POST", allowed=["POST"]
            )
        body = await self.endpoint(Request(scope, receive))
        headers = [_TYPE, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Shortcut:
    """Takes requests straight to the direct routes; all others go on to the app.

    Parameters
    ----------
    app : FastAPI
        Answers the others.
    routers : iterable of APIRouter
        Have the direct routes, among others.
    """

    def __init__(self, app: FastAPI, routers: Iterable[APIRouter]) -> None:
        self._app = app
        routes = [route for router in routers for route in router.routes if isinstance(route, DirectRoute)]
        self._routes = {route.path: (route, Problems(route.handle)) for route in routes}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        found = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return self._app(scope, receive, send)
        scope["app"] = self._app
        scope["route"], answered = found
        return answered(scope, receive, send)


async def read_json(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Read the JSON body of a request.

    Parameters
    ----------
    request : Request
        The request.
    decoder : msgspec.json.Decoder
        Of a type that bounds how deep it may be nested.

    Raises
    ------
    UnsupportedMedia
        It is not sent as JSON. (A page of another site can make a browser send what is not said to be.)
    Malformed
        It is no JSON.
    TooLarge
        It is larger than `MOST_BYTES`.
    InvalidInputError
        It is not what is asked for here; says where.
    """
    if _TYPE not in request.scope["headers"]:
        check_media(request.headers.get("content-type", ""), [JSON])
    message = await request.receive()
    # Nearly always it comes as one piece.
    data = await _rest(message, request.receive) if message.get("more_body") else _piece(message)
    if len(data) > MOST_BYTES:
        raise TooLarge(
            f"the body has {len(data):,} bytes; {MOST_BYTES:,} may come here", hint="ask in several requests"
        )
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"the request is not understood: {error}", hint="/docs says what it takes") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the body is not JSON: {error}", hint="send UTF-8 JSON") from error
    except (RecursionError, ValueError) as error:
        raise Malformed("the body is JSON that no value can be made of", hint="send less of it") from error


async def _rest(message: Message, receive: Receive) -> bytes:
    pieces = [_piece(message)]
    while message.get("more_body"):
        message = await receive()
        pieces.append(_piece(message))
    return b"".join(pieces)


def _piece(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    piece: bytes = message.get("body", b"")
    return piece
