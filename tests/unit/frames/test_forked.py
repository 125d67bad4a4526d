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
