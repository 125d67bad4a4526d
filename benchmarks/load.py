"""Rising load: `python -m benchmarks.load [--seconds 10] [--json FILE]`, from 1 to 64 connections, reads and saves.

The load is made by wrk, because a client in Python would use more processor time than the server that it measures. The
page is written by `python -m benchmarks.soak.page`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
from rich.console import Console
from rich.table import Table

import tiffin
from benchmarks.run import Machine, machine
from benchmarks.saving import frame
from benchmarks.web import served
from tiffin.wire.media import JSON

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
ENTITIES = 10_000
TABLES = 8
"""As many are appended to, and as many pushed to."""
WORKERS = 2
PATIENCE = "30s"
MIX = (
    "Of 100 requests 70 read 10 features of an entity online, 10 those of 100 entities; 14 read a page of 100 rows as "
    f"JSON, 3 append a row and 3 push one, to {TABLES} tables each: a version every time, synced."
)
_NEARLY = 0.95

_LUA = """
local online = {{'{{"features": ["user/t"], "entity_rows": [', ']}}'}}
local function asked(count)
  local rows = {{}}
  for number = 1, count do rows[number] = '{{"user_id": ' .. math.random(0, {entities} - 1) .. '}}' end
  return wrk.format('POST', '/online', nil, online[1] .. table.concat(rows, ',') .. online[2])
end
local function row(extra)
  local user = math.random(0, {entities} - 1)
  return '{{"rows": [{{"user_id": ' .. user .. ', "value": ' .. math.random() .. extra .. '}}]}}'
end
local function table_number()
  return math.random(0, {tables} - 1)
end
function init()
  math.randomseed(os.time())
  wrk.headers['Content-Type'] = '{json}'
end
function request()
  local choice = math.random(100)
  if choice <= 70 then return asked(1) end
  if choice <= 80 then return asked(100) end
  if choice <= 94 then return wrk.format('GET', '/features/user/t?limit=100&offset=' .. math.random(0, 9) * 100) end
  if choice <= 97 then return wrk.format('POST', '/tables/log/t' .. table_number() .. '?mode=append', nil, row('')) end
  local at = ', "at": "' .. os.date('!%Y-%m-%dT%H:%M:%SZ') .. '"'
  return wrk.format('POST', '/tables/push/t' .. table_number() .. '/push', nil, row(at))
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{{"requests": %d, "us": %d, "errors": %d, "p50": %d, "p99": %d}}',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Step(msgspec.Struct, frozen=True):
    """What came of so many connections, each of which asks as soon as it has been answered."""

    connections: int
    per_s: float
    """Requests a second."""
    p50_ms: float
    p99_ms: float
    errors: int
    """Other statuses than 2xx and 3xx, and broken connections."""


class Rise(msgspec.Struct, frozen=True):
    """A run with more and more connections."""

    when: str
    """UTC, ISO 8601."""
    machine: Machine
    mix: str
    steps: Sequence[Step]

    def told(self) -> str:
        """Say where more connections no longer bring more requests a second."""
        most = max(step.per_s for step in self.steps)
        full = next(step for step in self.steps if step.per_s >= _NEARLY * most)
        return (
            f"It is saturated with {full.connections} connection{'s' if full.connections > 1 else ''} "
            f"({full.per_s:,.0f} requests/s): more of them wait longer, and are answered hardly more often."
        )


def run(seconds: int) -> Rise:
    """Measure with each number of connections for so long."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").mkdir()
        (folder / "config" / "tiffin.toml").write_text("keep_versions = 20\ncheckpoint_every = 20\n")
        _save(folder)
        script = folder / "mix.lua"
        script.write_text(_LUA.format(entities=ENTITIES, tables=TABLES, json=JSON))
        with served(folder, "--workers", str(WORKERS)) as (url, _):
            steps = [_step(url, script, connections, seconds) for connections in CONNECTIONS]
    return Rise(when, machine(), MIX, steps)


def _save(folder: Path) -> None:
    with tiffin.FeatureStore(folder) as store:
        users = frame(ENTITIES, 10).with_columns(user_id=pl.int_range(ENTITIES))
        store.save("user/t", users, entity="user_id", online=True)
        first = pl.DataFrame({"user_id": [0], "value": [0.5]})
        pushed = first.with_columns(at=pl.lit(datetime.now(UTC), pl.Datetime("us", "UTC")))
        for number in range(TABLES):
            store.save(f"log/t{number}", first)
            store.save(f"push/t{number}", pushed, entity="user_id", timestamp="at", online=True)


def _step(url: str, script: Path, connections: int, seconds: int) -> Step:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "--timeout",
        PATIENCE,
        "-s",
        str(script),
        url,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    per_s = found["requests"] / (found["us"] / 1e6)
    return Step(connections, per_s, found["p50"] / 1e3, found["p99"] / 1e3, found["errors"])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.load", description="Load a server with more and more connections."
    )
    parser.add_argument("--seconds", type=int, default=10, help="for each number of connections")
    parser.add_argument("--json", type=Path, help="write the run there")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("there is no wrk, which makes the load (Debian: wrk)")
    rise = run(chosen.seconds)
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(rise), indent=1))
    table = Table("connections", "requests/s", "p50 ms", "p99 ms", "errors", title=rise.mix, title_justify="left")
    for step in rise.steps:
        table.add_row(*(f"{value:,.4g}" for value in msgspec.structs.astuple(step)))
    Console().print(table, rise.told())
    sys.exit(1 if any(step.errors for step in rise.steps) else 0)


if __name__ == "__main__":
    main()
