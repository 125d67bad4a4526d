"""What all tests share: figures, a Redis server, and a loud word if there is none."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer.main
import typer.testing
from hypothesis import settings

import fake_clock
import feast_environment
import redis_server
import tracer

pytest_plugins = ["figures"]

# How long an example takes says more of the machine's other work than of ours: benchmarks measure.
settings.register_profile("tiffin", deadline=None)
settings.load_profile("tiffin")

# Typer makes all commands anew for each call: 24 ms that every test of the command line would pay.
typer.testing._get_command = functools.cache(typer.main.get_command)

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30

collect_ignore = [] if redis_server.PROGRAM else ["faults/test_online_redis.py"]
if feast_environment.PYTHON is None:
    collect_ignore += ["e2e/test_feast_client.py", "e2e/test_feast_repository.py"]
if tracer.PROGRAM is None:
    collect_ignore += ["faults/test_system_calls.py"]
if fake_clock.LIBRARY is None:
    collect_ignore += ["faults/test_clock_of_server.py"]


def pytest_configure(config: pytest.Config) -> None:
    if redis_server.REQUIRED and not redis_server.PROGRAM:
        raise pytest.UsageError("TIFFIN_REQUIRE_REDIS=1, but there is no redis-server or valkey-server on PATH")
    if tracer.REQUIRED and tracer.PROGRAM is None:
        raise pytest.UsageError("TIFFIN_REQUIRE_STRACE=1, but there is no strace on PATH")
    if fake_clock.REQUIRED and fake_clock.LIBRARY is None:
        raise pytest.UsageError("TIFFIN_REQUIRE_FAKETIME=1, but there is no libfaketime in /usr/lib")
    if feast_environment.REQUIRED and feast_environment.PYTHON is None:
        raise pytest.UsageError("TIFFIN_REQUIRE_FEAST=1, but TIFFIN_FEAST_PYTHON names no Python that has Feast")
    if config.option.markexpr == "not slow" and not config.option.basetemp and _has_room(_MEMORY):
        # The fast tests wait for no disk; `make test-all` and `make faults` run on one.
        tempfile.tempdir = str(_MEMORY)


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= _ROOM_BYTES


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server, or of one of its databases, that is there for this process of the tests alone."""
    if redis_server.URL:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
        yield urlsplit(redis_server.URL)._replace(path=worker.replace("gw", "/")).geturl()
        return
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if redis_server.PROGRAM is None:
        untested = "a Redis server that fails" if redis_server.URL else "the online index on Redis"
        terminalreporter.section(f"NOT TESTED: {untested}", sep="!", red=True, bold=True)
        terminalreporter.write_line("There is no redis-server or valkey-server on PATH. (Debian: redis-server)")
    if tracer.PROGRAM is None:
        terminalreporter.section("NOT TESTED: system calls that fail", sep="!", red=True, bold=True)
        terminalreporter.write_line("There is no strace on PATH. (Debian: strace)")
    if fake_clock.LIBRARY is None:
        terminalreporter.section("NOT TESTED: a server whose clock is set", sep="!", red=True, bold=True)
        terminalreporter.write_line("There is no libfaketime in /usr/lib. (Debian: faketime)")
    if feast_environment.PYTHON is None:
        terminalreporter.section("NOT TESTED: the real Feast, as a client and on repositories", sep="!", bold=True)
        terminalreporter.write_line("TIFFIN_FEAST_PYTHON names no Python that has it. (`make feast` makes one.)")
