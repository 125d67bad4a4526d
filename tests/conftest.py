"""What all tests share: a Redis server, and a loud word if there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

import redis_server

collect_ignore = [] if redis_server.PROGRAM else ["faults/test_online_redis.py"]


def pytest_configure(config: pytest.Config) -> None:
    if redis_server.REQUIRED and not redis_server.PROGRAM:
        raise pytest.UsageError("TIFFIN_REQUIRE_REDIS=1, but there is no redis-server or valkey-server on PATH")


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
