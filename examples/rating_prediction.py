"""Predict ratings: features as of each rating's time against a join that looks into the future.

    python examples/rating_prediction.py [--ratings FILE] [--store FOLDER] [--count N] [--seed N]

Without FILE the ratings are made up. With one (Parquet or CSV: user_id, movie_id, rating, event_timestamp) they are
yours. The store goes into FOLDER, or into a temporary one that is removed at the end. Needs scikit-learn:
`pip install 'tiffin[examples]'`.
"""

import argparse
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import polars as pl

import tiffin
from tiffin.engineering import synthetic

try:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import root_mean_squared_error
except ImportError:
    sys.exit("this example trains with scikit-learn: pip install 'tiffin[examples]'")

EVENTS = "interaction/ratings"
FEATURES = [
    f"{table}:rating_{figure}"
    for table in ("user/activity", "movie/activity")
    for figure in ("mean_90d", "mean_all", "std_all", "count_all")
]
TRAINED_ON = 0.8
"""Share of the ratings, by time the first, that the models learn from; the rest they are judged by."""


def read_ratings(file: str | None, count: int, seed: int) -> pl.DataFrame:
    """Read ratings from a file, or make them up: sorted by time."""
    if file is None:
        ratings = synthetic.ratings(synthetic.movies(1000, seed), users=max(100, count // 30), count=count, seed=seed)
    elif Path(file).suffix == ".csv":
        ratings = pl.read_csv(file, try_parse_dates=True)
    else:
        ratings = pl.read_parquet(file)
    return ratings.select("user_id", "movie_id", pl.col("rating").cast(pl.Float64), "event_timestamp").sort(
        "event_timestamp"
    )


def build(store: tiffin.FeatureStore, ratings: pl.DataFrame) -> None:
    """Save the ratings, and derive what they say of each user and each movie at every instant."""
    store.save(EVENTS, ratings, entity=["user_id", "movie_id"], timestamp="event_timestamp", message="all ratings")
    for who in ("user", "movie"):
        definition = {
            "source": EVENTS,
            "entity": f"{who}_id",
            "windows": ["90d", "all"],
            "aggregations": {"rating": ["mean", "std", "count"]},
        }
        store.derive(f"{who}/activity", definition, online=True)
    store.create_service("ranker", FEATURES, description="what a rating is predicted from", replace=True)


def matrix(frame: tiffin.FeatureFrame) -> pl.DataFrame:
    """Take the features out of a training frame, in the order of the service."""
    return frame.to_polars().select(name_of(reference) for reference in FEATURES)


def name_of(reference: str) -> str:
    """Name a feature's column as `full_feature_names` does."""
    table, feature = reference.split(":")
    return f"{table.replace('/', '__')}__{feature}"


def main(folder: str, ratings: pl.DataFrame) -> dict[str, float]:
    """Train twice, judge both, keep the honest one's training set, and predict online."""
    store = tiffin.FeatureStore(folder)
    build(store, ratings)

    # A user's mean holds every rating up to its time, also the one that is to be predicted: so ask the moment before.
    spine = ratings.with_columns(pl.col("event_timestamp") - timedelta(microseconds=1))
    honest = store.get_historical_features(spine, "ranker", full_feature_names=True)
    # The mistake: every row gets what is known today, its own rating and those of the years after it included.
    today = spine.with_columns(event_timestamp=pl.lit(ratings["event_timestamp"].max()))
    leaky = store.get_historical_features(today, "ranker", full_feature_names=True)

    cut = int(ratings.height * TRAINED_ON)
    truth = ratings["rating"].to_numpy()
    model, fooled = (
        HistGradientBoostingRegressor(random_state=0).fit(matrix(frame)[:cut].to_numpy(), truth[:cut])
        for frame in (honest, leaky)
    )

    def error(model: HistGradientBoostingRegressor, frame: tiffin.FeatureFrame) -> float:
        return float(root_mean_squared_error(truth[cut:], model.predict(matrix(frame)[cut:].to_numpy())))

    errors = {
        "always the mean": float(((truth[cut:] - truth[:cut].mean()) ** 2).mean() ** 0.5),
        "leaky join, as it looks in training": error(fooled, leaky),
        "leaky join, as it is in use": error(fooled, honest),
        "point in time, in training and in use": error(model, honest),
    }
    print(f"{ratings.height} ratings; root mean squared error of the last {ratings.height - cut}:")
    for name, value in errors.items():
        print(f"  {value:.4f}  {name}")

    store.save_training_set("ratings", honest, description="from examples/rating_prediction.py")
    again = store.reproduce("ratings")
    print(f"\ntraining set 'ratings', from {dict(honest.lock)}")
    print(f"made again, bit for bit: {again.lock.result_hash == honest.lock.result_hash}")

    predict_online(store, model, ratings)
    return errors


def predict_online(store: tiffin.FeatureStore, model: HistGradientBoostingRegressor, ratings: pl.DataFrame) -> None:
    """Predict for a few pairs from the online index, which answers as a training frame as of now would."""
    pairs = ratings.select("user_id", "movie_id").tail(3).to_dicts()
    answer = store.prepare("ranker", full_feature_names=True).read(pairs).to_polars()
    predicted = model.predict(answer.select(name_of(reference) for reference in FEATURES).to_numpy())
    print("\nonline:")
    for pair, rating in zip(pairs, predicted, strict=True):
        print(f"  user {pair['user_id']}, movie {pair['movie_id']}: {rating:.2f}")
    print("online and offline agree:", store.verify("ranker", sample=100).ok)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ratings", metavar="FILE", help="Parquet or CSV; made up if left out")
    parser.add_argument("--store", metavar="FOLDER", help="where the store goes; a temporary folder if left out")
    parser.add_argument("--count", type=int, default=30_000, help="how many ratings are made up")
    parser.add_argument("--seed", type=int, default=0, help="chooses what is made up")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    given = read_ratings(asked.ratings, asked.count, asked.seed)
    if asked.store:
        main(asked.store, given)
    else:
        with tempfile.TemporaryDirectory() as made_for_now:
            main(made_for_now, given)
