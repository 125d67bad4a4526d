"""The connections of both clients: what is taken for an answer on them, and which of them are used again."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

import tiffin
from tiffin import errors
from tiffin.client.connection import Connection
from tiffin.client.options import ClientOptions
from tiffin.client.reader import AnswerReader
from tiffin.client.route import Route
from unit.client.scripted import (
    COMMIT,
    EMPTY,
    OK,
    TABLE,
    Answer,
    certified,
    ports,
    problem,
    says,
    scripted,
    sends,
    until,
)

# What is an answer


@pytest.mark.parametrize(
    "answer",
    [
        sends(*(bytes([byte]) for byte in EMPTY)),
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n[", b"\r\n1;x=y\r\n]\r\n", b"0\r\n\r\n"),
        sends(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nContent-Encoding: zstd\r\n\r\n"),
        sends(b"HTTP/1.1 100 Continue\r\n\r\n", EMPTY),
        sends(b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: zstd\r\nLink: </a>\r\n\r\n" + EMPTY),
        sends(OK.replace(b"Type", b"TYPE") + b"content-length:2\r\n\r\n[]"),
    ],
    ids=["in_pieces", "chunked", "trailers", "continue", "hints", "any_case"],
)
def test_answers_are_read_however_they_come(opened, server, answer):
    server.script = [answer]
    with opened(retries=0) as client:
        assert [client.tables(), client.tables()] == [[], []]
    assert len({*ports(server)}) == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_answer_without_a_length_ends_with_its_connection(opened, server, version):
    server.script = [sends(b"HTTP/" + version + b" 200 OK\r\n\r\n", b"[", b"]", then_closes=True)]
    with opened(retries=0) as client:
        assert [client.tables(), client.tables()] == [[], []]
    assert len({*ports(server)}) == 2


def test_an_answer_without_a_body_leaves_the_connection_open(opened, server):
    server.script = [sends(b"HTTP/1.1 204 No Content\r\n\r\n")]
    with opened(retries=0, timeout_s=5) as client:
        assert [client.drop("g/t"), client.drop("g/t")] == [None, None]
    assert len({*ports(server)}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        OK + b"Content-Length: -2\r\n\r\n[]",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n[]",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfive\r\n[]",
        OK + b"Content-Length : 2\r\n\r\n[]",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n[]",
        OK + b"X: " + b"x" * (1 << 19),
        OK + b"X: y\r\n" * (1 << 16),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (1 << 14),
    ],
    ids=["ssh", "status", "lengths", "negative", "both", "chunk", "space", "upgrade", "long", "many", "continues"],
)
def test_what_is_no_answer_is_not_taken_for_one(opened, server, answer, caplog):
    server.script = [sends(answer)]
    with opened(retries=0, timeout_s=10) as client:
        with pytest.raises(errors.Unreachable, match="no answer|headers"):
            client.tables()
        with pytest.raises(errors.OutcomeUnknown, match="no answer|headers"):
            client.drop("g/t")
    assert len({*ports(server)}) == 2
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["length", "close", "chunks", "extension", "trailers"])
def test_an_answer_that_is_too_large_is_not_taken(opened, server, kind):
    """Without a bound a server that is broken fills the memory of its clients."""
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    begins = {
        "length": OK + b"Content-Length: 9999999999\r\n\r\n", "close": OK + b"\r\n", "chunks": chunked,
        "extension": chunked + b"1;", "trailers": chunked + b"0\r\nX: ",
    }  # fmt: skip
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n" if kind == "chunks" else b"x" * 1024
    sent = []

    def goes_on(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(begins[kind])
        sent.append(0)
        while sent[-1] < 1 << 26:
            handler.wfile.write(piece * 64)
            sent[-1] += 1 << 16

    server.script = [goes_on]
    with opened(answer_bytes=1 << 18) as client:
        with pytest.raises(errors.TooLarge, match="262,144 bytes") as caught:
            client.tables()
        assert "answer_bytes" in str(caught.value.hint)
        with pytest.raises(errors.OutcomeUnknown, match="262,144 bytes"):
            client.drop("g/t")
    assert len(server.asked) == 2
    assert max(sent) < 1 << 26


def test_headers_come_to_an_end_however_slowly_they_come():
    reader = AnswerReader(1 << 30)
    assert not reader.feed(OK)
    line = b"X: " + b"x" * 1000 + b"\r\n"
    with pytest.raises(ConnectionError, match="headers"):
        any(reader.feed(line) for _ in range(100))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        OK,
        OK + b"Content-Length: 3\r\n\r\n[]",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["nothing", "status", "headers", "body", "chunks", "continue"],
)
def test_an_answer_that_ends_too_early_is_none(opened, server, answer):
    server.script = [sends(answer, then_closes=True), says(200, [])]
    with opened(retries=0) as client, pytest.raises(errors.Unreachable, match="without an answer|too early"):
        client.tables()
    server.script = [sends(answer, then_closes=True), says(200, [])]
    with opened() as client:
        assert client.tables() == []


def test_a_connection_that_is_cut_is_no_answer(opened, server):
    def cuts(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    server.script = [cuts]
    with opened(retries=0, timeout_s=10) as client, pytest.raises(errors.OutcomeUnknown, match="reset"):
        client.drop("g/t")


def test_what_is_said_of_a_text_is_no_header(opened, server):
    server.script = [says(200, COMMIT)]
    with opened() as client:
        client.save("g/t", [{"x": 1}], message="a\r\nX-Evil: 1\r\n\r\n")
    assert "x-evil" not in server.asked[0].headers


# Which connections are used again


def test_what_came_unasked_is_nobodys_answer(opened, server):
    server.script = [sends(EMPTY + EMPTY.replace(b"[]", b"{}")), says(200, TABLE)]
    with opened(retries=0) as client:
        assert client.tables() == []
        assert client.get_feature("g", "t") == TABLE
    assert len({*ports(server)}) == 2


def test_what_comes_while_nothing_is_asked_is_nobodys_answer(opened, server):
    came = threading.Event()

    def says_more(handler: BaseHTTPRequestHandler) -> None:
        sends(EMPTY)(handler)
        came.wait(10)
        sends(EMPTY)(handler)
        server.closed.release()

    server.script = [says_more, says(200, TABLE)]
    with opened(retries=0) as client:
        assert client.tables() == []
        came.set()
        assert server.closed.acquire(timeout=10)
        assert client.get_feature("g", "t") == TABLE
    assert len({*ports(server)}) == 2


def test_what_the_loop_read_while_nothing_was_asked_is_nobodys_answer(server):
    def says_more(handler: BaseHTTPRequestHandler) -> None:
        sends(EMPTY)(handler)
        server.over.wait(0.02)
        sends(EMPTY)(handler)

    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url, retries=0) as client:
            assert await client.tables() == []
            assert server.closed.acquire(blocking=False) is False
            while not server.closed.acquire(blocking=False):
                await asyncio.sleep(0.002)
            assert await client.get_feature("g", "t") == TABLE

    server.script = [says_more, says(200, TABLE)]
    asyncio.run(asyncio.wait_for(use(), 10))
    assert len({*ports(server)}) == 2


@pytest.mark.parametrize("head", [OK + b"Connection: close\r\n", OK.replace(b"1.1", b"1.0")])
def test_a_connection_that_its_server_will_close_is_not_kept(opened, server, head):
    server.script = [sends(head + b"Content-Length: 2\r\n\r\n[]")]
    with opened(retries=0) as client:
        assert [client.tables(), client.tables()] == [[], []]
    assert len({*ports(server)}) == 2


def test_a_connection_that_was_closed_while_idle_is_replaced(opened, server):
    server.script = [sends(EMPTY, then_closes=True)]
    with opened() as client:
        for _ in range(3):
            client.materialize(from_scratch=True)
            assert server.closed.acquire(timeout=10)
    assert len(server.asked) == 3


def test_no_more_connections_are_kept_than_are_wanted(server):
    both = threading.Barrier(2)

    def meets(handler: BaseHTTPRequestHandler) -> None:
        both.wait(10)
        sends(EMPTY)(handler)

    server.script = [meets]
    with tiffin.connect(server.url, connections=1) as client:
        calls = [threading.Thread(target=client.tables, daemon=True) for _ in range(2)]
        for call in calls:
            call.start()
        for call in calls:
            call.join(10)
        assert server.closed.acquire(timeout=10)
        server.script = [says(200, [])]
        client.tables()
    assert len({*ports(server)}) == 2


def test_small_pieces_are_sent_at_once(server):
    """Otherwise the end of a large body waits until its beginning is acknowledged."""
    with tiffin.connect(server.url) as client:
        client.tables()
        ((at, _),) = client._transport._idle[1]
        assert at.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_are_closed(opened, server):
    with opened() as client:
        client.tables()
        client.close()
        assert server.closed.acquire(timeout=10)
        assert client.tables() == []
    assert server.closed.acquire(timeout=10)


def test_a_connection_that_is_not_taken_again_is_closed(server, monkeypatch):
    async def use() -> None:
        async with tiffin.AsyncFeatureStoreClient(server.url) as client:
            await client.tables()
            with monkeypatch.context() as patched:
                patched.setattr(Connection, "is_usable", lambda self: False)
                await client.tables()
            await until(lambda: server.closed.acquire(blocking=False))
            assert await client.tables() == []

    asyncio.run(use())
    first, second, third = ports(server)
    assert first != second == third


def test_an_interrupted_call_leaves_nothing_behind(server, monkeypatch):
    def interrupted(*_args: Any) -> bool:
        raise KeyboardInterrupt

    with tiffin.connect(server.url) as client:
        client.tables()
        with monkeypatch.context() as patched:
            patched.setattr(AnswerReader, "feed", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.tables()
        server.script = [says(200, TABLE)]
        assert client.get_feature("g", "t") == TABLE
    first, second, third = ports(server)
    assert first == second != third


def test_a_refusal_is_heard_while_the_body_is_still_being_sent(opened, server):
    def refuses(handler: Any) -> None:
        problem(413, "too_large")(handler)
        # As servers do that care: what is on its way is read, so that the refusal is not lost.
        handler.connection.shutdown(socket.SHUT_WR)
        while handler.rfile.read1(1 << 20):
            pass
        handler.close_connection = True

    server.reads_bodies = False
    server.script = [refuses, says(200, [])]
    with opened(timeout_s=10) as client:
        with pytest.raises(errors.TooLarge):
            client.save("g/t", pl.DataFrame({"x": range(2_000_000)}))
        assert client.tables() == []
    assert len({*ports(server)}) == 2


def test_a_refusal_is_heard_although_the_connection_is_cut(server):
    def refuses(handler: Any) -> None:
        problem(413, "too_large")(handler)
        handler.close_connection = True

    server.reads_bodies = False
    server.script = [refuses, says(200, [])]
    with tiffin.connect(server.url) as client:
        with pytest.raises(errors.TooLarge):
            client.save("g/t", pl.DataFrame({"x": range(2_000_000)}))
        assert client.tables() == []
    assert len({*ports(server)}) == 2


# Ways


@pytest.mark.parametrize(
    ("url", "proxy", "goes_to", "before_path", "tunnel_to"),
    [
        ("http://a.example/x/", None, ("a.example", 80), "/x", None),
        ("https://a.example", None, ("a.example", 443), "", None),
        ("http://[::1]:8001", None, ("::1", 8001), "", None),
        ("http://a.example", "http://p.example:3128", ("p.example", 3128), "http://a.example", None),
        ("https://a.example/x", "http://p.example", ("p.example", 80), "/x", "a.example:443"),
        ("https://[::2]:99", "http://p.example", ("p.example", 80), "", "[::2]:99"),
    ],
)
def test_ways_to_a_server(url, proxy, goes_to, before_path, tunnel_to):
    way = Route(ClientOptions(url=url, proxy=proxy), "identity")
    assert ((way.host, way.port), way.before_path) == (goes_to, before_path)
    assert f"Host: {urlsplit(url).netloc}\r\n" in way.said
    tunnel = way.tunnel and way.tunnel.decode()
    assert tunnel == (tunnel_to and f"CONNECT {tunnel_to} HTTP/1.1\r\nHost: {tunnel_to}\r\n\r\n")


# Proxies


def leads_through(to: str, seen: list[bytes]) -> Answer:
    """Lead a connection on to another server, whatever it asks for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200, "Connection established")
        handler.end_headers()
        host, port = to.rpartition("/")[2].split(":")
        with socket.create_connection((host, int(port))) as far:
            ends = {handler.connection: far, far: handler.connection}
            while all(ends):
                for end in select.select([*ends], [], [], 10)[0]:
                    data = end.recv(1 << 16)
                    seen.append(data)
                    if not data:
                        handler.close_connection = True
                        return
                    ends[end].sendall(data)

    return answer


def test_tls_is_spoken_through_a_proxy_with_the_server(opened, server, tmp_path):
    tls, certificate = certified(tmp_path)
    seen: list[bytes] = []
    with scripted(tls) as secure:
        server.script = [leads_through(secure.url, seen)]
        about = {"url": secure.url, "proxy": server.url, "ca_file": certificate, "key": "tfn_secret", "retries": 0}
        with opened(**about) as client:
            assert [client.tables(), client.tables()] == [[], []]
        with opened(**{**about, "ca_file": None}) as client, pytest.raises(errors.Unreachable, match="certificate"):
            client.tables()
    assert len({*ports(secure)}) == 1
    assert secure.asked[0].headers["authorization"] == "Bearer tfn_secret"
    assert [(asked.method, f"https://{asked.path}") for asked in server.asked] == [("CONNECT", secure.url)] * 2
    assert b"tfn_secret" not in b"".join(seen)
    assert not any("authorization" in asked.headers for asked in server.asked)


def test_a_proxy_that_says_nothing_is_not_waited_for(opened, server):
    server.script = [server.hangs]
    about = {"url": "https://store.example", "proxy": server.url, "connect_timeout_s": 0.1, "retries": 0}
    with opened(**about) as client, pytest.raises(errors.Unreachable, match="took too long|timed out"):
        client.drop("g/t")
