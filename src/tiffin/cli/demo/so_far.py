"""What was known of users and movies just before each rating: the point-in-time problem of the demo."""

import polars as pl

from tiffin.cli.demo.movie_tables import MovieTable

USERS, MOVIES, GENRES = "user/user_ratings_so_far", "content/movie_ratings_so_far", "content/movie_genres"
GENRE_FLAGS = ("genre_drama", "genre_comedy", "genre_action", "genre_horror", "genre_animation")
FEATURES = (
    *(f"{USERS}:user_{figure}" for figure in ("count", "mean", "deviation")),
    *(f"{MOVIES}:movie_{figure}" for figure in ("count", "mean", "deviation")),
    *(f"{GENRES}:{flag}" for flag in GENRE_FLAGS),
)
LABEL = "rating"
ASKED_AT = "asked_at"


def tables(ratings: pl.DataFrame) -> list[MovieTable]:
    """Make the tables that say, for each rating, what its user and its movie look like from then on.

    Parameters
    ----------
    ratings : DataFrame
        As `check_ratings` returns them: sorted by time.
    """
    return [
        MovieTable(
            USERS, users(ratings), ("user_id",), "Each user's ratings, counted after each of them.", "event_timestamp"
        ),
        MovieTable(
            MOVIES, movies(ratings), ("movie_id",), "Each movie's ratings, counted after each.", "event_timestamp"
        ),
    ]


def users(ratings: pl.DataFrame) -> pl.DataFrame:
    """Count each user's ratings so far: see `_so_far`."""
    return _so_far(ratings, "user_id", "user")


def movies(ratings: pl.DataFrame) -> pl.DataFrame:
    """Count each movie's ratings so far: see `_so_far`."""
    return _so_far(ratings, "movie_id", "movie")


def spine(ratings: pl.DataFrame) -> pl.DataFrame:
    """Ask for each rating what was known just before it.

    Returns
    -------
    DataFrame, shape (number of ratings, 5)
        `user_id`, `movie_id`, `event_timestamp`, `asked_at` and the label `rating`.
    """
    # A table says what is true from a rating on, that rating included; so it must be asked for the moment before, or
    # the answer would hold the label. To date the tables' rows later instead would be wrong for everybody else.
    before = _instants(pl.col("event_timestamp")) - pl.duration(microseconds=1)
    return ratings.select("user_id", "movie_id", "event_timestamp", before.alias(ASKED_AT), LABEL)


def naive(spine: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Join the newest row of each entity, whenever it was: the mistake that the demo is about.

    Parameters
    ----------
    spine : DataFrame, shape (n, k)
        As `spine` returns it.
    tables : mapping of str to DataFrame
        The tables by name.

    Returns
    -------
    DataFrame, shape (n, k + number of features)
    """
    joined = spine
    for name, key in ((USERS, "user_id"), (MOVIES, "movie_id"), (GENRES, "movie_id")):
        wanted = [reference.partition(":")[2] for reference in FEATURES if reference.startswith(f"{name}:")]
        newest = tables[name].unique(key, keep="last", maintain_order=True).select(key, *wanted)
        joined = joined.join(newest, on=key, how="left", maintain_order="left")
    return joined


def _so_far(ratings: pl.DataFrame, key: str, prefix: str) -> pl.DataFrame:
    """Count, average and spread the ratings of each key, up to and with each moment at which it has one.

    Returns
    -------
    DataFrame, shape (moments, 5)
        The key, `event_timestamp`, `<prefix>_count`, `<prefix>_mean` and `<prefix>_deviation` (of the sample; null for
        one rating), sorted by key and time.
    """
    rating = pl.col("rating").cast(pl.Float64)
    count = pl.int_range(1, pl.len() + 1).over(key).cast(pl.Float64)
    total, squares = rating.cum_sum().over(key), (rating**2).cum_sum().over(key)
    # Multiplied out before the division: exact for ratings in halves, so equal ratings deviate by 0 and not by a hair.
    variance = (count * squares - total**2) / (count * (count - 1))
    return (
        ratings.select(
            key,
            _instants(pl.col("event_timestamp")),
            count.cast(pl.Int32).alias(f"{prefix}_count"),
            (total / count).alias(f"{prefix}_mean"),
            pl.when(count > 1).then(variance.clip(0).sqrt()).alias(f"{prefix}_deviation"),
        )
        # Ratings given in one instant are known together.
        .unique([key, "event_timestamp"], keep="last", maintain_order=True)
        .sort(key, "event_timestamp")
    )


def _instants(times: pl.Expr) -> pl.Expr:
    return times.dt.cast_time_unit("us")
