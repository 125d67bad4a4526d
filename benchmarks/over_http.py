"""Over HTTP: online reads, rows and Arrow under load, a static answer and Feast's feature server beside them.

The load is made by wrk, on the same machine: server and client share its cores. The static answer is a bare ASGI app on
the same server with the same settings, of the same size; what ours takes more is what Tiffin takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import tiffin
from benchmarks.measure import Result
from benchmarks.ports import free_port
from tiffin.wire.media import ARROW, JSON

NAMES = [f"f{number}" for number in range(10)]
FEATURES = [f"user/large:{name}" for name in NAMES]
ENTITIES = 100_000
CONNECTIONS = 8
FEAST_ENTITIES = 1_000
MOST_WAIT_S = 60

_SERVER = """
import sys
from tiffin.server.options import ServerOptions
from tiffin.server.run import serve

if len(sys.argv) > 2:
    import tiffin.server.app
    from tiffin.server.edge.connections import Connections

    class Static:
        def __init__(self, options):
            self.limits, self.connections = options.limits, Connections(options.limits)
            self.at_once = {}

        async def __call__(self, scope, receive, send):
            await receive()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    body = b"x" * int(sys.argv[2])
    tiffin.server.app.create_app = lambda store, options: Static(options)
serve(sys.argv[1], ServerOptions(port=0), ready=lambda url: print(url, flush=True))
"""

_LUA = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests": %d, "us": %d, "bytes": %d, "errors": %d, "p50": %d, "p99": %d}',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


# By default each worker ends after 1,000 requests, and the next one takes a second to start.
_TUNED = ["--no-access-log", "--max-requests", "100000000", "--registry_ttl_sec", "3600"]


@dataclass(frozen=True)
class Ask:
    """One request, sent again and again."""

    url: str
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)

    def once(self) -> bytes:
        """Send it once."""
        data = None if self.body is None else json.dumps(self.body).encode()
        headers = {**self.headers, **({"Content-Type": JSON} if data else {})}
        with urllib.request.urlopen(urllib.request.Request(self.url, data, headers), timeout=MOST_WAIT_S) as answer:
            return bytes(answer.read())

    def script(self) -> str:
        """Return it as a script of wrk's."""
        lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in self.headers.items()]
        if self.body is not None:
            lines += [
                'wrk.method = "POST"',
                f'wrk.headers["Content-Type"] = "{JSON}"',
                f"wrk.body = [[{json.dumps(self.body)}]]",
            ]
        return "\n".join(lines) + _LUA


@dataclass(frozen=True)
class Load:
    """What came of sending a request again and again."""

    per_s: float
    """Requests a second."""
    bytes_per_s: float
    p50_ms: float
    p99_ms: float


def run(*, quick: bool) -> Iterator[Result]:
    if shutil.which("wrk") is None:
        yield Result("http", "not measured: there is no wrk (Debian: wrk)", "", "", "", "", met=False)
        return
    rounds, seconds = (3, 1) if quick else (5, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        _save(path)
        with _served(path) as url:
            yield from _online(url, path, rounds, seconds)
            yield from _rows(url, seconds)
            yield from _client(url, 500 if quick else 3_000)


def _save(path: Path) -> None:
    """Save an online table, and one of 100,000 × 10 floats."""
    chance = np.random.default_rng(0)
    store = tiffin.FeatureStore(path)
    floats = {name: chance.random(ENTITIES) for name in NAMES}
    ago = chance.integers(0, 80 * 86_400 * 1_000_000, ENTITIES)
    times = pl.Series(time.time_ns() // 1000 - ago).cast(pl.Datetime("us", "UTC"))
    users = pl.DataFrame({"user_id": np.arange(ENTITIES), "at": times, **floats})
    store.save("user/large", users, entity="user_id", timestamp="at", online=True)
    store.save("bulk/frame", pl.DataFrame(floats))
    store.close()


def _online(url: str, path: Path, rounds: int, seconds: int) -> Iterator[Result]:
    one, hundred = (_asks(f"{url}/online", count) for count in (1, 100))
    with _served(path, len(one.once())) as static_url, _feast() as feast_url:
        asks = {"static": Ask(static_url, one.body), "one": one, "hundred": hundred}
        if feast_url:
            asks |= {f"feast {name}": _asks_feast(feast_url, count) for name, count in (("one", 1), ("hundred", 100))}
        # In turns, so that a noisy machine disturbs all alike.
        taken = [{name: load(ask, seconds) for name, ask in asks.items()} for _ in range(rounds)]
    middle = {name: median(one[name].per_s for one in taken) for name in asks}
    share = median(one["one"].per_s / one["static"].per_s for one in taken)
    yield Result(
        "http", "online, 1 × 10, 8 connections", f"{middle['one']:,.0f}/s", f"static answer {middle['static']:,.0f}/s",
        f"{share:.2f}", "≥ 0.60", share >= 0.6,
    )  # fmt: skip
    yield Result(
        "http", "online, 100 × 10, 8 connections", f"{middle['hundred']:,.0f}/s", "", "", "≥ 2,500/s",
        middle["hundred"] >= 2500,
    )  # fmt: skip
    for name, count in (("one", 1), ("hundred", 100)) if feast_url else ():
        times = median(one[name].per_s / one[f"feast {name}"].per_s for one in taken)
        goal = 15.0 if count == 1 else 0.0
        yield Result(
            "http", f"online, {count} × 10", f"{middle[name]:,.0f}/s", f"Feast {middle[f'feast {name}']:,.0f}/s",
            f"{times:.1f}", "≥ 15 × Feast" if goal else "", times >= goal,
        )  # fmt: skip


def _rows(url: str, seconds: int) -> Iterator[Result]:
    page = load(Ask(f"{url}/features/user/large?limit=1000"), seconds)
    yield Result(
        "http", "cached read of 1,000 rows as JSON, 8 connections", f"p99 {page.p99_ms:.1f} ms",
        f"p50 {page.p50_ms:.1f} ms, {page.per_s:,.0f}/s", "", "p99 ≤ 20 ms", page.p99_ms <= 20,
    )  # fmt: skip
    arrow = load(Ask(f"{url}/features/bulk/frame", headers={"Accept": ARROW}), seconds, connections=1)
    megabytes = arrow.bytes_per_s / 1e6
    yield Result(
        "http", "100,000 × 10 as Arrow", f"{megabytes:,.0f} MB/s", f"p50 {arrow.p50_ms:.1f} ms", "", "≥ 300 MB/s",
        megabytes >= 300,
    )  # fmt: skip


def _client(url: str, calls: int) -> Iterator[Result]:
    taken = []
    with tiffin.connect(url) as client:
        for number in range(calls + 100):
            start = time.perf_counter()
            client.get_online_features(FEATURES, [{"user_id": number}]).to_dict()
            taken.append(time.perf_counter() - start)
    middle = median(taken[100:]) * 1e6
    yield Result(
        "http", "client, one online call", f"p50 {middle:.0f} µs", "", "", "≤ 450 µs", middle <= 450
    )  # fmt: skip
    per_s = asyncio.run(_calls_per_s(url, calls * 4))
    yield Result(
        "http", "async client, 32 in flight", f"{per_s:,.0f}/s", "", "", "≥ 8,000/s", per_s >= 8000
    )  # fmt: skip


async def _calls_per_s(url: str, calls: int) -> float:
    async with tiffin.AsyncFeatureStoreClient(url) as client:
        numbers = iter(range(calls))

        async def worker() -> None:
            for number in numbers:
                await client.get_online_features(FEATURES, [{"user_id": number % ENTITIES}])

        await client.get_online_features(FEATURES, [{"user_id": 0}])
        start = time.perf_counter()
        await asyncio.gather(*[worker() for _ in range(32)])
        return calls / (time.perf_counter() - start)


def _asks(url: str, count: int) -> Ask:
    return Ask(url, {"features": FEATURES, "entity_rows": [{"user_id": number * 7} for number in range(count)]})


def _asks_feast(url: str, count: int) -> Ask:
    entities = {"user_id": [number * 7 for number in range(count)]}
    features = [f"large:{name}" for name in NAMES]
    return Ask(f"{url}/get-online-features", {"features": features, "entities": entities})


def load(ask: Ask, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Send a request again and again, with wrk."""
    ask.once()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(ask.script())
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, ask.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    assert not found["errors"], f"{found['errors']} of {found['requests']} requests failed: {ask.url}"
    taken = found["us"] / 1e6
    return Load(found["requests"] / taken, found["bytes"] / taken, found["p50"] / 1000, found["p99"] / 1000)


@contextmanager
def _served(path: Path, *static_bytes: int) -> Iterator[str]:
    """Serve a store; or a static answer of so many bytes, on the same server."""
    command = [sys.executable, "-c", _SERVER, str(path), *map(str, static_bytes)]
    with _started(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url.startswith("http"), "the server did not start"
        yield url


@contextmanager
def _feast() -> Iterator[str | None]:
    """Serve the same rows with Feast's feature server, if TIFFIN_FEAST_PYTHON names a Python that has it."""
    python = os.environ.get("TIFFIN_FEAST_PYTHON")
    if not python:
        yield None
        return
    script = Path(__file__).with_name("feast_server.py")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, script, folder, str(FEAST_ENTITIES)], check=True, capture_output=True)
        command = [Path(python).with_name("feast"), "serve", *_TUNED, "--port", str(port := free_port())]
        with _started(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            url = f"http://127.0.0.1:{port}"
            _until_healthy(url)
            yield url


@contextmanager
def _started(command: list[object], **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        # With its workers, if it has any.
        os.killpg(process.pid, 9)
        process.wait()
        if process.stdout:
            process.stdout.close()


def _until_healthy(url: str) -> None:
    end = time.monotonic() + MOST_WAIT_S
    while True:
        try:
            Ask(f"{url}/health").once()
        except OSError:
            assert time.monotonic() < end, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return
