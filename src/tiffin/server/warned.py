"""Warnings of the store, which are for who asks: they go into a header of the answer."""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tiffin.wire.media import WARNINGS
from tiffin.wire.warned import KINDS, Told, write_warnings

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The threads of a request have its context, and so the same list.
_told: ContextVar[list[Told] | None] = ContextVar("told", default=None)


class Warned:
    """Puts into the head of an answer what the store has warned of until then.

    Parameters
    ----------
    app : ASGI app
        Answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        told: list[Told] = []

        def with_told(message: Message) -> Awaitable[None]:
            if told and message["type"] == "http.response.start":
                header = (WARNINGS.lower().encode(), write_warnings(told).encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            return send(message)

        before = _told.set(told)
        try:
            await self._app(scope, receive, with_told)
        finally:
            _told.reset(before)


def hear_warnings() -> None:
    """Have each warning told to the request in whose threads it comes up, in the whole process from now on."""
    show = warnings.showwarning

    def hear(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        told = _told.get()
        if told is not None and category in KINDS:
            told.append((category, str(message)))
        else:
            show(message, category, *where, **more)

    warnings.showwarning = hear
    for category in KINDS:
        warnings.simplefilter("always", category)
