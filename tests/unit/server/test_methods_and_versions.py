"""HEAD beside GET, and the versions of HTTP that are spoken, over a connection as clients have it."""

from __future__ import annotations

import asyncio
import json

import pytest

import tiffin
from wire_server import Server, request

GETS = [
    "/health", "/ready", "/tables", "/tables/user/ratings", "/tables/user/ratings/history", "/features/user/ratings",
    "/services", "/services/model", "/training-sets", "/metrics", "/stats", "/openapi.json", "/docs", "/tables/no/such",
    "/features/user/ratings?limit=1&format=csv", "/nowhere",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    store = tiffin.FeatureStore(tmp_path_factory.mktemp("store"), disk_cache_bytes=0)
    store.save("user/ratings", [{"user_id": 7, "mean": 4.5}], entity="user_id", online=True)
    store.create_service("model", ["user/ratings:mean"])
    return Server(store)


def ask(server: Server, sent: bytes) -> tuple[bytes, bytes]:
    """Return the head and the body of the answer."""
    head, _, body = asyncio.run(server.ask(sent)).partition(b"\r\n\r\n")
    return head, body


def told(head: bytes) -> list[bytes]:
    """List what an answer says of itself, but for what differs each time or is about how it is sent."""
    return [line for line in head.split(b"\r\n") if not line.startswith((b"transfer-encoding", b"content-length"))]


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_as_get_is_without_a_body(server, path):
    full, body = ask(server, request(b"", path, method="GET"))
    head, nothing = ask(server, request(b"", path, method="HEAD"))
    assert told(head) == told(full)
    assert (nothing, bool(body)) == (b"", True)


def test_head_of_what_has_not_changed_is_304(server):
    full, _ = ask(server, request(b"", "/features/user/ratings", method="HEAD"))
    tag = next(line.partition(b": ")[2] for line in full.split(b"\r\n") if line.startswith(b"etag"))
    head, _ = ask(server, request(b"", "/features/user/ratings", f"If-None-Match: {tag.decode()}", method="HEAD"))
    assert head.startswith(b"HTTP/1.1 304")


def test_what_has_no_get_has_no_head(server):
    head, body = ask(server, request(b"", "/online", method="HEAD"))
    assert head.startswith(b"HTTP/1.1 405")
    assert (b"allow: POST" in head, body) == (True, b"")
    head, body = ask(server, request(b"", "/tables", method="PUT"))
    assert b"allow: GET, HEAD" in head
    _, document = ask(server, request(b"", "/openapi.json", method="GET"))
    assert not [path for path, methods in json.loads(document)["paths"].items() if "head" in methods]


@pytest.mark.parametrize("path", ["/online", "/tables"])
@pytest.mark.parametrize("version", ["2.0", "0.9"])
def test_other_versions_than_1_are_not_spoken(server, path, version):
    head, body = ask(server, request({}, path, version=version))
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["status"] == 400


def test_the_old_version_has_no_chunks(server):
    chunks = b"2\r\n{}\r\n0\r\n\r\n"
    head, _ = ask(server, request(chunks, "/online", "Transfer-Encoding: chunked", version="1.0"))
    assert head.startswith(b"HTTP/1.1 400")
    head, _ = ask(server, request(b"", "/health", method="GET", version="1.0"))
    assert head.startswith(b"HTTP/1.1 200")
