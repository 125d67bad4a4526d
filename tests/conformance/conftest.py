"""A store in this process and one over HTTP, for the tests of what both promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tiffin
from conformance.stores import DAY, HERE, HTTP, NOW, Store
from served import served


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("served") / "store") as server:
        yield server.url


@pytest.fixture(scope="module", params=[HERE, HTTP])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    if request.param == HTTP:
        with tiffin.connect(request.getfixturevalue("url")) as client:
            yield client
    else:
        with tiffin.FeatureStore(tmp_path_factory.mktemp("local") / "store") as local:
            yield local


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """Each test has its own tables."""
    return request.node.originalname.removeprefix("test_")[:60]


@pytest.fixture
def ratings(store: Store, group: str) -> str:
    """An online table with an entity, times, a ttl and a default."""
    table = f"{group}/ratings"
    rows = [
        {"user_id": 7, "at": NOW - 2 * DAY, "mean": 4.5, "city": "Pune"},
        {"user_id": 8, "at": NOW - 40 * DAY, "mean": 3.0, "city": "Oslo"},
        {"user_id": 9, "at": NOW - DAY, "mean": None, "city": None},
    ]
    keys = {"entity": "user_id", "timestamp": "at", "ttl": 30 * DAY}
    store.save(table, rows, **keys, defaults={"city": "?"}, online=True, description="How they rate")
    return table
