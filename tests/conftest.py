"""What all tests share: a Redis server, and a loud word if there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import redis_server


def pytest_configure(config: pytest.Config) -> None:
    if redis_server.REQUIRED and not redis_server.IS_THERE:
        raise pytest.UsageError(f"TIFFIN_REQUIRE_REDIS=1, but {redis_server.MISSING}")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that is there for this process of the tests."""
    if redis_server.URL:
        yield redis_server.URL
        return
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not redis_server.IS_THERE:
        terminalreporter.section("NOT TESTED: the online index on Redis", sep="!", red=True, bold=True)
        terminalreporter.write_line(
            f"{redis_server.MISSING}. Install one (Debian: redis-server) to run these tests too."
        )
