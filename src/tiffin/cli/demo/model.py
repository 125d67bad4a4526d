"""A small model of ratings, and what it would cost to train it on features that nobody could know."""

import math

import msgspec
import numpy as np
import polars as pl

from tiffin.cli.demo.so_far import GENRE_FLAGS, LABEL

TRAINED_SHARE = 0.8
"""Share of the ratings, the earlier ones, that a model is trained on; the others test it."""


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """Root mean squared errors of the later ratings, in stars; NaN where there are none."""

    trained: int
    """Ratings that the models were trained on."""
    tested: int
    """Ratings that came after them."""
    mean: float
    """Of predicting the mean of the former for each of the latter."""
    as_of: float
    """Of a model trained and tested on what was known just before each rating."""
    naive: float
    """Of one trained and tested on the newest rows, which know the ratings that are to be predicted."""
    naive_in_life: float
    """Of that same model when it is asked with what is known at the time."""


def errors(as_of: pl.DataFrame, naive: pl.DataFrame) -> Errors:
    """Train on the earlier ratings and test on the later, with either kind of features.

    Parameters
    ----------
    as_of, naive : DataFrame, shape (n, k)
        The same ratings in the order of their times, with their features.
    """
    ratings = as_of[LABEL].to_numpy()
    trained = max(int(len(ratings) * TRAINED_SHARE), 1)
    mean = float(ratings[:trained].mean())
    known, leaking = (_inputs(frame, mean) for frame in (as_of, naive))
    honest, deceived = (_fit(inputs[:trained], ratings[:trained]) for inputs in (known, leaking))
    later = ratings[trained:]
    return Errors(
        trained=trained,
        tested=len(later),
        mean=_rmse(np.full(len(later), mean), later),
        as_of=_rmse(known[trained:] @ honest, later),
        naive=_rmse(leaking[trained:] @ deceived, later),
        naive_in_life=_rmse(known[trained:] @ deceived, later),
    )


def _inputs(frame: pl.DataFrame, mean: float) -> np.ndarray:
    """Arrange features as numbers; who has not rated, or was not rated, is taken for average."""
    columns = [pl.lit(1.0).alias("one")]
    for key in ("user", "movie"):
        columns += [
            pl.col(f"{key}_mean").fill_null(mean),
            pl.col(f"{key}_deviation").fill_null(1.0),
            pl.col(f"{key}_count").fill_null(0).log1p(),
        ]
    columns += [pl.col(flag).fill_null(value=False).cast(pl.Float64) for flag in GENRE_FLAGS]
    return frame.select(columns).to_numpy()


def _fit(inputs: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    weights: np.ndarray = np.linalg.lstsq(inputs, ratings, rcond=None)[0]
    return weights


def _rmse(predicted: np.ndarray, given: np.ndarray) -> float:
    return float(np.sqrt(np.mean((predicted - given) ** 2))) if len(given) else math.nan
