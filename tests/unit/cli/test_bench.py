"""`tiffin bench`: it measures on the store's disk and leaves nothing behind."""

import json

import pytest

from tiffin import FeatureStore
from tiffin.cli.views import measuring


def test_it_measures_beside_the_store_and_touches_nothing(cli, tmp_path):
    store = tmp_path / "disk" / "store"
    with FeatureStore(store) as opened:
        opened.save("user/ratings", {"user_id": [7], "mean": [4.5]}, entity="user_id")
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    found = json.loads(cli("--store", str(store), "bench", "--rows", "1_000", "--json").stdout)
    assert (found["rows"], found["columns"]) == (1_000, 12)
    assert [one["case"].split()[0] for one in found["cases"]] == [
        "save",
        "read,",
        "read,",
        "training",
        "put",
        "read",
        "read",
    ]
    assert all(one["seconds"] > 0 for one in found["cases"])
    assert [one["polars_s"] is not None for one in found["cases"]] == [True, True, False, True, False, False, False]
    assert list(store.parent.iterdir()) == [store]
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


def test_it_shows_each_time_and_the_ratio_to_that_of_polars():
    cases = [
        measuring.Measured(case="save", seconds=0.003, polars_s=0.002),
        measuring.Measured(case="put", seconds=0.1),
    ]
    found = measuring.Measurements(rows=9, columns=2, cores=2, python="3.11.7", polars="2.1.0", cases=cases)
    _, table = measuring.views(found)
    assert [list(column.cells) for column in table.columns] == [
        ["save", "put"], ["3.00 ms", "100 ms"], ["2.00 ms", ""], ["1.50", ""],
    ]  # fmt: skip


def test_what_stops_it_leaves_nothing_behind(tmp_path, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FeatureStore, "prepare", stop)
    with pytest.raises(KeyboardInterrupt):
        measuring.measure(tmp_path / "store", 1_000)
    assert list(tmp_path.iterdir()) == []
