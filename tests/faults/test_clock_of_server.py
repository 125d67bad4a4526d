"""The clock of a running server is set back ten days, then leaps by forty: versions, vacuum, ttl and online answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import tiffin
from fake_clock import FakeClock
from served import served
from tiffin.client import FeatureStoreClient

TABLE = "group/name"
FEATURE = f"{TABLE}:token"
DAY = timedelta(days=1)
TTL = 5 * DAY


def frame(token: int, age: timedelta) -> pl.DataFrame:
    """Rows that became true so long ago."""
    then = datetime.now(UTC) - age
    return pl.DataFrame({"id": [1, 2], "ts": [then, then], "token": [token, token]})


def online(store: FeatureStoreClient | tiffin.FeatureStore) -> list[object]:
    return store.get_online_features([FEATURE], [{"id": 1}, {"id": 2}]).to_dict()["token"]


class Life:
    """What is saved through a server, beside a store in this process, whose clock is right."""

    def __init__(self, client: FeatureStoreClient, beside: tiffin.FeatureStore) -> None:
        self.client = client
        self.beside = beside
        self.times: list[datetime] = []
        self.answers = 0

    def save(self, token: int, age: timedelta) -> None:
        commit = self.client.save(TABLE, frame(token, age), entity="id", timestamp="ts", ttl=TTL, online=True)
        self.times.append(commit.timestamp)

    def check(self) -> None:
        """See that both find each version, the newest and, at the time of each, the one of then."""
        for store in (self.client, self.beside):
            assert [commit.timestamp for commit in store.history(TABLE)][::-1] == self.times
            for version, moment in enumerate(self.times):
                assert set(store.read(TABLE, as_of=moment).to_polars()["token"]) == {version}
                if version:
                    before = store.read(TABLE, as_of=moment - timedelta(milliseconds=1)).to_polars()
                    assert set(before["token"]) == {version - 1}
            assert set(store.read(TABLE).to_polars()["token"]) == {len(self.times) - 1}
            self.answers += 2 * len(self.times)
        assert self.times == sorted(set(self.times))


@pytest.mark.slow
def test_a_server_whose_clock_is_set_goes_on_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
):
    clock, folder = FakeClock(tmp_path / "clock"), tmp_path / "store"
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    with (
        served(folder, errors=tmp_path / "errors") as server,
        tiffin.FeatureStore(folder) as beside,
        tiffin.connect(server.url) as client,
    ):
        life = Life(client, beside)
        life.save(0, DAY)
        life.check()
        assert online(client) == online(beside) == [0, 0]

        clock.turn(-10 * DAY)
        life.save(1, DAY)
        life.check()
        # What is newer than now by this clock has not happened yet by it, and a ttl has not run out.
        assert online(beside) == [1, 1]
        # Version 0 was replaced just now, whatever the clock says.
        assert client.vacuum(TABLE, older_than=DAY)[0].versions_removed == 0
        assert client.verify([FEATURE]).ok

        clock.turn(40 * DAY)
        assert online(client) == [None, None]
        assert online(beside) == [1, 1]
        life.save(2, -39 * DAY)
        life.check()
        assert online(client) == [2, 2]
        assert client.verify([FEATURE]).ok
        # By this clock version 0 was replaced forty days ago, and version 1 just now.
        assert client.vacuum(TABLE, older_than=7 * DAY)[0].oldest_version == 1

        clock.turn(timedelta(0))
        assert client.vacuum(TABLE, older_than=DAY)[0].versions_removed == 0
        assert [commit.version for commit in client.history(TABLE)] == [2, 1]
        client.save(TABLE, frame(3, DAY))
        assert set(beside.read(TABLE).to_polars()["token"]) == {3}
    figure(
        f"a server whose clock goes back 10 days, then leaps 40, then is right again: {life.answers} reads by version "
        "and time, 4 vacuums, online answers with a ttl: 0 wrong"
    )
