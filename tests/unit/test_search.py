"""Full-text search: what is meant comes first, and nothing that does not hold all the words is found."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiffin
from tiffin.errors import InvalidInputError
from tiffin.schema.about import About
from tiffin.schema.table import Column, TableSpec
from tiffin.search import Document, find, of_table


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store", record_code=False) as opened:
        rows = pl.DataFrame({"user_id": [7], "mean_rating": [4.5], "count": [3]})
        opened.save("user/ratings", rows, entity="user_id", description="What users thought of movies")
        opened.save("movie/stats", rows.rename({"user_id": "movie_id"}), entity="movie_id")
        opened.declare(
            "ratings",
            owner="search team",
            labels={"domain": "ranking"},
            links=["https://wiki.example/handbook"],
            columns={"mean_rating": {"unit": "stars", "description": "mean of all ratings, see the Handbook"}},
        )
        opened.create_service("front_page", ["user/ratings:mean_rating"], description="ranks movies")
        yield opened


def names(store, text: str) -> list[str]:
    return [match.name for match in store.search(text)]


def test_names_come_first(store):
    assert names(store, "ratings")[0] == "user/ratings"
    assert names(store, "mean")[0].endswith(":mean_rating")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("stars", ["user/ratings:mean_rating"]),
        ("STARS", ["user/ratings:mean_rating"]),
        ("search team", ["user/ratings"]),
        ("domain", ["user/ratings"]),
        ("ranking", ["user/ratings"]),
        ("handbook", ["user/ratings:mean_rating", "user/ratings"]),
        ("thought movies", ["user/ratings"]),
        ("front", ["front_page"]),
        ("ranks", ["front_page"]),
        ("page ranks", ["front_page"]),
        ("user/ratings:count", ["user/ratings:count"]),
        ("ratings mean", ["user/ratings:mean_rating"]),
        ("stars nothing", []),
    ],
)
def test_every_kind_of_word_is_found(store, text, found):
    assert [name for name in names(store, text) if name != "front_page" or "front_page" in found] == found


def test_training_sets_are_found(store):
    frame = store.get_historical_features([{"user_id": 7}], ["user/ratings:count"])
    store.save_training_set("autumn", frame, description="for the new model")
    (match,) = store.search("new model")
    assert (match.kind, match.name, match.field, match.text) == (
        "training_set", "autumn", "description", "for the new model",
    )  # fmt: skip


@pytest.mark.parametrize("typo", ["ratigns", "raitngs", "ratngs", "rratings", "rztings"])
def test_one_wrong_letter_is_forgiven_where_nothing_else_is_found(store, typo):
    assert names(store, typo)[0] == "user/ratings"


def test_short_words_must_be_right(store):
    assert names(store, "cuunt") != []
    assert names(store, "xyz") == []


def test_at_most_so_many_are_found(store):
    assert len(store.search("count", limit=1)) == 1
    assert store.search("count", limit=0) == ()


@pytest.mark.parametrize("text", ["", "  ", "/:@", None, 7])
def test_without_a_word_there_is_nothing_to_look_for(store, text):
    with pytest.raises(InvalidInputError):
        store.search(text)


def test_what_is_shown_of_a_long_text_holds_the_word():
    said = "x " * 500 + "needle" + " y" * 500
    document = Document("table", "g/t", (("name", "g/t"), ("description", said)), f"g/t\n{said}")
    (match,) = find("needle", lambda _: [document], limit=5)
    assert "needle" in match.text
    assert len(match.text) <= 120


WORDS = st.sampled_from(["mean", "meaning", "amean", "user", "users", "x"])


@settings(max_examples=40)
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=8, unique=True), st.lists(WORDS, min_size=1, max_size=2))
def test_whatever_holds_all_the_words_is_found_and_nothing_else(tables, asked):
    """Against a loop over everything that is said, in no order."""
    documents, expected = [], set()
    for number, (name, column, owner) in enumerate(tables):
        spec = TableSpec((Column(column, pl.Int64()),), about=About(owner=owner))
        documents.append((f"g{number}/{name}", spec))
        if all(word in f"g{number}/{name}" or word in owner for word in asked):
            expected.add(f"g{number}/{name}")
        if any(word in column for word in asked) and all(word in f"{column} g{number}/{name}" for word in asked):
            expected.add(f"g{number}/{name}:{column}")

    def look(words):
        return [each for name, spec in documents for each in of_table(name, spec, words)]

    found = {match.name for match in find(" ".join(asked), look, limit=100)}
    # Where nothing is, words are looked for that differ by a letter.
    assert found == expected or not expected
