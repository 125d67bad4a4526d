"""Small files are merged in tiers: not too many files, not too much rewriting."""

import pytest

from tiffin.tables.actions import Add
from tiffin.tables.table import Options
from tiffin.tables.upkeep import _due

UNIT = 64 << 10  # the largest size of the smallest tier


def files(*sizes: float) -> list[Add]:
    return [Add(path=f"{n}", size=int(size * UNIT), modification_time=0) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "due"),
    [
        ([], 0),
        ([0.1] * 3, 0),
        ([0.1] * 4, 4),
        ([0.1] * 9, 9),
        ([2, 2, 0.1, 0.1, 0.1], 0),
        ([2, 2, 0.1, 0.1, 0.1, 0.1], 4),
        ([2, 2, 2, 0.1, 0.1, 0.1, 0.1], 7),
        ([0.1, 0.1, 0.1, 500, 0.1], 0),
        ([500, 0.1, 0.1, 0.1, 0.1], 4),
        ([1600, 1600, 1600, 1600], 4),
        ([2100, 2100, 2100, 2100], 0),
    ],
)
def test_the_files_at_the_end_are_merged_when_enough_of_a_size_have_come_together(sizes, due):
    assert _due(files(*sizes), Options(compact_files=4)) == due


def test_merging_can_be_turned_off():
    assert _due(files(*[0.1] * 100), Options(compact_files=0)) == 0


def test_a_row_is_rewritten_a_logarithmic_number_of_times_and_files_stay_few():
    sizes: list[float] = []
    rewritten = 0.0
    most = 0
    for _ in range(5000):
        sizes.append(0.05)
        due = _due(files(*sizes), Options(compact_files=8))
        if due:
            rewritten += sum(sizes[-due:])
            sizes[-due:] = [sum(sizes[-due:])]
        most = max(most, len(sizes))
    written = 5000 * 0.05
    assert rewritten / written < 5
    assert most < 8 * 4
