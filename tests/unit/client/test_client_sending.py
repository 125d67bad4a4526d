"""How both clients send: what they repeat and what never, how long they wait, what they tell and what not."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import zstandard

import tiffin
from tiffin import errors
from tiffin.client import attempts
from tiffin.client.call import Call, as_nothing
from tiffin.client.exchange import Answer, Broken
from tiffin.client.options import ClientOptions
from tiffin.frames import FeatureFrame
from tiffin.wire import from_stream, to_stream
from tiffin.wire.media import ARROW, JSON
from unit.client.scripted import Scripted, breaks_off, certified, half, problem, says, scripted

COMMIT = {"table": "g/t", "version": 3, "timestamp": "2024-01-01T00:00:00Z", "operation": "append"}
ROWS = [{"x": 1}]

Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Scripted) -> Ask:
    """Call a method of a new client: `ask("read", "g/t", key="…")`; names of options go to the client."""

    def call(method: str, *args: Any, url: str = "", of: dict[str, Any] | None = None, **options: Any) -> Any:
        if request.param == "sync":
            with tiffin.connect(url or server.url, **options) as client:
                return getattr(client, method)(*args, **(of or {}))

        async def use() -> Any:
            async with tiffin.AsyncFeatureStoreClient(url or server.url, **options) as client:
                return await getattr(client, method)(*args, **(of or {}))

        return asyncio.run(use())

    return call


# What is sent


def test_a_save_is_one_request_with_a_name(ask, server):
    server.script = [says(200, COMMIT)]
    of = {"entity": ["k", "l"], "ttl": dt.timedelta(days=30), "message": "a & b", "defaults": {"x": None}}
    assert ask("save", "g/t", ROWS, of=of).version == 3
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.path.startswith("/tables/g/t?entity=k&entity=l&ttl=P30D&defaults=%7B%22x%22%3Anull%7D&mode=overwrite")
    assert asked.path.endswith("&message=a+%26+b")
    assert asked.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert len(asked.headers["idempotency-key"]) == 36
    assert from_stream(asked.body).frame.to_polars().to_dicts() == ROWS


def test_requests_say_what_they_are_and_what_is_wanted(ask, server):
    frame = b"".join(to_stream(FeatureFrame(pl.DataFrame({"x": [1]}))))
    server.script = [says(200, {}), says(200, frame), says(200, [])]
    ask("get_batch_features", ["t"], [7])
    ask("read", "g/t")
    ask("tables")
    question, read, listing = server.asked
    assert (question.method, question.headers["content-type"], question.headers["accept"]) == ("POST", JSON, JSON)
    assert json.loads(question.body) == {"feature_names": ["t"], "entity_ids": [7], "timestamp": None}
    assert read.headers["accept"] == ARROW
    assert (listing.method, listing.headers["accept"], listing.body) == ("GET", JSON, b"")
    assert not {"content-type", "content-length"} & set(listing.headers)
    assert listing.headers["host"] == server.url.removeprefix("http://")
    assert listing.headers["user-agent"].startswith("tiffin/")


def test_the_key_goes_to_the_server_alone(ask, server, caplog):
    caplog.set_level(logging.DEBUG)
    with scripted() as elsewhere:
        server.script = [says(302, None, Location=elsewhere.url + "/tables")]
        with pytest.raises(errors.Unreachable) as caught:
            ask("tables", key="tfn_secret")
        assert elsewhere.asked == []
    assert server.asked[0].headers["authorization"] == "Bearer tfn_secret"
    assert "tfn_secret" not in caplog.text + str(caught.value) + repr(caught.value.context)


def test_a_path_before_the_server_is_kept(ask, server):
    ask("tables", url=server.url + "/behind/a/proxy/")
    assert server.asked[0].path == "/behind/a/proxy/tables"


def test_requests_go_through_a_proxy(ask, server):
    assert ask("tables", url="http://store.example/tiffin", proxy=server.url) == []
    assert server.asked[0].path == "http://store.example/tiffin/tables"


def test_a_proxy_is_told_who_asks_and_no_more(ask, server):
    proxy = server.url.replace("http://", "http://m%65:p%40ss@")
    assert ask("tables", url="http://store.example", proxy=proxy, key="tfn_secret") == []
    server.script = [says(403, b"")]
    with pytest.raises(errors.Unreachable, match="403") as caught:
        ask("tables", url="https://store.example", proxy=proxy, key="tfn_secret", retries=0)
    plain, tunnel = server.asked
    assert plain.headers["proxy-authorization"] == tunnel.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
    assert (tunnel.method, tunnel.path) == ("CONNECT", "store.example:443")
    assert "authorization" not in tunnel.headers
    assert not {"p%40ss", "p@ss", "tfn_secret"} & set(re.findall(r"[\w%@]+", str(caught.value)))


def test_large_bodies_are_sent_again_whole(ask, server):
    server.script = [breaks_off, says(200, COMMIT)]
    frame = pl.DataFrame({"x": range(400_000)})
    ask("save", "g/t", frame)
    assert [from_stream(asked.body).frame.to_polars().equals(frame) for asked in server.asked] == [True, True]
    assert all(asked.headers["content-length"] == str(len(asked.body)) for asked in server.asked)


def test_large_bodies_are_compressed_for_other_machines(ask, server):
    server.script = [says(200, COMMIT)]
    frame = pl.DataFrame({"x": range(50_000)})
    ask("save", "g/t", frame, url="http://store.example", proxy=server.url)
    ask("save", "g/t", frame)
    far, near = server.asked
    assert far.headers["content-encoding"] == "zstd"
    assert len(far.body) < len(near.body) / 2
    assert from_stream(zstandard.ZstdDecompressor().decompress(far.body)).frame.to_polars().equals(frame)
    assert "content-encoding" not in near.headers
    assert (far.headers["accept-encoding"][:4], near.headers["accept-encoding"]) == ("zstd", "identity")


def test_compressed_answers_are_read(ask, server):
    frame = pl.DataFrame({"x": range(300_000)})
    plain = b"".join(to_stream(FeatureFrame(frame)))
    server.script = [says(200, zstandard.compress(plain), content_encoding="zstd"), says(200, plain)]
    assert ask("read", "g/t").to_polars().equals(frame)
    assert ask("read", "g/t").to_polars().equals(frame)
    error = zstandard.compress(b'{"title": "t", "status": 404, "code": "table_not_found", "detail": "gone"}')
    server.script = [says(404, error, content_type="application/problem+json", content_encoding="zstd")]
    with pytest.raises(errors.TableNotFound, match="gone"):
        ask("read", "g/t")


def test_a_small_answer_that_is_large_inside_is_not_taken(ask, server):
    inside = zstandard.compress(b" " * (1 << 24) + b"[]")
    server.script = [says(200, inside, content_encoding="zstd")]
    assert ask("tables", answer_bytes=1 << 25) == []
    with pytest.raises(errors.TooLarge, match="1,000,000 bytes"):
        ask("tables", answer_bytes=1_000_000)
    server.script = [says(404, inside, content_type="application/problem+json", content_encoding="zstd")]
    with pytest.raises(errors.Unreachable, match="HTTP 404"):
        ask("tables")


def test_a_server_proves_who_it_is(ask, tmp_path):
    tls, certificate = certified(tmp_path)
    with scripted(tls) as secure:
        assert ask("tables", url=secure.url, ca_file=certificate) == []
        with pytest.raises(errors.Unreachable, match="certificate"):
            ask("tables", url=secure.url)
        assert len(secure.asked) == 1


# What is repeated


@pytest.mark.parametrize("failure", [breaks_off, half, says(502, b"<html>"), problem(503, "online_unavailable")])
def test_reads_are_repeated(ask, server, failure):
    server.script = [failure, failure, says(200, [])]
    assert ask("tables") == []
    assert len(server.asked) == 3


@pytest.mark.parametrize("failure", [breaks_off, half, problem(503, "busy"), says(504, b"")])
def test_saves_are_repeated_under_the_same_name(ask, server, failure):
    server.script = [failure, failure, says(200, COMMIT)]
    for method in ("save", "push"):
        assert ask(method, "g/t", ROWS).version == 3
    names = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(names) == 4
    assert names[0] == names[1] == names[2] != names[3]
    assert len({asked.body for asked in server.asked}) == 1


@pytest.mark.parametrize("failure", [breaks_off, half])
def test_what_cannot_be_repeated_is_sent_once(ask, server, failure):
    server.script = [failure]
    for method, args in (("drop", ["g/t"]), ("restore", ["g/t", 1]), ("create_service", ["s", ["g/t"]])):
        server.asked.clear()
        with pytest.raises(errors.OutcomeUnknown) as caught:
            ask(method, *args)
        assert len(server.asked) == 1
        assert "look at the store" in caught.value.hint


def test_what_was_turned_away_is_repeated_whatever_it_is(ask, server):
    server.script = [problem(503, "busy", retry_after="0"), problem(429, "too_many"), says(204, b"")]
    assert ask("drop", "g/t") is None
    assert len(server.asked) == 3
    server.asked.clear()
    # The table is gone, although the index could not be reached.
    server.script = [problem(503, "online_unavailable", retry_after="0")]
    with pytest.raises(errors.OnlineUnavailable):
        ask("drop", "g/t")
    assert len(server.asked) == 1


def test_errors_are_not_repeated(ask, server):
    for status, kind in ((404, errors.TableNotFound), (409, errors.CommitConflict), (500, errors.CorruptData)):
        server.asked.clear()
        server.script = [problem(status, kind.code)]
        with pytest.raises(kind) as caught:
            ask("save", "g/t", ROWS)
        assert type(caught.value) is kind
        assert (caught.value.message, caught.value.hint) == ("what", "do")
        assert len(server.asked) == 1


def test_the_server_says_how_long_to_wait(ask, server):
    busy = b'{"title": "t", "status": 503, "code": "busy"}'
    headers = {"content-type": "application/problem+json", "retry-after": "7"}
    assert 7 <= attempts_at(retries=3).pause_s(Answer(503, headers, busy)) < 8
    assert attempts_at(retries=3, timeout_s=5).pause_s(Answer(503, headers, busy)) is None
    server.script = [problem(503, "busy", retry_after="60")]
    with pytest.raises(errors.Busy):
        ask("tables", timeout_s=5)


def test_pauses_are_made(ask, server, monkeypatch):
    monkeypatch.setattr(attempts.random, "uniform", lambda low, high: 0.06)
    server.script = [breaks_off, breaks_off, says(200, [])]
    began = time.monotonic()
    ask("tables")
    assert time.monotonic() - began >= 0.12


def test_retries_come_to_an_end(ask, server):
    server.script = [breaks_off]
    with pytest.raises(errors.Unreachable):
        ask("tables", retries=2)
    assert len(server.asked) == 3
    server.asked.clear()
    with pytest.raises(errors.OutcomeUnknown, match="connection broke"):
        ask("save", "g/t", ROWS, retries=0)
    assert len(server.asked) == 1


def attempts_at(*, is_repeatable: bool = True, **options: Any) -> attempts.Attempts:
    call = Call(method="GET", path="/", decode=as_nothing, is_repeatable=is_repeatable)
    return attempts.Attempts(call, ClientOptions(url="http://a", **options))


def test_what_was_not_sent_can_be_sent_again():
    tries = attempts_at(is_repeatable=False)
    assert tries.pause_s(Broken("why", was_sent=False)) is not None
    assert tries.pause_s(Broken("why", was_sent=True)) is None


def test_what_the_server_says_comes_on_top_of_what_is_drawn(monkeypatch):
    monkeypatch.setattr(attempts.random, "uniform", lambda low, high: high)
    busy = b'{"title": "t", "status": 503, "code": "busy"}'
    headers = {"content-type": "application/problem+json", "retry-after": "7"}
    assert attempts_at().pause_s(Answer(503, headers, busy)) == pytest.approx(7.1)


def test_an_error_is_one_whatever_else_its_type_says(ask, server):
    server.script = [problem(404, "table_not_found", content_type="application/problem+json; charset=utf-8")]
    with pytest.raises(errors.TableNotFound):
        ask("tables")


def test_a_little_time_is_left_when_it_is_over():
    tries = attempts_at(timeout_s=1e-9)
    assert tries.is_over
    assert 0 < tries.left_s() < 0.01


def test_pauses_double_and_are_drawn_anew(monkeypatch):
    longest: list[float] = []
    monkeypatch.setattr(attempts.random, "uniform", lambda low, high: longest.append(high) or low)
    tries = attempts_at(retries=8)
    assert [tries.pause_s(Broken("why", was_sent=True)) for _ in range(9)] == [0.0] * 8 + [None]
    assert longest == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


# How long it may take


def test_a_server_that_is_not_there(ask):
    began = time.monotonic()
    with pytest.raises(errors.Unreachable) as caught:
        ask("drop", "g/t", url="http://127.0.0.1:1")
    assert "tiffin serve" in caught.value.hint
    assert isinstance(caught.value, errors.UnavailableError)
    assert time.monotonic() - began < 3


def test_an_answer_that_does_not_come(ask, server):
    server.script = [server.hangs]
    began = time.monotonic()
    with pytest.raises(errors.TimedOut):
        ask("tables", read_timeout_s=0.05, retries=1)
    assert time.monotonic() - began < 3
    assert len(server.asked) == 2
    with pytest.raises(errors.TimedOut) as caught:
        ask("drop", "g/t", read_timeout_s=0.05)
    assert "look at the store" in caught.value.hint
    assert len(server.asked) == 3


def test_a_call_takes_no_longer_than_it_may(ask, server):
    server.script = [server.hangs]
    began = time.monotonic()
    with pytest.raises(errors.TimedOut):
        ask("tables", timeout_s=0.1)
    assert time.monotonic() - began < 3


def test_an_answer_that_never_ends(ask, server):
    server.script = [server.drips]
    began = time.monotonic()
    with pytest.raises(errors.TimedOut):
        ask("tables", timeout_s=0.3)
    assert time.monotonic() - began < 2


def test_what_answers_is_no_tiffin_server(ask, server):
    for answer in (
        says(404, b"<html>", content_type="text/html"),
        says(404, b"{", content_type="application/problem+json"),
        says(404, b'{"x":' * 100_000, content_type="application/problem+json"),
        says(404, b'{"title": "\xff"}', content_type="application/problem+json"),
    ):
        server.script = [answer]
        with pytest.raises(errors.Unreachable, match="404"):
            ask("tables")
    frame = b"".join(to_stream(FeatureFrame(pl.DataFrame({"x": range(1000)}))))
    for method, args, body, coding in (
        ("tables", [], b'{"hello": 1}', ""),
        ("describe", ["g/t"], b'{"x":' * 100_000, ""),
        ("describe", ["g/t"], b'{"table": "\xff"}', ""),
        ("read", ["g/t"], b"[]", ""),
        ("read", ["g/t"], frame[:-500], ""),
        ("read", ["g/t"], b"no zstd", "zstd"),
        ("read", ["g/t"], zstandard.compress(frame)[:-20], "zstd"),
        ("tables", [], zstandard.ZstdCompressor(write_checksum=True).compress(b"[]")[:-2], "zstd"),
    ):
        server.script = [says(200, body, content_encoding=coding)]
        with pytest.raises(errors.StorageError, match="not what was expected"):
            ask(method, *args)


def test_what_stands_between_does_not_say_what_became_of_a_write(ask, server):
    server.script = [says(502, b"<html>", content_type="text/html")]
    with pytest.raises(errors.OutcomeUnknown, match="502"):
        ask("drop", "g/t")
    assert len(server.asked) == 1
    with pytest.raises(errors.Unreachable, match="502"):
        ask("tables", retries=0)
    server.script = [says(404, b"<html>", content_type="text/html")]
    with pytest.raises(errors.Unreachable, match="404"):
        ask("drop", "g/t")


# Threads, processes, connections


def test_connections_are_kept(server):
    with tiffin.connect(server.url) as client:
        for _ in range(5):
            client.tables()
        assert len({asked.port for asked in server.asked}) == 1
        client.close()
        client.tables()
        assert len({asked.port for asked in server.asked}) == 2


def test_threads_share_a_client(server):
    failed: list[BaseException] = []
    with tiffin.connect(server.url) as client:

        def use() -> None:
            try:
                for _ in range(20):
                    assert client.tables() == []
            except BaseException as error:  # noqa: BLE001 - told to the thread of the test
                failed.append(error)

        threads = [threading.Thread(target=use, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not failed
    assert len(server.asked) == 160
    assert len({asked.port for asked in server.asked}) <= 9


def _use_in_child(client: tiffin.FeatureStoreClient, inherited: socket.socket, done: Any) -> None:
    done.put((client.tables(), asyncio.run(_use_async(client)), inherited.fileno()))


async def _use_async(client: tiffin.FeatureStoreClient) -> Any:
    async with tiffin.AsyncFeatureStoreClient(client._transport.options.url) as twin:
        return await twin.tables()


def test_numbers_that_are_none_are_sent_in_words(ask, server):
    server.script = [problem(422, "invalid_input")]
    given = [1.5, float("nan"), float("-inf"), None]
    rows = {"k": [1, 2, 3, 4], "x": given}
    for entities in (rows, {**rows, "x": np.array(given[:3], np.float32)}, [{"k": 1, "x": value} for value in given]):
        with pytest.raises(errors.InvalidInputError):
            ask("get_online_features", ["g/t:y"], entities)
    words = [1.5, "NaN", "-Infinity", None]
    columns, array, each = [json.loads(asked.body)["entity_rows"] for asked in server.asked]
    assert columns == {**rows, "x": words}
    assert array["x"] == words[:3]
    assert each == [{"k": 1, "x": word} for word in words]


def test_a_text_that_cannot_be_sent_is_refused(ask, server):
    with pytest.raises(errors.InvalidInputError, match="surrogates"):
        ask("save", "g/t", ROWS, of={"message": "\ud800"})
    assert server.asked == []


def test_a_client_that_is_forgotten_closes_its_connections(server):
    client = tiffin.connect(server.url)
    client.tables()
    parent, idle = client._transport._idle
    # As in a child of a fork.
    client._transport._idle = (parent + 1, idle)
    client.tables()
    ((kept, _),) = client._transport._idle[1]
    del client
    assert kept.fileno() == -1


def test_a_client_works_in_a_forked_child(server):
    with tiffin.connect(server.url) as client:
        client.tables()
        (before,) = {asked.port for asked in server.asked}
        ((inherited, _),) = client._transport._idle[1]
        context = multiprocessing.get_context("fork")
        done = context.SimpleQueue()
        children = [
            context.Process(target=_use_in_child, args=(client, inherited, done), daemon=True) for _ in range(2)
        ]
        for child in children:
            child.start()
        try:
            assert [done.get() for _ in children] == [([], [], -1)] * 2
        finally:
            for child in children:
                child.join(20)
                child.kill()
        assert before not in {asked.port for asked in server.asked[1:]}
        client.tables()
        assert server.asked[-1].port == before


def test_an_async_client_shares_no_connection_with_a_forked_child(server):
    loop = asyncio.new_event_loop()
    client = tiffin.AsyncFeatureStoreClient(server.url)

    def use() -> None:
        assert loop.run_until_complete(asyncio.wait_for(client.tables(), 10)) == []

    def use_in_child() -> None:
        loop.run_until_complete(client.close())
        use()

    try:
        use()
        child = multiprocessing.get_context("fork").Process(target=use_in_child, daemon=True)
        child.start()
        child.join(20)
        child.kill()
        assert child.exitcode == 0
        use()
        loop.run_until_complete(client.close())
    finally:
        loop.close()
    first, of_child, last = (asked.port for asked in server.asked)
    assert first == last != of_child


def test_an_async_client_is_used_on_several_event_loops(server):
    client = tiffin.AsyncFeatureStoreClient(server.url)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        for loop in (first, second, first, second):
            assert loop.run_until_complete(asyncio.wait_for(client.tables(), 10)) == []
        ports = [asked.port for asked in server.asked]
        assert (ports[0], ports[1]) == (ports[2], ports[3])
        second.run_until_complete(client.close())
        first.run_until_complete(asyncio.sleep(0))
        for _ in range(2):
            assert server.closed.acquire(timeout=10), "closing closes the connections on the other loop as well"
    finally:
        first.close()
        second.close()


def test_many_calls_are_under_way_at_once(server):
    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url, connections=8) as client:
            assert await asyncio.gather(*(client.tables() for _ in range(100))) == [[]] * 100

    asyncio.run(use())
    assert len({asked.port for asked in server.asked}) <= 8
