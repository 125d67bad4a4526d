"""What a frame says of where it came from."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from tiffin.frames import FeatureFrame, Lock, Recipe, Source
from tiffin.frames.digest import column_digests, frame_digest

FRAME = pl.DataFrame({"id": [1, 2], "label": [0.5, None], "mean": [3.5, 4.0]})
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def lock() -> Lock:
    recipe = Recipe(
        features={"mean": "user/ratings@4:mean"},
        sources={"user/ratings": Source(id="abc", version=4, committed=NOON, oldest=2)},
        spine=("id", "label"),
        timestamp=None,
        references=("ratings:mean",),
        ttl=timedelta(days=2, microseconds=1),
        known_at=NOON,
        made=NOON,
        tiffin="1.2.3",
    )
    return Lock({"user/ratings": 4}, recipe, FRAME)


def test_a_lock_is_a_mapping_of_tables_to_versions_like_a_dict():
    lock = Lock({"user/ratings": 4, "movie/stats": 0})
    assert lock == {"movie/stats": 0, "user/ratings": 4}
    assert lock != {"user/ratings": 4}
    assert (lock["user/ratings"], len(lock), list(lock)) == (4, 2, ["user/ratings", "movie/stats"])
    assert str(lock) == "user/ratings@4, movie/stats@0"
    assert lock.to_dict() == {"versions": {"user/ratings": 4, "movie/stats": 0}}
    assert (lock.recipe, lock.spine_hash, lock.result_hash, lock.column_hashes) == (None, None, None, {})


def test_the_hashes_are_those_of_the_frame(lock):
    hashes = column_digests(FRAME)
    assert lock.column_hashes == hashes
    assert lock.spine_hash == frame_digest([("id", hashes["id"]), ("label", hashes["label"])])
    assert lock.result_hash == frame_digest(hashes.items())


def test_a_lock_goes_through_json_and_comes_back(lock):
    again = Lock.from_dict(json.loads(json.dumps(lock.to_dict())))
    assert again == lock == {"user/ratings": 4}
    assert again.recipe == lock.recipe
    assert (again.spine_hash, again.result_hash) == (lock.spine_hash, lock.result_hash)
    assert again.to_dict() == lock.to_dict()


@pytest.mark.parametrize("gone", ["sources", "made", "column_hashes"])
def test_what_is_no_lock_of_a_training_frame_is_refused(lock, gone):
    written = lock.to_dict()
    del written[gone]
    with pytest.raises(msgspec.ValidationError):
        Lock.from_dict(written)


def test_it_prints_what_a_person_wants_to_know(lock):
    text = str(lock)
    for part in ("user/ratings@4", "2024-05-01 12:00:00 UTC", "2 days", lock.spine_hash, lock.result_hash, "1.2.3"):
        assert part in text


def test_the_head_of_a_frame_keeps_the_versions_and_no_hashes(lock):
    head = FeatureFrame(FRAME, lock=lock).head(1)
    assert head.lock == {"user/ratings": 4}
    assert head.lock.recipe is None
