"""The examples run, as a user would run them, and say what they promise to show."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example with its store in an empty folder, and gives what it printed."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_the_quick_start_shows_versions_and_an_online_answer(run, tmp_path):
    said = run("quickstart.py", "store")
    assert "from version 0 to 1: 1 row changed, 0 added" in said
    assert "online: {'user_id': [7, 1], 'mean': [4.5, None]} ['PRESENT', 'NOT_FOUND']" in said
    assert (tmp_path / "store/features/user/ratings/_delta_log").is_dir()


def test_an_example_without_a_folder_leaves_nothing_behind(run, tmp_path):
    assert "saved version 0" in run("quickstart.py")
    assert list(tmp_path.iterdir()) == []


def test_the_point_in_time_join_differs_from_a_merge_and_is_made_again(run):
    said = run("point_in_time.py", "store")
    rows = [re.split(r"\s*┆\s*", line.strip("│ ")) for line in said.splitlines() if "UTC ┆" in line]
    assert [row[3:] for row in rows] == [["4.0", "3.0"], ["3.0", "3.0"], ["null", "5.0"], ["null", "null"]]
    assert said.endswith("made again is the same: True\n")


def test_a_served_store_answers_the_client_and_plain_json(run):
    said = run("serve_and_call.py", "store")
    assert re.search(r"serving at http://127\.0\.0\.1:\d+", said)
    assert "{'user_id': [7, 9], 'mean': [4.5, 5.0]}" in said
    assert "[{'user_id': 8, 'mean': 3.0}, {'user_id': 1, 'mean': None}]" in said


@pytest.mark.slow
def test_the_model_is_fooled_by_the_leaky_join_and_helped_by_the_other(tmp_path):
    command = [sys.executable, EXAMPLES / "rating_prediction.py", "--count", "6000", "--store", tmp_path / "store"]
    # One thread: those of OpenMP wait for one another with all the processor's time, which on a busy machine is long.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    errors = {name: float(value) for value, name in re.findall(r"^  (\d\.\d+)  (.+)$", said, re.MULTILINE)}
    seems, proves = errors["leaky join, as it looks in training"], errors["leaky join, as it is in use"]
    assert seems < errors["point in time, in training and in use"] < proves < errors["always the mean"]
    assert "made again, bit for bit: True" in said
    assert "online and offline agree: True" in said


@pytest.mark.slow
def test_a_model_is_served_with_the_features_that_it_was_trained_on(tmp_path):
    command = [sys.executable, EXAMPLES / "serve_a_model.py", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    told = {line.partition(":")[0]: line.partition(":")[2].strip() for line in said.splitlines()}
    before, nobody, after = (ast.literal_eval(told[name]) for name in ("before", "nobody", "after"))
    assert before["is_known"]
    assert after["rating"] < before["rating"]  # the new rating, of half a star, has come online
    assert not nobody["is_known"]
    assert told["the online features still look like those of the training"] == "True"

    card = tmp_path / "model.json"
    card.write_text(card.read_text().replace('"result_hash": "', '"result_hash": "0'))
    forged = runpy.run_path(str(EXAMPLES / "serve_a_model.py"))
    with pytest.raises(SystemExit, match="did not learn from the training set 'predictor-1'"):
        forged["Predictor"](tmp_path)


def test_the_page_names_every_example():
    page = (ROOT / "docs/examples.md").read_text()
    assert set(re.findall(r"^\| \[(\w+\.py)\]", page, re.MULTILINE)) == {path.name for path in EXAMPLES.glob("*.py")}
