"""Train a model, write down what it learned from, and serve it: features online, predictions over HTTP.

    python examples/serve_a_model.py [FOLDER]

The store and the model go into FOLDER, or into a temporary one that is removed at the end. Needs scikit-learn and
FastAPI: `pip install 'tiffin[examples,server]'`.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import sleep
from urllib.request import Request, urlopen

import polars as pl

import tiffin
from tiffin.engineering import synthetic

try:
    import uvicorn
    from fastapi import FastAPI, HTTPException
    from sklearn.linear_model import LinearRegression
except ImportError:
    sys.exit("this example needs scikit-learn and FastAPI: pip install 'tiffin[examples,server]'")

SERVICE = "predictor"
FEATURES = ["user/activity:rating_mean_all", "user/activity:rating_count_90d"]
COLUMNS = [reference.split(":")[1] for reference in FEATURES]


def train(folder: Path) -> None:
    """Make features of ratings, fit a model to them as of each rating's time, and write it to `folder`."""
    store = tiffin.FeatureStore(folder / "feature_store")
    ratings = synthetic.ratings(synthetic.movies(200), users=50, count=3000)
    store.save("interaction/ratings", ratings, entity=["user_id", "movie_id"], timestamp="event_timestamp")
    definition = {
        "source": "interaction/ratings",
        "entity": "user_id",
        "windows": ["90d", "all"],
        "aggregations": {"rating": ["mean", "count"]},
    }
    store.derive("user/activity", definition, online=True)
    # A default is learned from and served alike: what is predicted for a user of whom nothing is known.
    middle = round(float(ratings["rating"].cast(pl.Float64).mean()), 3)
    store.declare("user/activity", columns={COLUMNS[0]: {"default": middle}, COLUMNS[1]: {"default": 0}})
    store.create_service(SERVICE, FEATURES)

    # The moment before: as of its own time a rating is part of its user's mean.
    spine = ratings.with_columns(pl.col("event_timestamp") - timedelta(microseconds=1))
    frame = store.get_historical_features(spine, SERVICE)
    kept = store.save_training_set("predictor-1", frame, description="from examples/serve_a_model.py")
    learned = frame.to_polars()
    model = LinearRegression().fit(learned.select(COLUMNS).to_numpy(), learned["rating"].to_numpy())

    # Numbers instead of a pickle: nothing in them can run, and anybody can read what is served.
    card = {
        "service": SERVICE,
        "training_set": kept.name,
        "result_hash": kept.lock.result_hash,
        "columns": COLUMNS,
        "coefficients": model.coef_.tolist(),
        "intercept": float(model.intercept_),
    }
    (folder / "model.json").write_text(json.dumps(card, indent=2))


class Predictor:
    """A model and the features that it takes, after a look at whether they belong together."""

    def __init__(self, folder: Path) -> None:
        self.store = tiffin.FeatureStore(folder / "feature_store")
        self.card = json.loads((folder / "model.json").read_text())
        self.check()
        self.plan = self.store.prepare(self.card["service"])

    def check(self) -> None:
        """Stop if the training set is not the one that the model has seen, or the index is not what the tables say."""
        again = self.store.reproduce(self.card["training_set"])
        if again.lock.result_hash != self.card["result_hash"]:
            sys.exit(f"the model did not learn from the training set {self.card['training_set']!r}: train it again")
        found = self.store.verify(self.card["service"], sample=100)
        if not found.ok:
            sys.exit(f"online and offline differ: {found}")

    def predict(self, users: list[int]) -> list[dict[str, object]]:
        """Predict the next rating of each user, and say whether it is more than a guess."""
        answer = self.plan.read({"user_id": users})
        given = answer.to_dict()
        rows = zip(*(given[name] for name in self.card["columns"]), strict=True)
        weights = self.card["coefficients"]
        predicted = [
            self.card["intercept"] + sum(weight * value for weight, value in zip(weights, row, strict=True))
            for row in rows
        ]
        statuses = answer.statuses[COLUMNS[0]]
        return [
            {"user_id": user, "rating": round(rating, 2), "is_known": status == "PRESENT"}
            for user, rating, status in zip(users, predicted, statuses, strict=True)
        ]


def app_of(predictor: Predictor) -> FastAPI:
    """Make the service that answers `GET /predict?user_id=7`."""
    app = FastAPI()

    @app.get("/predict")
    def predict(user_id: int) -> dict[str, object]:
        try:
            return predictor.predict([user_id])[0]
        except tiffin.TiffinError as error:
            raise HTTPException(503, {"code": error.code, "hint": error.hint}) from error

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an app from a thread on a free port, and give its URL; from a shell it would be `uvicorn module:app`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def main(folder: Path) -> None:
    """Train, serve, ask, let a new rating come in, and ask again."""
    train(folder)
    predictor = Predictor(folder)
    print("the model learned from", dict(predictor.store.training_set("predictor-1").lock))

    def ask(url: str, user: int) -> dict[str, object]:
        with urlopen(Request(f"{url}/predict?user_id={user}"), timeout=10) as answer:
            return json.load(answer)

    with served(app_of(predictor)) as url:
        print("before:", ask(url, 7))
        print("nobody:", ask(url, 1_000_000))
        newest = predictor.store.describe("interaction/ratings").newest
        late = [{"user_id": 7, "movie_id": 3, "rating": 0.5, "event_timestamp": newest + timedelta(seconds=1)}]
        predictor.store.save("interaction/ratings", late, mode="append", message="a user was angry")
        predictor.store.refresh()  # the features follow, and the online index with them
        print("after: ", ask(url, 7))

    learned_from = predictor.store.training_set("predictor-1").lock["user/activity"]
    drift = predictor.store.drift("user/activity", learned_from, "online")
    print("the online features still look like those of the training:", not drift.drifted)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made_for_now:
            main(Path(made_for_now))
