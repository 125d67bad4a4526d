"""Anything in any order: the store beside a plain model that keeps lists of rows, and a store that forgets one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

import tiffin
from property.test_store_model import StoreModel

pytestmark = pytest.mark.slow

RUNS, STEPS = 80, 30


class Counted(StoreModel):
    steps = 0

    @invariant()
    def one_more(self) -> None:
        Counted.steps += 1


def test_whatever_is_done_in_whatever_order_every_version_is_as_the_model_says(figure: Callable[[str], None]):
    run_state_machine_as_test(Counted, settings=settings(max_examples=RUNS, stateful_step_count=STEPS))
    figure(f"{Counted.steps} steps in {RUNS} lives of a store, each version right after each step")


def test_the_model_sees_a_row_that_is_missing(monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]):
    save = tiffin.FeatureStore.save

    def forgetful(store: tiffin.FeatureStore, name: str, frame: pl.DataFrame, **options: Any) -> tiffin.Commit:
        return save(store, name, frame[1:] if len(frame) > 4 else frame, **options)

    monkeypatch.setattr(tiffin.FeatureStore, "save", forgetful)
    few = settings(max_examples=100, stateful_step_count=20, database=None, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(StoreModel, settings=few)
    figure("a row of a larger save is forgotten: noticed within 100 runs of at most 20 steps (wanted)")
