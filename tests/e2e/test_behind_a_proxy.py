"""A real nginx and a real Caddy, with the configurations that docs/deployment.md shows, before a real server."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import polars as pl
import pytest
from benchmarks.ports import free_port

import tiffin
from pages import ROOT, blocks
from served import Served, certified, served, trusting, wait_until
from tiffin.access.keys import keys_of
from tiffin.wire.media import ARROW, PARQUET

pytestmark = pytest.mark.slow

REQUIRED = os.environ.get("TIFFIN_REQUIRE_PROXIES") == "1"
NAME = "features.example"
"""Of the server, as the page calls it."""
ROWS = 300_000
TOO_MANY_BYTES = 65 << 20


@dataclass
class Proxied:
    """What is reached through a proxy, by the name that the page gives it."""

    url: str
    client: httpx.Client
    store: Path

    def ask(self, method: str, path: str, **options: object) -> httpx.Response:
        return self.client.request(method, self.url + path, extensions={"sni_hostname": NAME}, **options)  # type: ignore[arg-type]


def shown(begins: str) -> str:
    """Return the configuration on the page that begins so."""
    page = blocks(ROOT / "docs" / "deployment.md")
    (found,) = (block.text for block in page if block.mark == "not run" and block.text.startswith(begins))
    return found


def replaced(text: str, **changes: tuple[str, object]) -> str:
    """Replace what is of one's own machine; each must be there once."""
    for old, new in changes.values():
        assert text.count(old) == 1, old
        text = text.replace(old, str(new))
    return text


def nginx(folder: Path, server: Served, port: int, certificate: Path, key: Path) -> list[str]:
    """Write nginx's configuration; how it is started."""
    text = replaced(
        shown("upstream tiffin"),
        server=("127.0.0.1:8001", f"127.0.0.1:{server.address[1]}"),
        port=("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        certificate=("/etc/nginx/features.pem", certificate),
        key=("/etc/nginx/features.key", key),
    )
    own = "".join(f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    process = f"daemon off; user root; pid {folder}/pid; error_log stderr; events {{}}"
    (folder / "nginx.conf").write_text(f"{process} http {{ access_log off; {own}\n{text}}}\n")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def caddy(folder: Path, server: Served, port: int, certificate: Path, key: Path) -> list[str]:
    """Write Caddy's configuration, with a certificate of our own: how it is started."""
    text = replaced(
        shown(NAME),
        name=(f"{NAME} {{", f"https://{NAME}:{port} {{\n    bind 127.0.0.1\n    tls {certificate} {key}"),
        server=("127.0.0.1:8001", f"127.0.0.1:{server.address[1]}"),
    )
    (folder / "Caddyfile").write_text("{\n    admin off\n    auto_https off\n}\n" + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = {"nginx": nginx, "caddy": caddy}
if REQUIRED:
    assert all(map(shutil.which, PROXIES)), "TIFFIN_REQUIRE_PROXIES=1, but nginx or caddy is not on PATH"


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        wait_until(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, (folder / "said").read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=[name for name in PROXIES if shutil.which(name)])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    store = tmp_path / "store"
    with tiffin.FeatureStore(store) as opened:
        opened.save("user/ratings", {"user_id": [1, 2], "mean": [4.5, 3.0]}, entity="user_id", online=True)
        opened.save("bulk/numbers", pl.DataFrame({"number": range(ROWS)}).with_columns(half=pl.col("number") / 2))
    _, secret = keys_of(store).create("someone", ["read", "write"])
    certificate, key = certified(tmp_path, NAME)
    port = free_port()
    with served(store, "--allowed-host", NAME) as server:
        command = PROXIES[request.param](tmp_path, server, port, certificate, key)
        headers = {"Host": NAME, "Authorization": f"Bearer {secret}"}
        with (
            running(command, port, tmp_path),
            httpx.Client(verify=trusting(certificate), headers=headers, timeout=60) as client,
        ):
            yield Proxied(f"https://127.0.0.1:{port}", client, store)


def test_a_store_behind_it_is_used_as_without(proxied: Proxied):
    assert proxied.ask("GET", "/ready").status_code == 200
    asked = {"features": ["user/ratings:mean"], "entity_rows": [{"user_id": 2}]}
    for _ in range(20):
        assert proxied.ask("POST", "/online", json=asked).json()["rows"][0]["mean"] == 3.0
    assert proxied.ask("GET", "/tables", headers={"Authorization": ""}).status_code == 401

    large = proxied.ask("GET", "/features/bulk/numbers", headers={"Accept": ARROW})
    assert pl.read_ipc_stream(large.content)["half"].sum() == sum(range(ROWS)) / 2

    body = io.BytesIO()
    pl.DataFrame({"user_id": range(ROWS), "mean": [0.5] * ROWS}).write_parquet(body)
    saved = proxied.ask("POST", "/tables/user/ratings", content=body.getvalue(), headers={"Content-Type": PARQUET})
    assert saved.is_success, saved.text
    assert proxied.ask("POST", "/online", json=asked).json()["rows"][0]["mean"] == 0.5


def test_more_than_the_server_takes_is_refused(proxied: Proxied):
    found = proxied.ask(
        "POST", "/tables/user/ratings", content=bytes(TOO_MANY_BYTES), headers={"Content-Type": PARQUET}
    )
    assert found.status_code == 413
    assert tiffin.FeatureStore(proxied.store).describe("user/ratings").version == 0
