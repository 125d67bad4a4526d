"""What callers of the guides' interface rely on."""

import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal

import tiffin
from tiffin.errors import (
    Ambiguous,
    FeatureNotFound,
    InvalidInputError,
    InvalidName,
    StorageError,
    TableNotFound,
    UnavailableError,
)
from tiffin.files import LOCAL
from tiffin.simple import (
    CachedFeatureStore,
    DiskCache,
    FeatureStoreClient,
    FeatureStoreConfig,
    LRUCache,
    OptimizedStorage,
    SimpleFeatureStore,
)
from tiffin.simple.requests import REMEMBERED, Requests

SOURCE = Path(__file__).parents[2] / "src"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    with SimpleFeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def storage(tmp_path):
    return OptimizedStorage(tmp_path / "store")


def ratings(*users, column="entity_id") -> pd.DataFrame:
    return pd.DataFrame({column: list(users), "mean": [user / 2 for user in users]})


def one(store, name="ratings", *args, **kwargs):
    return store.get_features([name], *args, **kwargs)[name]


# Saving and reading by name


def test_several_frames_come_back_as_they_were_saved(store):
    frames = {
        "texts": pd.DataFrame({"id": range(3), "title": ["a", None, "c"], "kind": pd.Categorical(["x", "y", "x"])}),
        "numbers": pd.DataFrame({"small": pd.Series([1, 2], dtype="int8"), "whole": pd.Series([1, 2], dtype="Int64")}),
    }
    paths = store.save_features("content", frames)
    assert {name: Path(path).is_dir() for name, path in paths.items()} == {"texts": True, "numbers": True}
    found = store.get_features(["numbers", "texts"], "content")
    assert list(found) == ["numbers", "texts"]
    for name, frame in frames.items():
        assert_frame_equal(found[name], frame)


def test_a_later_save_replaces_contents_and_columns_and_keeps_the_older_version(store):
    store.save_features("user", {"ratings": ratings(1, 2)})
    store.save_features("user", {"ratings": pd.DataFrame({"mean": ["good"], "new": [True]})})
    assert one(store, "ratings", "user").to_dict("list") == {"mean": ["good"], "new": [True]}
    assert len(store.store.read("user/ratings", version=0)) == 2


def test_versions_kept_are_bounded_unless_all_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("TIFFIN_CHECKPOINT_EVERY", "2")
    for keep, oldest in ((3, 4), ("all", 0)):
        store = SimpleFeatureStore(FeatureStoreConfig(tmp_path / str(keep), keep_versions=keep))
        for number in range(7):
            store.save_features("g", {"t": ratings(number)})
        assert store.store.history("g/t")[-1].version == oldest
    assert SimpleFeatureStore(tmp_path / "default").store.settings.keep_versions == 100
    assert OptimizedStorage(tmp_path / "default").store.settings.keep_versions == 100


def test_a_frame_that_cannot_be_saved_is_found_before_any_is_saved(store):
    doubled = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(InvalidInputError) as caught:
        store.save_features("g", {"good": ratings(1), "bad": doubled})
    assert caught.value.context["failed"] == "bad"
    assert caught.value.context["saved"] == {}
    with pytest.raises(InvalidName):
        store.save_features("g", {"good": ratings(1), "../out": ratings(2)})
    assert store.store.tables() == []


def test_a_save_that_fails_in_between_says_what_was_saved(store):
    with pytest.raises(InvalidInputError) as caught:
        store.save_features("g", {"first": ratings(1), "second": pd.DataFrame({"x": [1]})}, entity="entity_id")
    assert caught.value.context["failed"] == "second"
    assert caught.value.context["saved"] == {"first": store.store.describe("g/first").path}
    assert caught.value.__notes__ == ["g/second was not saved; saved before it: first"]


def test_a_group_is_looked_up_by_the_tables_name(store):
    store.save_features("content", {"user_like_name": ratings(1), "both": ratings(2)})
    store.save_features("user", {"both": ratings(3)})
    assert one(store, "user_like_name")["entity_id"].tolist() == [1]
    assert one(store, "user/both")["entity_id"].tolist() == [3]
    with pytest.raises(Ambiguous) as caught:
        one(store, "both")
    assert caught.value.context["candidates"] == ["content/both", "user/both"]
    with pytest.raises(TableNotFound, match="user_like_name"):
        one(store, "user_like_nam")


def test_misplaced_arguments_are_noticed(store):
    store.save_features("g", {"t": ratings(1)})
    with pytest.raises(InvalidInputError, match=r"\['t'\]"):
        store.get_features("t", "g")
    with pytest.raises(InvalidInputError, match="entity_ids="):
        store.get_features(["t"], [1])


def test_an_empty_frame_is_a_frame(store):
    store.save_features("g", {"t": ratings(1).head(0)})
    assert one(store, "t", "g").columns.tolist() == ["entity_id", "mean"]
    assert one(store, "t", "g").empty


# Rows of some entities


@pytest.mark.parametrize(
    "ids", [["3", "1"], [3, 1], {1, 3}, pd.Series([1, 3]), pd.Series([1, 3]).to_numpy(), pl.Series([1, 3])], ids=str
)
@pytest.mark.parametrize("use_cache", [True, False])
def test_keys_are_compared_in_the_columns_own_type(store, ids, use_cache):
    store.save_features("user", {"ratings": ratings(1, 2, 3)})
    assert one(store, entity_ids=ids, use_cache=use_cache)["entity_id"].tolist() == [1, 3]


def test_the_declared_entity_is_what_keys_mean(store):
    frame = ratings(1, 2, column="movie_id").assign(entity_id=[2, 1])
    store.save_features("content", {"ratings": frame}, entity="movie_id")
    assert one(store, entity_ids=["2"])["movie_id"].tolist() == [2]
    store.save_features("content", {"ratings": frame})
    assert one(store, entity_ids=["2"])["movie_id"].tolist() == [2]


def test_a_column_entity_id_that_came_later_is_what_keys_mean(store):
    store.save_features("g", {"ratings": pd.DataFrame({"mean": [1.0]})})
    store.save_features("g", {"ratings": ratings(1, 2)})
    assert one(store, entity_ids=["2"])["entity_id"].tolist() == [2]
    with pytest.raises(InvalidInputError, match="'x'|x"):
        one(store, entity_ids=["x"])


def test_no_keys_means_no_rows_and_none_means_all(store):
    store.save_features("user", {"ratings": ratings(1, 2)})
    assert len(one(store, entity_ids=[])) == 0
    assert len(one(store, entity_ids=None)) == 2


def test_keys_for_a_table_without_an_entity_are_an_error_not_all_its_rows(store):
    store.save_features("content", {"ratings": ratings(1, 2, column="movie_id")})
    with pytest.raises(InvalidInputError, match="entity"):
        one(store, entity_ids=[1])


# The cache


def test_a_second_read_is_a_hit_and_the_figures_say_so(store):
    store.save_features("g", {f"t{number}": ratings(number) for number in range(5)})
    names = [f"t{number}" for number in range(5)]
    for _ in range(10):
        store.get_features(names, "g")
    stats = store.cache.get_stats()
    assert (stats["hits"], stats["misses"], stats["hit_rate"]) == (45, 5, 0.9)
    assert (stats["size"], stats["total_items"], stats["max_size"]) == (5, 5, 1000)
    assert stats["cache_usage_ratio"] == 5 / 1000
    assert stats["bytes"] > 0


def test_a_reader_that_changes_its_frame_changes_nobody_elses(store):
    store.save_features("g", {"ratings": ratings(1, 2), "lists": pd.DataFrame({"tags": [["a"], ["b"]]})})
    mine = store.get_features(["ratings", "lists"], "g")
    mine["ratings"].loc[0, "mean"] = 99.0
    mine["ratings"]["more"] = 1
    mine["lists"]["tags"][0].append("z")
    again = store.get_features(["ratings", "lists"], "g")
    assert_frame_equal(again["ratings"], ratings(1, 2))
    assert again["lists"]["tags"].tolist() == [["a"], ["b"]]


def test_a_save_is_seen_at_once_by_another_store_of_the_same_folder(store):
    other = SimpleFeatureStore(store.store.path)
    store.save_features("g", {"ratings": ratings(1)})
    assert one(other)["entity_id"].tolist() == [1]
    store.save_features("g", {"ratings": ratings(2)})
    assert one(other)["entity_id"].tolist() == [2]


def test_the_configuration_reaches_the_caches_and_the_files(tmp_path):
    config = FeatureStoreConfig(tmp_path / "on", True, "snappy", cache_max_size=2, cache_ttl_seconds=120)
    store = SimpleFeatureStore(config)
    store.save_features("g", {f"t{number}": ratings(number) for number in range(3)})
    store.get_features(["t0", "t1", "t2"], "g")
    stats = store.cache.get_stats()
    assert (stats["size"], stats["max_size"], stats["ttl_seconds"], stats["evictions"]) == (2, 2, 120.0, 1)
    assert store.store.settings.compression == "snappy"
    sized = SimpleFeatureStore(tmp_path / "sized", memory_cache_size=7, disk_cache_size_mb=3).store.settings
    assert (sized.memory_cache_entries, sized.disk_cache_bytes) == (7, 3 * 2**20)
    with pytest.raises(InvalidInputError, match="FeatureStoreConfig"):
        SimpleFeatureStore(config, memory_cache_size=7)


def test_a_cache_that_is_off_is_none_and_leaves_nothing_behind(tmp_path):
    with SimpleFeatureStore(FeatureStoreConfig(tmp_path, cache_enabled=False)) as store:
        store.save_features("g", {"ratings": ratings(1)})
        one(store)
        assert store.cache is None
        report = store.get_performance_report()
    assert (report["memory_cache_stats"], report["disk_cache_stats"], report["disk_cache_size_mb"]) == (None, None, 0.0)
    assert not (tmp_path / "cache").exists()


def test_settings_that_are_not_named_are_left_to_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("TIFFIN_COMPRESSION", "lz4")
    monkeypatch.setenv("TIFFIN_MEMORY_CACHE_ENTRIES", "11")
    settings = SimpleFeatureStore(FeatureStoreConfig(tmp_path)).store.settings
    assert (settings.compression, settings.memory_cache_entries) == ("lz4", 11)


# The report


def test_the_report_counts_requests_errors_and_what_is_stored(store, monkeypatch):
    monkeypatch.setattr("tiffin.reading._WORTH_A_FILE_BYTES", 0)
    store.save_features("user", {"ratings": ratings(1, 2)})
    store.save_features("content", {"ratings": ratings(1), "genres": ratings(3)})
    for _ in range(3):
        store.get_features(["genres", "ratings"], "content")
    with pytest.raises(TableNotFound):
        one(store, "nothing")
    store.close()
    report = store.get_performance_report()
    metrics = report["performance_metrics"]
    assert (metrics["total_requests"], metrics["error_count"]) == (4, 1)
    assert 0 < metrics["p50_response_time"] <= metrics["p95_response_time"] <= metrics["p99_response_time"]
    assert report["memory_cache_stats"] == store.cache.get_stats()
    assert report["disk_cache_stats"]["size"] == 2
    assert report["disk_cache_size_mb"] > 0
    stored = report["storage_info"]
    assert (stored["total_feature_groups"], stored["total_features"], stored["total_rows"]) == (2, 3, 4)
    assert stored["total_size_mb"] > 0


def test_percentiles_are_of_the_newest_requests_and_the_mean_of_all():
    clock = Clock()
    requests = Requests(clock)

    def request(seconds):
        with requests.timed():
            clock.now += seconds

    assert requests.stats()["p99_response_time"] == requests.stats()["avg_response_time"] == 0.0
    for seconds in (1, 2, 3):
        request(seconds)
    assert requests.stats()["p50_response_time"] == 2
    for seconds in range(4, 101):
        request(seconds)
    stats = requests.stats()
    assert [stats[f"p{percent}_response_time"] for percent in (50, 95, 99)] == [50, 95, 99]
    assert stats["avg_response_time"] == 50.5
    for _ in range(REMEMBERED):
        request(1)
    stats = requests.stats()
    assert stats["p99_response_time"] == 1
    assert stats["avg_response_time"] == (5050 + REMEMBERED) / (100 + REMEMBERED)
    assert len(requests._newest) == REMEMBERED


def test_failed_requests_have_no_share_in_the_latencies():
    clock = Clock()
    requests = Requests(clock)

    def fail():
        clock.now += 1000
        raise KeyError

    with pytest.raises(KeyError), requests.timed():
        fail()
    with requests.timed():
        clock.now += 2
    stats = requests.stats()
    assert (stats["total_requests"], stats["error_count"]) == (2, 1)
    assert stats["avg_response_time"] == stats["p99_response_time"] == 2


def test_eight_threads_save_and_read_and_nothing_is_lost(store):
    failures = []

    def work(number):
        try:
            for step in range(3):
                store.save_features(f"g{number}", {"t": ratings(number, step)})
                found = store.get_features(["t"], f"g{number}")["t"]
                assert found["entity_id"].tolist() == [number, step]
        except Exception as error:  # noqa: BLE001 - shown by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.get_performance_report()["performance_metrics"]["total_requests"] == 24
    assert [table.version for table in store.store.tables()] == [2] * 8


# What other parts bring


def test_a_client_without_a_server_says_so():
    with pytest.raises(UnavailableError, match="server"):
        FeatureStoreClient("http://127.0.0.1:1", retries=0).get_feature("user", "ratings")


def test_importing_does_not_import_pandas():
    code = "import sys, tiffin.simple; assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)}, timeout=60)


def test_the_guides_import_paths_lead_here():
    code = (
        "from features.store.feature_store import SimpleFeatureStore, FeatureStoreConfig; import tiffin.simple as s;"
        "assert (SimpleFeatureStore, FeatureStoreConfig) == (s.SimpleFeatureStore, s.FeatureStoreConfig)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)}, timeout=60)


# Storage


def test_storage_selects_columns_and_rows(storage):
    frame = pd.DataFrame({"year": [1990, 2000, 2010], "title": ["a", "b", "c"], "votes": [1.0, 2.0, float("nan")]})
    path = storage.save_feature_data(frame, "content", "movies")
    assert path == str(storage.store.path / "features" / "content" / "movies")
    assert_frame_equal(storage.load_feature_data("content", "movies"), frame)
    late = storage.load_feature_data("content", "movies", columns=["title"], filters=[("year", ">=", 2000)])
    assert late.to_dict("list") == {"title": ["b", "c"]}
    either = storage.load_feature_data("content", "movies", filters=[[("year", "<", 1995)], [("title", "in", ["c"])]])
    assert either["title"].tolist() == ["a", "c"]


def test_storage_keeps_partitions_apart(storage):
    frame = pd.DataFrame({"country": ["kr", "us", "kr"], "value": [1, 2, 3]})
    path = storage.save_feature_data(frame, "g", "t", partition_cols=["country"])
    assert sorted(found.name for found in Path(path).glob("country=*")) == ["country=kr", "country=us"]
    assert storage.load_feature_data("g", "t", filters=[("country", "==", "kr")])["value"].tolist() == [1, 3]


def test_storage_changes_no_value(storage):
    frame = pd.DataFrame({"float": [0.1, 1e300], "int": [0, 255], "text": ["same", "same"]})
    storage.save_feature_data(frame, "g", "t")
    assert_frame_equal(storage.load_feature_data("g", "t"), frame)


def test_storage_says_what_is_not_there(storage):
    with pytest.raises(TableNotFound):
        storage.load_feature_data("g", "t")
    storage.save_feature_data(ratings(1), "g", "t")
    with pytest.raises(FeatureNotFound):
        storage.load_feature_data("g", "t", columns=["nothing"])
    with pytest.raises(InvalidName):
        storage.load_feature_data("g", "../t")


def test_storage_info_is_known_without_reading_the_data(storage):
    nothing = {"exists": False, "file_size_mb": 0.0, "row_count": 0, "column_count": 0}
    assert storage.get_storage_info("g", "t") == {"feature_group": "g", "feature_name": "t", **nothing}
    path = Path(storage.save_feature_data(ratings(1, 2, 3), "g", "t"))
    (file,) = path.glob("*.parquet")
    size = file.stat().st_size
    file.unlink()
    assert storage.get_storage_info("g", "t") == {
        "feature_group": "g",
        "feature_name": "t",
        "exists": True,
        "file_size_mb": size / 2**20,
        "row_count": 3,
        "column_count": 2,
    }


def test_a_damaged_file_is_an_error_and_not_an_empty_frame(storage):
    path = Path(storage.save_feature_data(ratings(1, 2, 3), "g", "t"))
    (file,) = path.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(StorageError):
        storage.load_feature_data("g", "t")


def test_a_cached_storage_loads_once_until_a_save(storage):
    cached = CachedFeatureStore(storage, cache_size=10, cache_ttl=60)
    storage.save_feature_data(ratings(1, 2), "g", "t")
    first = cached.get_feature_data("g", "t")
    first.loc[0, "mean"] = 99.0
    assert_frame_equal(cached.get_feature_data("g", "t"), ratings(1, 2))
    assert cached.get_feature_data("g", "t", ["mean"]).columns.tolist() == ["mean"]
    stats = cached.get_cache_stats()
    assert (stats["cache_hits"], stats["cache_misses"], stats["total_requests"], stats["size"]) == (1, 2, 3, 2)
    tiffin.FeatureStore(storage.store.path).save("g/t", ratings(5))
    assert cached.get_feature_data("g", "t")["entity_id"].tolist() == [5]


def test_a_table_that_was_dropped_and_made_anew_is_not_served_from_the_cache(storage):
    cached = CachedFeatureStore(storage)
    storage.save_feature_data(ratings(1), "g", "t")
    cached.get_feature_data("g", "t")
    storage.store.drop("g/t")
    with pytest.raises(TableNotFound):
        cached.get_feature_data("g", "t")
    storage.save_feature_data(ratings(2), "g", "t")
    assert cached.get_feature_data("g", "t")["entity_id"].tolist() == [2]


def test_what_is_held_of_one_table_can_be_dropped(storage):
    cached = CachedFeatureStore(storage)
    for name in ("t", "t2"):
        storage.save_feature_data(ratings(1), "g", name)
        cached.get_feature_data("g", name)
    cached.invalidate_cache("g", "t")
    assert cached.get_cache_stats()["size"] == 1
    cached.get_feature_data("g", "t2")
    assert cached.get_cache_stats()["hits"] == 1


# The guides' caches


def test_lru_drops_what_was_used_longest_ago():
    cache = LRUCache(max_size=2, ttl_seconds=60)
    for key in ("a", "b"):
        cache.set(key, key.upper())
    cache.get("a")
    cache.set("c", "C")
    assert [cache.get(key) for key in ("a", "b", "c")] == ["A", None, "C"]
    cache.delete("a")
    assert cache.get("a") is None
    cache.clear()
    stats = cache.get_stats()
    assert (stats["size"], stats["total_items"], stats["evictions"], stats["hits"]) == (0, 0, 1, 3)


def test_lru_forgets_when_the_time_is_up():
    clock = Clock()
    cache = LRUCache(max_size=2, ttl_seconds=60, clock=clock)
    cache.set("a", 1)
    clock.now = 59.0
    assert cache.get("a") == 1
    clock.now = 60.0
    assert cache.get("a") is None
    assert cache.get_stats()["expired"] == 1


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (pd.DataFrame({"a": [1.0, 2.0]}), lambda frame: frame.__setitem__("a", 9.0)),
        (pd.DataFrame({"a": [1.0, 2.0]}, index=[7, 7]), lambda frame: frame.iloc.__setitem__((0, 0), 9.0)),
        (pd.DataFrame({"a": [["x"], ["y"]]}), lambda frame: frame["a"].iloc[0].append("z")),
        ({"rows": [1]}, lambda rows: rows["rows"].append(2)),
        (pd.Series([1, 2]), lambda series: series.__setitem__(0, 9)),
        (pl.DataFrame({"a": [1]}), lambda frame: frame.insert_column(0, pl.Series("b", [2]))),
    ],
    ids=["column", "cell", "list in a cell", "dict", "series", "polars"],
)
def test_what_callers_do_to_a_value_stays_with_them(value, change):
    cache = LRUCache()
    before = repr(value)
    cache.set("key", value)
    change(value)
    assert repr(cache.get("key")) == before
    change(cache.get("key"))
    assert repr(cache.get("key")) == before


def test_the_disk_cache_gives_frames_back_as_they_were(tmp_path):
    frame = pd.DataFrame(
        {
            "small": pd.Series([1, 2], dtype="int8"),
            "kind": pd.Categorical(["x", "y"]),
            "when": pd.to_datetime(["2024-01-01", None]).tz_localize("Asia/Seoul"),
            "maybe": pd.Series([1, None], dtype="Int64"),
        }
    )
    DiskCache(tmp_path / "disk", max_size_mb=1).set("../any text:1", frame)
    cache = DiskCache(tmp_path / "disk", max_size_mb=1)
    found = cache.get("../any text:1")
    assert_frame_equal(found, frame)
    found.loc[0, "small"] = 9
    assert_frame_equal(cache.get("../any text:1"), frame)
    assert_frame_equal(frame.head(0), roundtrip(cache, frame.head(0)))
    assert cache.get("another") is None
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


def roundtrip(cache, frame):
    cache.set("roundtrip", frame)
    return cache.get("roundtrip")


@pytest.mark.parametrize("value", [{"a": [1]}, [{"a": 1}], pl.DataFrame({"a": [1]}), "text", None], ids=str)
def test_the_disk_cache_takes_pandas_frames_only(tmp_path, value):
    cache = DiskCache(tmp_path)
    with pytest.raises(InvalidInputError, match="frame"):
        cache.set("key", value)
    assert cache.get("key") is None


def test_the_disk_cache_survives_damage_and_can_be_emptied(tmp_path):
    cache = DiskCache(tmp_path, max_size_mb=1)
    for key in ("a", "b", "c"):
        assert cache.set(key, ratings(1, 2))
    cache.delete("a")
    assert cache.get("a") is None
    (damaged,) = [path for path in tmp_path.glob("*.arrow") if cache.get("b") is not None][:1]
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert [cache.get(key) is None for key in ("b", "c")].count(True) == 1
    assert 0 < cache.get_cache_size_mb() < 1
    cache.clear()
    assert cache.get_cache_size_mb() == 0


def test_the_disk_cache_stays_within_its_megabytes(tmp_path):
    cache = DiskCache(tmp_path, max_size_mb=0.1)
    for number in range(30):
        cache.set(f"key {number}", pd.DataFrame({"value": range(1000)}))
        assert cache.get_cache_size_mb() <= 0.1
    assert cache.get("key 29") is not None
    assert cache.get("key 0") is None
    assert not cache.set("large", pd.DataFrame({"value": range(100_000)}))


def test_a_disk_that_is_full_in_between_is_told_with_what_was_saved(store, monkeypatch):
    real = LOCAL.link

    def link(source, target):
        if "second" in str(target):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(LOCAL, "link", link)
    with pytest.raises(StorageError) as caught:
        store.save_features("g", {"first": ratings(1), "second": ratings(2)})
    assert list(caught.value.context["saved"]) == ["first"]
    assert [table.table for table in store.store.tables()] == ["g/first"]
