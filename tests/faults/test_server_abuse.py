"""Clients that mean harm: each gets its clear answer, or is shown the door, and the others are served all the while.

The server of these tests may open 1,024 files, and has little patience.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import polars as pl
import psutil
import pytest

import tiffin
from served import Served, read_answer, served, wait_until

HEAD_S = 0.5
STALL_S = 1.5
FILES = 1024
PER_ADDRESS = 64
BODY_BYTES = 1 << 20
LIMITS = {
    "head_s": HEAD_S,
    "stall_s": STALL_S,
    "bytes_per_s": 100_000,
    "idle_s": 2,
    "body_bytes": BODY_BYTES,
    "decompressed_bytes": 4 * BODY_BYTES,
    "connections_per_address": PER_ADDRESS,
    "connections": 400,
}
SIEGE_S = 5
SLOWEST_END_S = 9.5
"""Who is too slow is hung up on within this time, though the machine is busy; without the limits above, after 10 s."""
SLOWEST_S = 3.0
"""What the others may have to wait while the attackers, who share this machine with them, do their worst."""
GOOD, EVIL = "127.0.0.1", "127.0.0.2"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "store"
    with tiffin.FeatureStore(folder) as store:
        rows = pl.select(user_id=pl.int_range(200_000), text=pl.lit("many letters " * 8))
        store.save("user/texts", rows, entity="user_id")
    with served(folder, limits=LIMITS, files=FILES, errors=folder / "errors.txt") as server:
        yield server
        assert (folder / "errors.txt").read_text() == "", "whoever can fill the log can fill the disk"


@pytest.fixture(autouse=True)
def _healthy_afterwards(server):
    yield
    assert server.get("/health").json()["status"] == "healthy"
    assert server.process.poll() is None


def request(path: str = "/health", *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def told(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return json.loads(body)


def sent(server: Served, data: bytes) -> tuple[int, bytes]:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
        return read_answer(connection)


# What is not HTTP, and what is too much of it


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA\x00B: c\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n\tfolded\nbare: b\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_a_clear_answer_and_is_hung_up_on(server, data):
    status, answer = sent(server, data)
    assert status == 400
    assert told(answer)["hint"]


def test_one_request_cannot_hide_another(server):
    smuggled = (
        b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /nothing"
    )
    status, answer = sent(server, smuggled + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status == 400
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_asking_for_another_protocol_makes_no_request_of_a_body(server, upgrade):
    hidden = request("/health")
    head = request(
        "/compact", "Connection: Upgrade", f"Upgrade: {upgrade}", f"Content-Length: {len(hidden)}", method="POST"
    )
    with server.connect() as connection:
        connection.sendall(head)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(hidden)
        status, answer = read_answer(connection)
    assert status == 400
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        request("/" + "a" * 20_000),
        request("/health", "X-Long: " + "a" * 20_000),
        request("/health", *(f"X-{number}: a" for number in range(5000))),
        request("/health", "X-Endless: " + "a" * 40_000)[:-4],
        request("/tables/a/b", "X-Long: " + "a" * 20_000, "Content-Length: 3", method="POST") + b"abc",
    ],
)
def test_a_head_that_is_too_long_is_refused(server, head):
    status, answer = sent(server, head)
    assert status == 431
    assert told(answer)["code"] == "too_large"


def test_a_large_body_behind_a_small_head_is_no_large_head(server):
    body = b" " * 200_000 + b"{}"
    data = request("/nothing", f"Content-Length: {len(body)}", "Connection: close", method="POST") + body
    assert sent(server, data)[0] == 404


@pytest.mark.parametrize("size", [BODY_BYTES + 1, 10**12])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(server, size):
    status, answer = sent(server, request("/tables/a/b", f"Content-Length: {size}", "Connection: close", method="POST"))
    assert status == 413
    assert told(answer)["code"] == "too_large"


def test_clients_that_send_all_before_they_read_see_why_it_was_too_large(server):
    answer = httpx.post(server.url + "/tables/user/more", content=bytes(BODY_BYTES + 500_000))
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_hanging_up_is_no_failure_of_the_server(server):
    body = request("/tables/user/more", "Content-Type: text/csv", "Content-Length: 900", method="POST") + b"a,b"
    for data in (body, body[:-20], request("/features/user/texts?limit=100000")):
        for _ in range(5):
            with server.connect() as connection:
                connection.sendall(data)
    wait_until(lambda: in_flight(server) <= 1)


def test_a_body_without_end_is_cut_off(server):
    piece = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(
            request("/tables/a/b", "Transfer-Encoding: chunked", "Content-Type: text/csv", method="POST")
        )
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(piece * 2000)


def test_answers_cannot_be_split_by_what_is_asked(server):
    answer = server.get("/features/a%0d%0aSet-Cookie:%20evil=1/b")
    assert answer.status_code in {404, 422}
    assert "set-cookie" not in answer.headers
    assert b"\r\n" not in answer.content


# Who is slow


BEGINNINGS = {
    b"": 0,
    b"\r\n": 0,
    b"GET": 408,
    b"GET /health HTTP/1.1\r\nHost: local": 408,
    request("/tables/a/b", "Content-Length: 1000", "Content-Type: text/csv", method="POST"): 408,
    request("/tables/a/b", "Transfer-Encoding: chunked", "Content-Type: text/csv", method="POST"): 408,
}
"""What a request may begin with, and the status that ends the wait for more; 0: it is just closed."""


@pytest.mark.parametrize("does_trickle", [pytest.param(False, marks=[pytest.mark.alone, pytest.mark.slow]), True])
def test_who_does_not_finish_a_request_is_hung_up_on_and_a_letter_now_and_then_buys_no_time(server, does_trickle):
    with contextlib.ExitStack() as stack:
        opened = {stack.enter_context(server.connect()): begin for begin in BEGINNINGS}
        for connection, begin in opened.items():
            connection.sendall(begin)
        began = time.monotonic()
        statuses = {}
        while opened:
            assert time.monotonic() - began < SLOWEST_END_S
            for connection in select.select(list(opened), [], [], 0.1)[0]:
                statuses[opened.pop(connection)] = read_answer(connection)[0]
            if does_trickle:
                trickle(opened)
    # Who goes on sending when the answer is on its way may lose it: TCP is like that.
    assert all(statuses[begin] in {status, 0 if does_trickle else status} for begin, status in BEGINNINGS.items())


def trickle(opened: dict[socket.socket, bytes]) -> None:
    for connection, begin in opened.items():
        if begin == b"GET":
            continue
        letter = b"1\r\na\r\n" if b"chunked" in begin else b"a" if b"/" in begin else b"\r\n"
        with contextlib.suppress(ConnectionError):
            connection.sendall(letter)


@pytest.mark.alone
@pytest.mark.slow
def test_a_slow_body_that_keeps_the_pace_is_taken(server):
    rows = b'{"rows": [' + b" " * 300_000 + b'{"a": 1}]}'
    with server.connect() as connection:
        head = ("Content-Type: application/json", f"Content-Length: {len(rows)}", "Connection: close")
        connection.sendall(request("/tables/user/slow", *head, method="POST"))
        # Longer in all than the server would stand still for.
        for start in range(0, len(rows), 20_000):
            connection.sendall(rows[start : start + 20_000])
            time.sleep(0.1)
        assert read_answer(connection)[0] in {200, 201}


@pytest.mark.parametrize("is_last", [True, pytest.param(False, marks=[pytest.mark.alone, pytest.mark.slow])])
def test_who_does_not_fetch_an_answer_is_hung_up_on(server, is_last):
    with slow_reader(server, "Connection: close" if is_last else "Accept: */*") as connection:
        wait_until(lambda: is_dead(connection), STALL_S + 20)


@contextlib.contextmanager
def slow_reader(server: Served, header: str) -> Iterator[socket.socket]:
    """Ask for more than the system would buffer, and read none of it."""
    connection = socket.socket()
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.address)
        connection.sendall(request("/features/user/texts?limit=150000", header))
        yield connection


def is_dead(connection: socket.socket) -> bool:
    """Tell whether the server has reset a connection, without reading from it."""
    state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state in {7, 8}  # TCP_CLOSE, TCP_CLOSE_WAIT


@pytest.mark.alone
@pytest.mark.slow
def test_a_slow_reader_that_keeps_the_pace_gets_all(server):
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(request("/features/user/texts?limit=20000", "Connection: close"))
        answer = bytearray()
        # Longer in all than the server would stand still for.
        while piece := connection.recv(20_000):
            answer += piece
            if len(answer) < 800_000:
                time.sleep(0.05)
    body = httpx.get(server.url + "/features/user/texts?limit=20000").content
    assert len(answer) > len(body)


@pytest.mark.alone
@pytest.mark.slow
def test_an_idle_connection_is_closed_but_a_busy_one_is_kept(server):
    with server.connect() as connection:
        for _ in range(3):
            # It cannot be idle for longer than since then.
            began = time.monotonic()
            connection.sendall(request())
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65_536)
        assert connection.recv(1) == b""
        assert 1 < time.monotonic() - began < SLOWEST_END_S


# Who comes too often


def flood(server: Served, source: str, count: int) -> list[socket.socket]:
    """Open connections as fast as may be, and send half a head on each."""
    opened = []
    for _ in range(count):
        connection = server.connect(source)
        opened.append(connection)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET /health HTTP/1.1\r\nHo")
    return opened


def close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


def alive(connections: list[socket.socket]) -> int:
    return sum(not is_dead(connection) for connection in connections)


def test_an_address_keeps_so_many_connections_and_new_ones_that_ask_are_served(server):
    opened = flood(server, EVIL, PER_ADDRESS * 2)
    try:
        wait_until(lambda: alive(opened) <= PER_ADDRESS)
        with server.connect(EVIL) as connection:
            connection.sendall(request("/health", "Connection: close"))
            assert read_answer(connection)[0] == 200
    finally:
        close(opened)


def test_an_address_with_too_many_at_work_is_refused_and_others_are_not(server):
    head = request("/tables/user/more", "Content-Length: 10", "Content-Type: text/csv", method="POST")

    def is_refused() -> bool:
        with contextlib.ExitStack() as stack:
            busy = [stack.enter_context(server.connect(EVIL)) for _ in range(PER_ADDRESS)]
            for connection in busy:
                connection.sendall(head)
            # On a slow machine the first of them are hung up on before the last are at work: then once more.
            wait_until(lambda: in_flight(server) >= PER_ADDRESS or alive(busy) < PER_ADDRESS)
            with server.connect(EVIL) as connection:
                status, answer = read_answer(connection)
            assert server.get("/health").status_code == 200
        assert status in {429, 0}
        return status == 429 and told(answer)["code"] == "too_many"

    wait_until(is_refused)


def in_flight(server: Served) -> float:
    lines = server.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("tiffin_requests_in_flight "))


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("source", "most_refused"), [(EVIL, 0), (GOOD, 0.1)])
def test_two_thousand_half_open_connections_keep_nobody_out(server, figure, source, most_refused):
    # From the attackers' own address, more than it may have can come between a connection and its request.
    slow, refused = besieged(server, lambda: close(flood(server, source, 2000)), figure)
    assert refused <= most_refused
    assert slow < SLOWEST_S


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_connections_that_trickle_keep_nobody_out_and_fill_no_memory(server, figure):
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss

    def attack() -> None:
        with contextlib.ExitStack() as stack:
            for number in range(20):
                stack.callback(close, flood(server, f"127.0.0.{2 + number % 8}", 500))

    slow, refused = besieged(server, attack, figure)
    assert refused == 0
    assert slow < SLOWEST_S
    assert process.memory_info().rss - before < 200 << 20
    wait_until(lambda: len(process.net_connections()) < 50)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_readers_that_do_not_read_keep_nobody_out_and_fill_no_memory(server, figure):
    process = psutil.Process(server.process.pid)
    server.get("/features/user/texts?limit=150000")
    before = process.memory_info().rss

    def attack() -> None:
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(slow_reader(server, "Accept: */*")) for _ in range(40)]
            wait_until(lambda: alive(readers) == 0, 60)

    _, refused = besieged(server, attack, figure)
    assert refused == 0
    assert process.memory_info().rss - before < 1 << 30


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_slow_bodies_keep_nobody_out(server, figure):
    head = request("/tables/user/more", "Content-Length: 1000000", "Content-Type: text/csv", method="POST")

    def attack() -> None:
        with contextlib.ExitStack() as stack:
            for number in range(300):
                connection = stack.enter_context(server.connect(f"127.0.0.{2 + number % 8}"))
                with contextlib.suppress(ConnectionError):
                    connection.sendall(head + b"a")
            time.sleep(STALL_S + 1)

    _, refused = besieged(server, attack, figure)
    assert refused == 0


def besieged(server: Served, attack: Callable[[], None], note: Callable[[str], None]) -> tuple[float, float]:
    """Ask for /health on new connections while an attack goes on, again and again; the 99th percentile of the
    seconds that each took, and the share that failed."""
    took, failed = [], 0
    end = time.monotonic() + SIEGE_S

    def besiege() -> None:
        while time.monotonic() < end:
            attack()

    besieger = threading.Thread(target=besiege, daemon=True)
    besieger.start()
    while besieger.is_alive():
        began = time.monotonic()
        try:
            failed += httpx.get(server.url + "/health", timeout=10).status_code != 200
        except httpx.HTTPError:
            failed += 1
        took.append(time.monotonic() - began)
        besieger.join(0.01)
    slow = statistics.quantiles(took, n=100)[98]
    note(
        f"{len(took)} requests meanwhile, {failed} failed, median {statistics.median(took) * 1000:.1f} ms, "
        f"p99 {slow * 1000:.1f} ms"
    )
    return slow, failed / len(took)
