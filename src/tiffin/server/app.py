"""The app: routes over a store, errors as problems, and the guard around it all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from tiffin.access import keys_of
from tiffin.cache import MemoryCache
from tiffin.server.answers.forms import Whole
from tiffin.server.document.pages import add_pages
from tiffin.server.edge.guard import Guard
from tiffin.server.edge.logs import journal_of
from tiffin.server.edge.metrics import Metrics
from tiffin.server.heads import Heads
from tiffin.server.health import Ground
from tiffin.server.online.asking import Glance
from tiffin.server.online.direct import Shortcut
from tiffin.server.problems import Problems, invalid_parameter, unknown_route
from tiffin.server.routes import ROUTERS
from tiffin.server.routes.feast import FEAST
from tiffin.server.routes.online import OWN, OWN_IN_WORDS
from tiffin.server.warned import Warned
from tiffin.version import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tiffin.server.edge.at_once import Route
    from tiffin.server.options import ServerOptions
    from tiffin.store import FeatureStore

_THREADS = 16
"""For what may take long; each may hold a large frame."""
_KEPT_ANSWERS = 1000
_KEPT_BYTES = 64 << 20


def create_app(store: FeatureStore, options: ServerOptions) -> ASGIApp:
    """Make the app that serves a store.

    Parameters
    ----------
    store : FeatureStore
        What is served.
    options : ServerOptions
        How.

    Returns
    -------
    ASGI app
    """
    app = routed(store, options)
    app.state.metrics = metrics = Metrics(store)
    journal = journal_of(options, store.path)
    at_once: list[Route] = [
        Glance("/online", OWN, store, options.limits),
        Glance("/online", OWN_IN_WORDS, store, options.limits, "?nan=text"),
        Glance("/get-online-features", FEAST, store, options.limits),
    ]
    return Guard(
        Heads(Shortcut(app, ROUTERS)), options, keys_of(store.path), metrics=metrics, journal=journal, at_once=at_once
    )


def routed(store: FeatureStore, options: ServerOptions) -> FastAPI:
    """Make the app behind the guard: the routes, and errors as problems."""
    app = FastAPI(
        title="Tiffin",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        middleware=[Middleware(Problems), Middleware(Warned)],
        exception_handlers={HTTPException: unknown_route, RequestValidationError: invalid_parameter},
    )
    # Starlette's own state takes a detour to everything in it, which an online read would feel.
    app.state = SimpleNamespace(  # type: ignore[assignment]  # see above
        store=store,
        ground=Ground(store.path),
        options=options,
        threads=anyio.CapacityLimiter(_THREADS),
        answers=MemoryCache[Whole](
            max_bytes=min(_KEPT_BYTES, store.settings.memory_cache_bytes), max_entries=_KEPT_ANSWERS
        ),
        routes=[route for router in ROUTERS for route in router.routes],
    )
    for router in ROUTERS:
        app.include_router(router)
    add_pages(app)
    return app
