"""How long the clients wait for an answer, and for one another."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import polars as pl
import pytest

import tiffin
from tiffin import errors
from unit.client.scripted import COMMIT, EMPTY, OK, TABLE, ports, problem, says, sends, until

# How long an answer may take


def test_a_slow_answer_is_waited_for_while_it_comes(opened, server):
    def slow(handler: BaseHTTPRequestHandler) -> None:
        for piece in (EMPTY[:20], EMPTY[20:40], EMPTY[40:-2], b"[", b"]"):
            server.over.wait(0.06)
            handler.wfile.write(piece)

    server.script = [slow]
    with opened(read_timeout_s=0.15, retries=0) as client:
        assert client.tables() == []


def test_an_answer_that_stands_still_ends_with_the_call(opened, server):
    def stands_still(handler: BaseHTTPRequestHandler) -> None:
        server.over.wait(0.5)
        handler.wfile.write(OK)
        server.over.wait(10)

    server.script = [stands_still]
    began = time.monotonic()
    with opened(timeout_s=0.6, read_timeout_s=0.55) as client, pytest.raises(errors.TimedOut):
        client.tables()
    assert time.monotonic() - began < 0.95


def test_time_is_counted_anew_for_each_answer(opened, server):
    with opened(read_timeout_s=0.6, retries=0) as client:
        client.tables()
        time.sleep(0.4)
        server.script = [server.hangs]
        began = time.monotonic()
        with pytest.raises(errors.TimedOut):
            client.tables()
        assert time.monotonic() - began >= 0.55


def test_a_body_may_take_longer_than_an_answer(opened, server):
    def reads_late(handler: BaseHTTPRequestHandler) -> None:
        server.over.wait(0.8)
        handler.rfile.read(int(handler.headers["Content-Length"]))
        says(200, COMMIT)(handler)

    server.reads_bodies = False
    with opened(read_timeout_s=0.6, retries=0) as client:
        client.tables()
        server.script = [reads_late]
        assert client.save("g/t", pl.DataFrame({"x": range(2_000_000)})).version == 0


def test_an_answer_to_a_large_body_is_not_waited_for_longer_than_to_a_small_one(opened, server):
    server.script = [server.hangs]
    began = time.monotonic()
    with opened(read_timeout_s=0.1, retries=0) as client, pytest.raises(errors.TimedOut):
        client.save("g/t", pl.DataFrame({"x": range(100_000)}))
    assert time.monotonic() - began < 5


def test_a_body_that_nobody_reads_is_not_sent_for_ever(opened, server):
    server.reads_bodies = False
    server.script = [server.hangs]
    began = time.monotonic()
    with opened(timeout_s=0.2) as client, pytest.raises(errors.TimedOut):
        client.save("g/t", pl.DataFrame({"x": range(2_000_000)}))
    assert time.monotonic() - began < 3


# Many at once


def test_a_cancelled_call_leaves_nothing_behind(server):
    failed: list[dict[str, Any]] = []

    async def use() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, about: failed.append(about))
        async with tiffin.AsyncFeatureStoreClient(server.url, connections=1) as client:
            await client.tables()
            server.script = [server.hangs, says(200, TABLE)]
            calls = [asyncio.ensure_future(client.tables()) for _ in range(2)]
            await until(lambda: len(server.asked) == 2)
            for call in reversed(calls):
                call.cancel()
            assert await asyncio.gather(*calls, return_exceptions=True) == [_CANCELLED] * 2
            assert await asyncio.wait_for(client.get_feature("g", "t"), 10) == TABLE

    asyncio.run(use())
    assert failed == []
    assert len(server.asked) == 3
    assert ports(server)[0] == ports(server)[1] != ports(server)[2]


def test_calls_wait_for_their_turn_and_not_for_ever(server):
    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url, connections=1, retries=0) as client:
            assert await asyncio.gather(*(client.tables() for _ in range(5))) == [[]] * 5
            server.script = [server.hangs]
            first = asyncio.ensure_future(client.drop("g/t"))
            await until(lambda: len(server.asked) == 6)
            client._transport.options = replace(client._transport.options, timeout_s=0.1)
            with pytest.raises(errors.Unreachable, match="no connection became free"):
                await client.drop("g/t")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    asyncio.run(use())
    assert len({*ports(server)[:5]}) == 1
    assert len(server.asked) == 6


def test_what_is_under_way_is_answered_although_the_client_is_closed(server):
    come = threading.Event()

    def waits(handler: BaseHTTPRequestHandler) -> None:
        come.wait(10)
        sends(EMPTY)(handler)

    async def use() -> None:
        client = tiffin.AsyncFeatureStoreClient(server.url)
        server.script = [waits]
        call = asyncio.ensure_future(client.tables())
        await until(lambda: len(server.asked) == 1)
        await client.close()
        come.set()
        assert await call == []
        await asyncio.sleep(0)

    asyncio.run(use())
    assert server.closed.acquire(timeout=10)


def test_a_large_body_lets_others_have_their_turn(server):
    """A save that the server does not read holds up no other call."""
    server.reads_bodies = False

    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url) as client:
            server.script = [server.hangs, says(200, [])]
            save = asyncio.ensure_future(client.save("g/t", pl.DataFrame({"x": range(2_000_000)})))
            await until(lambda: len(server.asked) == 1)
            assert await asyncio.wait_for(client.tables(), 10) == []
            save.cancel()
            await asyncio.gather(save, return_exceptions=True)

    asyncio.run(use())


def test_a_refusal_is_heard_although_the_body_is_not_read(server):
    def refuses(handler: BaseHTTPRequestHandler) -> None:
        problem(413, "too_large")(handler)
        server.over.wait(10)

    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url, timeout_s=5) as client:
            with pytest.raises(errors.TooLarge):
                await client.save("g/t", pl.DataFrame({"x": range(2_000_000)}))
            assert await client.tables() == []

    server.reads_bodies = False
    server.script = [refuses, says(200, [])]
    asyncio.run(use())
    assert len({*ports(server)}) == 2


class _Cancelled:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, asyncio.CancelledError)

    __hash__ = None  # type: ignore[assignment]


_CANCELLED = _Cancelled()
