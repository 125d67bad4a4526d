from datetime import UTC, datetime, timedelta

import pytest

import tiffin
from tiffin.doctor import Finding
from tiffin.errors import CommitConflict, InvalidName, StorageError, TableNotFound, TiffinError
from tiffin.store import Stats
from tiffin.tables.catalog import TableInfo
from tiffin.tables.table import Commit
from tiffin.training.sets import TrainingSet
from tiffin.wire import Problem, decode, encode, problem_of, to_error

ROWS = [{"user_id": 7, "at": datetime(2026, 1, 1, tzinfo=UTC), "mean": 4.5}]


class TestResults:
    def test_what_a_store_says_comes_back(self, tmp_path):
        store = tiffin.FeatureStore(tmp_path)
        commit = store.save("user/ratings", ROWS, entity="user_id", timestamp="at", ttl=timedelta(days=30), online=True)
        frame = store.get_historical_features(ROWS, ["ratings:mean"], timestamp="at", full_feature_names=True)
        training_set = store.save_training_set("first", frame)
        assert decode(encode(commit), Commit) == commit
        assert decode(encode(store.tables()), list[TableInfo]) == store.tables()
        assert decode(encode(store.stats()), Stats).tables == 1
        assert decode(encode([Finding(table="a/b", kind="corrupt", what="x")]), list[Finding])[0].what == "x"
        back = decode(encode(training_set), TrainingSet)
        assert (back.lock, back.lock.result_hash) == (training_set.lock, training_set.lock.result_hash)

    def test_what_is_no_result_is_refused(self):
        with pytest.raises(StorageError, match="not what was expected"):
            decode(b"<html>", Commit)


class TestProblems:
    @pytest.mark.parametrize("kind", [TableNotFound, InvalidName, CommitConflict, TiffinError])
    def test_an_error_comes_back(self, kind):
        error = kind("what is wrong", hint="what to do")
        back = to_error(problem_of(error, 400, "r1"))
        assert (type(back), back.message, back.hint, back.context["request_id"]) == (
            kind,
            error.message,
            error.hint,
            "r1",
        )

    def test_a_problem_of_another_server_is_told(self):
        assert str(to_error(Problem(title="Bad Gateway", status=502))) == "Bad Gateway"
