from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from tiffin import FeatureStore
from tiffin.quality.profiles import profiling


def test_a_profile_as_table_json_and_in_the_terminal(cli):
    assert "user/ratings version 1 · 12 rows" in cli("profile", "ratings").stdout
    found = cli.json("profile", "ratings@0")
    assert found["columns"][1]["name"] == "mean"
    assert found["columns"][1]["histogram"]["width"] == 0.125
    drawn = cli("profile", "ratings", "--plot").stdout
    assert "mean  Float64, 0.0% missing" in drawn
    assert "█" in drawn


def test_a_profile_of_some_rows_says_so(cli, monkeypatch):
    monkeypatch.setattr(profiling, "EXACT_ROWS", 10)
    told = cli("profile", "ratings").stdout
    assert "of 10 rows that were drawn by chance" in told
    assert "~5" in told


def test_pictures_are_written_in_each_form(cli):
    assert "wrote a.svg" in cli("profile", "ratings", "-o", "a.svg").stdout
    assert ElementTree.parse("a.svg").getroot().tag.endswith("svg")
    cli("profile", "ratings", "-o", "a.html")
    page = Path("a.html").read_text()
    assert page.startswith("<!doctype html>")
    assert Path("a.svg").read_text().strip() in page
    cli("drift", "ratings", "-b", "1", "-o", "a.PNG")
    assert Path("a.PNG").read_bytes().startswith(b"\x89PNG\r\n")
    assert "name it .svg, .html or .png" in cli("profile", "ratings", "-o", "a.gif", status=2).stderr
    assert "cannot write" in cli("profile", "ratings", "-o", "nowhere/a.svg", status=1).stderr


def test_png_says_what_it_needs(cli, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert "pip install 'tiffin[pictures]'" in cli("profile", "ratings", "-o", "a.png", status=1).stderr
    assert not Path("a.png").exists()


def test_a_png_has_bounds(cli):
    FeatureStore("feature_store").save("g/wide", pl.DataFrame({f"c{number}": [1] for number in range(250)}))
    assert "name the file .svg" in cli("profile", "wide", "-o", "a.png", status=1).stderr
    assert not Path("a.png").exists()
    cli("profile", "wide", "-o", "a.svg")


@pytest.fixture
def drifting(cli):
    """A table whose newest version has drifted."""
    store = FeatureStore("feature_store")
    for values in ([1.0, 2.0] * 50, [5.0, 6.0] * 50):
        rows = {"id": range(100), "x": values, "c": ["a", "b"] * 50, "day": [date(2024, 1, 2)] * 100}
        store.save("g/t", pl.DataFrame(rows), entity="id")
    return cli


def test_drift_ends_with_status_1_and_says_so_on_standard_output(drifting):
    done = drifting("drift", "t", "--baseline", "0", status=1)
    assert "it has drifted" in done.stdout
    assert "drift x: Kolmogorov-Smirnov distance 1.000, above 0.2" in done.stdout
    assert done.stderr == ""
    assert "no drift" in drifting("drift", "t", "--baseline", "1").stdout


def test_an_error_ends_with_status_1_and_says_so_on_standard_error(drifting):
    done = drifting("drift", "t", "--baseline", "9", status=1)
    assert done.stdout == ""
    assert "error: " in done.stderr


def test_drift_as_json_and_in_the_terminal(drifting):
    found = drifting.json("drift", "t", "-b", "0", status=1)
    assert (found["drifted"], found["columns"][0]["name"]) == (True, "x")
    drawn = drifting("drift", "t", "-b", "0", "--plot", status=1).stdout
    assert "a: 50 → 50" in drawn
    assert "was " in drawn


def test_thresholds_and_columns_are_chosen(drifting):
    off = [part for name in ("psi", "ks", "x.js") for part in ("--threshold", f"{name}=off")]
    drifting("drift", "t", "-b", "0", *off)
    drifting("drift", "t", "-b", "0", *off, "-t", "x.ks=0.9", status=1)
    assert [each["name"] for each in drifting.json("drift", "t", "-b", "0", "--columns", "c")["columns"]] == ["c"]
    assert "is no threshold" in drifting("drift", "t", "-b", "0", "-t", "psi=much", status=2).stderr
    assert "no measure 'psy'" in drifting("drift", "t", "-b", "0", "-t", "psy=1", status=1).stderr


def test_files_names_times_and_the_online_index_are_compared(drifting):
    store = FeatureStore("feature_store")
    rows = [{"x": 1 + number % 2, "c": "ab"[number % 2], "day": "2024-01-02"} for number in range(40)]
    Path("served.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = drifting.json("drift", "t", "-b", "0", "-c", "served.jsonl")
    assert (found["current"]["name"], found["current"]["rows"]) == ("the frame", 40)
    drifting("drift", "t", "-b", "1", "-c", "served.jsonl", status=1)
    drifting("drift", "t", "-b", "0", "-c", "-", given="x\n" + "1\n2\n" * 20)
    store.tag("t", 0, "prod")
    assert drifting.json("drift", "t", "-b", "1", "-c", "prod", status=1)["current"]["version"] == 0
    moment = store.history("t")[-1].timestamp.isoformat()
    assert drifting.json("drift", "t", "-b", "0", "-c", moment)["current"]["version"] == 0
    store.materialize("g/t")
    assert drifting.json("drift", "t", "-b", "1", "-c", "online")["current"]["name"] == "the online index"
    assert "no file 'absent.csv'" in drifting("drift", "t", "-b", "0", "-c", "absent.csv", status=1).stderr


def test_a_tag_is_found_whatever_else_is_called_so(drifting):
    store = FeatureStore("feature_store")
    store.tag("t", 0, "2024-01-01")
    store.tag("t", 0, "prod")
    for name in ("prod", "1"):
        Path(name).write_text("x\n1\n")
    for baseline, current, version in (("2024-01-01", "1", 1), ("1", "prod", 0), ("1", "2024-01-01", 0)):
        found = drifting.json("drift", "t:x", "-b", baseline, "-c", current, status=1)
        assert found["current"]["version"] == version
    found = drifting.json("drift", "t", "-b", "0", "-c", "prod", "--format", "csv")
    assert found["current"]["name"] == "the frame"


def test_values_are_no_commands_to_the_terminal(cli):
    store = FeatureStore("feature_store")
    hostile = "\x1b[31mred\x07\r\x9b2J"
    for value in ("a", hostile):
        store.save("g/t", [{"id": 1, "c": value}], entity="id")
    store.tag("g/t", 1, "prod", message=hostile)
    for command in (["profile", "t"], ["profile", "t", "--plot"], ["diff", "t"], ["tags", "t"]):
        shown = cli(*command).stdout
        assert "red" in shown
        assert not set(shown).intersection("\x1b\x07\r\x9b")
    assert cli.json("profile", "t")["columns"][1]["min"] == hostile


def test_a_threshold_that_is_none_is_wrong_usage(drifting):
    for wrong in ("psi", "psi="):
        told = " ".join(drifting("drift", "t", "-b", "0", "-t", wrong, status=2).stderr.split())
        assert "write psi=0.1, mean.psi=0.1 or psi=off" in told
