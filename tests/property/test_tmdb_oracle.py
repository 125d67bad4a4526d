"""The five per-movie parts against plain Python: loops, `datetime` and `math`, no frame library, no shared code."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tiffin.engineering.tmdb import MOVIE_PARTS, TMDBProcessor

NOW = date(2024, 7, 1)

GENRES = {
    "action": 28, "adventure": 12, "animation": 16, "comedy": 35, "crime": 80, "documentary": 99, "drama": 18,
    "family": 10751, "fantasy": 14, "history": 36, "horror": 27, "music": 10402, "mystery": 9648, "romance": 10749,
    "science_fiction": 878, "tv_movie": 10770, "thriller": 53, "war": 10752, "western": 37,
}  # fmt: skip
LANGUAGES = ["en", "ko", "ja", "zh", "cn", "hi", "fr", "es", "de", "it", "pt", "ru"]
SPACES = {*"\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", *map(chr, range(0x2000, 0x200B))}
KEYWORDS_IN_PROSE = {
    "action": ["war", "spy", "fight", "guns"],
    "horror": ["ghost", "evil"],
    "romance": ["love", "kiss"],
}


def finite(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if value is not None and math.isfinite(value) else None


def text(value: str | None) -> str | None:
    characters = list(value or "")
    while characters and characters[0] in SPACES:
        characters.pop(0)
    while characters and characters[-1] in SPACES:
        characters.pop()
    return "".join(characters) or None


def words(value: str) -> int:
    spaced = "".join(" " if character in SPACES else character for character in value)
    return len([word for word in spaced.split(" ") if word])


def day(value: str | None) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value or ""):
        return None
    try:
        return date(*map(int, value.split("-")))
    except ValueError:
        return None


def read(movie: dict[str, Any]) -> dict[str, Any]:
    rating, votes, popularity = (finite(movie.get(name)) for name in ("vote_average", "vote_count", "popularity"))
    votes = int(votes) if votes is not None and votes >= 0 and votes == int(votes) else None
    if rating is not None and (not 0 < rating <= 10 or votes == 0):
        rating = None
    genres = movie.get("genre_ids")
    return {
        "id": movie["movie_id"],
        "rating": rating,
        "votes": votes,
        "popularity": popularity if popularity is not None and popularity >= 0 else None,
        "genres": None if genres is None else {genre for genre in genres if genre is not None},
        "release": day(text(movie.get("release_date"))),
        "title": text(movie.get("title")),
        "overview": text(movie.get("overview")),
        "language": (text(movie.get("original_language")) or "").lower() or None,
        "adult": movie.get("adult"),
    }


def basic(movie: dict[str, Any], batch: list[dict[str, Any]]) -> dict[str, Any]:
    rating, genres, language = movie["rating"], movie["genres"], movie["language"]
    row = {
        "rating": rating,
        "vote_count": movie["votes"],
        "popularity": movie["popularity"],
        "is_adult": movie["adult"],
    }
    row["rating_tier"] = None
    for name, floor in [("poor", 0), ("fair", 5), ("good", 6), ("very_good", 7), ("excellent", 8)]:
        if rating is not None and rating >= floor:
            row["rating_tier"] = name
    for name in ("votes", "popularity"):
        value = movie[name]
        row[{"votes": "log_vote_count"}.get(name, f"log_{name}")] = None if value is None else math.log1p(value)
    for name, number in GENRES.items():
        row[f"genre_{name}"] = None if genres is None else number in genres
    for code in LANGUAGES:
        row[f"language_{code}"] = None if language is None else language == code
    row["language_other"] = None if language is None else language not in LANGUAGES
    return row


def temporal(movie: dict[str, Any], batch: list[dict[str, Any]]) -> dict[str, Any]:
    release = movie["release"]
    names = [
        "release_year",
        "release_month",
        "release_quarter",
        "release_day_of_year",
        "release_weekday",
        "release_decade",
    ]
    names += [
        "days_since_release",
        "years_since_release",
        "is_recent",
        "is_classic",
        "is_future_release",
        "release_date",
    ]
    names += [f"is_{season}_release" for season in ("spring", "summer", "autumn", "winter")]
    if release is None:
        return dict.fromkeys(names)
    days = (NOW - release).days
    season = ["winter", "winter", *["spring"] * 3, *["summer"] * 3, *["autumn"] * 3, "winter"][release.month - 1]
    return {
        "release_date": release,
        "release_year": release.year,
        "release_month": release.month,
        "release_quarter": math.ceil(release.month / 3),
        "release_day_of_year": (release - date(release.year, 1, 1)).days + 1,
        "release_weekday": release.isoweekday(),
        "release_decade": release.year - release.year % 10,
        "days_since_release": days,
        "years_since_release": days / 365.2425,
        "is_recent": 0 <= days <= 2 * 365.2425,
        "is_classic": days >= 25 * 365.2425,
        "is_future_release": release > NOW,
        **{f"is_{name}_release": name == season for name in ("spring", "summer", "autumn", "winter")},
    }


def middle(values: list[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def statistical(movie: dict[str, Any], batch: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, column in [("rating", "rating"), ("votes", "vote_count"), ("popularity", "popularity")]:
        value, known = movie[name], [other[name] for other in batch if other[name] is not None]
        row[f"{column}_z_score"] = row[f"{column}_percentile"] = None
        if value is None:
            continue
        if min(known) != max(known):
            mean = math.fsum(known) / len(known)
            spread = math.sqrt(math.fsum((other - mean) ** 2 for other in known) / len(known))
            row[f"{column}_z_score"] = (value - mean) / spread
        lower, equal = sum(other < value for other in known), sum(other == value for other in known)
        row[f"{column}_percentile"] = (lower + equal / 2) / len(known)
    place = row["popularity_percentile"]
    row["popularity_tier"] = place and (
        "hit" if place >= 0.95 else "popular" if place >= 0.8 else "known" if place >= 0.5 else "niche"
    )
    voted = [other["votes"] for other in batch if other["votes"]]
    rated = [other["rating"] for other in batch if other["rating"] is not None]
    row["rating_confidence"] = row["weighted_rating"] = row["controversy"] = None
    if movie["votes"] is not None and voted:
        confidence = row["rating_confidence"] = movie["votes"] / (movie["votes"] + middle(voted))
        if movie["rating"] is not None:
            row["weighted_rating"] = confidence * movie["rating"] + (1 - confidence) * math.fsum(rated) / len(rated)
            row["controversy"] = max(0, (10 - movie["rating"]) * (movie["rating"] - 0.5) / 4.75**2) * confidence
    return row


def textual(movie: dict[str, Any], batch: list[dict[str, Any]]) -> dict[str, Any]:
    title, overview = movie["title"], movie["overview"]
    row: dict[str, Any] = {
        "title_length": title and len(title),
        "title_word_count": title and words(title),
        "title_has_colon": None if title is None else ":" in title,
        "title_has_number": None if title is None else any(character in "0123456789" for character in title),
        "title_is_translated": None,
        "overview_length": overview and len(overview),
        "overview_word_count": overview and words(overview),
    }
    return row


def keywords_in(overview: str, kind: str) -> int:
    """Count keywords in generated text, which has only a few of those that the part knows."""
    tokens = re.findall(r"[a-z0-9_]+", overview.lower())
    return sum(token in KEYWORDS_IN_PROSE[kind] for token in tokens)


def interaction(movie: dict[str, Any], batch: list[dict[str, Any]]) -> dict[str, Any]:
    rating, votes, popularity, genres = (movie[name] for name in ("rating", "votes", "popularity", "genres"))
    means = []
    for number in GENRES.values():
        others = [
            other["rating"]
            for other in batch
            if other is not movie and other["rating"] is not None and number in (other["genres"] or ())
        ]
        if others and number in (genres or ()):
            means.append(math.fsum(others) / len(others))
    expected = math.fsum(means) / len(means) if means else None
    return {
        "rating_x_popularity": None if None in (rating, popularity) else rating * popularity,
        "rating_x_log_vote_count": None if None in (rating, votes) else rating * math.log(1 + votes),
        "votes_per_popularity": None if votes is None or not popularity else votes / popularity,
        "revenue_per_budget": None,
        "genre_count": None if genres is None else len(genres),
        "unknown_genre_count": None if genres is None else len(genres - set(GENRES.values())),
        "is_multi_genre": None if genres is None else len(genres) >= 2,
        "genre_expected_rating": expected,
        "rating_above_genre": None if None in (rating, expected) else rating - expected,
    }


ORACLES = {
    "basic": basic,
    "temporal": temporal,
    "statistical": statistical,
    "text": textual,
    "interaction": interaction,
}

DIRT = st.sampled_from([None, "abc", "", math.nan, math.inf, -1.0, 0, "3.5"])
PROSE = st.lists(
    st.sampled_from(
        ["war", "Spy", "fight", "guns", "ghost", "EVIL", "love", "kiss", "warsaw", "영화", "é–", ":", "7", "a"]
    )
    | st.text(alphabet="ab2: \t\n\u00a0\u3000é", max_size=4),
    max_size=12,
).flatmap(lambda parts: st.sampled_from([" ", "  ", "\n", "\u00a0", "-"]).map(lambda glue: glue.join(parts)))
MOVIE = st.fixed_dictionaries(
    {},
    optional={
        "title": st.none() | PROSE,
        "overview": st.none() | PROSE,
        "release_date": st.dates(date(1900, 1, 1), date(2030, 1, 1)).map(str)
        | st.sampled_from(
            [None, "", "2020-13-40", "2020-1-1", "2020- 1- 1", " 2020-02-29 ", "+020-01-01", "-020-01-01", "x"]
        ),
        "vote_average": st.integers(1, 100).map(lambda tenths: tenths / 10) | DIRT,
        "vote_count": st.integers(0, 50) | DIRT,
        "popularity": st.integers(0, 400).map(lambda quarters: quarters / 4) | DIRT,
        "genre_ids": st.none() | st.lists(st.sampled_from([*GENRES.values(), 10769, 5, None]), max_size=4),
        "adult": st.none() | st.booleans(),
        "original_language": st.sampled_from([None, "", "en", " KO", "is", "xx"]),
    },
)


def same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(value, float):
        return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
    return value == expected and isinstance(value, bool) == isinstance(expected, bool)


def check(movies):
    numbered = [{"movie_id": 3 * position + 1, **movie} for position, movie in enumerate(movies)]
    batch = [read(movie) for movie in numbered]
    parts = TMDBProcessor(numbered, {"now": NOW}).extract(MOVIE_PARTS)
    unchecked = {
        "movie_id",
        "original_language",
        "runtime_minutes",
        "budget_usd",
        "revenue_usd",
        "title_has_sequel_mark",
    }
    for part, oracle in ORACLES.items():
        for movie, row in zip(batch, parts[part].rows(named=True), strict=True):
            expected = oracle(movie, batch)
            keywords = {name for name in row if name.endswith("keyword_count")}
            assert set(row) - unchecked - keywords == set(expected)
            for name, value in expected.items():
                assert same(row[name], value), (part, name, row[name], value, movie)
            for name in keywords:
                found = movie["overview"] and keywords_in(movie["overview"], name.removesuffix("_keyword_count"))
                assert row[name] == found, (name, movie)


@settings(max_examples=60)
@given(movies=st.lists(MOVIE, max_size=12))
@example(movies=[{"popularity": 0.1}, {"popularity": 0.1}, {"popularity": 0.1}])
def test_every_feature_equals_the_plain_computation(movies):
    check(movies)


@pytest.mark.slow
@settings(max_examples=2_000)
@given(movies=st.lists(MOVIE, max_size=12))
def test_every_feature_equals_the_plain_computation_in_many_more_cases(movies):
    check(movies)
