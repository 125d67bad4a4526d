"""From movies and ratings to the tables that a recommender's store holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tiffin.engineering import synthetic
from tiffin.engineering.tmdb.vocabulary import GENRES
from tiffin.errors import InvalidInputError, did_you_mean

if TYPE_CHECKING:
    import tiffin
    from tiffin.schema.compatibility import Mode
    from tiffin.tables.table import Commit

RATING_COLUMNS = ("user_id", "movie_id", "rating", "event_timestamp")

_GENRE_FLAGS = [f"genre_{name}" for name in GENRES.values()]


@dataclass(frozen=True)
class MovieTable:
    """A frame and the table that it is meant for."""

    name: str
    frame: pl.DataFrame
    entity: tuple[str, ...]
    description: str
    timestamp: str | None = None

    def expected(self) -> pl.DataFrame:
        """Return the rows in the order that the store keeps them in."""
        if self.timestamp is None:
            return self.frame
        return self.frame.sort([*self.entity, self.timestamp], maintain_order=True)

    def save(
        self, store: "tiffin.FeatureStore", *, mode: "Mode" = "overwrite", message: str, inputs: list[str]
    ) -> "Commit":
        """Save the frame as the table's next version; an overwrite takes the frame's schema."""
        return store.save(
            self.name,
            self.frame,
            entity=self.entity,
            timestamp=self.timestamp,
            description=self.description,
            mode=mode,
            evolve=mode == "overwrite",
            message=message,
            inputs=inputs,
        )


def content_tables(parts: Mapping[str, pl.DataFrame]) -> Iterator[MovieTable]:
    """Arrange the per-movie parts of the TMDB features by what they are about.

    Parameters
    ----------
    parts : mapping of str to DataFrame, each of shape (n, …)
        `basic`, `temporal`, `statistical`, `text` and `interaction`, as `TMDBProcessor.extract` gives them.

    Yields
    ------
    MovieTable
        Keyed by `movie_id`, n rows each; every feature is in one of them.
    """
    everything = pl.concat([parts["basic"], *(parts[name].drop("movie_id") for name in _OTHERS)], how="horizontal")
    left = [name for name in everything.columns if name != "movie_id"]
    for name, (pattern, description) in _CONTENT.items():
        found = everything.select(pl.col(pattern)).columns
        columns = [column for column in found if column in left]
        left = [column for column in left if column not in columns]
        yield MovieTable(f"content/{name}", everything.select("movie_id", *columns), ("movie_id",), description)


_OTHERS = ("temporal", "statistical", "text", "interaction")

# Each takes the features that its pattern finds and that none before it has taken; the last takes the rest.
_CONTENT = {
    "movie_text": ("^(title|overview|.*_title|.*_keyword|.*keyword_count).*$", "Titles and overviews in numbers."),
    "movie_release": (
        "^(release_|days_since|years_since|is_.*_release|is_recent|is_classic).*$",
        "When movies came out.",
    ),
    "movie_popularity": ("^.*popularity.*$", "How popular movies are, alone and against all others."),
    "movie_ratings": ("^(.*rating.*|.*vote_count.*|controversy)$", "How movies are rated, and how far to trust it."),
    "movie_genres": ("^(genre_.*|unknown_genre_count|is_multi_genre)$", "TMDB's genres of each movie, as flags."),
    "movie_facts": ("^.*$", "Language, length, money and age limit of movies."),
}


def rating_tables(ratings: pl.DataFrame, movies: pl.DataFrame) -> list[MovieTable]:
    """Make the tables about users: what each prefers, and each rating.

    Parameters
    ----------
    ratings : DataFrame
        As `check_ratings` returns them.
    movies : DataFrame
        Clean movies, with a flag for each genre (`TMDBProcessor.movies`).

    Returns
    -------
    list of MovieTable
    """
    preferences = user_preferences(ratings, movies)
    return [
        MovieTable("user/user_preferences", preferences, ("user_id",), "What each user's ratings say of their taste."),
        MovieTable(
            "interaction/user_movie_interactions",
            ratings,
            ("user_id", "movie_id"),
            "Ratings as they were given.",
            timestamp="event_timestamp",
        ),
    ]


def user_preferences(ratings: pl.DataFrame, movies: pl.DataFrame) -> pl.DataFrame:
    """Summarise the ratings of each user.

    Parameters
    ----------
    ratings : DataFrame
        `user_id`, `movie_id`, `rating`, `event_timestamp`.
    movies : DataFrame
        `movie_id` and a flag for each genre.

    Returns
    -------
    DataFrame, shape (number of users, 8 + number of genres)
        By `user_id`: `rating_count`, `rating_mean`, `rating_std` (of the sample; null for one rating),
        `rating_min`, `rating_max`, `last_rated_at`, `favourite_genre` (of the largest share, the first of equals;
        null if none is known), and for each genre `share_<name>`: the share, 0-1, of the user's rated movies that
        have it, of those whose genres are known; null if none is.
    """
    flags = movies.select("movie_id", *_GENRE_FLAGS)
    shares = [f"share_{name}" for name in GENRES.values()]
    users = (
        ratings.lazy()
        .join(flags.lazy(), on="movie_id", how="left", maintain_order="left")
        .group_by("user_id")
        .agg(
            pl.len().cast(pl.Int32).alias("rating_count"),
            # Of the list, in its order: figures of whole groups are summed in an order that changes from run to run.
            pl.col("rating").implode().list.mean().alias("rating_mean"),
            pl.col("rating").implode().list.std().alias("rating_std"),
            pl.col("rating").min().alias("rating_min"),
            pl.col("rating").max().alias("rating_max"),
            pl.col("event_timestamp").max().alias("last_rated_at"),
            *(pl.col(flag).mean().alias(share) for flag, share in zip(_GENRE_FLAGS, shares, strict=True)),
        )
    )
    largest = pl.max_horizontal(shares)
    favourite = pl.coalesce(pl.when(pl.col(f"share_{n}") == largest).then(pl.lit(n)) for n in GENRES.values())
    known = pl.when(largest > 0).then(favourite).cast(pl.Enum(list(GENRES.values())))
    named = users.with_columns(known.alias("favourite_genre"))
    first = ["user_id", *(f"rating_{figure}" for figure in ("count", "mean", "std", "min", "max")), "last_rated_at"]
    return named.select(*first, "favourite_genre", *shares).sort("user_id").collect()


def check_ratings(ratings: pl.DataFrame) -> pl.DataFrame:
    """Keep of ratings what their tables need, in the order they were given in.

    Raises
    ------
    InvalidInputError
        A column is missing, a key is null, or `event_timestamp` holds no times.
    """
    for name in RATING_COLUMNS:
        if name not in ratings.columns:
            raise InvalidInputError(
                f"the ratings have no column {name!r}",
                hint=did_you_mean(name, ratings.columns),
            )
    kept = ratings.select(RATING_COLUMNS)
    times = kept.schema["event_timestamp"]
    if not isinstance(times, pl.Datetime):
        raise InvalidInputError(
            f"event_timestamp of the ratings is {times}, not a time", hint="write times like 2024-05-31T12:00:00Z"
        )
    if kept.null_count().pipe(lambda nulls: sum(nulls.row(0))):
        raise InvalidInputError("the ratings hold nulls", hint="remove the rows with a missing value")
    return kept.sort("event_timestamp", "user_id", "movie_id")


def made_up_ratings(movies: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Make up ratings of movies that came without: about ten for each movie, by a tenth as many users.

    Parameters
    ----------
    movies : DataFrame
        Clean movies (`TMDBProcessor.movies`).
    seed : int
        Chooses the ratings.
    """
    genres = [pl.when(flag).then(pl.lit(number)) for number, flag in zip(GENRES, _GENRE_FLAGS, strict=True)]
    raw = movies.select(
        "movie_id",
        pl.col("release").dt.to_string("%Y-%m-%d").alias("release_date"),
        pl.col("rating").alias("vote_average"),
        "popularity",
        pl.concat_list(genres).list.drop_nulls().alias("genre_ids"),
    )
    users = max(len(movies) // 10, 20)
    return synthetic.ratings(raw, users, min(10 * len(movies), users * len(movies) // 2), seed)
