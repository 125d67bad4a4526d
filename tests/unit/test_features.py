"""What references mean, for training and serving alike."""

import polars as pl
import pytest

import tiffin
from tiffin.errors import (
    Ambiguous,
    FeatureNotFound,
    InvalidInputError,
    InvalidName,
    TableNotFound,
    VersionNotFound,
)
from tiffin.features import answer_names, resolve


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        for group in ("user", "movie"):
            rows = pl.DataFrame({"id": [1], "at": [0], "mean": [2.5], "count": [3]}).cast({"at": pl.Datetime("us")})
            opened.save(f"{group}/ratings", rows, entity="id", timestamp="at")
        opened.save("user/taste", pl.DataFrame({"id": [1], "genre": ["x"]}), entity="id")
        yield opened


@pytest.fixture
def ask(store):
    return lambda features, **options: resolve(store._catalog, store._registry, features, **options)


def seen(wanted) -> list[tuple]:
    return [(str(one.table.name), one.features, one.names, one.pinned) for one in wanted]


def test_references_give_one_entry_a_table_in_the_order_of_first_mention(ask):
    wanted = ask(["user/taste:genre", "user/ratings:count", "taste", "user/ratings:mean"])
    assert seen(wanted) == [
        ("user/taste", ("genre",), ("genre",), False),
        ("user/ratings", ("count", "mean"), ("count", "mean"), False),
    ]


def test_the_answer_keeps_the_order_in_which_features_were_asked_for(ask):
    wanted = ask(["user/ratings:count", "user/taste:genre", "user/ratings:mean"])
    assert answer_names(wanted) == ["count", "genre", "mean"]


def test_a_table_alone_means_all_its_features_and_no_keys_or_times(ask):
    assert seen(ask("user/ratings")) == [("user/ratings", ("mean", "count"), ("mean", "count"), False)]


def test_full_names_say_what_the_reference_says(ask):
    wanted = ask(["user/ratings:mean", "taste:genre"], full_feature_names=True)
    assert [one.names for one in wanted] == [("user__ratings__mean",), ("taste__genre",)]


def test_a_pinned_version_answers_whatever_came_later(store, ask):
    store.save("user/taste", pl.DataFrame({"id": [1], "genre": ["y"]}))
    (pinned,), (newest,) = ask("user/taste@0:genre"), ask("user/taste:genre")
    assert (pinned.state.version, pinned.pinned) == (0, True)
    assert (newest.state.version, newest.pinned) == (1, False)


@pytest.mark.parametrize("pair", [("user/taste@0", "user/taste:genre"), ("user/taste@0:genre", "taste@1:genre")])
def test_one_table_at_two_versions_is_refused(store, ask, pair):
    store.save("user/taste", pl.DataFrame({"id": [1], "genre": ["y"]}))
    with pytest.raises(InvalidInputError, match="one table at two versions"):
        ask(pair)


def test_two_features_of_one_name_are_refused_with_the_way_out(ask):
    with pytest.raises(InvalidInputError, match="user/ratings:mean and movie/ratings:mean .*'mean'") as caught:
        ask(["user/ratings:mean", "movie/ratings:mean"])
    assert "full_feature_names=True" in caught.value.hint
    wanted = ask(["user/ratings:mean", "movie/ratings:mean"], full_feature_names=True)
    assert answer_names(wanted) == ["user__ratings__mean", "movie__ratings__mean"]


@pytest.mark.parametrize(
    ("features", "error"),
    [
        ("user/tast", TableNotFound),
        ("tast", TableNotFound),
        ("user/taste:gender", FeatureNotFound),
        ("user/taste:id", FeatureNotFound),
        ("user/taste@9:genre", VersionNotFound),
        ("ratings", Ambiguous),
        ("../ratings", InvalidName),
        ([], InvalidInputError),
        (None, InvalidInputError),
        ([("user", "taste")], InvalidInputError),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_refused(ask, features, error):
    with pytest.raises(error):
        ask(features)


def test_mistyped_names_are_answered_with_close_ones(ask):
    with pytest.raises(TableNotFound) as caught:
        ask("tast")
    assert "user/taste" in caught.value.hint
    with pytest.raises(FeatureNotFound) as caught:
        ask("user/taste:gender")
    assert "genre" in caught.value.hint


def test_a_service_stands_for_its_references(store, ask):
    service = store.create_service("ranker", ["user/ratings:mean", "user/taste"])
    assert seen(ask("ranker")) == seen(ask(service)) == seen(ask(["user/ratings:mean", "user/taste"]))


def test_a_name_that_is_a_service_and_a_table_is_ambiguous(store, ask):
    service = store.create_service("taste", ["user/ratings:mean"])
    with pytest.raises(Ambiguous, match="user/taste"):
        ask("taste")
    assert seen(ask(service)) == seen(ask("user/ratings:mean"))
    assert seen(ask(["taste"])) == seen(ask("user/taste"))


def test_tables_are_looked_through_once_for_each_name_not_for_each_feature(ask, store, monkeypatch):
    looks = []
    names = store._catalog.names
    monkeypatch.setattr(store._catalog, "names", lambda: looks.append(1) or names())
    ask(["user/ratings:mean", "taste:genre", "taste:genre", "taste"])
    assert len(looks) == 1
