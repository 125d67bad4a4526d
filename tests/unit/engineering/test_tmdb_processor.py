"""The TMDB processor as a whole: choosing parts, pandas, metadata, progress, settings, reproducibility."""

from __future__ import annotations

import importlib.util
import json
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from tiffin.engineering import synthetic
from tiffin.engineering.tmdb import FRAME_PARTS, PARTS, AdvancedTMDBPreProcessor, TMDBConfig, TMDBProcessor
from tiffin.errors import InvalidInputError, MissingDependency

NOW = date(2024, 7, 1)
MOVIES = synthetic.movies(300, seed=5)


def augmented(movies: pl.DataFrame = MOVIES, **config: object) -> pl.DataFrame:
    return TMDBProcessor(movies, {"now": NOW, **config}).extract(["augmented"])["augmented"]


class TestParts:
    def test_all_parts_come_in_their_order(self):
        assert tuple(AdvancedTMDBPreProcessor(MOVIES).extract_all_features()) == PARTS

    def test_only_the_chosen_parts_are_computed_and_reported(self):
        seen = []
        parts = TMDBProcessor(MOVIES).extract(["text", "basic", "text"], progress=lambda *step: seen.append(step))
        assert list(parts) == ["text", "basic"]
        assert seen == [("text", 1, 2), ("basic", 2, 2)]

    def test_an_unknown_part_is_refused_with_a_suggestion(self):
        with pytest.raises(InvalidInputError) as caught:
            TMDBProcessor(MOVIES).extract(["temporl"])
        assert "'temporal'" in caught.value.hint

    def test_each_feature_name_occurs_once_over_all_parts(self):
        processor = TMDBProcessor(MOVIES)
        names = [feature.name for part in FRAME_PARTS for feature in processor.features(part)]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("part", FRAME_PARTS)
    def test_a_part_has_exactly_the_features_and_types_it_declares(self, part):
        processor = TMDBProcessor(MOVIES)
        declared = {"movie_id": pl.Int64, **{f.name: f.dtype for f in processor.features(part)}}
        frame = processor.extract([part])[part]
        assert dict(frame.schema) == {name: frame.schema[name] for name in declared}
        assert all(frame.schema[name] == dtype for name, dtype in declared.items())

    def test_the_guides_import_path_leads_to_the_processor(self, monkeypatch):
        path = Path(sys.modules["tiffin"].__path__[0]).parent / "features/engineering/tmdb_processor.py"
        spec = importlib.util.spec_from_file_location("guides_tmdb_processor", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.AdvancedTMDBPreProcessor is AdvancedTMDBPreProcessor


class TestPandas:
    def test_types_do_not_depend_on_nulls(self):
        dirty, tidy = [{"movie_id": 1}], [MOVIES.row(0, named=True)]
        for part in FRAME_PARTS:
            of_dirty = AdvancedTMDBPreProcessor(dirty).extract_all_features([part])[part]
            of_tidy = AdvancedTMDBPreProcessor(tidy).extract_all_features([part])[part]
            assert isinstance(of_dirty, pd.DataFrame)
            for name in of_tidy.columns.drop("original_language", errors="ignore"):
                assert of_dirty.dtypes[name] == of_tidy.dtypes[name], name

    def test_values_and_types_survive(self):
        frames = AdvancedTMDBPreProcessor(
            [{"movie_id": 7, "adult": True, "release_date": "2020-01-02"}]
        ).extract_all_features()
        basic, temporal = frames["basic"], frames["temporal"]
        assert basic["movie_id"].dtype == "int64"
        assert basic["is_adult"].dtype == "boolean"
        assert basic["genre_drama"].isna().all()
        assert basic["rating_tier"].cat.ordered
        assert temporal["release_date"][0] == pd.Timestamp("2020-01-02")
        assert temporal["release_month"].dtype == "Int8"

    def test_without_pandas_the_error_says_what_to_install(self, monkeypatch):
        processor = AdvancedTMDBPreProcessor(MOVIES)
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingDependency) as caught:
            processor.extract_all_features()
        assert "tiffin[pandas]" in caught.value.hint


class TestMetadata:
    def test_every_feature_is_described_and_the_description_is_plain_json(self):
        answers = AdvancedTMDBPreProcessor(MOVIES).extract_all_features()
        names = {name for part in FRAME_PARTS for name in answers[part].columns} - {"movie_id"}
        assert set(answers["metadata"]) == names
        assert all(about["description"] for about in answers["metadata"].values())
        assert json.loads(json.dumps(answers["metadata"])) == answers["metadata"]

    def test_quality_figures(self):
        movies = [{"movie_id": number, "popularity": value} for number, value in enumerate([1.0, 1.0, 4.0, None])]
        about = AdvancedTMDBPreProcessor(movies).extract_all_features(["basic", "metadata"])["metadata"]
        figures = {
            name: about["popularity"][name] for name in ("count", "null_rate", "distinct_count", "min", "max", "mean")
        }
        assert figures == {"count": 4, "null_rate": 0.25, "distinct_count": 2, "min": 1.0, "max": 4.0, "mean": 2.0}
        assert about["popularity"]["dtype"] == "Float64"
        assert "weighted_rating" not in about

    def test_nothing_is_claimed_of_no_movies(self):
        about = AdvancedTMDBPreProcessor([]).extract_all_features(["metadata"])["metadata"]["rating"]
        assert (about["null_rate"], about["distinct_count"], about["mean"]) == (None, 0, None)

    def test_what_a_value_depends_on_is_recorded(self):
        movies = [
            {"movie_id": 1, "vote_average": 8, "vote_count": 6},
            {"movie_id": 2, "vote_average": 6, "vote_count": 10},
        ]
        about = AdvancedTMDBPreProcessor(movies, {"now": NOW}).extract_all_features(["metadata"])["metadata"]
        assert about["weighted_rating"]["parameters"] == {"minimum_votes": 8.0, "prior_rating": 7.0}
        assert about["days_since_release"]["parameters"] == {"now": "2024-07-01"}


class TestAugmented:
    def test_the_same_seed_draws_the_same_whatever_the_order_of_the_movies(self):
        assert augmented(seed=3).equals(augmented(MOVIES.sample(fraction=1, shuffle=True, seed=1), seed=3))
        assert not augmented(seed=3).equals(augmented(seed=4))

    def test_the_draws_of_seed_zero_never_change(self):
        first = augmented(interactions=4).select("movie_id", "user_id", "user_rating").rows()
        assert first == [(16, 117, 4.5), (175, 59, 4.0), (65, 682, 2.0), (172, 189, 2.5)]

    def test_size_and_ranges(self):
        frame = augmented(interactions=5_000, users=40)
        assert len(frame) == 5_000
        assert frame["user_id"].min() == 1
        assert frame["user_id"].max() == 40
        assert set(frame["user_rating"].to_list()) <= {step / 2 for step in range(1, 11)}
        assert frame.null_count().sum_horizontal().item() == 0

    def test_better_movies_are_drawn_more_often_and_rated_higher(self):
        movies = [
            {"movie_id": 1, "vote_average": 9, "vote_count": 10**6},
            {"movie_id": 2, "vote_average": 3, "vote_count": 10**6},
        ]
        frame = augmented(movies, interactions=4_000, minimum_votes=1)
        good, bad = frame.filter(movie_id=1), frame.filter(movie_id=2)
        assert len(good) / len(bad) == pytest.approx(3, rel=0.1)
        assert good["user_rating"].mean() > bad["user_rating"].mean() + 2

    def test_a_movie_without_a_rating_is_never_drawn(self):
        frame = augmented([{"movie_id": 1, "vote_average": 5, "vote_count": 2}, {"movie_id": 2, "vote_count": 0}])
        assert frame["movie_id"].unique().to_list() == [1]

    def test_none_asked_for_or_none_possible_gives_none(self):
        assert len(augmented(interactions=0)) == 0
        assert len(augmented([{"movie_id": 1}])) == 0


class TestConfig:
    def test_the_same_settings_give_the_same_features(self):
        first = TMDBProcessor(MOVIES, {"now": NOW})
        again = TMDBProcessor(MOVIES.to_dicts(), first.config)
        for part, frame in first.extract().items():
            assert frame.equals(again.extract([part])[part]), part

    def test_an_unknown_setting_is_refused_with_a_suggestion(self):
        with pytest.raises(InvalidInputError) as caught:
            TMDBProcessor(MOVIES, {"minimum_vote": 3})
        assert "'minimum_votes'" in caught.value.hint

    @pytest.mark.parametrize(
        "setting",
        [
            {"now": "2024-01-01"}, {"minimum_votes": 0}, {"minimum_votes": float("nan")}, {"recent_years": -1},
            {"seed": 1.5}, {"interactions": -1}, {"users": 0}, {"users": True}, {"classic_years": "old"},
        ],
        ids=str,
    )  # fmt: skip
    def test_a_setting_out_of_range_is_refused_by_name(self, setting):
        with pytest.raises(InvalidInputError, match=next(iter(setting))):
            TMDBConfig.of(setting)

    def test_a_configuration_must_be_a_mapping(self):
        with pytest.raises(InvalidInputError, match="list"):
            TMDBProcessor(MOVIES, ["now"])
