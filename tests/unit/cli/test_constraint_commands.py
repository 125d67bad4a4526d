"""Constraints from the shell: declared, listed, checked, and the rows that were kept apart."""

from __future__ import annotations

import deltalake
import polars as pl
import pytest


@pytest.fixture
def kinds(cli, tmp_path):
    (tmp_path / "new.csv").write_text("user_id,mean\n7,4.5\n8,\n")
    (tmp_path / "bad.csv").write_text("user_id,mean\n9,45\n10,2.5\n")
    cli("save", "user/kinds", str(tmp_path / "new.csv"), "--entity", "user_id", "--constraint", "mean between 0 and 5")
    return str(tmp_path / "bad.csv")


def test_constraints_are_declared_listed_and_taken_away(cli, kinds):
    assert "constrain" in cli("constrain", "user/kinds", "user_id > 1 OR mean > 1", "--name", "known", "--warn").stdout
    listed = cli("constrain", "user/kinds").stdout
    assert "mean between 0 and 5" in listed
    assert [line.split()[0] for line in listed.splitlines() if "warns" in line] == ["known"]
    assert cli.json("constrain", "user/kinds")[0] == {
        "kind": "range",
        "name": "mean_range",
        "column": "mean",
        "min": 0,
        "max": 5,
    }
    cli("constrain", "user/kinds", "--drop", "known", "--drop", "mean_range")
    assert "no constraints" in cli("constrain", "user/kinds").stdout
    refused = cli("constrain", "user/kinds", "mean is not null", status=1)
    assert "mean_not_null (mean is not null): 1 row, such as user_id=8 mean=null" in refused.stderr
    assert "give it with one" in cli("constrain", "user/kinds", "--name", "x", status=2).output


def test_bad_rows_are_refused_or_kept_apart(cli, kinds):
    refused = cli("save", "user/kinds", kinds, "--mode", "append", status=1)
    assert "user_id=9 mean=45.0" in refused.stderr
    saved = cli("save", "user/kinds", kinds, "--mode", "append", "--on-violation", "quarantine")
    assert "1 row kept apart" in saved.stdout
    assert "9,45.0,mean_range" in cli("quarantine", "user/kinds", "--format", "csv", "-o", "-").stdout
    assert "removed 1 row" in cli("quarantine", "user/kinds", "--clear").stdout


def test_check_ends_with_status_1_if_a_constraint_is_broken(cli, kinds):
    assert "1 constraint: all hold" in cli("check", "user/kinds").stdout
    cli("constrain", "user/kinds", "mean is not null", "--warn")
    assert "! mean_not_null" in cli("check", "user/kinds").stdout
    cli("constrain", "user/kinds", "unique")
    another = pl.DataFrame({"user_id": [7], "mean": [1.0]})
    deltalake.write_deltalake("feature_store/features/user/kinds", another, mode="append")
    assert "! unique (unique): 2 rows, such as user_id=7" in cli("check", "user/kinds", status=1).stdout
    assert cli("check", "user/kinds@2").stdout
