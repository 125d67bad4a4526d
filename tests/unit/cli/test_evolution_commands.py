from __future__ import annotations

import json
from pathlib import Path

from cli_driver import ratings

from tiffin import FeatureStore


def save(cli, rows, *options, status=0):
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return cli("save", "user/facts", "rows.jsonl", *options, status=status)


ROWS = [{"user_id": 1, "name": "007", "mean": 1.5}, {"user_id": 2, "name": "008", "mean": 2.5}]


def test_a_plan_has_the_options_of_save_and_changes_nothing(cli):
    save(cli, ROWS, "--entity", "user_id", "--rule", "full")
    ratings().drop("rated_at").write_parquet("other.parquet")
    refused = cli.json("plan", "user/facts", "other.parquet", status=1)
    assert refused["ok"] is False
    assert refused["rule"] == "full"
    assert refused["refusal"]["code"] == "schema_mismatch"
    assert [(change["name"], change["verdict"]) for change in refused["changes"]] == [("name", "evolve")]
    told = cli("plan", "user/facts", "other.parquet", status=1).stdout
    assert "would be refused" in told
    assert "needs --evolve, a new major version" in told
    planned = cli.json("plan", "user/facts", "other.parquet", "--evolve", "-m", "why", "--online")
    assert (planned["ok"], planned["rows_after"], planned["major"], planned["online"]) == (True, 12, 1, "rebuild")
    assert "would save" in cli("plan", "user/facts", "other.parquet", "--evolve").stdout
    assert [commit["version"] for commit in cli.json("history", "user/facts")] == [0]
    cli("save", "user/facts", "other.parquet", "--evolve")
    assert cli.json("describe", "user/facts")["major"] == 1
    assert "rule full, major version 1" in cli("describe", "user/facts").stdout
    assert "major version 1 of the schema begins" in cli("history", "user/facts").stdout


def test_a_refused_save_says_how_to_go_on(cli):
    save(cli, ROWS, "--entity", "user_id")
    told = save(cli, [{"user_id": 1, "name": "x"}], status=1).stderr
    assert "'mean' is missing" in told
    assert "--evolve" in told
    assert "rule backward: who asks for it finds nothing" in told


def test_files_and_conditions_may_go_on_to_use_an_old_name(cli):
    save(cli, ROWS, "--entity", "user_id")
    cli("rename", "user/facts", "name", "label", "-m", "clearer")
    Path("more.csv").write_text("user_id,name,mean\n3,009,3.5\n")
    cli("save", "user/facts", "more.csv", "--mode", "append")
    rows = cli.json("read", "user/facts", "--where", "name == 009", "--columns", "name,mean")["rows"]
    assert rows == [{"name": "009", "mean": 3.5}]
    assert "was called" in cli("describe", "user/facts").stdout
    assert cli.json("history", "user/facts")[1]["message"] == "clearer"


def test_columns_that_a_service_uses_are_dropped_only_by_force(cli):
    save(cli, ROWS, "--entity", "user_id")
    cli("service", "create", "ranker", "user/facts:mean")
    assert "ranker" in cli("drop-columns", "user/facts", "mean", status=1).stderr
    cli("drop-columns", "user/facts", "mean,name", "--force")
    assert FeatureStore("feature_store").read("user/facts").columns == ["user_id"]


WARNING = "user/facts:mean is deprecated: it is rounded; use median instead; its removal is planned for 2999-01-31"


def test_those_who_ask_for_a_deprecated_feature_are_told_on_standard_error(cli):
    save(cli, ROWS, "--entity", "user_id", "--online")
    cli("deprecate", "user/facts", "mean", "it is rounded", "--instead", "median", "--removal", "2999-01-31")
    Path("spine.csv").write_text("user_id\n1\n")
    asks = [
        ("train", "spine.csv", "--features", "user/facts:mean"),
        ("online", "get", "user/facts:mean", "--entity", "user_id=1"),
        ("service", "create", "ranker", "user/facts:mean"),
    ]
    for ask in asks:
        told = cli(*ask, "--json")
        assert told.stderr.count(WARNING) == 1
        assert told.stderr.startswith("warning: ")
        json.loads(told.stdout)
    assert "it is rounded" in cli("describe", "user/facts").stdout
    cli("deprecate", "user/facts", "mean", "--undo")
    assert cli(*asks[0], "--json").stderr == ""
    cli("deprecate", "user/facts", "mean", status=2)
    cli("deprecate", "user/facts", "mean", "why", "--undo", status=2)
    cli("deprecate", "user/facts", "mean", "why", "--removal", "soon", status=2)
