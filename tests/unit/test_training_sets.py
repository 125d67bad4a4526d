"""Training sets: kept, made again bit for bit, or told precisely why not."""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import (
    ConflictError,
    CorruptData,
    InUse,
    InvalidInputError,
    InvalidName,
    MajorChanged,
    NotReproducible,
    TrainingSetNotFound,
)
from tiffin.files import LOCAL
from tiffin.schema.names import TableName
from tiffin.tables import saving
from tiffin.tables.log import Log


def day(number: int) -> datetime:
    return datetime(2024, 1, number, tzinfo=UTC)


def ratings(*means: float) -> pl.DataFrame:
    return pl.DataFrame({"user": range(len(means)), "at": [day(1)] * len(means), "mean": means})


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        opened.save("user/ratings", ratings(1.0, 2.0, 3.0), entity="user", timestamp="at")
        opened.save("user/city", pl.DataFrame({"user": [0, 1], "city": ["Pune", None]}), entity="user")
        yield opened


SPINE = pd.DataFrame({
    "user": [2, 0, 0, 9],
    "event_timestamp": pd.to_datetime(["2024-01-02"] * 4),
    "label": pd.Categorical(["b", "a", None, "b"], categories=["b", "a"], ordered=True),
    "weight": [0.5, float("nan"), 1.5, 2.5],
})  # fmt: skip
FEATURES = ["ratings:mean", "user/city"]


def data_files(store, table="user/ratings"):
    return sorted((store.path / "features" / table).glob("*.parquet"))


# Keeping and making again


def test_a_training_set_is_made_again_bit_for_bit_whatever_was_saved_since(store):
    frame = store.get_historical_features(SPINE, FEATURES, ttl=timedelta(days=3))
    store.save_training_set("ranker-1", frame, description="the first")
    store.save("user/ratings", ratings(7.0, 8.0, 9.0))
    store.save("user/city", pl.DataFrame({"user": [0], "town": ["Bonn"]}), evolve=True)
    with tiffin.FeatureStore(store.path) as reopened, pytest.warns(MajorChanged, match="user/city"):
        again = reopened.reproduce("ranker-1")
    assert_frame_equal(again.to_polars(), frame.to_polars())
    pd.testing.assert_frame_equal(again.to_pandas(), frame.to_pandas())
    assert again.to_pandas()["label"].dtype == SPINE["label"].dtype
    assert (again.lock.spine_hash, again.lock.result_hash) == (frame.lock.spine_hash, frame.lock.result_hash)
    assert again.lock == {"user/ratings": 0, "user/city": 0}


def test_what_was_asked_for_comes_back_with_it(store):
    made = store.history("user/ratings")[0].timestamp
    rows = SPINE.assign(known=made)
    options = {"ttl": timedelta(hours=30), "known_at": "known", "full_feature_names": True}
    frame = store.get_historical_features(rows, FEATURES, **options)
    kept = store.save_training_set("a", frame, description="why")
    recipe = store.training_set("a").lock.recipe
    assert (kept.name, kept.description, kept.rows) == ("a", "why", 4)
    assert recipe == frame.lock.recipe
    assert (recipe.ttl, recipe.known_at_column, recipe.references) == (timedelta(hours=30), "known", tuple(FEATURES))
    assert_frame_equal(store.reproduce("a").to_polars(), frame.to_polars())
    assert json.loads(json.dumps(kept.to_dict()))["lock"]["result_hash"] == frame.lock.result_hash


@pytest.mark.parametrize("options", [{}, {"end": day(5)}, {"known_at": None}])
def test_a_frame_without_a_spine_of_the_callers_can_be_kept_too(store, options):
    frame = store.get_historical_features(None, FEATURES, **options)
    store.save_training_set("all", frame)
    store.save("user/ratings", ratings(5.0), mode="append")
    assert_frame_equal(store.reproduce("all").to_polars(), frame.to_polars())


def test_known_at_by_commits_is_made_again_from_the_versions_of_then(store):
    first = store.history("user/ratings")[0].timestamp
    store.save("user/ratings", ratings(7.0), mode="append")
    frame = store.get_historical_features(SPINE, ["ratings:mean"], known_at=first)
    store.save_training_set("then", frame)
    store.save("user/ratings", ratings(9.0), mode="append")
    assert store.vacuum("user/ratings", keep_versions=1)[0].held_version == 0
    assert_frame_equal(store.reproduce("then").to_polars(), frame.to_polars())


def test_a_service_that_changed_since_does_not_matter(store):
    store.create_service("ranker", ["user/ratings:mean"])
    frame = store.get_historical_features(SPINE, "ranker")
    store.save_training_set("a", frame)
    store.create_service("ranker", ["user/city:city"], replace=True)
    assert store.reproduce("a").columns == frame.columns


def test_sets_are_listed_by_name_found_and_dropped(store):
    frame = store.get_historical_features(SPINE, FEATURES)
    assert store.training_sets() == []
    for name in ("b", "a"):
        store.save_training_set(name, frame)
    assert [kept.name for kept in store.training_sets()] == ["a", "b"]
    store.drop_training_set("a")
    assert [kept.name for kept in store.training_sets()] == ["b"]
    for act in (store.reproduce, store.drop_training_set, store.training_set):
        with pytest.raises(TrainingSetNotFound, match="'a'") as caught:
            act("a")
        assert "'b'" in caught.value.hint or "b" in caught.value.hint
    assert store.tables()[0].table == "user/city"
    assert len(store.tables()) == 2


def test_a_name_is_given_away_only_when_that_is_said(store):
    first = store.get_historical_features(SPINE, FEATURES)
    second = store.get_historical_features(SPINE[["user", "event_timestamp"]].head(1), ["ratings:mean"])
    store.save_training_set("a", first)
    with pytest.raises(ConflictError, match="already") as caught:
        store.save_training_set("a", second)
    assert "replace=True" in caught.value.hint
    assert store.reproduce("a").lock.result_hash == first.lock.result_hash
    store.save_training_set("a", second, replace=True)
    assert store.reproduce("a").lock.result_hash == second.lock.result_hash
    folder = store.path / "registry" / "training_sets" / "a"
    assert len(list(folder.glob("*.parquet"))) == 1


@pytest.mark.parametrize("make", [lambda frame: frame.to_pandas(), lambda frame: frame.head(2), lambda frame: None])
def test_only_what_get_historical_features_returned_can_be_kept(store, make):
    frame = store.get_historical_features(SPINE, FEATURES)
    with pytest.raises(InvalidInputError, match="get_historical_features"):
        store.save_training_set("a", make(frame))
    with pytest.raises(InvalidInputError, match="get_historical_features"):
        store.save_training_set("a", store.read("user/ratings"))
    assert store.training_sets() == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", 3, None])
def test_names_that_could_be_paths_are_refused(store, name):
    frame = store.get_historical_features(SPINE, FEATURES)
    with pytest.raises(InvalidName, match="training set name"):
        store.save_training_set(name, frame)
    with pytest.raises(InvalidName):
        store.reproduce(name)


# What a training set needs is kept


def test_a_vacuum_leaves_the_versions_that_a_training_set_needs(store):
    frame = store.get_historical_features(SPINE, FEATURES)
    store.save_training_set("a", frame)
    for _ in range(3):
        store.save("user/ratings", ratings(7.0))
    (report,) = store.vacuum("user/ratings", keep_versions=1)
    assert (report.held_version, report.oldest_version, report.versions_removed) == (0, 0, 0)
    assert_frame_equal(store.reproduce("a").to_polars(), frame.to_polars())
    store.drop_training_set("a")
    (report,) = store.vacuum("user/ratings", keep_versions=1)
    assert (report.held_version, report.oldest_version, report.versions_removed) == (None, 3, 3)


def test_versions_before_those_that_are_needed_can_go(store):
    store.save("user/ratings", ratings(4.0))
    store.save_training_set("a", store.get_historical_features(SPINE, FEATURES))
    store.save("user/ratings", ratings(7.0))
    (report,) = store.vacuum("user/ratings", keep_versions=1)
    assert (report.held_version, report.oldest_version) == (1, 1)


def test_so_does_the_clearing_away_after_saves(tmp_path):
    with tiffin.FeatureStore(tmp_path / "s", keep_versions=1, checkpoint_every=2) as store:
        store.save("user/ratings", ratings(1.0, 2.0, 3.0), entity="user", timestamp="at")
        frame = store.get_historical_features(SPINE, ["ratings:mean"])
        store.save_training_set("a", frame)
        for _ in range(4):
            assert store.save("user/ratings", ratings(7.0)).warnings == ()
        assert_frame_equal(store.reproduce("a").to_polars(), frame.to_polars())
        store.drop_training_set("a")
        for _ in range(2):
            store.save("user/ratings", ratings(7.0))
        assert store.describe("user/ratings").oldest_version > 0


def test_a_frame_whose_versions_are_gone_already_is_not_kept(store):
    frame = store.get_historical_features(SPINE, FEATURES)
    store.save("user/ratings", ratings(7.0))
    store.vacuum("user/ratings", keep_versions=1)
    with pytest.raises(
        NotReproducible, match="version 0 of table user/ratings was vacuumed; the oldest that is left is 1"
    ):
        store.save_training_set("a", frame)
    assert store.training_sets() == []


def test_no_vacuum_comes_between_looking_at_the_versions_and_keeping_them(store, monkeypatch):
    frame = store.get_historical_features(SPINE, FEATURES)
    save, waited = saving.save, []

    def watched(*args):
        for name in ("ratings", "city"):
            log = store._catalog.table(TableName("user", name)).log
            with log.writing(shared=False, wait=False) as alone:
                waited.append(not alone)
        return save(*args)

    monkeypatch.setattr(saving, "save", watched)
    store.save_training_set("a", frame)
    assert waited == [True, True]


# What has changed is told


@pytest.fixture
def kept(store):
    frame = store.get_historical_features(SPINE, FEATURES)
    store.save_training_set("a", frame)
    return store


def refusal(store) -> NotReproducible:
    with pytest.raises(NotReproducible) as caught:
        store.reproduce("a")
    assert caught.value.context["training_set"] == "a"
    return caught.value


def test_a_table_that_a_set_was_made_from_is_not_dropped_by_accident(kept):
    with pytest.raises(InUse, match="user/city cannot be removed: a could not be made again") as caught:
        kept.drop("user/city")
    assert "force=True" in caught.value.hint
    kept.drop_training_set("a")
    kept.drop("user/city")
    assert [info.table for info in kept.tables()] == ["user/ratings"]


def test_a_dropped_table_is_named(kept):
    kept.drop("user/city", force=True)
    error = refusal(kept)
    assert error.context["problems"] == ["table user/city was dropped"]


def test_so_is_one_that_was_made_anew_and_all_are_told_at_once(kept):
    kept.drop("user/city", force=True)
    kept.drop("user/ratings", force=True)
    kept.save("user/ratings", ratings(1.0, 2.0, 3.0), entity="user", timestamp="at")
    anew, gone = refusal(kept).context["problems"]
    assert anew.startswith("table user/ratings was dropped, and another of its name made at 20")
    assert gone == "table user/city was dropped"


def test_a_version_that_was_removed_by_others_is_named(kept):
    kept.save("user/ratings", ratings(4.0))
    training = kept.path / "registry" / "training_sets" / "a"
    shutil.move(training, kept.path / "aside")
    kept.vacuum("user/ratings", keep_versions=1)
    shutil.move(kept.path / "aside", training)
    with tiffin.FeatureStore(kept.path) as reopened:
        problem = "version 0 of table user/ratings was vacuumed; the oldest that is left is 1"
        assert refusal(reopened).context["problems"] == [problem]


def test_a_damaged_file_is_named(kept):
    (file,) = data_files(kept)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with tiffin.FeatureStore(kept.path, disk_cache_bytes=0) as reopened:
        (problem,) = refusal(reopened).context["problems"]
    assert file.name in problem
    assert "user/ratings" in problem


def test_a_damaged_spine_is_told(kept):
    (file,) = (kept.path / "registry" / "training_sets" / "a").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-7])
    with tiffin.FeatureStore(kept.path) as reopened:
        assert "training set 'a' is damaged" in str(refusal(reopened))


def test_a_damaged_lock_is_told_and_stops_vacuums_until_the_set_is_dropped(kept):
    folder = kept.path / "registry" / "training_sets" / "a" / "_delta_log"
    log = folder / f"{0:020}.json"
    log.write_bytes(log.read_bytes().replace(b'\\"ttl\\"', b'\\"ttx\\"'))
    kept.save("user/ratings", ratings(4.0))
    with tiffin.FeatureStore(kept.path) as reopened:
        assert "training set 'a' is damaged" in str(refusal(reopened))
        with pytest.raises(CorruptData):
            reopened.vacuum("user/ratings", keep_versions=1)
        assert reopened.read("user/ratings@0").shape == (3, 3)
        reopened.drop_training_set("a")
        assert reopened.vacuum("user/ratings", keep_versions=1)[0].versions_removed == 1


def test_a_version_that_was_put_back_from_elsewhere_is_told(kept, tmp_path):
    """An older copy of the table in its place: the same names, id and numbers, other rows."""
    table = kept.path / "features" / "user" / "ratings"
    shutil.copytree(table, tmp_path / "copy")
    kept.save("user/ratings", ratings(4.0))
    newer = kept.get_historical_features(SPINE, FEATURES)
    kept.save_training_set("a", newer, replace=True)
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "copy", table)
    with tiffin.FeatureStore(kept.path) as reopened:
        assert "ends before version 1" in str(refusal(reopened))
        reopened.save("user/ratings", ratings(5.0))
        assert "version 1 of table user/ratings is another" in str(refusal(reopened))


def test_columns_whose_values_differ_are_named(kept, monkeypatch):
    """As a mistake in another version of Tiffin would: the join answers with something else."""
    from tiffin.training import joining

    join = joining.join
    wrong = lambda *args, **options: join(*args, **options).with_columns(pl.all().reverse())  # noqa: E731
    monkeypatch.setattr(joining, "join", wrong)
    (problem,) = refusal(kept).context["problems"]
    assert problem == "the values of mean (user/ratings@0:mean) differ"


def test_an_examination_names_a_damaged_training_set(kept):
    assert kept.examine() == []
    (file,) = (kept.path / "registry" / "training_sets" / "a").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-7])
    with tiffin.FeatureStore(kept.path) as reopened:
        (finding,) = reopened.examine()
    assert (finding.kind, finding.table) == ("corrupt", "training_sets/a")
    assert "training set 'a' is damaged" in finding.what


def log_of(store, name="a"):
    return store.path / "registry" / "training_sets" / name / "_delta_log" / f"{0:020}.json"


def rewritten(data: bytes) -> bytes:
    return data.replace(b"column_hashes", b"column_hashez")


def cut_off(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("damage", [rewritten, cut_off, lambda _: b""])
def test_one_damaged_lock_does_not_hide_the_other_sets(kept, damage):
    kept.save_training_set("b", kept.get_historical_features(SPINE, FEATURES))
    assert kept.examine_training_sets() == []
    log = log_of(kept)
    log.write_bytes(damage(log.read_bytes()))
    for _ in range(2):  # a commit that is cut off is set aside when it is first seen
        with tiffin.FeatureStore(kept.path) as reopened:
            assert [found.name for found in reopened.training_sets()] == ["b"]
            (finding,) = reopened.examine_training_sets()
            assert (finding.kind, finding.table) == ("corrupt", "training_sets/a")
            assert finding in reopened.examine()
            with pytest.raises(CorruptData, match="training set 'a' is damaged") as error:
                reopened.training_set("a")
            assert "drop the training set" in error.value.hint
            assert "is damaged" in str(refusal(reopened))
            with pytest.raises(CorruptData, match="training set 'a'"):
                reopened.vacuum("user/ratings", keep_versions=1)


@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_set_whose_only_commit_was_cut_off_makes_room_when_that_is_said(kept, is_reopened):
    frame = kept.get_historical_features(SPINE, FEATURES)
    log = log_of(kept)
    log.write_bytes(cut_off(log.read_bytes()))
    with tiffin.FeatureStore(kept.path) as reopened:
        if is_reopened:
            assert reopened.training_sets() == []
        with pytest.raises(ConflictError, match="already") as error:
            reopened.save_training_set("a", frame)
        assert "--replace" in error.value.hint
        reopened.save_training_set("a", frame, replace=True)
        assert_frame_equal(reopened.reproduce("a").to_polars(), frame.to_polars())
        assert reopened.examine_training_sets() == []


@pytest.mark.parametrize("damage", [rewritten, cut_off])
def test_a_damaged_set_can_be_dropped_and_its_name_given_away(kept, damage):
    frame = kept.get_historical_features(SPINE, FEATURES)
    log = log_of(kept)
    log.write_bytes(damage(log.read_bytes()))
    with tiffin.FeatureStore(kept.path) as reopened:
        reopened.drop_training_set("a")
        assert reopened.training_sets() == reopened.examine_training_sets() == []
        reopened.save_training_set("a", frame)
        assert_frame_equal(reopened.reproduce("a").to_polars(), frame.to_polars())


def test_over_a_lock_that_cannot_be_read_the_error_says_what_to_do(kept):
    frame = kept.get_historical_features(SPINE, FEATURES)
    log = log_of(kept)
    log.write_bytes(rewritten(log.read_bytes()))
    with tiffin.FeatureStore(kept.path) as reopened:
        with pytest.raises(CorruptData, match="training set 'a' is damaged") as error:
            reopened.save_training_set("a", frame, replace=True)
        assert "drop the training set" in error.value.hint


@pytest.fixture
def interrupted(store):
    """A store in which the first save of a training set was killed a while ago, just before its commit."""
    store.save_training_set("a", store.get_historical_features(SPINE, FEATURES))
    log_of(store).unlink()
    long_ago = time.time() - 3600
    os.utime(log_of(store).parent, (long_ago, long_ago))
    with tiffin.FeatureStore(store.path) as reopened:
        yield reopened


def test_a_first_save_that_was_killed_leaves_no_set(interrupted):
    assert interrupted.training_sets() == interrupted.examine_training_sets() == interrupted.examine() == []
    for act in (interrupted.training_set, interrupted.reproduce, interrupted.drop_training_set):
        with pytest.raises(TrainingSetNotFound):
            act("a")
    interrupted.drop("user/city")


@pytest.mark.parametrize("name", ["a", "b"])
def test_and_is_swept_up_by_the_next_save(interrupted, name):
    frame = interrupted.get_historical_features(SPINE, FEATURES)
    interrupted.save_training_set(name, frame)
    folder = interrupted.path / "registry" / "training_sets"
    assert [path.name for path in folder.iterdir()] == [name]
    assert len(list((folder / name).glob("*.parquet"))) == 1
    assert_frame_equal(interrupted.reproduce(name).to_polars(), frame.to_polars())


def test_a_first_save_that_may_go_on_is_left_alone(interrupted):
    frame = interrupted.get_historical_features(SPINE, FEATURES)
    folder = interrupted.path / "registry" / "training_sets" / "a"
    (folder / "_delta_log" / "now").touch()
    with tiffin.FeatureStore(interrupted.path) as another:
        another.save_training_set("b", frame)
    assert folder.exists()
    long_ago = time.time() - 3600
    os.utime(folder / "_delta_log", (long_ago, long_ago))
    with LOCAL.lock(folder / "_delta_log" / ".write.lock", shared=True):
        interrupted.save_training_set("c", frame)
    assert folder.exists()


@pytest.mark.parametrize("damage", [None, rewritten, cut_off])
def test_a_set_stays_however_old_or_damaged_it_is(kept, damage):
    log = log_of(kept)
    if damage:
        log.write_bytes(damage(log.read_bytes()))
    long_ago = time.time() - 3600
    for _ in range(2):
        os.utime(log.parent, (long_ago, long_ago))
        with tiffin.FeatureStore(kept.path) as reopened:
            reopened.save_training_set("b", reopened.get_historical_features(SPINE, FEATURES), replace=True)
            assert len(reopened.training_sets()) == (1 if damage else 2)
            assert len(reopened.examine_training_sets()) == (1 if damage else 0)


def test_locks_are_read_once_while_nothing_changes(kept, monkeypatch):
    kept.save_training_set("b", kept.get_historical_features(SPINE, FEATURES))
    assert [found.name for found in kept.training_sets()] == ["a", "b"]
    before = kept.training_set("a")
    read = []
    read_commit = Log.read_commit
    monkeypatch.setattr(Log, "read_commit", lambda log, version: read.append(log.table) or read_commit(log, version))
    assert [found.name for found in kept.training_sets()] == ["a", "b"]
    kept.vacuum("user/city", keep_versions=1)
    assert [table for table in read if table.startswith("training_sets/")] == []
    with tiffin.FeatureStore(kept.path) as another:
        newer = another.get_historical_features(SPINE.head(1), FEATURES)
        another.save_training_set("a", newer, replace=True)
    assert before.rows == 4
    assert kept.training_set("a").rows == 1
