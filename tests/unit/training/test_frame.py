"""Training frames, as a user asks for them."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import tiffin
from tiffin.errors import FeatureNotFound, InvalidInputError, SchemaMismatch, TableNotFound, VersionNotFound
from tiffin.schema import dtypes


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, number, hour, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    with tiffin.FeatureStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def rated(store):
    """Three ratings of two users, and what users are."""
    ratings = pl.DataFrame({"user": [1, 1, 2], "at": [day(1), day(3), day(2)], "mean": [1.0, 3.0, 2.0], "n": [1, 3, 2]})
    store.save("user/ratings", ratings, entity="user", timestamp="at")
    store.save("user/profile", pl.DataFrame({"user": [1, 2], "city": ["Pune", None]}), entity="user")
    return store


def spine(**columns) -> pl.DataFrame:
    return pl.DataFrame({"user": [2, 1, 1, 9], "event_timestamp": [day(2), day(3), day(2), day(9)], **columns})


def values(frame, *names):
    return [frame.to_polars()[name].to_list() for name in names]


# What comes back


def test_the_spine_stays_as_it_is_and_the_features_follow_in_the_order_asked_for(rated):
    rows = spine(label=[1, 0, 1, 0]).with_columns(pl.col("label").cast(pl.Int8))
    frame = rated.get_historical_features(rows, ["ratings:n", "profile:city", "user/ratings:mean"])
    assert frame.columns == ["user", "event_timestamp", "label", "n", "city", "mean"]
    assert_frame_equal(frame.to_polars().select(rows.columns), rows)
    assert values(frame, "n", "city", "mean") == [
        [2, 3, 1, None],
        [None, "Pune", "Pune", None],
        [2.0, 3.0, 1.0, None],
    ]
    assert frame.lock == {"user/ratings": 0, "user/profile": 0}


def test_duplicates_of_a_row_are_kept(rated):
    rows = pl.concat([spine(), spine()])
    assert values(rated.get_historical_features(rows, ["ratings:mean"]), "mean") == [[2.0, 3.0, 1.0, None] * 2]


def test_a_spine_without_rows_gives_a_frame_without_rows_and_all_columns(rated):
    frame = rated.get_historical_features(spine().clear(), ["ratings", "profile"])
    assert frame.shape == (0, 5)
    assert frame.schema == {**spine().schema, "mean": pl.Float64, "n": pl.Int64, "city": pl.String}


@pytest.mark.parametrize("kind", ["pandas", "arrow", "rows", "columns"])
def test_a_spine_may_come_from_any_library(rated, kind):
    given = {
        "pandas": lambda: spine().to_pandas(),
        "arrow": lambda: spine().to_arrow(),
        "rows": lambda: spine().to_dicts(),
        "columns": lambda: spine().to_dict(as_series=False),
    }[kind]()
    frame = rated.get_historical_features(given, ["ratings:mean"])
    assert values(frame, "user", "mean") == [[2, 1, 1, 9], [2.0, 3.0, 1.0, None]]


def test_pandas_comes_back_as_it_went_in_with_the_features_in_the_types_they_were_saved_with(store):
    saved = pd.DataFrame({
        "user": [1, 2],
        "n": np.array([2**53 + 1, 5]),
        "flag": [True, False],
        "seen": pd.to_datetime(["2024-01-01", "2024-01-02"]).astype("datetime64[s]"),
        "kind": pd.Categorical(["b", "a"], categories=["b", "a", "c"], ordered=True),
        "city": ["Pune", "Bonn"],
        "score": np.array([0.5, 1.5], dtype="float32"),
        "big": pd.array([1, None], dtype="UInt8"),
    })  # fmt: skip
    store.save("user/all", saved, entity="user")
    rows = pd.DataFrame({
        "who": pd.Categorical(["x", "y"]), "user": np.array([1, 9], dtype="int32"), "w": [0.5, float("nan")],
    })  # fmt: skip
    frame = store.get_historical_features(rows, ["user/all"]).to_pandas()
    pd.testing.assert_frame_equal(frame[["who", "user", "w"]], rows)
    assert frame.dtypes.astype(str).to_dict() | {"who": "category", "kind": "category"} == {
        "who": "category",
        "user": "int32",
        "w": "float64",
        "n": "Int64",
        "flag": "boolean",
        "seen": "datetime64[s]",
        "kind": "category",
        "city": "str",
        "score": "float32",
        "big": "UInt8",
    }
    assert frame.loc[0, "n"] == 2**53 + 1
    assert frame["kind"].dtype == saved["kind"].dtype
    assert frame.loc[1, saved.columns[1:]].isna().all()


def test_arrow_types_come_back(store):
    table = pa.table({"user": pa.array([1], pa.int16()), "name": pa.array(["a"], pa.large_string())})
    store.save("user/names", table, entity="user")
    rows = pa.table(
        {"user": pa.array([1, 2], pa.int16()), "note": pa.array(["x", "y"], pa.dictionary(pa.int8(), pa.string()))}
    )
    frame = store.get_historical_features(rows, ["user/names:name"]).to_arrow()
    assert frame.schema.types == [*rows.schema.types, pa.large_string()]


def test_what_the_caller_does_to_the_spine_later_does_not_reach_the_frame(rated):
    times, weights = pd.to_datetime(["2024-01-05"] * 2), np.array([0.5, 1.5])
    rows = pd.DataFrame({"user": [1, 2], "event_timestamp": times, "w": weights}, copy=False)
    frame = rated.get_historical_features(rows, ["ratings:mean"])
    weights[:] = 9.0
    assert rows["w"].to_list() == [9.0, 9.0]
    assert values(frame, "w") == [[0.5, 1.5]]


def test_progress_goes_from_nothing_to_all_over_all_tables(rated):
    told = []
    rated.get_historical_features(spine(), ["ratings:mean", "profile:city"], progress=lambda *at: told.append(at))
    done, totals = zip(*told, strict=True)
    assert (done[0], done[-1], set(totals)) == (0, 5, {5})
    assert list(done) == sorted(done)


# Times


def test_the_same_moments_in_another_zone_unit_or_type_give_the_same_features(rated):
    expected = [[2.0, 3.0, 1.0, None]]
    utc = spine()["event_timestamp"]
    for times in (
        utc.dt.convert_time_zone("Asia/Kolkata"),
        utc.dt.replace_time_zone(None),
        utc.cast(pl.Datetime("ns", "UTC")),
        utc.cast(pl.Datetime("ms", "UTC")),
        utc.dt.date(),
    ):
        frame = rated.get_historical_features(spine().with_columns(times), ["ratings:mean"])
        assert values(frame, "mean") == expected
        assert frame.schema["event_timestamp"] == times.dtype


def test_the_column_of_times_is_found_by_its_usual_name_by_a_tables_or_as_the_only_one(rated):
    def joined(**options):
        return values(rated.get_historical_features(options.pop("rows"), ["ratings:mean"], **options), "mean")[0]

    extra = pl.Series("paid", [day(1)] * 4)
    assert joined(rows=spine(paid=extra)) == [2.0, 3.0, 1.0, None]
    assert joined(rows=spine(paid=extra).rename({"event_timestamp": "at"})) == [2.0, 3.0, 1.0, None]
    assert joined(rows=spine().rename({"event_timestamp": "then"})) == [2.0, 3.0, 1.0, None]
    assert joined(rows=spine(paid=extra), timestamp="paid") == [None, 1.0, 1.0, None]
    assert joined(rows=spine(told=[day(9)] * 4).rename({"event_timestamp": "then"}), known_at="told") == [None] * 4


def test_two_columns_that_could_be_the_time_are_named(rated):
    rows = spine(paid=[day(1)] * 4).rename({"event_timestamp": "then"})
    with pytest.raises(InvalidInputError, match="several columns of times: then, paid") as caught:
        rated.get_historical_features(rows, ["ratings:mean"])
    assert "timestamp='then'" in caught.value.hint
    with pytest.raises(InvalidInputError, match="several columns of times: event_timestamp, at"):
        rated.get_historical_features(spine(at=[day(1)] * 4), ["ratings:mean"])


def test_no_column_of_times_is_needed_where_no_table_has_a_timestamp(rated):
    frame = rated.get_historical_features(pl.DataFrame({"user": [1]}), ["profile:city"])
    assert values(frame, "city") == [["Pune"]]
    with pytest.raises(InvalidInputError, match="no column of times, and table user/ratings has a timestamp"):
        rated.get_historical_features(pl.DataFrame({"user": [1]}), ["profile:city", "ratings:mean"])


@pytest.mark.parametrize("name", ["event_timestamp", "at"])
@pytest.mark.parametrize("rows", [pl.DataFrame, pd.DataFrame])
def test_a_column_of_times_without_a_value_matches_nothing(rated, rows, name):
    blank = rows({"user": [1, 2], name: [None, None]})
    frame = rated.get_historical_features(blank, ["ratings:mean", "profile:city"])
    assert values(frame, name, "mean", "city") == [[None, None], [None, None], ["Pune", None]]
    assert frame.lock.recipe.timestamp == name
    rated.save_training_set("blank", frame)
    assert rated.reproduce("blank").to_polars().equals(frame.to_polars())


def test_so_does_one_that_is_named(rated):
    rows = pl.DataFrame({"user": [1], "when": [None], "known": [None], "event_timestamp": [day(9)]})
    assert values(rated.get_historical_features(rows, ["ratings:mean"], timestamp="when"), "mean") == [[None]]
    assert values(rated.get_historical_features(rows, ["ratings:mean"], known_at="known"), "mean") == [[None]]
    assert values(rated.get_historical_features(rows, ["ratings:mean"]), "mean") != [[None]]


def test_a_column_without_a_value_is_the_time_only_by_its_name(rated):
    rows = spine(at=[None] * 4)
    assert values(rated.get_historical_features(rows, ["ratings:mean"]), "mean") == [[2.0, 3.0, 1.0, None]]
    with pytest.raises(InvalidInputError, match="no column of times"):
        rated.get_historical_features(pl.DataFrame({"user": [1], "paid": [None]}), ["ratings:mean"])
    with pytest.raises(InvalidInputError, match="several columns of times: event_timestamp, at"):
        rated.get_historical_features(
            pl.DataFrame({"user": [1], "event_timestamp": [None], "at": [None]}), ["ratings:mean"]
        )


@pytest.mark.parametrize("times", [["2024-01-05"] * 4, [1704067200] * 4])
def test_texts_and_numbers_are_not_guessed_to_be_times(rated, times):
    rows = spine().with_columns(pl.Series("event_timestamp", times))
    with pytest.raises(SchemaMismatch, match="'event_timestamp'") as caught:
        rated.get_historical_features(rows, ["ratings:mean"])
    assert "to_datetime" in caught.value.hint
    with pytest.raises(SchemaMismatch, match="'event_timestamp' of the spine is"):
        rated.get_historical_features(rows, ["ratings:mean"], timestamp="event_timestamp")


# ttl and known_at


def test_a_row_is_true_for_its_ttl_both_ends_included(rated):
    edge = day(3) + timedelta(days=2)
    rows = pl.DataFrame({"user": [1, 1], "event_timestamp": [edge, edge + timedelta(microseconds=1)]})
    frame = rated.get_historical_features(rows, ["ratings:mean"], ttl=timedelta(days=2))
    assert values(frame, "mean") == [[3.0, None]]


def test_the_tables_own_ttl_holds_unless_the_call_says_another(store):
    rows = pl.DataFrame({"user": [1], "at": [day(1)], "x": [1.0]})
    store.save("a/t", rows, entity="user", timestamp="at", ttl=timedelta(days=1))
    when = pl.DataFrame({"user": [1], "at": [day(4)]})
    assert values(store.get_historical_features(when, ["a/t:x"]), "x") == [[None]]
    assert values(store.get_historical_features(when, ["a/t:x"], ttl=timedelta(days=3)), "x") == [[1.0]]


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(-1), 30, "1d"])
def test_a_ttl_is_a_time_longer_than_zero(rated, ttl):
    with pytest.raises(InvalidInputError, match="ttl"):
        rated.get_historical_features(spine(), ["profile:city"], ttl=ttl)


def test_known_at_goes_by_commits_where_the_table_does_not_say_when_rows_were_made(rated):
    before = rated.history("user/ratings")[0].timestamp
    rated.save("user/ratings", pl.DataFrame({"user": [1], "at": [day(3)], "mean": [33.0], "n": [3]}), mode="append")
    after = rated.history("user/ratings")[0].timestamp
    rows = spine(known=[after, before, after, after])
    frame = rated.get_historical_features(rows, ["ratings:mean"], known_at="known")
    assert values(frame, "mean") == [[2.0, 3.0, 1.0, None]]
    assert values(rated.get_historical_features(spine(), ["ratings:mean"], known_at=before), "mean")[0][1] == 3.0
    assert values(rated.get_historical_features(spine(), ["ratings:mean"], known_at=after), "mean")[0][1] == 33.0
    early = before - timedelta(seconds=5)
    assert values(rated.get_historical_features(spine(), ["ratings:mean"], known_at=early), "mean") == [[None] * 4]


def test_known_at_goes_by_the_created_column_where_there_is_one(store):
    rows = pl.DataFrame({"user": [1, 1], "at": [day(1), day(1)], "made": [day(1), day(5)], "x": [1, 2]})
    store.save("a/t", rows, entity="user", timestamp="at", created="made")
    when = pl.DataFrame({"user": [1, 1], "at": [day(9), day(9)], "known": [day(4), day(5)]})
    assert values(store.get_historical_features(when, ["a/t:x"], known_at="known", timestamp="at"), "x") == [[1, 2]]
    assert values(store.get_historical_features(when, ["a/t@0:x"], known_at=day(4), timestamp="at"), "x") == [[1, 1]]


def test_known_at_and_a_pinned_version_cannot_both_choose(rated):
    with pytest.raises(InvalidInputError, match="user/ratings@0 is pinned"):
        rated.get_historical_features(spine(), ["ratings@0:mean"], known_at=day(1))


def test_a_time_zone_of_known_at_is_heeded(rated):
    made = rated.history("user/ratings")[0].timestamp
    ahead = timezone(timedelta(hours=9))
    for known_at, expected in (
        (made.astimezone(ahead), 3.0),
        (made.replace(tzinfo=None), 3.0),
        ((made - timedelta(seconds=2)).astimezone(ahead), None),
    ):
        frame = rated.get_historical_features(spine(), ["ratings:mean"], known_at=known_at)
        assert values(frame, "mean")[0][1] == expected


# Versions and names


def test_a_pinned_version_answers_whatever_came_later(rated):
    rated.save("user/profile", pl.DataFrame({"user": [1], "city": ["Bonn"]}))
    frame = rated.get_historical_features(spine(), ["profile@0:city"])
    assert values(frame, "city")[0][1] == "Pune"
    assert frame.lock == {"user/profile": 0}


def test_full_names_tell_equal_features_apart(rated):
    rated.save("user/late", pl.DataFrame({"user": [1], "mean": [9.0]}), entity="user")
    with pytest.raises(InvalidInputError, match="'mean'"):
        rated.get_historical_features(spine(), ["ratings:mean", "late:mean"])
    frame = rated.get_historical_features(spine(), ["ratings:mean", "user/late:mean"], full_feature_names=True)
    assert values(frame, "ratings__mean", "user__late__mean") == [[2.0, 3.0, 1.0, None], [None, 9.0, 9.0, None]]


def test_a_spine_column_called_like_a_feature_is_refused_with_the_way_out(rated):
    rows = spine(mean=[0.0] * 4)
    with pytest.raises(InvalidInputError, match="'mean' already") as caught:
        rated.get_historical_features(rows, ["ratings:mean"])
    assert "full_feature_names=True" in caught.value.hint
    frame = rated.get_historical_features(rows, ["ratings:mean"], full_feature_names=True)
    assert frame.columns[-2:] == ["mean", "ratings__mean"]


def test_missing_entity_columns_are_named_with_what_comes_close(rated):
    with pytest.raises(InvalidInputError, match="lacks the entity column 'user' of table user/ratings") as caught:
        rated.get_historical_features(spine().rename({"user": "user_id"}), ["ratings:mean"])
    assert "'user_id'" in caught.value.hint


def test_a_feature_service_is_asked_by_its_name(rated):
    rated.create_service("ranker", ["user/ratings:mean", "user/profile:city"])
    frame = rated.get_historical_features(spine(), "ranker")
    assert frame.columns[-2:] == ["mean", "city"]
    assert frame.lock.recipe.references == ("user/ratings:mean", "user/profile:city")


def test_defaults_stand_where_a_feature_is_missing(store):
    rows = pl.DataFrame({
        "user": [1, 2], "at": [day(1), day(1)], "n": [None, 2], "ok": [None, True], "r": [None, 0.5],
        "s": ["a", None], "k": pl.Series(["u", None], dtype=pl.Enum(["u", "v"])), "free": [None, 1],
    })  # fmt: skip
    defaults = {"n": 7, "ok": False, "r": 1, "s": "none", "k": "v"}
    store.save("a/t", rows, entity="user", timestamp="at", ttl=timedelta(days=5), defaults=defaults)
    when = pl.DataFrame({"user": [1, 2, 9, 1], "at": [day(2), day(2), day(2), day(20)]})
    frame = store.get_historical_features(when, ["a/t"])
    assert values(frame, *defaults) == [
        [7, 2, 7, 7],
        [False, True, False, False],
        [1.0, 0.5, 1.0, 1.0],
        ["a", "none", "none", "none"],
        ["u", "v", "v", "v"],
    ]
    assert values(frame, "free") == [[None, 1, None, None]]
    assert {name: frame.schema[name] for name in defaults} == {name: rows.schema[name] for name in defaults}


@pytest.mark.parametrize(
    ("features", "error"), [("user/rating", TableNotFound), ("ratings:men", FeatureNotFound), ([], InvalidInputError)]
)
def test_what_is_not_there_is_refused(rated, features, error):
    with pytest.raises(error):
        rated.get_historical_features(spine(), features)


@pytest.mark.parametrize(
    "options",
    [
        {"timestamp": "label"},
        {"timestamp": 3},
        {"known_at": "label"},
        {"known_at": date(2024, 1, 1)},
        {"start": day(1)},
        {"end": day(1)},
    ],
)
def test_arguments_that_make_no_sense_are_refused(rated, options):
    with pytest.raises(InvalidInputError):
        rated.get_historical_features(spine(), ["ratings:mean"], **options)


def test_a_table_with_neither_entity_nor_timestamp_is_refused(store):
    store.save("a/t", pl.DataFrame({"x": [1]}))
    with pytest.raises(InvalidInputError, match="neither an entity nor a timestamp"):
        store.get_historical_features(pl.DataFrame({"y": [1]}), ["a/t"])


def test_a_table_without_an_entity_is_one_series_for_all(store):
    store.save("a/rate", pl.DataFrame({"at": [day(1), day(3)], "usd": [1.0, 3.0]}), timestamp="at")
    frame = store.get_historical_features(
        pl.DataFrame({"at": [day(4), day(2), None]}, schema={"at": pl.Datetime("us", "UTC")}), ["rate:usd"]
    )
    assert values(frame, "usd") == [[3.0, 1.0, None]]


def test_a_table_replaced_and_vacuumed_meanwhile_is_looked_up_again(rated, monkeypatch):
    from tiffin.training import joining

    join, calls = joining.join, []

    def interrupted(table, state, *args, **options):
        calls.append(state.version)
        if len(calls) == 1:
            rated.save("user/profile", pl.DataFrame({"user": [1], "city": ["Bonn"]}))
            rated.vacuum("user/profile", keep_versions=1)
        return join(table, state, *args, **options)

    monkeypatch.setattr(joining, "join", interrupted)
    frame = rated.get_historical_features(spine(), ["profile:city"])
    assert values(frame, "city")[0][1] == "Bonn"
    assert frame.lock == {"user/profile": 1}
    with pytest.raises(VersionNotFound):
        rated.get_historical_features(spine(), ["profile@0:city"])


def test_the_time_for_many_features_grows_with_their_number_not_with_its_square(store, monkeypatch):
    looks = []
    stored_dtype = dtypes.stored_dtype
    monkeypatch.setattr(dtypes, "stored_dtype", lambda dtype: looks.append(1) or stored_dtype(dtype))
    wide = {f"f{number}": [1.0] for number in range(200)}
    store.save("user/wide", pl.DataFrame({"user": [1], "at": [day(1)], **wide}), entity="user", timestamp="at")
    looks.clear()
    assert store.get_historical_features(spine(), "user/wide").shape == (4, 202)
    assert len(looks) < 10 * len(wide)


# Arguments that are none


NEVER = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))
"""In UTC this is before the first year."""


@pytest.mark.parametrize("moment", [pd.NaT, NEVER, datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), 5])
@pytest.mark.parametrize("argument", ["known_at", "start", "end"])
def test_a_moment_that_is_none_is_refused_by_name(rated, argument, moment):
    with pytest.raises(InvalidInputError, match=f"^{argument} is ") as error:
        rated.get_historical_features(None, ["ratings:n"], **{argument: moment})
    assert error.value.hint


@pytest.mark.parametrize("moment", [pd.NaT, NEVER, 0, ""])
@pytest.mark.parametrize("argument", ["at", "known_at"])
def test_an_explanation_refuses_a_moment_that_is_none(rated, argument, moment):
    with pytest.raises(InvalidInputError, match=f"^{argument} is "):
        rated.explain("ratings:n", 1, **{argument: moment})


def test_a_column_of_times_needs_a_name(rated):
    with pytest.raises(InvalidInputError, match="timestamp is ''"):
        rated.get_historical_features(None, ["ratings:n"], timestamp="")


def test_an_explanation_is_of_one_reference(rated):
    with pytest.raises(InvalidInputError, match="reference is"):
        rated.explain(["ratings:n"], 1)


@pytest.mark.parametrize("count", [-(2**62), 2**62])
@pytest.mark.parametrize("unit", ["ms", "us"])
def test_known_at_may_lie_beyond_every_calendar(rated, count, unit):
    rows = spine(known=pl.Series([count] * 4).cast(pl.Datetime(unit)))
    frame = rated.get_historical_features(rows, ["ratings:n"], known_at="known")
    assert values(frame, "n") == [[None] * 4 if count < 0 else [2, 3, 1, None]]
    assert frame.lock.recipe.sources["user/ratings"].oldest == 0
