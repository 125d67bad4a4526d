from __future__ import annotations

import json
from pathlib import Path

from tiffin import FeatureStore


def test_import_tells_what_it_made_and_what_it_left_out(cli):
    told = cli("import-feast", "feature_repo").stdout
    assert "saved 3 tables and 2 services" in told
    assert "left out: services.py:11: OnDemandFeatureView duration" in told
    assert FeatureStore("feature_store").describe("bikes/rider_trips").rows == 40


def test_a_plan_says_would_and_saves_nothing(cli):
    told = cli("import-feast", "feature_repo", "--plan", "--group", "hire").stdout
    assert "hire/rider_trips" in told
    assert "would save 3 tables and 2 services" in told
    assert [info.table for info in FeatureStore("feature_store").tables()] == ["user/ratings"]


def test_import_answers_with_json(cli):
    done = cli.json("import-feast", "feature_repo")
    assert [table["table"] for table in done["tables"]] == [
        "bikes/rider_trips",
        "bikes/fresh_trips",
        "bikes/station_load",
    ]
    assert done["tables"][0]["ttl"] == "P2D"
    assert {each["where"] for each in done["left_out"]} >= {"services.py:8", "services.py:11"}


def test_what_cannot_be_imported_ends_with_status_1_and_changes_nothing(cli):
    Path("feature_repo/data/load.parquet").unlink()
    error = json.loads(cli("import-feast", "feature_repo", "--json", status=1).stderr)["error"]
    assert error["code"] == "storage"
    assert "station_load" in error["message"]
    assert [info.table for info in FeatureStore("feature_store").tables()] == ["user/ratings"]


def test_export_writes_what_import_takes(cli):
    told = cli("export-feast", "out", "--table", "user/ratings", "--project", "movies").stdout
    assert "wrote 1 table and 0 services" in told
    assert "Feast project movies" in told
    done = cli.json("import-feast", "out")
    assert [(table["table"], table["rows"]) for table in done["tables"]] == [("movies/ratings", 12)]


def test_export_leaves_a_full_folder_alone(cli):
    Path("out").mkdir()
    Path("out/mine").touch()
    assert "is not empty" in cli("export-feast", "out", status=1).stderr
    assert cli.json("export-feast", "out", "--replace")["tables"][0]["file"] == "data/ratings.parquet"
