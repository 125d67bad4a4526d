"""Calls over aiohttp: many at once on one event loop."""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.client.attempts import Attempts
from tiffin.client.call import Call
from tiffin.client.exchange import Answer, Broken, Outcome, Request, settle, written
from tiffin.client.options import ClientOptions
from tiffin.errors import MissingDependency
from tiffin.frames import FeatureFrame

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

T = TypeVar("T")

_LARGE_BYTES = 1 << 20
"""Frames from this size on are written and read in a thread, so that the event loop is not held up."""


class ConcurrentTransport:
    """Sends calls on the event loop that runs.

    Parameters
    ----------
    options : ClientOptions
        How the server is reached.
    """

    def __init__(self, options: ClientOptions) -> None:
        self.options = options
        self._opened: tuple[int, asyncio.AbstractEventLoop, aiohttp.ClientSession] | None = None
        self._inherited: list[object] = []

    async def send(self, call: Call[T]) -> T:
        """Send a call, as often as it takes and may be; `settle` says what it gives and raises."""
        is_large = isinstance(call.body, FeatureFrame) and call.body.to_polars().estimated_size() >= _LARGE_BYTES
        request = await asyncio.to_thread(written, call, self.options) if is_large else written(call, self.options)
        attempts = Attempts(call, self.options)
        while True:
            outcome = await self._attempt(request, attempts)
            pause_s = attempts.pause_s(outcome)
            if pause_s is None:
                if isinstance(outcome, Answer) and len(outcome.body) >= _LARGE_BYTES:
                    return await asyncio.to_thread(settle, call, outcome, self.options)
                return settle(call, outcome, self.options)
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        opened, self._opened = self._opened, None
        if opened and opened[0] == os.getpid():
            await opened[2].close()

    async def _attempt(self, request: Request, attempts: Attempts) -> Outcome:
        session = self._session()
        import aiohttp  # noqa: PLC0415 - whoever asks nothing needs no library

        timeout = aiohttp.ClientTimeout(
            total=attempts.left_s(),
            sock_connect=self.options.connect_timeout_s,
            sock_read=self.options.read_timeout_s,
        )
        try:
            async with session.request(
                request.method,
                _url(self.options.url.rstrip("/") + request.path),
                data=_pieces(request.body),
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self.options.proxy,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Broken(str(error), was_sent=False, was_slow=isinstance(error, TimeoutError))
        except TimeoutError as error:
            return Broken(str(error) or "no answer came in time", was_sent=True, was_slow=True)
        except (aiohttp.ClientError, OSError) as error:
            return Broken(str(error), was_sent=True)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is sent to another process, as data loaders do, opens connections of its own there.
        return type(self), (self.options,)

    def _session(self) -> aiohttp.ClientSession:
        pid, loop = os.getpid(), asyncio.get_running_loop()
        opened = self._opened
        if opened is None or opened[:2] != (pid, loop):
            if opened and opened[0] != pid:
                # Inherited over a fork. Letting go of it would take its sockets from the parent's event loop.
                self._inherited.append(opened)
            opened = self._opened = (pid, loop, _open(self.options))
        return opened[2]


@lru_cache(maxsize=256)
def _url(text: str) -> URL:
    """Parse an address, as the same few are asked again and again."""
    from yarl import URL  # noqa: PLC0415 - whoever asks nothing needs no library

    return URL(text, encoded=True)


def _pieces(body: bytes | None) -> bytes | io.BytesIO | None:
    """Let a large body be sent piece by piece, between which others have their turn."""
    return body if body is None or len(body) < _LARGE_BYTES else io.BytesIO(body)


def _open(options: ClientOptions) -> aiohttp.ClientSession:
    try:
        import aiohttp  # noqa: PLC0415 - whoever asks nothing needs no library
    except ImportError as error:
        raise MissingDependency(
            "the async client needs the library aiohttp, which is not installed", hint="pip install 'tiffin[client]'"
        ) from error
    tls: dict[str, Any] = {}
    if options.url.startswith("https:"):
        tls["ssl"] = ssl.create_default_context(cafile=options.ca_file)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=options.connections, **tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    # It would send a DELETE again on its own, which can drop what somebody else has just saved anew.
    session._retry_connection = False  # noqa: SLF001 - there is no other way
    return session
