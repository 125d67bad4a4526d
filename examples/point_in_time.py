"""What was known when: a training frame, the same by a plain merge, and why they differ.

    python examples/point_in_time.py [FOLDER]

The store goes into FOLDER, or into a temporary one that is removed at the end.
"""

import sys
import tempfile
from datetime import UTC, datetime

import polars as pl

import tiffin


def may(day: int) -> datetime:
    """Give midnight of a day of May 2024, UTC."""
    return datetime(2024, 5, day, tzinfo=UTC)


def main(folder: str) -> None:
    """Join features to labels as of each label's time, on a store in `folder`."""
    store = tiffin.FeatureStore(folder)
    store.save(
        "user/taste",
        [
            {"user_id": 7, "rated_at": may(1), "mean": 4.0},
            {"user_id": 7, "rated_at": may(9), "mean": 3.0},
            {"user_id": 8, "rated_at": may(7), "mean": 5.0},
        ],
        entity="user_id",
        timestamp="rated_at",
    )
    spine = pl.DataFrame(
        {
            "user_id": [7, 7, 8, 9],
            "event_timestamp": [may(5), may(9), may(5), may(5)],
            "clicked": [True, False, True, False],
        }
    )

    frame = store.get_historical_features(spine, ["user/taste:mean"])
    newest = store.read("user/taste").to_polars().group_by("user_id").agg(pl.col("mean").last().alias("merged"))
    both = frame.to_polars().join(newest, on="user_id", how="left", maintain_order="left")
    print("`mean` is what was known at the time, `merged` what a merge with the newest rows says:", both, sep="\n")

    print("\nwhy user 7 has 4.0 on the 5th of May:")
    print(store.explain("user/taste:mean", 7, may(5)))

    store.save_training_set("clicks", frame, description="from examples/point_in_time.py")
    store.save(
        "user/taste",
        [{"user_id": 7, "rated_at": may(1), "mean": 1.0}],
        mode="append",
        message="a correction that comes late",
    )
    again = store.reproduce("clicks")
    print("\nafter a later correction, the training set made again is the same:", end=" ")
    print(again.lock.result_hash == frame.lock.result_hash)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made_for_now:
            main(made_for_now)
