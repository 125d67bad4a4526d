"""How both clients send: what they repeat and what never, how long they wait, what they tell and what not."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import multiprocessing
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

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
from unit.client.scripted import Scripted, breaks_off, half, problem, says, scripted

COMMIT = {"table": "g/t", "version": 3, "timestamp": "2024-01-01T00:00:00Z", "operation": "append"}
ROWS = [{"x": 1}]

Ask = Callable[..., Any]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(attempts, "_FIRST_PAUSE_S", 0.002)
    with scripted() as running:
        yield running


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
    proxy = server.url.replace("http://", "http://me:p%40ss@")
    assert ask("tables", url="http://store.example", proxy=proxy, key="tfn_secret") == []
    server.script = [says(403, b"")]
    with pytest.raises(errors.Unreachable) as caught:
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


def test_a_server_proves_who_it_is(ask, tmp_path):
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    about = ["-days", "1", "-subj", "/CN=tiffin", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", "-x509", *made, *about], check=True, capture_output=True, timeout=30)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
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


def test_a_refusal_is_heard_while_the_body_is_still_being_sent(server):
    def refuses(handler: Any) -> None:
        problem(413, "too_large")(handler)
        handler.close_connection = True

    server.reads_bodies = False
    server.script = [refuses]
    with tiffin.connect(server.url) as client, pytest.raises(errors.TooLarge):
        client.save("g/t", pl.DataFrame({"x": range(2_000_000)}))
    assert len(server.asked) == 1


def test_the_server_says_how_long_to_wait(ask, server):
    busy = b'{"title": "t", "status": 503, "code": "busy"}'
    headers = {"Content-Type": "application/problem+json", "Retry-After": "7"}
    assert 7 <= attempts_at(retries=3).pause_s(Answer(503, headers, busy)) < 8
    assert attempts_at(retries=3, timeout_s=5).pause_s(Answer(503, headers, busy)) is None
    server.script = [problem(503, "busy", retry_after="60")]
    with pytest.raises(errors.Busy):
        ask("tables", timeout_s=5)


def test_retries_come_to_an_end(ask, server):
    server.script = [breaks_off]
    with pytest.raises(errors.Unreachable):
        ask("tables", retries=2)
    assert len(server.asked) == 3
    server.asked.clear()
    with pytest.raises(errors.OutcomeUnknown, match="connection broke"):
        ask("save", "g/t", ROWS, retries=0)
    assert len(server.asked) == 1


def attempts_at(**options: Any) -> attempts.Attempts:
    call = Call(method="GET", path="/", decode=as_nothing, is_repeatable=True)
    return attempts.Attempts(call, ClientOptions(url="http://a", **options))


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
    ):
        server.script = [answer]
        with pytest.raises(errors.Unreachable, match="404"):
            ask("tables")
    frame = b"".join(to_stream(FeatureFrame(pl.DataFrame({"x": range(1000)}))))
    for method, args, body, coding in (
        ("tables", [], b'{"hello": 1}', ""),
        ("read", ["g/t"], b"[]", ""),
        ("read", ["g/t"], frame[:-500], ""),
        ("read", ["g/t"], b"no zstd", "zstd"),
        ("read", ["g/t"], zstandard.compress(frame)[:-20], "zstd"),
    ):
        server.script = [says(200, body, content_encoding=coding)]
        with pytest.raises(errors.StorageError, match="not what was expected"):
            ask(method, *args)


def test_what_stands_between_does_not_say_what_became_of_a_write(ask, server):
    server.script = [says(502, b"<html>", content_type="text/html")]
    with pytest.raises(errors.OutcomeUnknown, match="502"):
        ask("drop", "g/t")
    assert len(server.asked) == 1


# Threads, processes, connections


def test_connections_are_kept(server):
    with tiffin.connect(server.url) as client:
        for _ in range(5):
            client.tables()
        assert len({asked.port for asked in server.asked}) == 1
        client.close()
        client.tables()
        assert len({asked.port for asked in server.asked}) == 2


def test_an_idle_connection_that_was_closed_is_replaced(server):
    def closes(handler: Any) -> None:
        says(200, [])(handler)
        handler.close_connection = True

    server.script = [closes]
    with tiffin.connect(server.url) as client:
        for _ in range(3):
            client.materialize(from_scratch=True)
            assert server.closed.acquire(timeout=10)
    assert len(server.asked) == 3


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


def _use_in_child(client: tiffin.FeatureStoreClient, done: Any) -> None:
    done.put((os.getpid(), client.tables(), asyncio.run(_use_async(client))))


async def _use_async(client: tiffin.FeatureStoreClient) -> Any:
    async with tiffin.AsyncFeatureStoreClient(client._transport.options.url) as twin:
        return await twin.tables()


def test_a_client_works_in_a_forked_child(server):
    with tiffin.connect(server.url) as client:
        client.tables()
        (before,) = {asked.port for asked in server.asked}
        context = multiprocessing.get_context("fork")
        done = context.SimpleQueue()
        children = [context.Process(target=_use_in_child, args=(client, done), daemon=True) for _ in range(2)]
        for child in children:
            child.start()
        try:
            assert [done.get()[1:] for _ in children] == [([], [])] * 2
        finally:
            for child in children:
                child.join(20)
                child.kill()
        inherited = [asked for asked in server.asked[1:] if asked.port == before]
        assert inherited == []
        client.tables()
        assert server.asked[-1].port == before


def test_an_async_client_is_used_on_another_event_loop(server):
    client = tiffin.AsyncFeatureStoreClient(server.url)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert first.run_until_complete(client.tables()) == []
        of_first = client._transport._opened[-1]
        assert second.run_until_complete(asyncio.wait_for(client.tables(), 10)) == []
        second.run_until_complete(client.close())
        first.run_until_complete(of_first.close())
    finally:
        first.close()
        second.close()
    assert len(server.asked) == 2


def test_many_calls_are_under_way_at_once(server):
    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url, connections=8) as client:
            assert await asyncio.gather(*(client.tables() for _ in range(100))) == [[]] * 100

    asyncio.run(use())
    assert len({asked.port for asked in server.asked}) <= 8


def test_an_async_client_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(errors.MissingDependency) as caught:
        asyncio.run(tiffin.AsyncFeatureStoreClient("http://127.0.0.1:1").tables())
    assert "tiffin[client]" in caught.value.hint
