from __future__ import annotations

import pytest

from tiffin.errors import Forbidden, Unauthenticated
from tiffin.schema.names import TableName
from tiffin.server.caller import Caller, anyone, nobody

READER = {"name": "r", "scopes": ("read",), "groups": ("user", "movie_*")}


@pytest.mark.parametrize(
    ("table", "sees"),
    [
        ("user/ratings", True),
        (TableName("user", "ratings"), True),
        ("user/ratings@3:mean", True),
        ("movie_facts/x", True),
        ("movie/x", False),
        ("users/x", False),
        ("USER/x", False),
        ("x/user", False),
        ("user", False),
        ("", False),
    ],
)
def test_a_caller_sees_the_tables_of_their_groups(table, sees):
    assert Caller(**READER).sees(table) == sees


def test_each_scope_includes_those_before_it():
    allowed = {
        own: [scope for scope in ("read", "write", "admin") if Caller(name="a", scopes=(own,)).may(scope)]
        for own in ("read", "write", "admin")
    }
    assert allowed == {"read": ["read"], "write": ["read", "write"], "admin": ["read", "write", "admin"]}


def test_what_is_not_covered_is_refused_and_the_refusal_says_what_is_missing():
    with pytest.raises(Unauthenticated, match="Bearer"):
        nobody().require("read")
    with pytest.raises(Forbidden, match="scope 'write'"):
        Caller(**READER).require("write", ["user/ratings"])
    with pytest.raises(Forbidden, match="movie_"):
        Caller(**READER).require("read", ["user/ratings", "secret/table"])
    Caller(**READER).require("read", ["user/ratings"])
    anyone().require("admin", ["secret/table"])


def test_what_one_request_asked_for_is_not_remembered_for_the_next():
    first, second = anyone(), anyone()
    first.require("write", [f"a/{number}" for number in range(100)])
    assert first.asked == "write"
    assert len(first.tables) == 20
    assert (second.asked, second.tables) == (None, [])


def test_a_write_that_reads_too_is_audited_as_a_write():
    caller = anyone()
    for scope in ("read", "write", "read"):
        caller.require(scope)
    assert caller.asked == "write"
