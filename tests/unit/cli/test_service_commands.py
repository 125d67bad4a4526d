"""The commands about feature services."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("feature_store/registry/services")


def test_a_service_is_created_listed_described_and_dropped(cli):
    made = cli.json("service", "create", "ranker", "ratings:mean", "--description", "the front page")
    assert made["features"] == ["user/ratings:mean"]
    assert cli.json("service", "ls") == [made]
    assert cli.json("service", "describe", "ranker") == {**made, "findings": []}
    for shown in (cli("service", "ls").stdout, cli("service", "describe", "ranker").stdout):
        assert "user/ratings:mean" in shown
        assert "the front page" in shown
    assert cli.json("service", "drop", "ranker") == {"dropped": "ranker"}
    assert cli.json("service", "ls") == []
    assert "no services" in cli("service", "ls").stdout


def test_a_name_is_taken_until_replace_is_said(cli):
    cli("service", "create", "ranker", "ratings:mean")
    refused = cli("service", "create", "ranker", "ratings@0", status=1)
    assert "ranker" in refused.stderr
    assert cli.json("service", "create", "ranker", "ratings@0", "--replace")["features"] == ["user/ratings@0"]


def test_what_cannot_be_a_service_ends_with_status_1(cli):
    assert "did you mean" in cli("service", "create", "ranker", "user/rating", status=1).stderr
    assert "ranker" in cli("service", "describe", "ranker", status=1).stderr
    assert "ranker" in cli("service", "drop", "ranker", status=1).stderr
    assert cli("service", "create", "ranker", status=2)


def test_a_table_in_use_is_dropped_only_by_force(cli):
    cli("service", "create", "ranker", "ratings:mean")
    refused = cli("drop", "user/ratings", "--yes", status=1)
    assert "ranker" in refused.stderr
    assert "--force" in refused.stderr
    cli("drop", "user/ratings", "--yes", "--force")
    assert "user/ratings:mean" in cli("service", "ls").stderr
    [finding] = cli.json("service", "describe", "ranker")["findings"]
    assert finding["kind"] == "unresolved"
    assert "warning" in cli("service", "describe", "ranker").stdout
    assert "ranker" in cli("doctor").stdout


def test_a_column_in_use_is_saved_away_only_by_force(cli):
    cli("service", "create", "ranker", "ratings:mean")
    Path("other.csv").write_text("user_id,rated_at\n1,2024-05-01T00:00:00Z\n")
    save = ("save", "user/ratings", "other.csv", "--timestamp", "rated_at", "--evolve")
    assert "ranker" in cli(*save, status=1).stderr
    cli(*save, "--force")


def test_a_column_in_use_is_restored_away_only_by_force(cli):
    Path("wider.csv").write_text("user_id,rated_at,mean,extra\n1,2024-05-01T00:00:00Z,1.5,2\n")
    cli("save", "user/ratings", "wider.csv")
    cli("service", "create", "ranker", "ratings:extra")
    assert "ranker" in cli("restore", "ratings", "0", status=1).stderr
    assert cli.json("restore", "ratings", "0", "--force")["version"] == 3


def test_a_damaged_service_is_told_and_the_others_are_listed(cli):
    cli("service", "create", "good", "ratings")
    cli("service", "create", "bad", "ratings")
    (FOLDER / "bad.json").write_text("{")
    listed = cli("service", "ls")
    assert "good" in listed.stdout
    assert "bad" in listed.stderr
    found = cli("doctor", status=1).stdout
    assert "bad" in found
    assert "corrupt" in found
