"""Movies and ratings made up from a seed, with the shapes and the dirt of real ones.

For demos, tests and benchmarks on machines without real data. The same seed gives the same rows on
every platform (see `seeded`).
"""

from __future__ import annotations

from datetime import date

import polars as pl

from tiffin.engineering import synthetic_words as words
from tiffin.engineering.seeded import bell, pick, uniform
from tiffin.errors import InvalidInputError

_FIRST_RELEASE, _LAST_DAY = date(1950, 1, 1), date(2024, 12, 31)
_FIRST_RATING = date(2015, 1, 1)
_DAY_US = 86_400_000_000


def movies(count: int, seed: int = 0) -> pl.DataFrame:
    """Make up movies in TMDB's shape.

    Parameters
    ----------
    count : int
        Number of movies, >= 0.
    seed : int
        Chooses the movies; movie number i is the same for any `count` greater than i.

    Returns
    -------
    DataFrame, shape (count, 13)
        `movie_id` (1 to count), `title`, `release_date` (text), `vote_average`, `vote_count`, `popularity`,
        `genre_ids`, `adult`, `original_language`, `overview`, `budget`, `revenue`, `runtime`. As on TMDB, a few have an
        empty or missing date, no votes (rating 0), no overview, no genres, a retired genre or an unknown budget (0).

    Raises
    ------
    InvalidInputError
        `count` is negative.
    """
    _require(count >= 0, f"count is {count}", "pass a number of movies of at least 0")
    index = pl.int_range(count, dtype=pl.Int64)
    numbered = pl.select(index.alias("index"))
    drawn = numbered.with_columns(*_genre_pair(seed), *_latent(seed)).with_columns(*_figures(seed))
    return drawn.select(
        (pl.col("index") + 1).alias("movie_id"),
        _title(seed).alias("title"),
        _release_date(seed).alias("release_date"),
        "vote_average",
        "vote_count",
        "popularity",
        _genre_ids(seed).alias("genre_ids"),
        (_chance("adult", seed) < 0.002).alias("adult"),
        _choose(tuple(words.LANGUAGES), "language", seed, tuple(words.LANGUAGES.values())).alias("original_language"),
        _overview(seed).alias("overview"),
        *_money(seed),
        (75 + 60 * _chance("runtime", seed) ** 2 + 15 * _chance("length", seed)).round().alias("runtime"),
    )


def ratings(movies: pl.DataFrame, users: int, count: int, seed: int = 0) -> pl.DataFrame:
    """Make up ratings of movies, with something to learn in them.

    A rating follows from the movie's quality (its `vote_average`), the user's mildness, the user's taste for the
    movie's first genre, and noise. Few users rate much, and popular movies are rated more.

    Parameters
    ----------
    movies : DataFrame
        `movie_id`, `release_date` (text), `vote_average`, `popularity`, `genre_ids`.
    users : int
        Number of users, >= 1.
    count : int
        Number of ratings, >= 0.
    seed : int
        Chooses the ratings.

    Returns
    -------
    DataFrame, shape (count, 4)
        `user_id` (1 to users), `movie_id`, `rating` (0.5 to 5.0 in steps of 0.5), `event_timestamp` (UTC,
        microseconds), sorted by time. A user rates a movie at most once, and not before its release.

    Raises
    ------
    InvalidInputError
        No user, a negative count, or more ratings than so few users and movies can plausibly give.
    """
    _require(users >= 1, f"users is {users}", "pass a number of users of at least 1")
    _require(count >= 0, f"count is {count}", "pass a number of ratings of at least 0")
    _require(
        2 * count <= users * len(movies),
        f"{count} ratings by {users} users of {len(movies)} movies",
        "ask for at most half as many ratings as there are pairs of user and movie",
    )
    known = movies.select(
        "movie_id",
        pl.col("vote_average").fill_null(0.0).alias("quality"),
        pl.col("popularity").fill_null(0.0).alias("popularity"),
        pl.col("genre_ids").list.first().fill_null(0).cast(pl.Int64).alias("genre"),
        pl.col("release_date").str.to_date("%Y-%m-%d", strict=False).fill_null(_FIRST_RELEASE).alias("release"),
    )
    pairs = _pairs(known, users, count, seed)
    rated = pairs.with_columns(known[pairs["movie"]])
    return rated.select(
        "user_id", "movie_id", _given_rating(seed).alias("rating"), _given_at(seed).alias("event_timestamp")
    ).sort("event_timestamp", "user_id", "movie_id")


def _require(holds: bool, message: str, hint: str) -> None:
    if not holds:
        raise InvalidInputError(message, hint=hint)


def _chance(stream: str, seed: int) -> pl.Expr:
    return uniform(pl.col("index"), seed=seed, stream=f"movies/{stream}")


def _choose(choices: tuple[str, ...], stream: str, seed: int, weights: tuple[float, ...] | None = None) -> pl.Expr:
    shares = pl.Series(weights or [1.0] * len(choices), dtype=pl.Float64)
    return pl.lit(pl.Series(choices)).gather(pick(pl.col("index"), shares, seed=seed, stream=f"movies/{stream}"))


def _genre_pair(seed: int) -> list[pl.Expr]:
    shares = pl.Series([share for share, _ in words.STORIES.values()])
    first = pick(pl.col("index"), shares, seed=seed, stream="movies/first genre")
    even = pl.Series([1.0] * len(words.SECOND_GENRES))
    second = pick(pl.col("index"), even, seed=seed, stream="movies/second genre")
    return [
        first.alias("story"),
        pl.lit(pl.Series(list(words.STORIES))).gather(first).alias("first_genre"),
        pl.lit(pl.Series(words.SECOND_GENRES)).gather(second).alias("second_genre"),
    ]


def _latent(seed: int) -> list[pl.Expr]:
    """Draw what nobody sees: how good a movie is, and how far it reaches (long-tailed, 0.5 to about 250)."""
    quality = 6.2 + 1.0 * bell(pl.col("index"), seed=seed, stream="movies/quality")
    return [quality.alias("quality"), (0.5 / (_chance("reach", seed) + 0.002)).alias("reach")]


def _figures(seed: int) -> list[pl.Expr]:
    votes = (pl.col("reach") * 30 * _chance("votes", seed)).floor().cast(pl.Int64) - 2
    has_votes = votes > 0
    rating = pl.col("quality").clip(0.5, 10.0).round(1)
    return [
        votes.clip(lower_bound=0).alias("vote_count"),
        pl.when(has_votes).then(rating).otherwise(0.0).alias("vote_average"),
        (pl.col("reach") * (0.5 + _chance("popularity", seed))).round(6).alias("popularity"),
    ]


def _title(seed: int) -> pl.Expr:
    phrase = pl.concat_str(
        _choose(words.ADJECTIVES, "adjective", seed), _choose(words.NOUNS, "noun", seed), separator=" "
    )
    article = pl.when(_chance("article", seed) < 0.5).then(pl.lit("The ")).otherwise(pl.lit(""))
    return pl.concat_str(article, phrase, _choose(words.ENDINGS, "ending", seed))


def _release_date(seed: int) -> pl.Expr:
    # One minus a square crowds the releases towards the present, as in TMDB.
    span = (_LAST_DAY - _FIRST_RELEASE).days
    days = ((1 - _chance("release", seed) ** 2) * span).floor().cast(pl.Int32)
    written = (pl.lit(_FIRST_RELEASE) + pl.duration(days=days)).dt.to_string("%Y-%m-%d")
    dirt = _chance("release dirt", seed)
    return pl.when(dirt < 0.004).then(None).when(dirt < 0.008).then(pl.lit("")).otherwise(written)


def _genre_ids(seed: int) -> pl.Expr:
    first, second = pl.col("first_genre"), pl.col("second_genre")
    size = _chance("genres", seed)
    none = pl.lit(None, dtype=pl.List(pl.Int64)).fill_null([])
    both = pl.concat_list(first, second)
    return (
        pl.when(size < 0.01)
        .then(none)
        .when((size < 0.4) | (first == second))
        .then(first.reshape((-1, 1)).arr.to_list())
        .otherwise(both)
    )


def _overview(seed: int) -> pl.Expr:
    widest = max(len(plots) for _, plots in words.STORIES.values())
    plots = pl.Series([plots[number % len(plots)] for _, plots in words.STORIES.values() for number in range(widest)])
    number = (_chance("plot", seed) * widest).floor().cast(pl.Int64)
    plot = pl.lit(plots).gather(pl.col("story") * widest + number)
    first = pl.concat_str(
        _choose(words.HEROES, "hero", seed), plot, _choose(words.PLACES, "place", seed), separator=" "
    )
    whole = pl.concat_str(
        first, pl.lit(". "), _choose(words.TURNS, "turn", seed), pl.lit(" "), _choose(words.TURNS, "end", seed)
    )
    dirt = _chance("overview dirt", seed)
    return pl.when(dirt < 0.005).then(None).when(dirt < 0.02).then(pl.lit("")).otherwise(whole.str.strip_chars_end())


def _money(seed: int) -> list[pl.Expr]:
    budget = (pl.col("reach") * 4 * (0.5 + _chance("budget", seed))).round(1)
    earned = budget * (0.2 + 4 * _chance("revenue", seed) ** 2)
    is_known = _chance("money", seed) < 0.6
    return [
        pl.when(is_known).then((amount * 1_000_000).round()).otherwise(0).cast(pl.Int64).alias(name)
        for name, amount in (("budget", budget), ("revenue", earned))
    ]


def _pairs(known: pl.DataFrame, users: int, count: int, seed: int) -> pl.DataFrame:
    """Draw distinct pairs of user and movie, popular movies and active users more often."""
    if count == 0:
        return pl.DataFrame(schema={"draw": pl.Int64, "movie": pl.Int64, "user_id": pl.Int64})
    draw = pl.col("draw")
    weights = known.select(pl.col("popularity").clip(lower_bound=0) + 0.5).to_series()
    activity = pl.select(1.0 / (pl.int_range(users) + users / 20 + 5)).to_series()
    tries = count
    while True:  # every pair has a chance, so doubling the draws ends
        tries *= 2
        pairs = pl.select(pl.int_range(tries, dtype=pl.Int64).alias("draw")).with_columns(
            pick(draw, weights, seed=seed, stream="ratings/movie").alias("movie"),
            (pick(draw, activity, seed=seed, stream="ratings/user") + 1).alias("user_id"),
        )
        distinct = pairs.unique(["movie", "user_id"], keep="first", maintain_order=True)
        if len(distinct) >= count:
            return distinct.head(count)


def _given_rating(seed: int) -> pl.Expr:
    user, draw = pl.col("user_id"), pl.col("draw")
    quality = pl.when(pl.col("quality") > 0).then(pl.col("quality")).otherwise(6.0)
    mildness = 0.35 * bell(user, seed=seed, stream="ratings/mildness")
    taste = 0.55 * bell(user * 100_000 + pl.col("genre"), seed=seed, stream="ratings/taste")
    noise = 0.6 * bell(draw, seed=seed, stream="ratings/noise")
    given = 3.5 + 0.55 * (quality - 6.2) + mildness + taste + noise
    return (given * 2).round().clip(1, 10) / 2


def _given_at(seed: int) -> pl.Expr:
    """Place a rating between the user's arrival, or the movie's release if that is later, and the last day."""
    span_us = (_LAST_DAY - _FIRST_RATING).days * _DAY_US
    start, end = (pl.lit(day).cast(pl.Datetime("us")) for day in (_FIRST_RATING, _LAST_DAY))
    arrival_us = (uniform(pl.col("user_id"), seed=seed, stream="ratings/arrival") * 0.9 * span_us).cast(pl.Int64)
    earliest = pl.max_horizontal(
        start + pl.duration(microseconds=arrival_us), pl.col("release").cast(pl.Datetime("us"))
    )
    # The square makes a user busiest right after arriving.
    left_us = (end - earliest).dt.total_microseconds() + _DAY_US
    passed_us = (uniform(pl.col("draw"), seed=seed, stream="ratings/time") ** 2 * left_us).cast(pl.Int64)
    return (earliest + pl.duration(microseconds=passed_us)).dt.replace_time_zone("UTC")
