"""Synthetic movies and ratings: reproducible, realistic, and worth learning from."""

from __future__ import annotations

import polars as pl
import pytest

from tiffin.engineering import synthetic
from tiffin.engineering.seeded import bell, pick, uniform
from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor
from tiffin.errors import InvalidInputError

MOVIES = synthetic.movies(2_000, seed=1)
RATINGS = synthetic.ratings(MOVIES, users=200, count=20_000, seed=1)


def draw(expression: pl.Expr, count: int = 20_000) -> pl.Series:
    return pl.select(pl.int_range(count, dtype=pl.Int64).alias("i")).select(expression).to_series()


class TestSeeded:
    def test_uniform_is_the_published_generator(self):
        """First outputs of SplitMix64 from state 0, computed with Python's whole numbers."""
        from tiffin.engineering import seeded

        state, expected = seeded._origin(7, "x"), []
        for _ in range(5):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            word = state
            word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
            expected.append((word ^ word >> 31 >> 0) >> 11)
        assert draw(uniform(pl.col("i"), seed=7, stream="x"), 5).to_list() == [word / 2**53 for word in expected]

    def test_uniform_and_bell_have_the_right_spread(self):
        flat = draw(uniform(pl.col("i"), seed=0, stream="flat"))
        round_ = draw(bell(pl.col("i"), seed=0, stream="round"))
        assert (flat.min() >= 0, flat.max() < 1) == (True, True)
        assert flat.mean() == pytest.approx(0.5, abs=0.01)
        assert (round_.mean(), round_.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))

    def test_streams_and_seeds_are_independent(self):
        first = draw(uniform(pl.col("i"), seed=0, stream="a"))
        for other in (uniform(pl.col("i"), seed=0, stream="b"), uniform(pl.col("i"), seed=1, stream="a")):
            assert abs(pl.DataFrame({"a": first, "b": draw(other)}).select(pl.corr("a", "b")).item()) < 0.03

    def test_pick_follows_the_weights_and_never_picks_a_zero(self):
        counts = draw(pick(pl.col("i"), pl.Series([1.0, 0.0, 3.0]), seed=0, stream="p")).value_counts()
        shares = dict(counts.rows())
        assert set(shares) == {0, 2}
        assert shares[2] / shares[0] == pytest.approx(3, rel=0.1)


class TestMovies:
    def test_the_same_seed_makes_the_same_movies_and_more_only_adds(self):
        assert synthetic.movies(2_000, seed=1).equals(MOVIES)
        assert synthetic.movies(50, seed=1).equals(MOVIES.head(50))
        assert not synthetic.movies(50, seed=2).equals(MOVIES.head(50))

    def test_the_first_movie_of_seed_zero_never_changes(self):
        first = synthetic.movies(1, seed=0).select("title", "release_date", "vote_count", "original_language").row(0)
        assert first == ("Crimson Harbor", "1967-05-02", 1, "en")

    def test_there_is_some_dirt_but_not_much(self):
        missing = {
            "release_date": pl.col("release_date").fill_null("") == "",
            "vote_average": pl.col("vote_average") == 0,
            "overview": pl.col("overview").fill_null("") == "",
            "genre_ids": pl.col("genre_ids").list.len() == 0,
            "retired genre": pl.col("genre_ids").list.contains(10769),
        }
        for name, is_missing in missing.items():
            assert 0 < MOVIES.select(is_missing.mean()).item() < 0.3, name

    def test_a_rating_means_votes(self):
        assert MOVIES.filter((pl.col("vote_count") == 0) != (pl.col("vote_average") == 0)).is_empty()

    def test_popularity_has_a_long_tail(self):
        popularity = MOVIES["popularity"]
        assert popularity.mean() > 2 * popularity.median()

    def test_the_processor_understands_them(self):
        parts = TMDBProcessor(MOVIES).extract(MOVIE_PARTS)
        assert parts["basic"]["rating"].null_count() == MOVIES.filter(vote_count=0).height
        keyword_rate = (
            parts["text"]
            .join(parts["basic"], on="movie_id")
            .group_by("genre_horror")
            .agg(pl.col("horror_keyword_count").mean())
        )
        rates = dict(keyword_rate.rows())
        assert rates[True] > rates[False]

    def test_none_is_possible_and_fewer_is_not(self):
        assert synthetic.movies(0).schema == MOVIES.schema
        with pytest.raises(InvalidInputError, match="-1"):
            synthetic.movies(-1)


class TestRatings:
    def test_the_same_seed_makes_the_same_ratings(self):
        assert synthetic.ratings(MOVIES, users=200, count=20_000, seed=1).equals(RATINGS)

    def test_shape_steps_and_order(self):
        assert RATINGS.schema == {
            "user_id": pl.Int64,
            "movie_id": pl.Int64,
            "rating": pl.Float64,
            "event_timestamp": pl.Datetime("us", "UTC"),
        }
        assert len(RATINGS) == 20_000
        assert set(RATINGS["rating"].to_list()) == {step / 2 for step in range(1, 11)}
        assert RATINGS["event_timestamp"].is_sorted()
        assert RATINGS["user_id"].is_between(1, 200).all()
        assert not RATINGS.select("user_id", "movie_id").is_duplicated().any()

    def test_nobody_rates_a_movie_before_its_release(self):
        released = MOVIES.select(
            "movie_id", pl.col("release_date").str.to_datetime("%Y-%m-%d", strict=False, time_zone="UTC")
        )
        early = RATINGS.join(released, on="movie_id").filter(pl.col("event_timestamp") < pl.col("release_date"))
        assert early.is_empty()

    def test_activity_has_a_long_tail(self):
        counts = RATINGS["user_id"].value_counts()["count"].sort(descending=True)
        assert counts.head(20).sum() > 0.25 * len(RATINGS)

    def test_movies_and_users_taste_explain_ratings(self):
        rated = RATINGS.join(MOVIES, on="movie_id").with_columns(genre=pl.col("genre_ids").list.first())
        assert rated.filter(pl.col("vote_count") > 0).select(pl.corr("rating", "vote_average")).item() > 0.25
        halves = rated.drop_nulls("genre").with_columns(half=pl.int_range(pl.len()) % 2)
        taste = (
            halves.group_by("user_id", "genre", "half")
            .agg(pl.col("rating").mean(), pl.len())
            .filter(pl.col("len") >= 5)
        )
        both = taste.filter(half=0).join(taste.filter(half=1), on=["user_id", "genre"])
        assert both.select(pl.corr("rating", "rating_right")).item() > 0.4

    def test_a_small_world_can_be_half_full(self):
        frame = synthetic.ratings(synthetic.movies(10), users=10, count=50)
        assert len(frame.unique(["user_id", "movie_id"])) == 50

    @pytest.mark.parametrize(("users", "count"), [(10, 51), (0, 1), (5, -1)])
    def test_the_impossible_is_refused(self, users, count):
        with pytest.raises(InvalidInputError):
            synthetic.ratings(synthetic.movies(10), users=users, count=count)
