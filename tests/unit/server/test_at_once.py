"""Requests that are answered while they are read: as the app answers them, byte for byte, or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
import math

import pytest

import tiffin
from tiffin.access import keys as keys_module
from tiffin.access import keys_of
from tiffin.server.edge import protocol as protocol_module
from tiffin.server.edge.at_once import MOST_BYTES
from tiffin.server.edge.protocol import GuardedProtocol
from tiffin.server.online import asking
from tiffin.serving import OnlinePlan, watch
from wire_server import Server, request, until


def own(*users, features=("user/ratings:mean", "user/ratings:city"), **more) -> dict:
    return {"features": features, "entity_rows": [{"user_id": user} for user in users], **more}


def feast(*users, **more) -> dict:
    return {"features": ["ratings:mean"], "entities": {"user_id": users, "other": users}, **more}


FEAST = "/get-online-features"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        # Every now and then a plan looks after its tables, which takes more than a glance.
        patched.setattr(watch, "LOOK_AFTER_S", 600)
        yield _filled(tmp_path_factory.mktemp("store"))


def _filled(folder):
    store = tiffin.FeatureStore(folder, disk_cache_bytes=0)
    rows = [{"user_id": 7, "mean": 4.5, "city": "Pune"}, {"user_id": 8, "mean": None, "city": "Oslo"}]
    rows += [{"user_id": 10, "mean": math.nan, "city": ""}]
    store.save("user/ratings", rows, entity="user_id", online=True)
    store.save("item/price", [{"item": "a", "price": 2}], entity="item", online=True)
    store.create_service("model", ["user/ratings:mean"])
    # What is known of these lists is what lets them be answered at once.
    for features in (["user/ratings:mean", "user/ratings:city"], "model", ["ratings:mean"], store.service("model")):
        store.plans.recall(features)
    store.plans.recall(["ratings:mean"], full_feature_names=True)
    store.plans.recall(["user/ratings:mean", "item/price:price"])
    return store


@pytest.fixture
def server(store) -> Server:
    return Server(store)


def run(asked):
    return asyncio.run(asked)


PLAIN = {
    "one": request(own(7)),
    "in words": request(own(7, 10), "/online?nan=text"),
    "none": request(own()),
    "a null, and one that is not there": request(own(7, 8, 9)),
    "as columns": request({"features": ["user/ratings:mean", "user/ratings:city"], "entity_rows": {"user_id": [7, 8]}}),
    "two tables": request({"features": ["user/ratings:mean", "item/price:price"],
                           "entity_rows": [{"user_id": 7, "item": "a"}]}),
    "a service": request(own(7, features="model")),
    "as many as may be": request(own(*range(asking.AT_ONCE))),
    "feast": request(feast(7, 8, 9), FEAST),
    "feast, full names": request(feast(7, full_feature_names=True), FEAST),
    "feast, a service": request({"feature_service": "model", "entities": {"user_id": [7]}}, FEAST),
}  # fmt: skip


@pytest.mark.parametrize("sent", PLAIN.values(), ids=PLAIN)
def test_a_plain_request_is_answered_at_once_as_the_app_answers_it(server, sent):
    quick, usual = run(server.both_ways(sent))
    assert quick == usual
    assert quick.startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.handed_on == 1


BODY = json.dumps(own(7)).encode()
HANDED_ON = {
    "another method": request(own(7), method="PUT"),
    "a query": request(own(7), "/online?nan=null"),
    "a query twice": request(own(7), "/online?nan=text&nan=text"),
    "a wrong query": request(own(7), "/online?x=1"),
    "the last one": request(own(7), "/online", "Connection: close"),
    "the old protocol": request(own(7), version="1.0"),
    "another protocol": request(b"", "/online", "Connection: upgrade", "Upgrade: h2c"),
    "an origin": request(own(7), "/online", "Origin: http://localhost"),
    "a foreign origin": request(own(7), "/online", "Origin: http://evil.example"),
    "an allowed origin": request(own(7), "/online", "Origin: https://app.example"),
    "another host": request(own(7)).replace(b"Host: localhost", b"Host: evil.example"),
    "a header twice": request(own(7), "/online", "Content-Type: application/json", "Content-Type: application/json"),
    "text": request(own(7), "/online", "Content-Type: text/plain"),
    "a charset": request(own(7), "/online", "Content-Type: application/json; charset=utf-8"),
    "compressed": request(gzip.compress(BODY, mtime=0), "/online", "Content-Encoding: gzip"),
    "in chunks": request(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), "/online", "Transfer-Encoding: chunked"),
    "no JSON": request(b"{"),
    "no question": request([]),
    "an unknown feature": request(own(7, features=["user/ratings:nope"])),
    "a list that nobody has asked for": request(own(7, features=["user/ratings:city"] * 3)),
    "an unknown service": request(own(7, features="nope")),
    "an unknown column": request({"features": ["user/ratings:mean"], "entity_rows": [{"user": 7}]}),
    "a key of another kind": request(own("x")),
    "another moment": request(own(7, at="2034-01-01T00:00:00Z")),
    "more than a few": request(own(*range(asking.AT_ONCE + 1))),
    "more than may be": request(own(*range(301))),
    "a long body": request(json.dumps(own(7)).encode() + b" " * MOST_BYTES),
    "feast, neither": request({"entities": {"user_id": [7]}}, FEAST),
    "feast, a column is missing": request({"features": ["ratings:mean"], "entities": {"other": [7]}}, FEAST),
}  # fmt: skip


@pytest.mark.parametrize("sent", HANDED_ON.values(), ids=HANDED_ON)
def test_whatever_is_not_plain_is_handed_on(store, sent):
    server = Server(store, limits={"entities": 300}, cors_origins=("https://app.example",))
    quick, usual = run(server.both_ways(sent))
    assert quick == usual
    # Those that the guard refuses do not come as far as the app.
    assert server.handed_on == 2 or b" 403 " in quick or b" 400 " in quick


def test_a_request_in_pieces_is_handed_on_and_one_with_expectations_is_told_to_go_on(server):
    sent = request(own(7))
    for cut in (1, 20, len(sent) - 1, sent.index(b"\r\n\r\n") + 4):
        quick, usual = run(server.both_ways(sent[:cut], sent[cut:]))
        assert quick == usual
        assert b" 200 OK" in quick
    expecting = request(own(7), "/online", "Expect: 100-continue")
    head = expecting.index(b"\r\n\r\n") + 4

    async def asked() -> bytes:
        protocol, wire = server.connect()
        protocol.data_received(expecting[:head])
        await until(lambda: b"100 Continue" in wire.sent)
        protocol.data_received(expecting[head:])
        await until(lambda: b"200 OK" in wire.sent)
        return wire.sent

    assert run(asked()).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_requests_that_are_sent_together_are_answered_in_order(server):
    asked = [request(own(user)) for user in (7, 8, 9)]
    slow = request(b"", "/tables", method="GET")
    sent = b"".join([asked[0], slow, asked[1], asked[2], slow, asked[0]])
    quick, usual = run(server.both_ways(sent, answers=6))
    assert quick == usual
    assert [quick.find(b'"user_id":%d' % user) for user in (7, 8, 9)] == sorted(
        quick.find(b'"user_id":%d' % user) for user in (7, 8, 9)
    )
    # Only the first is answered at once: many from one client wait for the others.
    assert server.handed_on == 11
    quick, usual = run(server.both_ways(b"".join(asked), answers=3))
    assert quick == usual
    assert server.handed_on == 11 + 2 + 3


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"body_bytes": 50}, 413), ({"all_bodies_bytes": 50}, 503), ({"header_bytes": 60}, 431), ({"entities": 1}, 413)],
)
def test_limits_hold(store, limits, status):
    quick, usual = run(Server(store, limits=limits).both_ways(request(own(7, 8))))
    assert quick == usual
    assert quick.startswith(b"HTTP/1.1 %d " % status)


def test_no_more_are_answered_at_once_than_may_be_under_way(store):
    server = Server(store, limits={"concurrent_requests": 1})

    async def asked() -> bytes:
        protocol, _ = server.connect()
        half = request(own(7))
        protocol.data_received(half[:-1])
        await until(lambda: server.handed_on == 1)
        answer = await server.ask(request(own(7)))
        protocol.data_received(half[-1:])
        await until(lambda: not protocol.is_at_work())
        return answer + await server.ask(request(own(7)))

    answers = run(asked())
    assert [answers.count(status) for status in (b" 503 ", b" 200 OK")] == [1, 1]


def test_keys_are_asked_for_and_obeyed(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "LOOK_EVERY_S", 0)
    with tiffin.FeatureStore(tmp_path, disk_cache_bytes=0) as store:
        store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id", online=True)
        store.plans.recall(["user/ratings:mean"])
        server = Server(store)
        sent = request(own(7, features=["user/ratings:mean"]))
        assert b" 200 OK" in run(server.ask(sent))
        keys = keys_of(store.path)
        secrets = {name: keys.create(name, ["read"], groups=[name])[1] for name in ("user", "item")}

        def status(secret: str) -> bytes:
            shown = sent.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {secret}\r\n\r\n".encode())
            quick, usual = run(server.both_ways(shown))
            assert quick == usual
            return quick[9:12]

        assert run(server.ask(sent))[9:12] == b"401"
        assert [status(secret) for secret in (secrets["user"], secrets["item"], "nope")] == [b"200", b"403", b"401"]
        keys.revoke("user")
        assert status(secrets["user"]) == b"401"


def test_both_ways_are_counted_and_written_down_alike(store, tmp_path):
    log = tmp_path / "access.jsonl"
    server = Server(store, access_log=str(log))
    run(server.both_ways(request(own(7, 8))))
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    quick, usual = [{name: line[name] for name in line.keys() - {"time", "ms"}} for line in lines]
    assert quick == usual
    assert quick["route"] == quick["path"] == "/online"
    assert (quick["request_id"], quick["client"], quick["status"]) == ("me", "127.0.0.1", 200)
    figures = server.guard._metrics.exposition().decode()
    assert 'tiffin_request_seconds_count{method="POST",route="/online",status="200"} 2.0' in figures
    assert 'tiffin_rows_served_total{route="/online"} 4.0' in figures
    assert "tiffin_requests_in_flight 0.0" in figures


def test_figures_are_told_while_all_is_answered_at_once(server, monkeypatch):
    monkeypatch.setattr("tiffin.server.edge.guard._TICK_S", 0.01)
    told = []
    monkeypatch.setattr(server.guard._metrics, "refresh", lambda: told.append(True))

    async def asked() -> None:
        for _ in range(2):
            told.clear()
            await server.ask(request(own(7)))
            await until(lambda: told)

    run(asked())
    assert server.handed_on == 0


def test_what_nobody_foresaw_is_answered_by_the_app(server, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(OnlinePlan, "glance", broken)
    quick, usual = run(server.both_ways(request(own(7))))
    assert quick == usual
    assert quick.startswith(b"HTTP/1.1 500 ")


def test_a_body_of_many_pieces_takes_no_longer_than_it_is_long(server, monkeypatch):
    """To put each to those before it anew would take a second for a megabyte: it is the app's from the second on."""
    kept = []
    hand_on = GuardedProtocol._hand_on
    monkeypatch.setattr(GuardedProtocol, "_hand_on", lambda self: (kept.append(len(self._held)), hand_on(self)))
    letters = json.dumps(own(7))
    pieces = "".join(f"1\r\n{letter}\r\n" for letter in letters) + "0\r\n\r\n"
    answer = run(server.ask(request(pieces.encode(), "/online", "Transfer-Encoding: chunked")))
    assert b" 200 OK" in answer
    assert kept == [1]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_nothing_is_answered_after_a_request_for_another_protocol(server, size):
    """The parser drops what came with it: another answer could be to another request than its client thinks."""
    asks = request(b"", "/health", "Connection: upgrade", "Upgrade: websocket", method="GET")
    sent = asks.replace(b"Content-Length: 0\r\n", b"") + request(own(7))

    async def asked() -> bytes:
        protocol, wire = server.connect()
        for at in range(0, len(sent), size):
            protocol.data_received(sent[at : at + size])
        await until(lambda: wire.closed)
        return wire.sent

    answer = run(asked()).lower()
    assert answer.count(b"http/1.1 ") == answer.count(b"connection: close") == 1


# Many ahead


def _held_up(server: Server, gate: asyncio.Event) -> None:
    """Let the app begin each answer, and end it no sooner than it may."""

    async def begins(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": b"b"})

    server.guard._app = begins


def test_a_refusal_is_never_written_into_another_answer(server):
    async def asked() -> bytes:
        gate = asyncio.Event()
        _held_up(server, gate)
        protocol, wire = server.connect()
        protocol.data_received(request(b"", "/tables", method="GET") * 2)
        await until(lambda: wire.sent.endswith(b"a"))
        protocol.data_received(b"garbage\r\n\r\n")
        assert wire.closed
        return wire.sent

    assert run(asked()).endswith(b"\r\n\r\na")


def test_no_more_is_read_while_requests_wait_for_others(server):
    """Else a client that sends on and on fills the memory with what waits."""

    async def asked() -> None:
        gate = asyncio.Event()
        _held_up(server, gate)
        protocol, wire = server.connect()
        protocol.data_received(request(b"", "/tables", method="GET") * 3)
        await until(lambda: wire.sent.count(b"200 OK") == 1)
        assert wire.is_paused
        protocol.flow.resume_reading()
        assert wire.is_paused
        gate.set()
        await until(lambda: not protocol.is_at_work())
        assert wire.sent.count(b"200 OK") == 3
        assert not wire.is_paused

    run(asked())


def test_who_sends_too_many_ahead_is_hung_up_on(server):
    async def asked(count: int) -> bool:
        _held_up(server, asyncio.Event())
        protocol, wire = server.connect()
        protocol.data_received(request(b"", "/tables", method="GET") * count)
        return wire.closed

    assert [run(asked(count)) for count in (protocol_module.MOST_AHEAD + 1, 10_000)] == [False, True]


# Sending


@pytest.mark.parametrize("then", ["garbage", "shutdown", "dismiss", "eof_received"])
def test_an_answer_is_sent_before_anything_that_follows_it(server, then):
    async def asked() -> bytes:
        protocol, wire = server.connect()
        protocol.data_received(request(own(7)) + (b"garbage\r\n\r\n" if then == "garbage" else b""))
        if then != "garbage":
            getattr(protocol, then)()
        await asyncio.sleep(0)
        assert wire.closed or then == "eof_received"
        return wire.sent

    assert run(asked()).startswith(b"HTTP/1.1 200 OK\r\n")


def test_answers_of_one_turn_are_sent_when_it_ends(server):
    async def asked() -> None:
        connections = [server.connect() for _ in range(3)]
        for protocol, _ in connections:
            protocol.data_received(request(own(7)))
        assert [wire.sent for _, wire in connections] == [b"", b"", b""]
        gone, left = connections[0]
        left.closed = True
        gone.connection_lost(None)
        await asyncio.sleep(0)
        assert [wire.sent.count(b"200 OK") for _, wire in connections] == [0, 1, 1]

    run(asked())


# Patience


def test_a_connection_is_kept_open_for_a_while_and_the_next_head_gets_its_own_time(store):
    server = Server(store, limits={"idle_s": 60, "head_s": 10})

    async def asked() -> None:
        protocol, wire = server.connect()
        protocol.data_received(request(own(7)))
        await asyncio.sleep(0)
        now = protocol.loop.time()
        protocol.check(now + 59)
        assert not wire.closed
        protocol.check(now + 61)
        assert wire.closed
        for begun in (request(own(7)) + b"POST /on", b"POST /on"):
            protocol, wire = server.connect()
            protocol.data_received(request(own(7)))
            await asyncio.sleep(0)
            protocol.data_received(begun)
            by = protocol._read_by
            await asyncio.sleep(0.005)
            for letter in (b"l", b"i"):
                protocol.data_received(letter)
            assert protocol._read_by == by
            protocol.check(now + 9)
            assert not wire.closed
            protocol.check(now + 12)
            assert b"408 Request Timeout" in wire.sent

    run(asked())


def test_a_connection_that_was_answered_is_no_new_one(server):
    async def asked() -> None:
        protocol, _ = server.connect()
        assert protocol.is_waiting(for_first=True)
        protocol.data_received(request(own(7)))
        assert not protocol.is_waiting(for_first=True)
        assert protocol.is_waiting(for_first=False)
        assert protocol._read_by < math.inf

    run(asked())
