"""The as-of join against plain loops, on random tables that went through the real store."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from property import asof_cases
from tiffin import asof
from tiffin.training import stretches

PARTS, TABLES, CASES = 5, 10, 40
assert PARTS * TABLES * CASES >= 2_000


def check(seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch, cases: int) -> int:
    rng = random.Random(seed)
    # Every row group a stretch, and a block of a few rows: so that small tables take all the ways of large ones.
    monkeypatch.setattr(stretches, "_STRETCH_BYTES", rng.choice([1, 1 << 28]))
    monkeypatch.setattr(asof, "_BLOCK", rng.choice([2, 1 << 16]))
    model = asof_cases.build(rng, folder / "store", steps=rng.randint(0, 7))
    for number in range(cases):
        case = asof_cases.ask(rng, model)
        assert not (found := asof_cases.difference(model, case)), f"seed {seed}, case {number}\n{found}"
    return cases


@pytest.mark.parametrize("part", range(PARTS))
def test_random_tables_join_as_plain_loops_do(part, tmp_path, monkeypatch):
    seeds = range(part * TABLES, (part + 1) * TABLES)
    done = sum(check(seed, tmp_path / str(seed), monkeypatch, CASES) for seed in seeds)
    assert done == TABLES * CASES


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(20))
def test_a_hundred_thousand_cases(part, tmp_path, monkeypatch):
    seeds = range(1_000 + part * 50, 1_000 + (part + 1) * 50)
    done = sum(check(seed, tmp_path / str(seed), monkeypatch, 100) for seed in seeds)
    assert done == 5_000
