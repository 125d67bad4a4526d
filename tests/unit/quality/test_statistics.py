"""The statistics against plain loops, and what they say of features that tell all or nothing."""

import random
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.quality.leakage.statistics import auc, errors_avoided, group_means, label_of, spearman, tell

FEW = st.integers(-3, 3)
NUMBERS = st.one_of(FEW, st.floats(-1e6, 1e6, allow_subnormal=False))


def ranks(values):
    """Mean ranks from 1, by counting."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def rows_of(*columns):
    return st.lists(st.tuples(*columns), min_size=2, max_size=40).map(
        lambda rows: [list(c) for c in zip(*rows, strict=True)]
    )


@given(rows_of(NUMBERS, st.booleans()).filter(lambda rows: len(set(rows[1])) == 2))
@settings(max_examples=200, deadline=None)
def test_auc_is_the_chance_that_a_positive_row_scores_higher(rows):
    scores, positive = rows
    pairs = [
        (a > b) + (a == b) / 2
        for a, is_positive in zip(scores, positive, strict=True) if is_positive
        for b, other in zip(scores, positive, strict=True) if not other
    ]  # fmt: skip
    found = auc(pl.Series(scores, dtype=pl.Float64), pl.Series(positive))
    assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(rows_of(NUMBERS, FEW).filter(lambda rows: all(len(set(column)) > 1 for column in rows)))
@settings(max_examples=200, deadline=None)
def test_spearman_is_the_correlation_of_ranks(rows):
    first, second = (ranks(column) for column in rows)
    middle = (len(first) + 1) / 2
    covariance = sum((a - middle) * (b - middle) for a, b in zip(first, second, strict=True))
    scale = (sum((a - middle) ** 2 for a in first) * sum((b - middle) ** 2 for b in second)) ** 0.5
    found = spearman(*(pl.Series(column, dtype=pl.Float64) for column in rows))
    assert found == pytest.approx(covariance / scale, abs=1e-9)


GROUPED = rows_of(st.sampled_from(["a", "b", "c", None]), FEW, st.integers(0, 2)).filter(
    lambda rows: len(set(rows[2])) > 1
)


@given(GROUPED)
@settings(max_examples=200, deadline=None)
def test_group_means_look_at_the_other_folds_only(rows):
    groups, values, folds = rows
    expected = []
    for group, fold in zip(groups, folds, strict=True):
        others = [(g, v) for g, v, f in zip(groups, values, folds, strict=True) if f != fold]
        own = [v for g, v in others if g == group] or [v for _, v in others]
        expected.append(sum(own) / len(own))
    found = group_means(pl.Series(groups, dtype=pl.String), pl.Series(values), pl.Series(folds))
    assert found.to_list() == pytest.approx(expected, abs=1e-12)


@given(GROUPED.filter(lambda rows: len(set(rows[1])) > 1))
@settings(max_examples=200, deadline=None)
def test_errors_avoided_names_the_commonest_class_elsewhere(rows):
    groups, classes, folds = rows
    right = 0
    for group, own_class, fold in zip(groups, classes, folds, strict=True):
        others = [(g, c) for g, c, f in zip(groups, classes, folds, strict=True) if f != fold]
        counts = Counter([c for g, c in others if g == group] or [c for _, c in others])
        right += min(counts, key=lambda c: (-counts[c], c)) == own_class
    commonest = max(Counter(classes).values()) / len(classes)
    expected = (right / len(classes) - commonest) / (1 - commonest)
    found = errors_avoided(pl.Series(groups, dtype=pl.String), pl.Series(classes), pl.Series(folds))
    assert found == pytest.approx(expected, abs=1e-12)


# What they say


ROWS = 1000
CHANCE = random.Random(7)
FOLDS = pl.Series([CHANCE.randrange(5) for _ in range(ROWS)])
NOISE = pl.Series([CHANCE.random() for _ in range(ROWS)])
CLASSES = pl.Series([CHANCE.choice(["red", "green", "blue"]) for _ in range(ROWS)])
LABELS = {
    "bool": NOISE > 0.7,
    "text of two": (NOISE > 0.7).cast(pl.String),
    "number of two": (NOISE > 0.7).cast(pl.Int64) * 3 - 1,
    "number": NOISE * 100 - 50,
    "stars": (NOISE * 5).floor().cast(pl.Int8),
    "classes": CLASSES,
}


def named(values: pl.Series) -> pl.Series:
    return "name of " + values.cast(pl.String)


@pytest.mark.parametrize("values", LABELS.values(), ids=LABELS)
def test_the_label_itself_tells_all(values):
    label = label_of(values)
    features = [values, named(values)] if values.n_unique() < 100 else [values, values.exp(), -values]
    for feature in features:
        told = tell(feature, label, FOLDS)
        assert told.value > 0.99
        assert told.rows == ROWS


@pytest.mark.parametrize("values", LABELS.values(), ids=LABELS)
def test_unique_names_and_noise_tell_nothing(values):
    label = label_of(values)
    other = pl.Series([CHANCE.random() for _ in range(ROWS)])
    for feature in (named(pl.Series(range(ROWS))), other, (other * 5).floor().cast(pl.String)):
        told = tell(feature, label, FOLDS)
        assert told.value < (0.6 if told.statistic == "auc" else 0.15)


def test_a_number_may_rise_or_fall_with_the_label():
    label = label_of(LABELS["bool"])
    assert tell(NOISE, label, FOLDS).value == tell(-NOISE, label, FOLDS).value == 1.0


def test_a_number_that_orders_classes_tells_them():
    order = {"red": 0.0, "green": 1.0, "blue": 2.0}
    feature = CLASSES.replace_strict(order) + NOISE * 0.9
    assert tell(feature, label_of(CLASSES), FOLDS).value > 0.95


@pytest.mark.parametrize(
    "feature",
    [
        LABELS["bool"],
        LABELS["bool"].cast(pl.Int128),
        LABELS["bool"].cast(pl.String).cast(pl.Categorical),
        LABELS["bool"].cast(pl.String).cast(pl.Enum(["false", "true"])),
        pl.Series([date(2024, 1, 1) + timedelta(days=bool(value)) for value in LABELS["bool"]]),
        pl.Series([timedelta(seconds=bool(value)) for value in LABELS["bool"]]),
        pl.Series([Decimal(int(value)) for value in LABELS["bool"]]),
    ],
    ids=lambda feature: str(feature.dtype),
)
def test_features_of_every_type_with_names_or_an_order_are_measured(feature):
    assert tell(feature, label_of(LABELS["bool"]), FOLDS).value == 1.0


@pytest.mark.parametrize(
    "feature",
    [
        pl.Series([[1]] * ROWS),
        pl.Series([{"a": 1}] * ROWS),
        pl.Series([b"x"] * ROWS),
        pl.Series([None] * ROWS),
        pl.Series([1.5] * ROWS),
        pl.Series(["x"] * ROWS),
        pl.Series([None] * (ROWS - 10) + list(range(10))),
        pl.Series([float("nan")] * ROWS),
    ],
    ids=lambda feature: f"{feature.dtype} {feature.n_unique()}",
)
@pytest.mark.parametrize("values", LABELS.values(), ids=LABELS)
def test_what_cannot_tell_is_not_measured(feature, values):
    assert tell(feature, label_of(values), FOLDS) is None


def test_a_rare_label_is_not_measured():
    assert tell(NOISE, label_of(pl.Series([True] * 4 + [False] * (ROWS - 4))), FOLDS) is None
    assert tell(NOISE, label_of(pl.Series([1] * ROWS)), FOLDS) is None


def test_a_label_needs_names_or_an_order():
    assert label_of(pl.Series([[1], [2]])) is None
    assert label_of(pl.Series([b"a", b"b"])) is None


def test_missing_numbers_are_left_out_and_missing_names_are_a_name():
    values = LABELS["bool"]
    label = label_of(values)
    half = pl.Series([value if index % 2 else None for index, value in enumerate(values)])
    assert tell(half, label, FOLDS) == ("auc", 1.0, ROWS // 2)
    only = pl.Series(["x" if value else None for value in values])
    assert tell(only, label, FOLDS) == ("auc", 1.0, ROWS)
