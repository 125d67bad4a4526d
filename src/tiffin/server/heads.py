"""HEAD, wherever GET is answered: the same status and headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Receive, Scope, Send


class Heads:
    """Answers HEAD as if it were GET; what leaves the body out is the server, to which it is HEAD all the while.

    Parameters
    ----------
    app : ASGI app
        Answers GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        is_head = scope.get("method") == "HEAD"
        return self._as_get(scope, receive, send) if is_head else self._app(scope, receive, send)

    async def _as_get(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope["route"] = asked.get("route")
