"""The plan of the fault tests names tests that exist, and forgets none; its page has what a run found."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.page import BEGIN, END, Plan, Row, fits, lines, missing, plan, put, table, untried
from figures import Machine, Run

ROOT = Path(__file__).parents[2]
MACHINE = Machine(cores=2, memory_gb=24.9, system="Linux x86_64", python="3.11.7", file_system="ext4")
ROW = Row(number=2, what="kill | cut", promise="durable", tests=["a.py::*"], control=["a.py::test_sees*"])
WANTED = Plan(least={"kills": 1000}, row=[ROW])


def node_ids(file: Path) -> Iterator[str]:
    """List the node ids of a file's tests, without parameters."""
    name = file.relative_to(ROOT).as_posix()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        among = node.body if isinstance(node, ast.ClassDef) else [node]
        way = [name, node.name] if isinstance(node, ast.ClassDef) else [name]
        for one in among:
            if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"):
                yield "::".join([*way, one.name])


@pytest.fixture(scope="module")
def faults() -> list[str]:
    return [test for file in sorted((ROOT / "tests" / "faults").glob("test_*.py")) for test in node_ids(file)]


def test_every_pattern_of_the_plan_fits_a_test(faults):
    for row in plan().row:
        assert row.tests
        assert row.control
        for pattern in row.tests + row.control:
            file = ROOT / pattern.partition("::")[0]
            assert any(fits(test, [pattern]) for test in node_ids(file)), pattern


def test_every_fault_test_is_in_a_row(faults):
    patterns = [pattern for row in plan().row for pattern in row.tests + row.control]
    assert [test for test in faults if not fits(test, patterns)] == []


def test_rows_have_numbers_in_order():
    numbers = [row.number for row in plan().row]
    assert numbers == sorted(set(numbers))


def run(**what) -> Run:
    return Run(when="2026-01-02T03:04:05+00:00", machine=MACHINE, **what)


def test_counts_of_one_test_are_added_up_and_measures_are_not():
    found = {
        "a.py::test_k[lmdb]": ["1,200 kills, 0 lost"],
        "a.py::test_k[redis]": ["300 kills, 0 lost"],
        "a.py::test_p[1]": ["p99 1.5 ms"],
        "a.py::test_p[2]": ["p99 2.5 ms"],
        "a.py::test_sees": ["3 of 3 (wanted)"],
        "b.py::test_k": ["7 kills, 0 lost"],
    }
    assert lines(run(figures=found), ["a.py::*"], ["a.py::test_sees"]) == [
        "1,500 kills, 0 lost", "p99 1.5 ms", "p99 2.5 ms",
    ]  # fmt: skip


def test_a_run_that_proves_all_misses_nothing_and_stands_on_the_page():
    proof = run(figures={"a.py::test_k": ["1000 kills"], "a.py::test_sees": ["3 of 3 | seen"]})
    assert list(missing(proof, WANTED)) == []
    text = table(proof, WANTED)
    assert "2 cores and 25 GB of memory, Linux x86_64, ext4, Python 3.11.7; 1,000 kills in all" in text
    assert "| kill \\| cut | durable | 1,000 kills | 3 of 3 \\| seen |" in text
    assert put(f"above\n{BEGIN}\nold\n{END}\nbelow", "new") == f"above\n{BEGIN}\nnew\n{END}\nbelow"


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"figures": {"a.py::test_k": ["999 kills"], "a.py::test_sees": ["1 kills"]}}, "999 kills in all, not 1000"),
        ({"figures": {"a.py::test_k": ["1000 kills"]}}, "no figures of the control"),
        ({"figures": {"a.py::test_sees": ["1 seen"]}}, "2: no figures: kill"),
        ({"failed": ["a.py::test_k"]}, "failed: a.py::test_k"),
    ],
)
def test_a_run_that_proves_too_little_says_so(found, what):
    assert any(what in one for one in missing(run(**found), WANTED))


def test_what_the_machine_did_not_allow_is_told_and_is_no_failure():
    some = run(figures={"b.py::test_k": ["1000 kills"]}, skipped={"a.py::test_k[1]": "no root"})
    assert list(missing(some, Plan(least={}, row=[ROW]))) == []
    assert untried(some) == ["NOT TRIED: a.py::test_k[1]: no root"]
