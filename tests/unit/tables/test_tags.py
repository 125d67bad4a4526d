"""Tags: names that stand wherever a version's number may, hold it against vacuums, and never mean another."""

import json

import deltalake
import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    ConflictError,
    CorruptData,
    InUse,
    InvalidInputError,
    InvalidName,
    LimitError,
    VersionNotFound,
)
from tiffin.tables import tagging
from tiffin.tables.tags import FILE


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        for value in range(4):
            opened.save("g/t", [{"id": 1, "x": value}], entity="id")
        yield opened


def path_of(store):
    return store.path / "features" / "g" / "t" / FILE


def value(store, reference, **pinned):
    return store.read(reference, **pinned).to_polars()["x"].to_list()


def test_a_tag_stands_wherever_a_version_may(store):
    tag = store.tag("g/t", 1, "prod", message="passed")
    assert (tag.table, tag.name, tag.version, tag.message) == ("g/t", "prod", 1, "passed")
    assert tag.committed == store.history("g/t")[-2].timestamp
    assert store.tags("t") == (tag,)
    assert value(store, "g/t@prod") == value(store, "t@prod:x") == value(store, "g/t", version="prod") == [1]
    assert store.describe("g/t@prod").version == 1
    assert store.snapshot("g/t@prod").reference == "g/t@1"
    assert store.files("g/t@prod") == store.files("g/t@1")
    assert store.profile("g/t@prod").version == 1
    assert (store.diff("g/t", "prod", 3).old, store.diff("g/t", 3, "prod").new) == (1, 1)
    assert store.explain("g/t@prod:x", 1).values == {"x": 1}
    assert store.restore("g/t", "prod").message == "restored version 1 (prod)"
    assert value(store, "g/t") == [1]


def test_a_training_frame_remembers_the_number(store):
    store.tag("g/t", 1, "prod")
    frame = store.get_historical_features([{"id": 1}], ["g/t@prod:x"])
    assert frame.lock == {"g/t": 1}
    assert frame.lock.recipe.features == {"x": "g/t@1:x"}
    store.save_training_set("first", frame)
    store.tag("g/t", 2, "prod", move=True)
    assert store.reproduce("first").to_polars()["x"].to_list() == [1]
    assert store.get_historical_features([{"id": 1}], ["g/t@prod:x"]).to_polars()["x"].to_list() == [2]


def test_a_service_follows_its_tag(store):
    store.tag("g/t", 1, "prod")
    store.create_service("ranker", ["t@prod:x"])
    assert store.service("ranker").features == ("g/t@prod:x",)
    assert store.get_historical_features([{"id": 1}], "ranker").to_polars()["x"].to_list() == [1]
    store.tag("g/t", 2, "prod", move=True)
    assert store.get_historical_features([{"id": 1}], "ranker").to_polars()["x"].to_list() == [2]
    with pytest.raises(InUse, match="ranker"):
        store.untag("g/t", "prod")
    store.untag("g/t", "prod", force=True)
    assert [finding.kind for finding in store.examine_services()] == ["unresolved"]


def test_online_answers_are_of_the_newest_version_only(store):
    store.tag("g/t", 3, "prod")
    store.materialize("g/t")
    with pytest.raises(InvalidInputError, match="version 3 of table g/t is asked for online"):
        store.get_online_features(["g/t@prod:x"], [{"id": 1}])


def test_a_tag_is_moved_only_when_that_is_meant(store):
    first = store.tag("g/t", 1, "prod", message="why")
    assert store.tag("g/t", 1, "prod") == first
    with pytest.raises(ConflictError, match="names version 1, not 2"):
        store.tag("g/t", 2, "prod")
    assert store.tags("g/t") == (first,)
    assert store.tag("g/t", 2, "prod", move=True).version == 2
    assert store.tag("g/t", "prod", "also").version == 2
    assert store.tag("g/t", 2, "also", message="new words").message == "new words"
    assert [tag.name for tag in store.tags("g/t")] == ["also", "prod"]
    store.untag("g/t", "prod")
    assert [tag.name for tag in store.tags("g/t")] == ["also"]
    with pytest.raises(VersionNotFound, match="no tag 'prod'"):
        store.untag("g/t", "prod")


def test_names_that_cannot_be_tags_are_refused(store):
    for name in ("12", "", "a b", "../x", "-x", "nul", "é", "online", None, 3):
        with pytest.raises(InvalidName):
            store.tag("g/t", 1, name)
    assert store.tags("g/t") == ()


def test_what_is_not_there_is_not_tagged(store, monkeypatch):
    for version in (4, -1, "prod"):
        with pytest.raises(VersionNotFound):
            store.tag("g/t", version, "new")
    with pytest.raises(InvalidInputError, match="1,000 characters"):
        store.tag("g/t", 1, "new", message="x" * 1001)
    monkeypatch.setattr(tagging, "MOST_TAGS", 1)
    store.tag("g/t", 1, "one")
    with pytest.raises(LimitError):
        store.tag("g/t", 1, "two")
    assert store.tag("g/t", 2, "one", move=True).version == 2


def test_a_wrong_name_is_answered_with_close_ones(store):
    with pytest.raises(VersionNotFound, match="has no tag and no stage 'prod'") as caught:
        store.read("g/t@prod")
    assert "neither tags nor stages" in caught.value.hint
    store.tag("g/t", 1, "prod")
    with pytest.raises(VersionNotFound) as caught:
        store.read("g/t", version="prd")
    assert "'prod'" in caught.value.hint
    with pytest.raises(InvalidInputError, match="whole number"):
        store.read("g/t", version="1")


def test_vacuums_keep_what_has_a_tag(store):
    store.tag("g/t", 2, "prod")
    assert store.vacuum("g/t", keep_versions=1)[0].held_version == 2
    assert value(store, "g/t@prod") == [2]
    with pytest.raises(VersionNotFound):
        store.read("g/t@1")
    store.untag("g/t", "prod")
    assert store.vacuum("g/t", keep_versions=1)[0].oldest_version == 3


def test_versions_that_go_by_themselves_stay_with_a_tag(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store", keep_versions=1, checkpoint_every=2)
    for number in range(7):
        store.save("g/t", [{"id": 1, "x": number}])
        if number == 3:
            store.tag("g/t", 3, "prod")
    assert value(store, "g/t@prod") == [3]
    assert store.describe("g/t").oldest_version == 3


def test_a_table_made_anew_under_the_name_has_no_tags_of_the_old(store):
    store.tag("g/t", 1, "prod")
    kept = path_of(store).read_bytes()
    store.drop("g/t")
    for number in range(3):
        store.save("g/t", [{"id": 1, "x": number}])
    assert store.tags("g/t") == ()
    # Even if the file is put there again.
    path_of(store).write_bytes(kept)
    assert store.tags("g/t") == ()
    with pytest.raises(VersionNotFound):
        store.read("g/t@prod")
    assert store.tag("g/t", 2, "prod").version == 2


def test_a_copied_folder_brings_its_tags(store, tmp_path):
    store.tag("g/t", 1, "prod")
    (store.path / "features" / "copies").mkdir()
    (store.path / "features" / "g" / "t").rename(store.path / "features" / "copies" / "u")
    assert tiffin.FeatureStore(store.path).tags("copies/u")[0].table == "copies/u"
    assert value(tiffin.FeatureStore(store.path), "u@prod") == [1]


DAMAGE = {
    "empty": lambda data: b"",
    "torn": lambda data: data[: len(data) // 2],
    "another version": lambda data: data.replace(b'"version": 1', b'"version": 2'),
    "another table": lambda data: data.replace(b'"table_id": "', b'"table_id": "f'),
    "no tags": lambda data: json.dumps({**json.loads(data), "tags": []}).encode(),
    "nothing but braces": lambda data: b"{}",
    "no text": lambda data: b"\xff" + data,
}


def test_damage_is_told_and_nothing_is_vacuumed(store):
    store.tag("g/t", 1, "prod")
    whole = path_of(store).read_bytes()
    acts = (
        lambda: store.tags("g/t"),
        lambda: store.read("g/t@prod"),
        lambda: store.tag("g/t", 2, "new"),
        lambda: store.untag("g/t", "prod"),
        lambda: store.vacuum("g/t", keep_versions=1),
        lambda: store.stage("g/t", [{"id": 2, "x": 9}], "try"),
    )
    for kind, damage in DAMAGE.items():
        path_of(store).write_bytes(damage(whole))
        for act in acts:
            with pytest.raises(CorruptData, match=FILE):
                pytest.fail(f"{kind}: {act()}")
        (finding,) = store.examine("g/t")
        assert (finding.kind, FILE in finding.what) == ("corrupt", True)
    path_of(store).write_bytes(whole)
    assert value(store, "g/t@prod") == [1]
    assert store.examine("g/t") == []


def test_a_version_that_is_not_the_one_that_was_tagged_is_told_from_it(store):
    log = store.path / "features" / "g" / "t" / "_delta_log"
    store.tag("g/t", 3, "prod")
    (log / f"{3:020}.json").rename(log / "kept")
    with tiffin.FeatureStore(store.path) as copy:
        # As when the folder was put back from an older copy.
        with pytest.raises(VersionNotFound, match="tag 'prod' names version 3"):
            copy.read("g/t@prod")
        copy.save("g/t", [{"id": 1, "x": 33}])
        with pytest.raises(CorruptData, match="the one that is there was committed at"):
            copy.read("g/t@prod")
        assert [finding.kind for finding in copy.examine("g/t")] == ["corrupt"]
        assert copy.tag("g/t", 3, "prod", move=True).version == 3
        assert copy.examine("g/t") == []


def test_other_delta_readers_do_not_mind(store):
    store.tag("g/t", 1, "prod")
    folder = store.path / "features" / "g" / "t"
    assert pl.read_delta(str(folder))["x"].to_list() == [3]
    deltalake.DeltaTable(str(folder)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert path_of(store).exists()
