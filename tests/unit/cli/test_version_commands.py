"""Tags, stages and differences from the shell: for people, and the same as JSON."""

import json

import pytest


@pytest.fixture
def versions(cli, tmp_path):
    (tmp_path / "new.csv").write_text("user_id,mean,kind\n7,4.5,a\n8,,b\n")
    (tmp_path / "late.csv").write_text("user_id,mean,kind\n7,5.5,a\n9,1.5,z\n")
    cli("save", "user/kinds", str(tmp_path / "new.csv"), "--entity", "user_id")
    cli("save", "user/kinds", str(tmp_path / "late.csv"))
    return tmp_path


def test_tags_are_given_listed_moved_and_taken_away(cli, versions):
    assert "tagged user/kinds@prod → 0" in cli("tag", "user/kinds", "0", "prod", "-m", "passed").stdout
    assert json.loads(cli("read", "user/kinds@prod", "--json").stdout) == json.loads(
        cli("read", "user/kinds", "--version", "prod", "--json").stdout
    )
    refused = cli("tag", "user/kinds", "1", "prod", status=1)
    assert "--move" in refused.stderr
    cli("tag", "user/kinds", "1", "prod", "--move")
    (tag,) = json.loads(cli("tags", "user/kinds", "--json").stdout)
    assert (tag["name"], tag["version"]) == ("prod", 1)
    assert "prod" in cli("tags", "user/kinds").stdout
    assert "  prod" in cli("history", "user/kinds").stdout.splitlines()[0]
    cli("restore", "user/kinds", "prod")
    cli("untag", "user/kinds", "prod")
    assert "no tags" in cli("tags", "user/kinds").stdout


def test_a_damaged_file_of_tags_does_not_hide_the_history(cli, versions):
    cli("tag", "user/kinds", "0", "prod")
    (path,) = versions.rglob("_tags.json")
    path.write_text("{}")
    done = cli("history", "user/kinds")
    assert "_tags.json is not what was written" in " ".join(done.stderr.split())
    assert "overwrite" in done.stdout
    assert cli("doctor", "user/kinds", status=1).stdout


def test_a_stage_is_tried_listed_compared_and_promoted(cli, versions):
    late = str(versions / "late.csv")
    assert "staged user/kinds@cleaned on version 1" in cli("stage", "user/kinds", late, "cleaned").stdout
    assert cli("stages", "user/kinds").stdout.count("cleaned") == 1
    assert json.loads(cli("diff", "user/kinds", "0", "cleaned", "--json").stdout)["new"] == "cleaned"
    assert "stage cleaned on version 1" in cli("describe", "user/kinds@cleaned").stdout
    assert "promoted stage cleaned" in json.loads(cli("promote", "user/kinds", "cleaned", "--json").stdout)["message"]
    cli("stage", "user/kinds", late, "again", "--mode", "append", "-m", "why")
    cli("discard", "user/kinds", "again")
    assert "no stages" in cli("stages", "user/kinds").stdout
    assert "no stage 'again'" in cli("promote", "user/kinds", "again", status=1).stderr


def test_differences_are_shown_by_column(cli, versions):
    shown = " ".join(cli("diff", "user/kinds", "0", "1").stdout.split())
    assert "mean 1 1 1 1 → 0 4.5 → 3.5 user_id 7: 4.5 → 5.5" in shown
    assert "kind 0 0 2 +1: z −1: b" in shown
    found = json.loads(cli("diff", "user/kinds", "--json").stdout)
    assert [column["name"] for column in found["columns"]] == ["mean", "kind"]
    assert found["columns"][1]["values"]["come"] == ["z"]
