"""`tiffin push`, `materialize`, `online get`, `verify`, and `save --online --default`."""

from __future__ import annotations

import pytest
from cli_driver import START

from tiffin import FeatureStore
from tiffin.agreement import Difference, TableVerification, Verification
from tiffin.serving import Status

GET = ("online", "get", "user/ratings:mean")


def feature(told: dict, row: int = 0, name: str = "mean") -> tuple:
    found = told["rows"][row]["features"][name]
    return found["value"], found["status"], found["timestamp"]


class TestOnlineGet:
    @pytest.fixture(autouse=True)
    def online(self, cli):
        cli("materialize", "user/ratings")

    def test_each_value_comes_with_its_status_and_time(self, cli):
        told = cli.json(*GET, "--entity", "user_id=4", "--entity", "user_id=99")
        assert [row["entity"] for row in told["rows"]] == [{"user_id": 4}, {"user_id": 99}]
        assert feature(told, 0) == (5.0, "PRESENT", "2024-05-04T00:00:00Z")
        assert feature(told, 1) == (None, "NOT_FOUND", None)
        shown = cli(*GET, "-e", "user_id=4", "-e", "user_id=99").stdout
        assert [line.split()[:4] for line in shown.splitlines() if "mean" in line] == [
            ["4", "mean", "5", "PRESENT"],
            ["99", "mean", "null", "NOT_FOUND"],
        ]

    def test_several_tables_with_keys_of_their_own(self, cli):
        pairs = [{"user_id": 4, "name": "a, b", "x": 1}, {"user_id": 4, "name": "c", "x": None}]
        FeatureStore("feature_store").save("t/pairs", pairs, entity=["user_id", "name"], online=True)
        told = cli.json(
            "online", "get", "user/ratings,t/pairs:x", "-e", "user_id=4,name=a, b", "-e", "user_id=4,name=c"
        )
        assert [row["entity"] for row in told["rows"]] == [{"user_id": 4, "name": "a, b"}, {"user_id": 4, "name": "c"}]
        assert [feature(told, row, "x")[:2] for row in (0, 1)] == [(1, "PRESENT"), (None, "NULL_VALUE")]
        assert [feature(told, row)[0] for row in (0, 1)] == [5.0, 5.0]

    def test_a_service_stands_for_its_references(self, cli):
        cli("service", "create", "ranker", "user/ratings:mean")
        assert feature(cli.json("online", "get", "ranker", "-e", "user_id=4"))[0] == 5.0

    def test_a_service_that_is_called_like_a_table(self, cli):
        cli("service", "create", "ratings", "user/ratings:mean")
        assert "--service ratings" in cli("online", "get", "ratings", "-e", "user_id=4", status=1).stderr
        assert feature(cli.json("online", "get", "--service", "ratings", "-e", "user_id=4"))[0] == 5.0
        assert cli.json("verify", "--service", "ratings")["ok"]
        cli("verify", "user/ratings", "--service", "ratings", status=2)
        cli("online", "get", "-e", "user_id=4", status=2)

    def test_full_names_tell_equal_features_apart(self, cli):
        other = [{"user_id": 4, "mean": 1.5}]
        FeatureStore("feature_store").save("t/other", other, entity="user_id", online=True)
        both = ("online", "get", "user/ratings", "t/other", "-e", "user_id=4")
        assert "--full-feature-names" in cli(*both, status=1).stderr
        told = cli.json(*both, "--full-feature-names")
        assert [feature(told, 0, name)[0] for name in ("user__ratings__mean", "t__other__mean")] == [5.0, 1.5]

    @pytest.mark.parametrize(
        ("entity", "status", "said"),
        [
            ("user_id=x", 1, "'x' is not a value of column 'user_id'"),
            ("user=4", 1, "user_id"),
            ("4", 2, "gives no column a value"),
        ],
    )
    def test_keys_that_cannot_be_looked_up_are_a_clear_error(self, cli, entity, status, said):
        assert said in cli(*GET, "-e", entity, status=status).stderr

    def test_a_table_that_is_not_online_is_a_clear_error(self, cli):
        cli("save", "t/x", "-", "--entity", "k", given="k,x\n1,2\n")
        assert "t/x is not online" in cli("online", "get", "t/x", "-e", "k=1", status=1).stderr


class TestSaveOnline:
    def test_a_table_declared_online_catches_up_on_every_save(self, cli):
        told = cli.json("save", "user/ratings", "ratings.csv", "--online", "--default", "mean=3.5")
        assert (told["version"], told["online_version"]) == (2, 2)
        assert feature(cli.json(*GET, "-e", "user_id=1"))[0] == 1.0
        assert feature(cli.json(*GET, "-e", "user_id=99"))[:2] == (3.5, "NOT_FOUND")
        cli("save", "user/ratings", "late.jsonl.gz", "--mode", "append")
        assert feature(cli.json(*GET, "-e", "user_id=99"))[:2] == (3.5, "PRESENT")
        shown = cli("describe", "user/ratings").stdout
        assert "online" in shown
        assert "3.5" in shown

    def test_it_can_be_taken_back(self, cli):
        cli("save", "user/ratings", "ratings.csv", "--online", "--default", "mean=3.5")
        cli("save", "user/ratings", "ratings.csv", "--no-online", "--default", "mean=")
        assert "is not online" in cli(*GET, "-e", "user_id=1", status=1).stderr
        told = cli.json("describe", "user/ratings")
        assert not told["online"]
        assert {column["default"] for column in told["columns"]} == {None}

    @pytest.mark.parametrize(
        ("default", "status", "said"),
        [
            ("mean=high", 1, "'high' is not a value of column 'mean'"),
            ("men=3", 1, "'men'"),
            ("3", 2, "gives no column a value"),
        ],
    )
    def test_a_default_that_cannot_be_one_changes_nothing(self, cli, default, status, said):
        assert said in cli("save", "user/ratings", "ratings.csv", "--default", default, status=status).stderr
        assert cli.json("describe", "user/ratings")["version"] == 1


class TestPush:
    def test_pushed_rows_are_in_the_table_and_online(self, cli):
        told = cli.json("push", "user/ratings", "late.jsonl.gz", "-m", "late ones")
        assert (told["version"], told["online_version"], told["rows_added"]) == (2, 2, 1)
        assert told["message"] == "late ones"
        assert feature(cli.json(*GET, "-e", "user_id=99")) == (3.5, "PRESENT", "2024-06-01T00:00:00Z")
        assert "pushed" not in cli("history", "user/ratings").stdout

    def test_an_older_row_does_not_take_the_place_of_a_newer_one(self, cli):
        cli("push", "user/ratings", "-", given="user_id,mean,rated_at\n4,0.5,2020-01-01T00:00:00Z\n")
        assert feature(cli.json(*GET, "-e", "user_id=4"))[0] == 5.0
        assert cli.json("describe", "user/ratings")["rows"] == 13

    def test_what_cannot_be_pushed_changes_nothing(self, cli):
        assert "'x'" in cli("push", "user/ratings", "-", given="user_id,mean,rated_at\nx,1,\n", status=1).stderr
        assert "there is no table" in cli("push", "user/rating", "late.jsonl.gz", status=1).stderr
        assert cli.json("describe", "user/ratings")["version"] == 1


class TestMaterialize:
    def test_it_puts_a_table_online_and_tells_what_it_took(self, cli):
        [told] = cli.json("materialize", "user/ratings")
        assert (told["table"], told["entities_written"], told["from_scratch"]) == ("user/ratings", 12, True)
        [again] = cli.json("materialize")
        assert (again["entities_written"], again["rows_read"]) == (0, 0)
        assert "user/ratings" in cli("materialize").stdout
        [anew] = cli.json("materialize", "--from-scratch")
        assert (anew["entities_written"], anew["from_scratch"]) == (12, True)

    def test_without_a_table_online_it_says_so(self, cli):
        assert cli.json("materialize") == []
        assert "no table is online" in cli("materialize").stdout

    def test_a_table_without_keys_is_a_clear_error(self, cli):
        cli("save", "t/x", "-", given="x\n1\n")
        assert "t/x" in cli("materialize", "t/x", status=1).stderr


class TestVerify:
    def test_what_agrees_ends_with_0(self, cli):
        cli("materialize", "user/ratings")
        told = cli.json("verify", "user/ratings", "--sample", "5", "--seed", "3")
        assert told["ok"]
        assert "agree" in cli("verify").stdout

    def test_a_difference_ends_with_1_and_is_shown(self, cli, monkeypatch):
        monkeypatch.setattr(FeatureStore, "verify", lambda *_, **__: Verification(tables=(disagreeing(),)))
        told = cli.json("verify", status=1)
        assert (told["ok"], told["tables"][0]["ok"]) == (False, False)
        assert told["tables"][0]["differences"][0]["online"] == 4.0
        shown = " ".join(cli("verify", status=1).stdout.split())
        assert "user_id 4 mean 5 (PRESENT) 4 (NULL_VALUE)" in shown
        assert "and 2 more" in shown
        assert "the table has 12 entities, the index 11" in shown
        assert "--from-scratch" in shown
        assert "agree" not in shown

    def test_without_a_table_online_it_says_so(self, cli):
        assert "no table is online" in cli("verify").stdout


def disagreeing() -> TableVerification:
    one = Difference(
        entity={"user_id": 4},
        feature="mean",
        offline=5.0,
        offline_status=Status.PRESENT,
        online=4.0,
        online_status=Status.NULL_VALUE,
    )
    return TableVerification(
        table="user/ratings",
        version=1,
        moment=START,
        lag=0,
        entities_compared=12,
        values_compared=12,
        values_different=12,
        differences=(one,) * 12,
        entities_offline=12,
        entities_online=11,
    )
