"""What a child of a fork lacks is refused; tests/faults/test_forks_and_threads.py forks."""

import pytest

import tiffin
from tiffin.errors import UnavailableError
from tiffin.frames import forked


def test_what_would_wait_for_ever_is_refused_and_what_would_not_is_done(tmp_path, monkeypatch):
    store = tiffin.FeatureStore(tmp_path / "store")
    store.save("g/t", [{"id": 1, "x": 2}], entity="id", online=True)
    monkeypatch.setattr(forked, "_lacks_threads", True)
    for call in (
        lambda: store.save("g/t", [{"id": 1, "x": 3}]),
        lambda: store.read("g/t", use_cache=False),
        lambda: store.get_historical_features([{"id": 1}], ["g/t:x"]),
    ):
        with pytest.raises(UnavailableError, match="forked") as caught:
            call()
        assert "spawn" in caught.value.hint
    assert store.get_online_features(["g/t:x"], [{"id": 1}]).to_dict()["x"] == [2]


def test_what_the_disk_cache_has_is_refused_too(tmp_path, monkeypatch):
    with tiffin.FeatureStore(tmp_path) as store:
        store.save("g/t", {"id": list(range(20_000)), "x": list(range(20_000))}, entity="id")
        store.read("g/t")
    store = tiffin.FeatureStore(tmp_path)
    assert store.stats().disk_cache["size"] == 1
    monkeypatch.setattr(forked, "_lacks_threads", True)
    for call in (
        lambda: store.read("g/t"),
        lambda: store.read("g/t", entities=[7]),
        lambda: store.read("g/t", where=("x", ">", 5)),
        lambda: store.profile("g/t"),
        lambda: store.explain("g/t:x", 7),
    ):
        with pytest.raises(UnavailableError, match="forked"):
            call()


def test_what_is_done_without_polars_is_done_and_the_index_follows_later(tmp_path, monkeypatch):
    with tiffin.FeatureStore(tmp_path) as store:
        for x in (1, 2):
            store.save("g/t", {"id": [1], "x": [x]}, entity="id", online=True)
        with monkeypatch.context() as forked_child:
            forked_child.setattr(forked, "_lacks_threads", True)
            restored = store.restore("g/t", 0)
        assert (restored.version, restored.online_version) == (2, 1)
        assert "forked" in restored.warnings[0]
        store.materialize("g/t")
        assert store.get_online_features(["g/t:x"], [{"id": 1}]).to_dict()["x"] == [1]


def test_who_has_read_from_the_disk_cache_alone_has_worked(tmp_path, monkeypatch):
    with tiffin.FeatureStore(tmp_path) as store:
        store.save("g/t", {"id": list(range(20_000)), "x": list(range(20_000))}, entity="id")
        store.read("g/t")
    monkeypatch.setattr(forked, "_has_worked", False)
    tiffin.FeatureStore(tmp_path).read("g/t", entities=[7])
    assert forked._has_worked
