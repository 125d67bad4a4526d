"""Save a table, read it, look at its versions, and ask for single entities: the first five minutes.

    python examples/quickstart.py [FOLDER]

The store goes into FOLDER, or into a temporary one that is removed at the end.
"""

import sys
import tempfile

import tiffin


def main(folder: str) -> None:
    """Go through the first verbs, on a store in `folder`."""
    store = tiffin.FeatureStore(folder)

    first = store.save(
        "user/ratings",
        [{"user_id": 7, "mean": 4.5, "count": 12}, {"user_id": 8, "mean": 3.0, "count": 2}],
        entity="user_id",
        online=True,
        message="first import",
    )
    print(f"saved version {first.version}: {first.rows} rows")

    store.save("user/ratings", [{"user_id": 8, "mean": 3.5, "count": 3}], mode="upsert", message="one more rating")
    print("\nthe newest version:", store.read("user/ratings").to_polars(), sep="\n")
    print("\nversion 0 of user 8:", store.read("user/ratings@0", entities=[8]).to_polars(), sep="\n")

    changes = store.diff("user/ratings", 0, 1)
    print(f"\nfrom version 0 to 1: {changes.rows_changed} row changed, {changes.rows_added} added")
    for commit in store.history("user/ratings"):
        print(f"  version {commit.version}: {commit.operation}, {commit.message!r}")

    answer = store.get_online_features(["user/ratings:mean"], [{"user_id": 7}, {"user_id": 1}])
    print("\nonline:", answer.to_dict(), [str(status) for status in answer.statuses["mean"]])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made_for_now:
            main(made_for_now)
