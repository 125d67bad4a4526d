"""A server that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """Of the client's end of the connection."""


Answer = Callable[[BaseHTTPRequestHandler], None]

TABLE = {"data": [{"x": 1}]}
COMMIT = {"table": "g/t", "version": 0, "timestamp": "2024-01-01T00:00:00Z", "operation": "append"}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EMPTY = OK + b"Content-Length: 2\r\n\r\n[]"


def says(status: int, body: object = None, **headers: str) -> Answer:
    """Answer with JSON, or with bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"content_type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def problem(status: int, code: str, **headers: str) -> Answer:
    """Answer with an error of Tiffin's."""
    body = {"title": "t", "status": status, "detail": "what", "code": code, "hint": "do"}
    return says(status, body, **{"content_type": "application/problem+json", **headers})


def breaks_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection instead of answering."""
    handler.close_connection = True


def half(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"[")
    handler.close_connection = True


def certified(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Make a certificate of 127.0.0.1; return what a server needs, and the file that clients need."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    about = ["-days", "1", "-subj", "/CN=tiffin", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", "-x509", *made, *about], check=True, capture_output=True, timeout=30)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls, certificate


class Scripted:
    """What is answered, in turn; the last answer is given for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.script: list[Answer] = [says(200, [])]
        self.reads_bodies = True
        self.over = threading.Event()
        self.closed = threading.Semaphore(0)
        """One for each connection that the server has closed."""

    def hangs(self, _handler: BaseHTTPRequestHandler) -> None:
        """Say nothing until the test is over."""
        self.over.wait(30)

    def drips(self, handler: BaseHTTPRequestHandler) -> None:
        """Say a little, again and again."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 22))
        handler.end_headers()
        while not self.over.wait(0.02):
            handler.wfile.write(b" " * (1 << 14))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def scripted(tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Serve a script on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length) if here.reads_bodies else b""
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.asked.append(Asked(self.command, self.path, headers, body, self.client_address[1]))
            (here.script.pop(0) if len(here.script) > 1 else here.script[0])(self)

        do_GET = do_POST = do_DELETE = do_CONNECT = answer  # noqa: N815 - the library's names

        def log_message(self, *_args: object) -> None:
            """Nothing."""

        def finish(self) -> None:
            super().finish()
            self.connection.close()
            here.closed.release()

    server = _Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    here = Scripted(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def sends(*pieces: bytes, then_closes: bool = False) -> Answer:
    """Answer with these bytes, one piece after the other."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
        handler.close_connection = then_closes

    return answer


def ports(server: Scripted) -> list[int]:
    return [asked.port for asked in server.asked]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something, and let others go on meanwhile."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)
