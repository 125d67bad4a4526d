"""What all tests share: figures, a Redis server, and a loud word if there is none."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import typer.main
import typer.testing
from hypothesis import settings

import feast_environment
import redis_server

pytest_plugins = ["figures"]

# How long an example takes says more of the machine's other work than of ours: benchmarks measure.
settings.register_profile("tiffin", deadline=None)
settings.load_profile("tiffin")

# Typer makes all commands anew for each call: 24 ms that every test of the command line would pay.
typer.testing._get_command = functools.cache(typer.main.get_command)

collect_ignore = [] if redis_server.PROGRAM else ["faults/test_online_redis.py"]
if feast_environment.PYTHON is None:
    collect_ignore += ["e2e/test_feast_client.py", "e2e/test_feast_repository.py"]


def pytest_configure(config: pytest.Config) -> None:
    if redis_server.REQUIRED and not redis_server.PROGRAM:
        raise pytest.UsageError("TIFFIN_REQUIRE_REDIS=1, but there is no redis-server or valkey-server on PATH")
    if feast_environment.REQUIRED and feast_environment.PYTHON is None:
        raise pytest.UsageError("TIFFIN_REQUIRE_FEAST=1, but TIFFIN_FEAST_PYTHON names no Python that has Feast")


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
    if feast_environment.PYTHON is None:
        terminalreporter.section("NOT TESTED: the real Feast, as a client and on repositories", sep="!", bold=True)
        terminalreporter.write_line("TIFFIN_FEAST_PYTHON names no Python that has it. (`make feast` makes one.)")
