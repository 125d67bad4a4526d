"""Drift is what the formulas say, is not seen in chance, and is seen in every kind of column."""

from __future__ import annotations

import bisect
import math
import random
import shutil
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiffin
from tiffin.errors import FeatureNotFound, InvalidInputError, NotOnline, VersionNotFound
from tiffin.quality.drift import cells, comparing, measures
from tiffin.quality.drift.answer import ColumnDrift, Drift
from tiffin.quality.drift.comparing import Data, compare
from tiffin.quality.drift.thresholds import Thresholds
from tiffin.schema.names import TableName
from tiffin.wire import decode, encode

FEW = settings(max_examples=25)
COUNT = st.sampled_from([0, 0, 1, 7, 40])
COUNTS = st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=8).filter(
    lambda pairs: any(one for one, _ in pairs) and any(other for _, other in pairs)
)
VALUES = st.lists(st.sampled_from([-math.inf, math.inf, 0.0, -0.0]) | st.floats(-10, 10), min_size=1, max_size=30)


def data(frame: pl.DataFrame, *, is_whole: bool = True) -> Data:
    return Data("a side", None, frame.height, frame.schema, frame.get_column, is_whole=is_whole)


def compared(before: pl.Series, now: pl.Series, **thresholds) -> ColumnDrift:
    return both(before.alias("x").to_frame(), now.alias("x").to_frame(), **thresholds).columns[0]


def both(before: pl.DataFrame, now: pl.DataFrame, *, is_whole: bool = True, **thresholds) -> Drift:
    columns = list(dict.fromkeys([*before.columns, *now.columns]))
    sides = data(before), data(now, is_whole=is_whole)
    return compare("g/t", *sides, columns, Thresholds(thresholds, columns))


def values_of(column: ColumnDrift) -> dict[str, float]:
    return {one.name: one.value for one in column.measures}


def normal(count: int, moved: float = 0.0, seed: int = 0) -> pl.Series:
    chance = random.Random(seed)
    return pl.Series([chance.gauss(moved, 1) for _ in range(count)])


@FEW
@given(COUNTS)
def test_the_population_stability_index(pairs):
    filled = [pair for pair in pairs if pair != (0, 0)]
    sizes = [sum(pair[side] + 0.5 for pair in filled) for side in (0, 1)]
    expected = 0.0
    for one, other in filled:
        p, q = (one + 0.5) / sizes[0], (other + 0.5) / sizes[1]
        expected += (p - q) * (math.log(p) - math.log(q))
    assert measures.psi(*zip(*pairs, strict=True)) == pytest.approx(expected, abs=1e-12)


@FEW
@given(COUNTS)
def test_the_jensen_shannon_distance(pairs):
    def entropy(shares):
        return -sum(share * math.log2(share) for share in shares if share)

    shares = [[count / sum(side) for count in side] for side in zip(*pairs, strict=True)]
    middle = [(p + q) / 2 for p, q in zip(*shares, strict=True)]
    divergence = entropy(middle) - (entropy(shares[0]) + entropy(shares[1])) / 2
    found = measures.jensen_shannon(*zip(*pairs, strict=True))
    assert found**2 == pytest.approx(divergence, abs=1e-9)
    assert 0 <= found <= 1


@FEW
@given(VALUES, VALUES)
def test_the_kolmogorov_smirnov_distance(before, now):
    points = [*before, *now]
    expected = max(abs(sum(v <= x for v in before) / len(before) - sum(v <= x for v in now) / len(now)) for x in points)
    found = measures.kolmogorov_smirnov(pl.Series(sorted(before)), pl.Series(sorted(now)))
    assert found == pytest.approx(expected, abs=1e-12)


@FEW
@given(VALUES, VALUES)
def test_every_value_has_one_cell_and_a_frequent_one_has_its_own(before, now):
    before = sorted(before)
    counts = cells.of_numbers(pl.Series(before), pl.Series(sorted(now)))
    deciles = [before[math.ceil(len(before) * part / 10) - 1] for part in range(1, 10)]
    # The cell of a value: how many deciles lie before it; that it is a repeated one itself makes it a cell apart.
    repeated = {value for value, count in Counter(deciles).items() if count > 1}
    kinds = sorted(set(deciles))

    def cell(value):
        return bisect.bisect_left(kinds, value), value in repeated

    expected = [Counter(cell(value) for value in side) for side in (before, now)]
    filled = [pair for pair in zip(*counts, strict=True) if any(pair)]
    keys = sorted({*expected[0], *expected[1]}, key=lambda key: (key[0], not key[1]))
    assert sorted(filled) == sorted((expected[0][key], expected[1][key]) for key in keys)
    assert [sum(side) for side in counts] == [len(before), len(now)]


def test_frequent_values_have_cells_of_their_own_and_all_others_share_one():
    both_sides = cells.Categories.of(pl.Series([*"aab"]), pl.Series([*"abccd"]))
    assert both_sides.cells == ([2, 1, 0], [1, 1, 3])
    many = pl.Series([str(number) for number in range(30)])
    assert [len(side) for side in cells.Categories.of(many, many).cells] == [21, 21]
    assert [side[-1] for side in cells.Categories.of(many, many).cells] == [10, 10]


def test_the_limits_of_chance_are_those_of_the_tables():
    # The thousandth's quantile of chi-squared with 9 and 1 degrees of freedom is 27.88 and 10.83.
    assert measures.chance_of_psi(10, (1000, 1000)) == pytest.approx(27.88 * 2 / 1000, rel=0.01)
    assert measures.chance_of_psi(2, (1000, 1000)) == pytest.approx(10.83 * 2 / 1000, rel=0.05)
    assert measures.chance_of_psi(1, (10, 10)) == 0
    assert measures.chance_of_kolmogorov_smirnov((100, 100)) == pytest.approx(1.9495 * math.sqrt(0.02), rel=1e-3)
    assert measures.chance_of_share(0.5, (100, 100)) == pytest.approx(3.09 * math.sqrt(0.25 * 0.02), rel=1e-3)
    assert measures.chance_of_unseen(10, 10, 10) == 1
    assert measures.chance_of_unseen(0, 10**6, 10**6) < 1e-4


@pytest.mark.parametrize("rows", [8, 50, 1000])
def test_chance_is_not_drift(rows):
    chance = random.Random(rows)
    for seed in range(4):
        frames = [
            pl.DataFrame(
                {
                    "number": normal(rows, seed=2 * seed + side),
                    "count": [min(chance.randrange(6), 3) for _ in range(rows)],
                    "text": [chance.choice("aaaabbc") for _ in range(rows)],
                    "name": [f"{chance.random()}" for _ in range(rows)],
                    "flag": [chance.random() < 0.2 for _ in range(rows)],
                    "sparse": [None if chance.random() < 0.3 else 1.0 for _ in range(rows)],
                }
            )
            for side in (0, 1)
        ]
        assert both(*frames).reasons == ()


def test_half_a_standard_deviation_is_where_all_three_begin():
    little, much = (values_of(compared(normal(20_000), normal(20_000, moved, 1))) for moved in (0.4, 0.6))
    assert (little["psi"], much["psi"]) == (pytest.approx(0.16, abs=0.04), pytest.approx(0.36, abs=0.06))
    for name in ("psi", "ks", "js"):
        limit = compared(normal(9), normal(9)).measures
        threshold = next(one.threshold for one in limit if one.name == name)
        assert little[name] < threshold < much[name]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([1.0] * 100, [2.0] * 100, "population stability"),
        ([1.0] * 100, [1.0 - 1e-9] * 100, "Kolmogorov"),
        ([0] * 95 + [1] * 5, [1] * 95 + [0] * 5, "population stability"),
        ([1.0] * 100, [math.inf] * 100, "Kolmogorov"),
        ([1.0] * 100, [1.0] * 50 + [math.nan] * 50, "0.0% missing became 50.0%"),
        ([1.0] * 100, [None] * 100, "0.0% missing became 100.0%"),
        (["a"] * 100, ["b"] * 100, "'b' (100)"),
        (["a"] * 50 + ["b"] * 50, ["a"] * 100, "are gone 50.0%: 'b' (50)"),
        ([True] * 90 + [False] * 10, [False] * 90 + [True] * 10, "population stability"),
        ([date(2024, 1, 1)] * 100, [date(2025, 1, 1)] * 100, "Kolmogorov"),
        ([time(1)] * 100, [time(2)] * 100, "Kolmogorov"),
        ([timedelta(1)] * 100, [timedelta(2)] * 100, "Kolmogorov"),
        ([Decimal("1.5")] * 100, [Decimal("2.5")] * 100, "Kolmogorov"),
        ([[1]] * 100, [[1, 2]] * 100, "Kolmogorov"),
        ([b"x"] * 100, [b"xyz"] * 100, "Kolmogorov"),
        (["1"] * 100, [1] * 100, "the type String became Int64"),
        ([{"a": 1}] * 100, ["x"] * 100, "the type Struct"),
    ],
)
def test_what_has_drifted_is_said(before, now, told):
    found = compared(pl.Series(before), pl.Series(now))
    assert found.drifted
    assert any(told in reason for reason in found.reasons), found.reasons
    assert all(reason.startswith("x: ") for reason in found.reasons)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (pl.Series([1, 2, 3] * 40), pl.Series([1.0, 2.0, 3.0] * 40)),
        (pl.Series([1, 2, 3] * 40, dtype=pl.Int8), pl.Series([1, 2, 3] * 40, dtype=pl.UInt64)),
        (pl.Series([datetime(2024, 1, 1)] * 50, dtype=pl.Datetime("ms")), pl.Series([date(2024, 1, 1)] * 50)),
        (pl.Series([datetime(2024, 1, 1)] * 50), pl.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 50)),
        (pl.Series(["a", "b"] * 50), pl.Series(["a", "b"] * 50, dtype=pl.Enum(["a", "b"]))),
        (pl.Series([None] * 50), pl.Series([None] * 50, dtype=pl.Int64)),
        (pl.Series([{"a": 1}] * 50), pl.Series([{"b": 1}] * 50)),
        (pl.Series([math.inf] * 50), pl.Series([math.inf] * 50)),
        (pl.Series([], dtype=pl.Int64), pl.Series([], dtype=pl.Int64)),
        (pl.Series([math.nan] * 50), pl.Series([math.nan] * 50)),
    ],
    ids=lambda values: str(values.dtype),
)
def test_the_same_in_another_type_is_no_drift(before, now):
    assert compared(before, now).reasons == ()


def test_a_column_without_values_has_no_distance():
    found = compared(pl.Series([1.0, 2.0]), pl.Series([None, None], dtype=pl.Float64))
    assert list(values_of(found)) == ["missing"]
    assert (found.baseline.values, found.current.values, found.current.missing) == (2, 0, 1.0)


def test_columns_that_come_and_go():
    found = both(pl.DataFrame({"a": [1], "b": [1]}), pl.DataFrame({"b": [1], "c": [1]}))
    assert found.reasons == ("a: the column is gone",)
    assert found.notes == ("new columns, with nothing to compare them to: c",)
    assert (found.column("a").current, found.column("c").baseline) == (None, None)


@pytest.mark.parametrize(
    ("before", "now", "times", "drifted"),
    [(10, 20, 2, False), (10, 21, 2.1, True), (30, 10, 3, True), (10, 10, 1, False)],
)
def test_the_volume(before, now, times, drifted):
    found = both(pl.DataFrame({"a": [1] * before}), pl.DataFrame({"a": [1] * now}))
    assert (found.volume.value, found.volume.drifted, found.drifted) == (times, drifted, drifted)
    assert not both(pl.DataFrame({"a": [1] * 9}), pl.DataFrame({"a": [1] * 99}), is_whole=False).drifted


def test_from_nothing_to_something_is_drift_and_back():
    empty, full = pl.DataFrame({"a": [1]}).clear(), pl.DataFrame({"a": [1]})
    found = both(empty, full)
    assert (found.volume, found.reasons) == (None, ("rows: 0 became 1",))
    assert decode(encode(found), Drift) == found
    assert both(full, empty).reasons == ("rows: 1 became 0",)
    for same in (both(empty, empty), both(full, empty, volume=None), both(full, empty, is_whole=False)):
        assert not same.drifted


def test_thresholds_hold_for_all_columns_or_one():
    before, now = normal(1000), normal(1000, 0.8, 1)
    assert compared(before, now).drifted
    assert not compared(before, now, psi=2, ks=None, js=1).drifted
    assert not compared(before, now, **{"psi": 0.1, "x.psi": None, "ks": None, "js": None}).drifted
    assert compared(before, now, **{"psi": None, "x.ks": 0.1, "js": None}).reasons[0].endswith("above 0.1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"psy": 1}, "no measure 'psy'"),
        ({"y.psi": 1}, "no column"),
        ({"psi": -1}, "is -1"),
        ({"psi": math.nan}, "is nan"),
        ({"psi": math.inf}, "is inf"),
        ({"psi": True}, "is True"),
        ({"psi": "1"}, "is '1'"),
        ({"x.volume": 2}, "no volume of its own"),
    ],
)
def test_thresholds_that_are_none(given, told):
    with pytest.raises(InvalidInputError, match=told):
        Thresholds(given, ["x"])


def test_a_column_may_have_dots_in_its_name():
    assert Thresholds({"a.b.psi": 1.5}, ["a.b"]).of("psi", "a.b") == 1.5


def test_both_histograms_have_the_same_bins():
    one, other = compared(normal(500), normal(300, 3, 1)).histograms
    assert (one.start, one.width, len(one.counts)) == (other.start, other.width, len(other.counts))
    assert [sum(side.counts) + side.below + side.above for side in (one, other)] == [500, 300]


def test_of_many_rows_some_are_compared_and_it_is_said(monkeypatch):
    monkeypatch.setattr(comparing, "MOST_ROWS", 2000)
    before, now = normal(10_000), normal(9_000, 1.0, 1)
    found = both(before.alias("x").to_frame(), now.alias("x").to_frame())
    assert [side.values for side in (found.columns[0].baseline, found.columns[0].current)] == [2000, 2000]
    assert found.drifted
    assert found.notes[0] == "of a side, 2,000 of 10,000 rows were drawn by chance and compared"


def test_it_is_json_and_text():
    found = both(pl.DataFrame({"x": [1.0] * 50, "c": ["a"] * 50}), pl.DataFrame({"x": [3.0] * 50, "c": ["b"] * 50}))
    assert decode(encode(found), Drift) == found
    assert str(found).startswith("g/t, a side → a side: drifted\n  x: ")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Three versions: two alike, the newest otherwise; online."""
    folder = tmp_path_factory.mktemp("prepared") / "store"
    with tiffin.FeatureStore(folder) as store:
        for seed, moved in enumerate((0.0, 0.0, 1.0)):
            frame = pl.DataFrame({"id": range(200), "x": normal(200, moved, seed), "c": ["a", "b"] * 100})
            store.save("g/t", frame, entity="id", online=True)
    return folder


@pytest.fixture
def store(prepared, tmp_path) -> tiffin.FeatureStore:
    return tiffin.FeatureStore(shutil.copytree(prepared, tmp_path / "store"))


def test_versions_tags_times_and_stages_are_compared(store):
    store.tag("g/t", 0, "prod")
    first, last = (store.history("t")[number].timestamp for number in (-1, 0))
    assert store.drift("t", 0).drifted
    assert not store.drift("t", 0, 1).drifted
    assert store.drift("t", "prod", 2).drifted
    assert store.drift("t", first, last).current.version == 2
    store.stage("g/t", store.read("t@1"), name="trial")
    found = store.drift("t", 0, "trial")
    assert (found.drifted, found.current.name, found.current.version) == (False, "stage trial", None)


def test_keys_are_no_features_and_some_columns_can_be_chosen(store):
    assert [each.name for each in store.drift("t", 0).columns] == ["x", "c"]
    assert [each.name for each in store.drift("t:c", 0).columns] == ["c"]
    assert [each.name for each in store.drift("t", 0, columns=["id"]).columns] == ["id"]
    for wrong in ({"columns": ["y"]}, {"columns": ["y"], "current": store.read("t")}):
        with pytest.raises(FeatureNotFound, match="y"):
            store.drift("t", 0, **wrong)


def test_a_renamed_column_is_still_the_same(store):
    store.rename("g/t", "x", "score")
    found = store.drift("t", 0)
    assert [each.name for each in found.columns] == ["score", "c"]
    assert "ks" in values_of(found.column("score"))
    assert store.drift("t:x", 0).columns == store.drift("t", 0, columns=["score"]).columns
    assert store.profile("t@0:score").columns[0].name == store.profile("t@0:x").columns[0].name == "x"


@pytest.mark.parametrize("library", ["pandas", "polars", "rows"])
def test_what_was_served_is_compared(store, library):
    logged = pl.DataFrame({"x": normal(60, 2.0, 9), "when": [1] * 60})
    given = {"pandas": logged.to_pandas, "polars": lambda: logged, "rows": logged.to_dicts}[library]()
    found = store.drift("t", 0, given)
    assert [each.name for each in found.columns] == ["x"]
    assert (found.drifted, found.volume, found.current.rows) == (True, None, 60)


def test_a_frame_that_cannot_be_compared(store):
    for frame, told in [
        ([{"y": 1}], "none of its features"),
        (pl.DataFrame({"x": [1.0]}).clear(), "no rows"),
    ]:
        with pytest.raises(InvalidInputError, match=told):
            store.drift("t", 0, frame)
    with pytest.raises(InvalidInputError, match="no column 'c'"):
        store.drift("t", 0, [{"x": 1}], columns=["x", "c"])


def test_the_online_index_is_compared_with_the_newest_rows(tmp_path):
    store = tiffin.FeatureStore(tmp_path)
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2)]
    frame = pl.DataFrame(
        {
            "id": [number for number in range(100) for _ in times],
            "at": times * 100,
            "x": [value for number in range(100) for value in (1000.0 + number, float(number))],
        }
    )
    store.save("g/t", frame, entity="id", timestamp="at", online=True)
    found = store.drift("t", 0, "online")
    assert (found.reasons, found.baseline.rows, found.current.rows, found.current.version) == ((), 100, 100, 0)
    store.push("g/t", frame.with_columns(pl.col("x") + 50, pl.col("at") + timedelta(days=3)))
    assert store.drift("t", 0, "online").drifted
    assert not store.drift("t", 1, "online").drifted


def test_what_cannot_be_compared(store, tmp_path):
    with pytest.raises(InvalidInputError, match="names a version"):
        store.drift("t@1", 0)
    with pytest.raises(VersionNotFound):
        store.drift("t", 7)
    with pytest.raises(InvalidInputError, match="list of names"):
        store.drift("t", 0, columns="x")
    with pytest.raises(InvalidInputError, match="no version"):
        store.drift("t", True)
    with pytest.raises(InvalidInputError, match="no column is named"):
        store.drift("t", 0, columns=[])
    assert len(store.drift("t", 0, columns=["x", "x"]).columns) == 1
    for wrong, told in (([("psi", 1)], "thresholds is"), ("psi", "thresholds is"), ({1: 1}, "no measure '1'")):
        with pytest.raises(InvalidInputError, match=told):
            store.drift("t", 0, thresholds=wrong)
    store.save("g/offline", [{"id": 1, "x": 1}], entity="id")
    with pytest.raises(NotOnline):
        store.drift("offline", 0, "online")
    store.save("g/series", [{"at": datetime(2024, 1, 1, tzinfo=UTC), "x": 1}], timestamp="at", online=True)
    with pytest.raises(InvalidInputError, match="no entity"):
        store.drift("series", 0, "online")


def test_the_rows_of_a_stage_are_compared_with_the_online_index(store):
    store.stage("g/t", store.read("t").to_polars().with_columns(pl.col("x") + 100), "trial")
    found = store.drift("t", "trial", "online")
    assert (found.drifted, found.baseline.name, found.baseline.version) == (True, "stage trial", None)
    assert not store.drift("t", 2, "online").drifted


def test_a_baseline_that_has_outlived_its_ttl_is_not_missing(tmp_path):
    store = tiffin.FeatureStore(tmp_path)
    now, then = (datetime.now(UTC) - timedelta(days=days) for days in (0, 30))
    frame = pl.DataFrame({"id": range(50), "at": [then] * 50, "x": normal(50, 0.0, 1)})
    store._catalog.table(TableName("g", "t")).log._clock = lambda: int((then.timestamp() + 60) * 1e9)
    store.save("g/t", frame, entity="id", timestamp="at", ttl=timedelta(days=9), online=True)
    store.push("g/t", frame.with_columns(at=pl.lit(now)))
    assert store.drift("t", 0, "online").reasons == ()


def test_a_renamed_column_is_found_in_what_was_served(store):
    store.rename("g/t", "x", "score")
    for called in ("x", "score"):
        logged = pl.DataFrame({called: normal(60, 5.0, 9)})
        for version in (0, 3):
            assert [each.name for each in store.drift("t", version, logged).columns] == ["score"]
            assert store.drift("t", version, logged, columns=["x"]).drifted
    assert [each.name for each in store.drift("t", 0, "online").columns] == ["score", "c"]


def test_long_texts_are_told_by_their_beginning():
    found = both(pl.DataFrame({"c": ["a" * 1_000_000] * 50}), pl.DataFrame({"c": ["b" * 1_000_000] * 50}))
    assert found.drifted
    assert len(encode(found)) < 5_000


def test_a_type_is_named_without_what_it_is_made_of():
    kinds = pl.Enum([f"kind {number}" for number in range(5_000)])
    found = both(pl.DataFrame({"c": pl.Series(["kind 1"], dtype=kinds)}), pl.DataFrame({"c": [1.5]}))
    assert found.reasons == ("c: the type Enum became Float64",)


def test_new_names_are_expected_only_where_names_were_rare_before():
    never, always = pl.Series(["a", "b"] * 50), pl.Series([f"name {number}" for number in range(100)])
    found = compared(never, pl.concat([pl.Series(["a"] * 60), always.head(40)]))
    assert {one.name: one.drifted for one in found.measures}["new"]
    found = compared(always, pl.Series([f"other {number}" for number in range(100)]))
    assert not {one.name: one.drifted for one in found.measures}["new"]
