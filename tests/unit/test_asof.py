"""The kernel of the as-of join, by itself: what it takes long tables or odd orders to see."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from tiffin import asof

ONE = pl.DataFrame({"0": [1]})


def keys(*values) -> pl.DataFrame:
    return pl.DataFrame({"0": list(values)})


def chunk(entities, times, created=None, first_row=0, versions=None) -> asof.Chunk:
    made = None if created is None else pl.Series(created, dtype=pl.Int64)
    return asof.Chunk(keys(*entities), pl.Series(times, dtype=pl.Int64), made, first_row, versions)


def matched(spine: asof.Spine, *chunks: asof.Chunk) -> list[int]:
    """Number of the matched row for each row of the spine, in the caller's order; -1 for none."""
    matches = asof.Matches(spine)
    for one in chunks:
        matches.offer(one)
    found = {int(row): int(match) for row, match in zip(spine.rows, matches.rows, strict=True)}
    return [found.get(row, -1) for row in range(max(found, default=-1) + 1)]


def test_the_newest_row_that_is_not_after_the_time_is_found_in_sorted_and_unsorted_chunks():
    spine = asof.sort_spine(keys(7, 3, 7, 7), pl.Series([20, 5, 19, 9]))
    rows = [(3, 1), (3, 5), (7, 10), (7, 20), (7, 21)]
    assert matched(spine, chunk(*zip(*rows, strict=True))) == [3, 1, 2, -1]
    shuffled = [rows[place] for place in (4, 2, 0, 3, 1)]
    assert matched(spine, chunk(*zip(*shuffled, strict=True))) == [3, 4, 1, -1]


def test_of_equal_times_the_greatest_created_wins_then_the_later_row_whatever_the_chunks():
    spine = asof.sort_spine(ONE, pl.Series([5]))
    assert matched(spine, chunk([1, 1, 1], [5, 5, 5], [3, None, 2])) == [0]
    assert matched(spine, chunk([1, 1, 1], [5, 5, 5], [3, None, 3])) == [2]
    assert matched(spine, chunk([1], [5], [3]), chunk([1], [5], [2], first_row=1)) == [0]
    assert matched(spine, chunk([1], [5], [3]), chunk([1], [5], [3], first_row=1)) == [1]
    assert matched(spine, chunk([1], [5], [9]), chunk([1], [4], [None], first_row=1)) == [0]
    assert matched(spine, chunk([1], [5], [None]), chunk([1], [5], [None], first_row=1)) == [1]


def test_ties_keep_their_order_in_a_long_chunk_that_has_to_be_sorted():
    spine = asof.sort_spine(keys(1, 2), pl.Series([5, 5]))
    rows = 20_001
    assert matched(spine, chunk([1 + row % 2 for row in range(rows)], [5] * rows)) == [rows - 1, rows - 2]


def test_rows_with_nulls_match_nothing_on_either_side():
    spine = asof.sort_spine(keys(None, 1, 1), pl.Series([9, None, 9]))
    assert matched(spine, chunk([None, 1, 1], [1, None, 2])) == [-1, -1, 2]
    assert matched(spine, chunk([None, 1], [1, None])) == [-1, -1, -1]


def test_an_entity_that_stands_in_two_places_of_a_sorted_chunk_is_one():
    spine = asof.sort_spine(keys(1, 2), pl.Series([9, 9]))
    assert matched(spine, chunk([1, 2, 1], [5, 5, 4])) == [0, 1]


def test_a_spine_sees_the_rows_of_its_version_only():
    spine = asof.sort_spine(keys(1, 1, 1), pl.Series([9, 9, 9]), versions=pl.Series([0, 1, 2]))
    first, second = chunk([1], [5], versions=range(2)), chunk([1], [5], first_row=1, versions=range(1, 2))
    assert matched(spine, first, second) == [0, 1, -1]


@pytest.mark.parametrize("values", [[2**62, -(2**62), 0], ["b", "a", "c"], [True, False, True]])
def test_keys_that_cannot_be_packed_into_one_number_are_sorted_all_the_same(values):
    spine = asof.sort_spine(keys(*values, *values), pl.Series([1, 2, 3, 4, 5, 6]))
    assert spine.entities["0"].to_list() == sorted(set(values))
    rows = chunk(values, [4, 4, 4])
    assert [match >= 0 for match in matched(spine, rows)] == [time >= 4 for time in range(1, 7)]


def test_what_was_not_known_yet_is_stepped_over_however_long_the_stretch():
    rng = np.random.default_rng(1)
    height = 3_000
    created = rng.integers(0, 40, height).cumsum()[::-1].copy() + rng.integers(-300, 300, height)
    known = rng.integers(created.min() - 50, created.max() + 50, 400)
    starts = rng.integers(0, height, 400)
    ends = np.minimum(starts + rng.integers(0, height, 400), height - 1)
    found = ends.copy()
    asof._step_back(created, known, starts, found)
    for start, end, limit, got in zip(starts, ends, known, found, strict=True):
        want = next((row for row in range(end, start - 1, -1) if created[row] <= limit), None)
        assert got == want if want is not None else got < start


def test_it_makes_no_difference_how_a_table_is_cut_into_chunks():
    rng = random.Random(3)
    for _ in range(50):
        rows = [(rng.randrange(3), rng.randrange(6), rng.choice([None, 1, 2])) for _ in range(20)]
        spine = asof.sort_spine(
            keys(*(rng.randrange(4) for _ in range(9))),
            pl.Series([rng.randrange(7) for _ in range(9)]),
            pl.Series([rng.randrange(3) for _ in range(9)]),
        )
        cuts = sorted({0, 20, rng.randrange(20), rng.randrange(20)})
        pieces = [chunk(*zip(*rows[start:stop], strict=True), first_row=start) for start, stop in pairwise(cuts)]
        assert matched(spine, *pieces) == matched(spine, chunk(*zip(*rows, strict=True)))


def test_a_match_expires_one_microsecond_after_its_ttl():
    spine = asof.sort_spine(keys(1, 1), pl.Series([110, 111]))
    matches = asof.Matches(spine)
    matches.offer(chunk([1], [100]))
    matches.expire(10, np.array([110, 111]))
    assert matches.rows.tolist() == [0, -1]


def test_ages_of_more_than_sixty_three_bits_are_counted():
    spine = asof.sort_spine(ONE, pl.Series([2**63 - 1]))
    matches = asof.Matches(spine)
    matches.offer(chunk([1], [-(2**63) + 1]))
    matches.expire(2**63, np.array([2**63 - 1]))
    assert matches.rows.tolist() == [-1]
