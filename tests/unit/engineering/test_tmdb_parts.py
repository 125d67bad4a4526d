"""Each part of the TMDB features on small cases worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import polars as pl
import pytest

from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor


def movie(movie_id: int = 1, **fields: object) -> dict[str, object]:
    return {"movie_id": movie_id, **fields}


def extract(part: str, *movies: dict[str, object], **config: object) -> pl.DataFrame:
    return TMDBProcessor(list(movies), {"now": date(2024, 7, 1), **config}).extract([part])[part]


def values(part: str, name: str, *movies: dict[str, object], **config: object) -> list[object]:
    return extract(part, *movies, **config)[name].to_list()


class TestBasic:
    def test_each_listed_genre_is_flagged_and_no_other(self):
        row = extract("basic", movie(genre_ids=[28, 878, 28])).row(0, named=True)
        flags = {name for name, value in row.items() if name.startswith("genre_") and value}
        assert flags == {"genre_action", "genre_science_fiction"}
        assert sum(name.startswith("genre_") for name in row) == 19

    def test_missing_genres_are_null_and_empty_genres_are_false(self):
        assert values("basic", "genre_drama", movie(1), movie(2, genre_ids=[])) == [None, False]

    def test_a_mean_rating_that_nobody_gave_is_null(self):
        movies = [
            movie(1, vote_average=7.5, vote_count=0),
            movie(2, vote_average=0.0, vote_count=3),
            movie(3, vote_average=7.5),
            movie(4, vote_average=10.5, vote_count=3),
        ]
        assert values("basic", "rating", *movies) == [None, None, 7.5, None]

    @pytest.mark.parametrize(
        ("rating", "tier"),
        [(4.9, "poor"), (5.0, "fair"), (6.0, "good"), (7.9, "very_good"), (8.0, "excellent"), (10, "excellent")],
    )
    def test_rating_tier_starts_at_its_floor(self, rating, tier):
        assert values("basic", "rating_tier", movie(vote_average=rating, vote_count=1)) == [tier]

    def test_a_language_sets_its_own_flag_or_the_other_one(self):
        frame = extract("basic", movie(1, original_language="KO"), movie(2, original_language="is"), movie(3))
        assert frame["language_ko"].to_list() == [True, False, None]
        assert frame["language_other"].to_list() == [False, True, None]
        assert frame["original_language"].to_list() == ["ko", "is", None]

    def test_logarithms_are_of_one_plus_the_value(self):
        frame = extract("basic", movie(popularity=math.e - 1, vote_count=0))
        assert frame["log_popularity"].item() == pytest.approx(1.0)
        assert frame["log_vote_count"].item() == 0.0

    def test_a_zero_amount_of_money_or_time_is_unknown(self):
        frame = extract("basic", movie(budget=0, revenue=12, runtime=0))
        assert frame.select("budget_usd", "revenue_usd", "runtime_minutes").row(0) == (None, 12.0, None)


class TestTemporal:
    def test_calendar_of_a_leap_day(self):
        row = extract("temporal", movie(release_date="2020-02-29")).row(0, named=True)
        calendar = ("year", "month", "quarter", "day_of_year", "weekday", "decade")
        assert [row[f"release_{name}"] for name in calendar] == [2020, 2, 1, 60, 6, 2020]
        assert [row[f"is_{name}_release"] for name in ("spring", "summer", "autumn", "winter")] == [False] * 3 + [True]

    def test_age_is_counted_to_the_given_day(self):
        frame = extract("temporal", movie(1, release_date="2024-06-30"), movie(2, release_date="2024-07-02"))
        assert frame["days_since_release"].to_list() == [1, -1]
        assert frame["years_since_release"].to_list() == pytest.approx([1 / 365.2425, -1 / 365.2425])
        assert frame["is_future_release"].to_list() == [False, True]
        assert frame["is_recent"].to_list() == [True, False]

    def test_recent_and_classic_end_and_begin_at_the_configured_age(self):
        movies = [
            movie(1, release_date="2023-07-02"),
            movie(2, release_date="2023-06-30"),
            movie(3, release_date="2014-06-30"),
        ]
        assert values("temporal", "is_recent", *movies, recent_years=1) == [True, False, False]
        assert values("temporal", "is_classic", *movies, classic_years=10) == [False, False, True]

    @pytest.mark.parametrize(
        "text", ["", "2020-13-40", "2021-02-29", "2020-1-5", "+020-01-05", "2020/01/05", "0000-01-01", "00002020-01-05"]
    )
    def test_a_date_that_cannot_be_read_gives_null_everywhere(self, text):
        row = extract("temporal", movie(release_date=text)).drop("movie_id").row(0)
        assert set(row) == {None}

    def test_now_with_a_time_zone_is_taken_in_utc(self):
        late = datetime.fromisoformat("2024-07-01T01:00:00+09:00")
        assert values("temporal", "days_since_release", movie(release_date="2024-06-30"), now=late) == [0]

    def test_now_is_today_unless_given_and_is_recorded(self):
        before = datetime.now(UTC).date()
        processor = TMDBProcessor([movie()])
        assert before <= processor.config.now <= datetime.now(UTC).date()


class TestStatistical:
    def test_z_scores_use_the_spread_of_the_whole_batch(self):
        movies = [movie(number, popularity=value) for number, value in enumerate([1, 3, None])]
        assert values("statistical", "popularity_z_score", *movies) == [-1.0, 1.0, None]

    def test_a_constant_column_has_no_z_score(self):
        movies = [movie(number, popularity=0.1) for number in range(3)]
        assert values("statistical", "popularity_z_score", *movies) == [None] * 3

    def test_percentiles_share_ties_and_skip_nulls(self):
        movies = [movie(number, popularity=value) for number, value in enumerate([5, 1, 5, None, 9])]
        assert values("statistical", "popularity_percentile", *movies) == [0.5, 0.125, 0.5, None, 0.875]

    def test_popularity_tiers_follow_the_percentile(self):
        movies = [movie(number, popularity=number) for number in range(100)]
        tiers = values("statistical", "popularity_tier", *movies)
        assert [tiers.count(name) for name in ("niche", "known", "popular", "hit")] == [50, 30, 15, 5]

    def test_weighted_rating_lies_between_own_and_mean_rating(self):
        movies = [
            movie(1, vote_average=9, vote_count=30),
            movie(2, vote_average=5, vote_count=10),
            movie(3, vote_count=0),
        ]
        frame = extract("statistical", *movies, minimum_votes=10)
        assert frame["rating_confidence"].to_list() == [0.75, 0.5, 0.0]
        assert frame["weighted_rating"].to_list() == [0.75 * 9 + 0.25 * 7, 0.5 * 5 + 0.5 * 7, None]

    def test_minimum_votes_default_to_the_median_of_movies_with_votes(self):
        movies = [movie(number, vote_average=5, vote_count=votes) for number, votes in enumerate([0, 0, 10, 30])]
        assert values("statistical", "rating_confidence", *movies) == [0.0, 0.0, 10 / 30, 30 / 50]

    def test_controversy_is_largest_in_the_middle_of_the_scale(self):
        movies = [
            movie(number, vote_average=rating, vote_count=10) for number, rating in enumerate([5.25, 10, 0.5, 0.1])
        ]
        assert values("statistical", "controversy", *movies, minimum_votes=10) == pytest.approx([0.5, 0, 0, 0])


class TestText:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("one", 1),
            ("  two\twords ", 2),
            ("a  b", 2),
            ("a\r\nb c", 3),
            ("a\u00a0b", 2),
            ("한국 영화", 2),
            ("é – ü", 3),
            ("전각\u3000공백 셋", 3),
            ("a\vb\fc", 3),
            ("One.  Two.  Three", 3),
            ("a   b    c     d", 4),
            ("a  b \u2009 c\td", 4),
        ],
    )
    def test_words_are_runs_between_whitespace_of_any_kind(self, text, words):
        frame = extract("text", movie(title=text, overview=text))
        assert frame["title_word_count"].to_list() == frame["overview_word_count"].to_list() == [words]

    def test_every_character_of_whitespace_parts_words_and_no_other_does(self):
        spaces = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F]
        others = [0x08, 0x0E, 0x1C, 0x1F, 0x21, 0x84, 0x86, 0xA1, 0x180E, 0x200B, 0x2013, 0x2060, 0xFEFF]
        movies = [movie(code, overview=f"a{chr(code)}b") for code in [*spaces, 0x3000, *others]]
        assert values("text", "overview_word_count", *movies) == [2] * len([*spaces, 0x3000]) + [1] * len(others)

    def test_length_counts_characters_of_the_stripped_text(self):
        assert values("text", "title_length", movie(title=" 기생충 ")) == [3]

    def test_empty_and_blank_text_is_missing(self):
        frame = extract("text", movie(1, title="", overview="  "), movie(2))
        assert set(frame.drop("movie_id").row(0)) == set(frame.drop("movie_id").row(1)) == {None}

    @pytest.mark.parametrize(
        ("title", "is_sequel"),
        [
            ("Jaws 2", True),
            ("Night Train III: Home", True),
            ("Night Train VI - Home", True),
            ("The Hunt: Part one", False),
            ("The Hunt: Part 1", True),
            ("the hunt chapter ii", True),
            ("Se7en", False),
            ("Apollo 13", False),
            ("Malcolm X", False),
            ("2", False),
            ("Party 12", False),
        ],
    )
    def test_sequel_marks(self, title, is_sequel):
        assert values("text", "title_has_sequel_mark", movie(title=title)) == [is_sequel]

    def test_colon_and_number_marks(self):
        frame = extract("text", movie(1, title="Alien: 3"), movie(2, title="Alien"))
        assert frame["title_has_colon"].to_list() == frame["title_has_number"].to_list() == [True, False]

    def test_keywords_count_whole_words_in_any_case(self):
        overview = "WAR, war. Warsaw! A ghost's love; lovers' lovely zombie-ghost"
        row = extract("text", movie(overview=overview)).row(0, named=True)
        assert [row[f"{kind}_keyword_count"] for kind in ("action", "horror", "romance")] == [2, 3, 2]

    def test_a_translated_title_differs_from_the_original(self):
        movies = [
            movie(1, title="Parasite", original_title="기생충"),
            movie(2, title="Up", original_title="Up"),
            movie(3, title="Up"),
        ]
        assert values("text", "title_is_translated", *movies) == [True, False, None]


class TestInteraction:
    def test_products_and_ratios(self):
        frame = extract("interaction", movie(vote_average=8, vote_count=20, popularity=5, budget=4, revenue=10))
        assert frame["rating_x_popularity"].item() == 40
        assert frame["rating_x_log_vote_count"].item() == pytest.approx(8 * math.log(21))
        assert frame["votes_per_popularity"].item() == 4
        assert frame["revenue_per_budget"].item() == 2.5

    def test_no_ratio_to_a_popularity_of_zero(self):
        assert values("interaction", "votes_per_popularity", movie(vote_count=3, popularity=0)) == [None]

    def test_retired_and_unknown_genres_are_counted_once_and_do_not_crash(self):
        frame = extract("interaction", movie(genre_ids=[28, 10769, 10769, -3, None]))
        assert frame.select("genre_count", "unknown_genre_count", "is_multi_genre").row(0) == (3, 2, True)

    def test_a_genre_is_judged_by_its_other_movies(self):
        movies = [
            movie(1, vote_average=8, vote_count=1, genre_ids=[18]),
            movie(2, vote_average=6, vote_count=1, genre_ids=[18, 28]),
            movie(3, vote_average=4, vote_count=1, genre_ids=[18, 37]),
            movie(4, vote_count=0, genre_ids=[18]),
            movie(5, vote_average=9, vote_count=1, genre_ids=[10769]),
        ]
        frame = extract("interaction", *movies)
        assert frame["genre_expected_rating"].to_list() == [5.0, 6.0, 7.0, 6.0, None]
        assert frame["rating_above_genre"].to_list() == [3.0, 0.0, -3.0, None, None]


@pytest.mark.parametrize("part", MOVIE_PARTS)
def test_a_part_has_one_row_per_movie_in_their_order(part):
    assert values(part, "movie_id", movie(9), movie(2), movie(5)) == [9, 2, 5]


@pytest.mark.parametrize("part", [*MOVIE_PARTS, "augmented"])
def test_no_movies_give_an_empty_part_with_the_same_types(part):
    empty, full = extract(part), extract(part, movie(vote_average=5, vote_count=1))
    assert empty.schema == full.schema
    assert len(empty) == 0
