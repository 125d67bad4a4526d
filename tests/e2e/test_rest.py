"""The REST server as a process: several workers on one store, large bodies and slow downloads beside online reads."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import polars as pl
import pytest

import tiffin
from e2e.server_process import serving
from tiffin.frames import FeatureFrame
from tiffin.wire import from_stream, to_stream
from tiffin.wire.media import ARROW, IDEMPOTENCY_KEY, JSON

LARGE = pl.DataFrame({"id": range(300_000), **{f"c{number}": [number / 7] * 300_000 for number in range(8)}})


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    with tiffin.FeatureStore(folder) as store:
        store.save("g/t", [{"id": number, "x": number / 2} for number in range(100)], entity="id", online=True)
        store.save("g/large", LARGE)
    with serving(folder, "--workers", "2") as url:
        yield url


def call(url: str, body: bytes | None = None, media: str = JSON, **headers: str) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": media, **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def online(url: str) -> float:
    """Read three entities online; return how many seconds it took."""
    began = time.perf_counter()
    body = json.dumps({"features": ["g/t:x"], "entity_rows": [{"id": 3}, {"id": 4}, {"id": 1000}]}).encode()
    answer = json.loads(call(f"{url}/online", body))
    assert [row["x"] for row in answer["rows"]] == [1.5, 2.0, None]
    return time.perf_counter() - began


def begin_download(url: str) -> socket.socket:
    """Ask for a large answer, and fetch no more than its head."""
    address = urlsplit(url)
    begun = socket.create_connection((address.hostname, address.port), timeout=30)
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    begun.sendall(f"GET /features/g/large HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: {ARROW}\r\n\r\n".encode())
    assert begun.recv(12) == b"HTTP/1.1 200"
    return begun


def test_slow_downloads_do_not_delay_online_reads(url):
    for _ in range(10):
        online(url)
    alone = statistics.median(online(url) for _ in range(30))
    begun = [begin_download(url) for _ in range(24)]
    try:
        beside = statistics.median(online(url) for _ in range(30))
    finally:
        for one in begun:
            one.close()
    assert beside < 10 * alone + 0.05


@pytest.mark.slow
def test_large_bodies_being_read_do_not_stop_online_reads(url):
    rows = [{"id": number, "a": number / 3, "b": str(number)} for number in range(150_000)]
    body = json.dumps({"rows": rows, "mode": "overwrite"}).encode()
    saving = [threading.Thread(target=call, args=(f"{url}/tables/g/s{n}", body), daemon=True) for n in range(2)]
    for thread in saving:
        thread.start()
    longest = 0.0
    while any(thread.is_alive() for thread in saving):
        longest = max(longest, online(url))
    assert longest < 1.5
    assert json.loads(call(f"{url}/tables/g/s0"))["rows"] == 150_000


def test_a_large_frame_goes_there_and_back_as_arrow(url):
    body = b"".join(to_stream(FeatureFrame(LARGE)))
    call(f"{url}/tables/g/copy", body, ARROW)
    back = from_stream(call(f"{url}/features/g/copy", Accept=ARROW)).frame
    assert back.to_polars().equals(LARGE)


def test_a_write_that_is_sent_to_both_workers_at_once_lands_once(url):
    versions = []

    def push() -> None:
        body = b'{"rows": [{"id": 7, "x": 70}]}'
        answer = call(f"{url}/tables/g/u?entity=id&mode=append", body, **{IDEMPOTENCY_KEY: "once"})
        versions.append(json.loads(answer)["version"])

    threads = [threading.Thread(target=push, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert versions == [0] * 8
    assert json.loads(call(f"{url}/tables/g/u"))["rows"] == 1


def test_a_tag_of_one_worker_is_known_to_the_other(url):
    with urllib.request.urlopen(f"{url}/features/g/t", timeout=30) as answer:
        tag = answer.headers["ETag"]
    statuses = set()
    for _ in range(10):
        address = urlsplit(url)
        with closing(socket.create_connection((address.hostname, address.port), timeout=30)) as one:
            one.sendall(
                f"GET /features/g/t HTTP/1.1\r\nHost: {address.netloc}\r\nIf-None-Match: {tag}\r\n\r\n".encode()
            )
            statuses.add(one.recv(12))
    assert statuses == {b"HTTP/1.1 304"}
