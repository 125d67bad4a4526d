"""An online index on a server that dies, is full, throws rows away or lets nobody in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiffin
from conformance.indexes import contents, head_of, key_of, rows_of
from redis_server import Server, running
from tiffin.errors import IndexDamaged, InvalidInputError, NoSpace, OnlineUnavailable
from tiffin.files import LOCAL
from tiffin.online import OnlineIndex, open_index


def index_at(url: str) -> OnlineIndex:
    return open_index(url, Path("nowhere"), LOCAL, 0)


def put(server: Server, key: bytes, value: bytes) -> None:
    """Write a key past the index."""
    import redis

    with redis.Redis.from_url(server.url) as client:
        client.set(key, value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


class TestAServerThatDies:
    def test_is_unavailable_and_empty_when_it_is_back(self, server: Server, figure):
        index = index_at(server.url)
        assert index.load("one", head_of(1), lambda after: [rows_of(10, 1)])
        server.stop()
        for work in (
            lambda: index.head("one"),
            lambda: index.get_many([("one", [key_of(1)])]),
            lambda: index.load("one", head_of(2), lambda after: []),
            lambda: index.apply("one", head_of(1), head_of(2), [], []),
            lambda: index.count("one"),
            lambda: index.keys("one", 3),
            lambda: index.drop("one"),
            index.tables,
            index.reset,
        ):
            with pytest.raises(OnlineUnavailable, match="127.0.0.1"):
                work()
        server.start()
        assert contents(index, "one", [1]) == (None, [None])
        assert index.load("one", head_of(2), lambda after: [rows_of(10, 2)])
        assert contents(index, "one", [1]) == (2, [2])
        figure("a Redis server that dies: 9 calls, each a clear error; back again and empty, it is filled again")

    def test_in_the_midst_of_a_load_the_load_fails(self, server: Server):
        index = index_at(server.url)

        def batches(after: bytes | None) -> Iterator[list[tuple[bytes, bytes]]]:
            yield rows_of(5, 1)
            server.stop()
            server.start()
            yield rows_of(10, 1, key_of(4))

        assert not index.load("one", head_of(1), batches)
        assert index.head("one") is None


class TestAFullServer:
    def test_a_write_that_does_not_fit_changes_nothing(self, tmp_path: Path):
        with running(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
            index = index_at(server.url)
            assert index.load("one", head_of(1), lambda after: [rows_of(100, 1)])
            with pytest.raises(NoSpace, match="full: command not allowed") as caught:
                index.load("one", head_of(2), lambda after: [rows_of(100_000, 2)])
            assert "HSET" not in str(caught.value), "the rows are shown"
            assert contents(index, "one", range(101)) == (1, [1] * 100 + [None])

    def test_rows_that_were_thrown_away_are_not_taken_for_absent(self, server: Server):
        index = index_at(server.url)
        assert index.load("one", head_of(1), lambda after: [rows_of(100, 1)])
        import redis

        client = redis.Redis.from_url(server.url)
        client.delete(*client.keys("tiffin:*:rows:*"))
        client.close()
        with pytest.raises(IndexDamaged, match="dropped"):
            index.get_many([("one", [key_of(1)])])
        with pytest.raises(IndexDamaged, match="dropped"):
            index.count("one")
        index.reset()
        assert index.load("one", head_of(1), lambda after: [rows_of(100, 1)])

    def test_something_else_in_the_place_of_the_rows(self, server: Server):
        index = index_at(server.url)
        assert index.load("one", head_of(1), lambda after: [rows_of(100, 1)])
        import redis

        client = redis.Redis.from_url(server.url)
        [rows] = client.keys("tiffin:*:rows:*")
        client.set(rows, "text")
        client.close()
        with pytest.raises(IndexDamaged):
            index.get_many([("one", [key_of(1)])])
        with pytest.raises(IndexDamaged):
            index.count("one")


class TestPasswords:
    def test_a_wrong_one_is_refused_and_not_shown(self, tmp_path: Path):
        with running(tmp_path, "--requirepass", "right") as server:
            wrong = index_at(server.url.replace("redis://", "redis://:s3cret@"))
            with pytest.raises(OnlineUnavailable) as caught:
                wrong.head("one")
            assert "s3cret" not in f"{caught.value} {caught.value.context} {caught.value.__cause__!r} {wrong!r}"
            assert index_at(server.url.replace("redis://", "redis://:right@")).head("one") is None

    @pytest.mark.parametrize(
        "url", ["redis://user:s3cret@host:port/0", "redis://:s3cret@[host/0", "http://:s3cret@host"]
    )
    def test_one_in_a_url_that_cannot_be_read_is_not_shown(self, url: str):
        with pytest.raises(InvalidInputError) as caught:
            index_at(url)
        assert "s3cret" not in f"{caught.value} {caught.value.context}"
        assert caught.value.__cause__ is None


class Meanwhile(list[tuple[bytes, bytes]]):
    """Rows that are looked at when the head has been read and nothing written yet; then something happens."""

    def __init__(self, rows: list[tuple[bytes, bytes]], work: Callable[[], object]) -> None:
        super().__init__(rows)
        self._work = iter([work])

    def __len__(self) -> int:
        next(self._work, lambda: None)()
        return super().__len__()


class TestTwoWriters:
    def test_of_two_changes_at_once_one_is_made(self, server: Server):
        index, other = index_at(server.url), index_at(server.url)
        assert index.load("one", head_of(1), lambda after: [rows_of(10, 1)])
        changed = []
        rows = Meanwhile(
            rows_of(5, 2), lambda: changed.append(other.apply("one", head_of(1), head_of(3), rows_of(2, 3), []))
        )
        assert not index.apply("one", head_of(1), head_of(2), rows, [])
        assert changed == [True]
        assert contents(index, "one", range(6)) == (3, [3, 3, 1, 1, 1, 1])

    def test_a_load_that_is_begun_while_another_adds_rows_wins(self, server: Server):
        index, other = index_at(server.url), index_at(server.url)
        assert index.load("one", head_of(1), lambda after: [rows_of(10, 1)])
        rows = Meanwhile(rows_of(10, 2), lambda: other.load("one", head_of(3), lambda after: [rows_of(4, 3)]))
        assert not index.load("one", head_of(2), lambda after: [rows])
        assert contents(index, "one", range(6)) == (3, [3, 3, 3, 3, None, None])


class TestAServerOfTwoStores:
    def test_neither_clears_away_what_the_other_keeps(self, server: Server, tmp_path: Path):
        rows = [{"id": 1, "x": 1}]
        one, two = (tiffin.FeatureStore(tmp_path / name, online_index=server.url) for name in ("one", "two"))
        for store, name in ((one, "g/a"), (two, "g/b")):
            store.save(name, rows, entity="id", online=True)
        two.materialize()
        assert [(lag.table, lag.versions) for lag in (*one.online_lag(), *two.online_lag())] == [("g/a", 0), ("g/b", 0)]
        two.drop("g/b")
        two.materialize()
        assert len(index_at(server.url).tables()) == 1


class TestWhatOthersWrote:
    def test_a_load_that_cannot_be_read_is_damage(self, server: Server):
        index = index_at(server.url)
        put(server, b"tiffin:{one}:load", b"\xff\xff")
        with pytest.raises(IndexDamaged, match="a load that cannot be read"):
            index.load("one", head_of(1), lambda after: [rows_of(1, 1)])
        index.reset()
        assert index.load("one", head_of(1), lambda after: [rows_of(1, 1)])

    def test_a_name_that_is_no_text_is_nobodys_table(self, server: Server):
        index = index_at(server.url)
        put(server, b"tiffin:{\xff}:head", b"x" * 20)
        assert [table for table in index.tables() if index.head(table)] == []
