"""Every seed, and every input that ever crashed a target, once more through it; and that targets do notice faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

import polars as pl
import pytest

from fuzz.inputs import HERE, TARGETS, inputs


@pytest.mark.parametrize("target", TARGETS)
def test_no_seed_crashes_and_nothing_that_once_did(target):
    check = import_module(f"fuzz.targets.{target}").check
    found = inputs(target)
    assert found, f"{target} has no seeds"
    for path in found:
        check(path.read_bytes())
    check(b"")


def test_every_input_in_the_tree_has_its_target():
    assert {folder.name for kind in ("seeds", "regressions") for folder in (HERE / kind).glob("*")} <= {*TARGETS}


def _any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.schema.names._PART", re.compile(r"[^/]{1,200}"))


def _every_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("fuzz.targets.filters.predicate", lambda *_: pl.lit(value=True))


def _aggregates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.schema.row_sql._OTHER_FUNCTIONS", frozenset({"sum"}))
    patch.setattr("tiffin.schema.row_sql._expression", lambda written, *_, **__: pl.sql_expr(written))


def _every_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("hmac.compare_digest", lambda *_: True)


def _any_columns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.wire.files.check_names", lambda names: None)


def _unbounded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("fuzz.targets.bodies.decompress", lambda body, *_: bytes(1 << 21))


def _other_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.server.edge.passage.Passage.as_json", lambda *_: b"content-length: 0\r\n\r\n")


def _raw_errors(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.client.exchange._decoded", lambda call, body: call.decode(body))


def _no_end_of_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tiffin.client.reader.Overlong", lambda *_: StopIteration())


@pytest.mark.parametrize(
    ("target", "weaken"),
    [
        ("names", _any_name),
        ("filters", _every_row),
        ("constraints", _aggregates),
        ("keys", _every_key),
        ("csv", _any_columns),
        ("bodies", _unbounded),
        ("at_once", _other_answers),
        ("client_answers", _raw_errors),
        ("client_http", _no_end_of_answers),
    ],
)
def test_a_target_notices_when_what_it_holds_to_is_taken_away(
    target: str, weaken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
):
    check = import_module(f"fuzz.targets.{target}").check
    found = inputs(target)
    for path in found:
        check(path.read_bytes())
    weaken(monkeypatch)
    noticed = 0
    for path in found:
        try:
            check(path.read_bytes())
        except Exception:  # noqa: BLE001 - as the fuzzer takes it, whatever comes out is a crash
            noticed += 1
    assert noticed
