"""What goes into the TMDB processor: shapes, frames, dirt and errors."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor
from tiffin.errors import InvalidInputError

MOVIES = [
    {
        "movie_id": 11,
        "title": "Night Train 2",
        "original_title": "밤기차 2",
        "release_date": "2021-03-04",
        "vote_average": 7.5,
        "vote_count": 120,
        "popularity": 33,
        "genre_ids": [28, 53],
        "adult": False,
        "original_language": "ko",
        "overview": "A spy must fight for love.",
        "budget": 5_000_000,
        "revenue": 9_000_000,
        "runtime": 101,
    },
    {"movie_id": 12, "title": "Well", "vote_average": 6.0, "vote_count": 3, "genre_ids": [], "release_date": ""},
    {"movie_id": 13, "title": None, "vote_average": 0, "vote_count": 0, "genre_ids": [10769, 18], "popularity": 1.5},
]


def features(movies: object) -> pl.DataFrame:
    """Join all five per-movie parts into one frame."""
    parts = TMDBProcessor(movies, {"now": date(2024, 7, 1)}).extract(MOVIE_PARTS)
    return pl.concat([parts["basic"], *(parts[name].drop("movie_id") for name in MOVIE_PARTS[1:])], how="horizontal")


def clean(**fields: object) -> dict[str, object]:
    """Read one movie and show how it was understood."""
    return TMDBProcessor([{"movie_id": 1, **fields}]).movies.row(0, named=True)


def polars_movies() -> pl.DataFrame:
    return pl.DataFrame(MOVIES, infer_schema_length=None)


class Stream:
    """A frame of a library that nobody has heard of."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return polars_movies().__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "movies",
    [
        polars_movies(),
        polars_movies().lazy(),
        polars_movies().to_arrow(),
        polars_movies().to_arrow().to_reader(),
        Stream(),
        pd.DataFrame(MOVIES),
        pd.DataFrame(MOVIES).convert_dtypes(),
        tuple(MOVIES),
        iter(MOVIES),
        polars_movies().cast({"genre_ids": pl.List(pl.Float64), "title": pl.Categorical()}),
        polars_movies().with_columns(pl.col("release_date").str.to_date(strict=False)),
        polars_movies().with_columns(pl.col("release_date").str.to_datetime("%Y-%m-%d", strict=False)),
        polars_movies().with_columns(pl.all().exclude("genre_ids").cast(pl.String)),
        polars_movies().with_columns(genre_ids=pl.Series(["28|53", "[]", "10769|18"])),
    ],
    ids=[
        "polars", "lazy", "arrow", "reader", "stream", "pandas", "pandas nullable", "tuple", "iterator",
        "other types", "dates", "datetimes", "all text", "genres as text",
    ],
)  # fmt: skip
def test_every_kind_of_input_gives_the_same_features(movies):
    assert_frame_equal(features(movies), features(MOVIES))


@pytest.mark.parametrize("write", [lambda genres: genres, str, lambda genres: str(genres).replace("'", '"')])
def test_both_shapes_give_the_same_features(write):
    other = []
    for movie in MOVIES:
        genres = [{"id": number, "name": f"Genre {number}9"} for number in movie["genre_ids"]]
        rest = {name: value for name, value in movie.items() if name not in {"movie_id", "genre_ids"}}
        other.append({"id": movie["movie_id"], "genres": write(genres), **rest})
    assert_frame_equal(features(other), features(MOVIES))


def test_both_shapes_may_be_mixed_in_one_list():
    mixed = [{"movie_id": 1, "genre_ids": [18]}, {"id": 2, "genres": [{"id": 28, "name": "Action"}]}]
    frame = features(mixed)
    assert frame["movie_id"].to_list() == [1, 2]
    assert frame.select("genre_drama", "genre_action").rows() == [(True, False), (False, True)]


@pytest.mark.parametrize(
    "bad", ["abc", "", None, float("nan"), float("inf"), [7.0], {"mean": 7.0}, b"7", date(2020, 1, 1)]
)
def test_a_rating_that_cannot_be_read_is_null_and_leaves_the_others_alone(bad):
    movies = [
        {"movie_id": 1, "vote_average": bad},
        {"movie_id": 2, "vote_average": 7},
        {"movie_id": 3, "vote_average": 6.5},
    ]
    assert TMDBProcessor(movies).movies["rating"].to_list() == [None, 7.0, 6.5]


@pytest.mark.parametrize(
    ("fields", "name", "understood"),
    [
        ({"vote_average": " 7.5 "}, "rating", 7.5),
        ({"vote_average": Decimal("7.5")}, "rating", 7.5),
        ({"vote_average": np.float32(7.5)}, "rating", 7.5),
        ({"vote_count": "12"}, "votes", 12),
        ({"vote_count": 12.5}, "votes", None),
        ({"vote_count": -1}, "votes", None),
        ({"vote_count": 2**80}, "votes", None),
        ({"vote_count": 3_000_000_000}, "votes", 3_000_000_000),
        ({"popularity": -0.5}, "popularity", None),
        ({"title": 1917}, "title", "1917"),
        ({"title": ["x"]}, "title", None),
        ({"title": "\ud800"}, "title", None),
        ({"adult": 1}, "adult", True),
        ({"adult": "False"}, "adult", False),
        ({"adult": "maybe"}, "adult", None),
        ({"release_date": date(2020, 5, 6)}, "release", date(2020, 5, 6)),
        ({"genre_ids": ["28", None, "x"]}, "genre_action", True),
        ({"genre_ids": [28.5]}, "genre_count", 0),
        ({"genre_ids": 28}, "genre_action", True),
        ({"genre_ids": np.array([28, 12])}, "genre_count", 2),
        ({"genres": [{"name": "Action"}]}, "genre_count", 0),
        ({"genres": [{"id": "28"}, {"id": 12}]}, "genre_count", 2),
    ],
)
def test_a_value_of_another_type_is_read_if_it_is_clear_and_null_if_not(fields, name, understood):
    assert clean(**fields)[name] == understood


@pytest.mark.parametrize(
    "fields",
    [{"vote_count": 3_000_000_000}, {"release_date": "0001-01-01"}, {"release_date": "9999-12-31"}, {"budget": 1e300}],
)
def test_extreme_values_go_through_every_part(fields):
    assert len(features([{"movie_id": 1, **fields}])) == 1


def test_unknown_fields_are_ignored():
    assert features([{**MOVIES[0], "poster_path": "/x.jpg", "video": object()}]).equals(features(MOVIES[:1]))


@pytest.mark.parametrize("read", [pl.DataFrame, pl.LazyFrame, pa.Table.from_pylist, pd.DataFrame, list])
def test_ignored_fields_are_named(read):
    movies = [{"movie_id": 1, "titel": "x"}, {"movie_id": 2, "titel": "y", "video": True}]
    filled = [{"video": None, **movie} for movie in movies]
    assert sorted(TMDBProcessor(read(filled)).ignored) == ["titel", "video"]
    assert TMDBProcessor(MOVIES).ignored == []


def test_a_field_that_only_the_last_of_many_rows_has_is_read():
    rows = [{"movie_id": number} for number in range(1_200)]
    rows[-1] |= {"title": "Night Train", "genre_ids": [18], "poster_path": "/x.jpg"}
    processor = TMDBProcessor(rows)
    assert processor.movies["movie_id"].to_list() == list(range(1_200))
    assert processor.movies["title"].drop_nulls().to_list() == ["Night Train"]
    assert processor.movies["genre_drama"].to_list() == [None] * 1_199 + [True]
    assert processor.ignored == ["poster_path"]


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        ([{"movie_id": 1}, {"title": "x"}, {"movie_id": None}, {"movie_id": "x"}], r"3 movies .* positions 1, 2, 3"),
        ([{"title": "x"}], r"1 movies .* positions 0"),
        ([{"movie_id": 1.5}], "positions 0"),
        ([{"movie_id": 5}, {"movie_id": 6}, {"movie_id": 5}], r"not unique: 5 at positions 0, 2"),
        ([{"movie_id": 5}, {"id": "5"}], r"not unique: 5 at positions 0, 1"),
        ([{"movie_id": 1}, "movie"], "position 1 is a str"),
        ({"movie_id": 1}, "a dict"),
        ("movies.csv", "a str"),
        (7, "a int"),
        (pl.DataFrame({"movieid": [1]}), "no column movie_id"),
        (pd.DataFrame([[1, 2]], columns=["movie_id", "movie_id"]), "occur twice"),
        (pa.table([pa.array([1]), pa.array([2])], names=["movie_id", "movie_id"]), "cannot be read"),
    ],
)
def test_movies_without_an_identity_are_refused_with_their_positions(movies, message):
    with pytest.raises(InvalidInputError, match=message):
        TMDBProcessor(movies)


def test_a_misspelt_id_column_is_recognised():
    with pytest.raises(InvalidInputError) as caught:
        TMDBProcessor(pl.DataFrame({"movieid": [1]}))
    assert "'movieid'" in caught.value.hint


def test_the_input_is_not_changed():
    movies = [dict(movie) for movie in MOVIES]
    frame = polars_movies()
    features(movies), features(frame)
    assert movies == MOVIES
    assert_frame_equal(frame, polars_movies())
