"""A server that does as a test tells it, and clients of both kinds to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import tiffin
from tiffin.client import attempts
from unit.client.scripted import Scripted, scripted

Open = Callable[..., Any]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.002)
    with scripted() as running:
        yield running


class Awaited:
    """An async client whose calls are awaited on a loop that runs only then."""

    def __init__(self, client: tiffin.AsyncFeatureStoreClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._loop.run_until_complete(getattr(self._client, method)(*args, **kwargs))

        return call


@pytest.fixture(params=["sync", "async"])
def opened(request: pytest.FixtureRequest, server: Scripted) -> Iterator[Open]:
    """Open a client: `opened(retries=0)`; that of an event loop can be used like the other."""

    @contextmanager
    def open_sync(url: str = server.url, **options: Any) -> Iterator[Any]:
        with tiffin.connect(url, **options) as client:
            yield client

    @contextmanager
    def open_async(url: str = server.url, **options: Any) -> Iterator[Any]:
        loop = asyncio.new_event_loop()
        client = Awaited(tiffin.AsyncFeatureStoreClient(url, **options), loop)
        try:
            yield client
        finally:
            client.close()
            loop.close()

    return open_sync if request.param == "sync" else open_async
