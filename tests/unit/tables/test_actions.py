"""A commit file says when it is not what was written, and tells torn from damaged."""

import json

import pytest

from tiffin.errors import CorruptData, StorageError
from tiffin.tables.actions import (
    ENGINE,
    Action,
    Add,
    CommitInfo,
    Details,
    Metadata,
    Remove,
    decode_commit,
    encode_commit,
    is_torn,
)

ACTIONS = (
    Action(remove=Remove(path="old.parquet")),
    Action(add=Add(path="a%20b.parquet", size=3, modification_time=4, stats='{"numRecords":1}', tags={"xxh3": "00"})),
)
DATA = encode_commit(
    CommitInfo(timestamp=5, operation="WRITE", engine_info=ENGINE + "1", user_metadata="é", tiffin=Details(rows=1)),
    ACTIONS,
)


def test_a_commit_comes_back_as_it_went_in():
    entry = decode_commit(DATA, "commit")
    assert entry.actions == ACTIONS
    assert (entry.info.timestamp, entry.info.message, entry.info.tiffin.rows) == (5, "é", 1)
    assert [list(json.loads(line)) for line in DATA.splitlines()] == [["commitInfo"], ["remove"], ["add"]]


def test_every_flipped_bit_is_noticed():
    for place in range(len(DATA)):
        for bit in (0, 5):
            damaged = bytearray(DATA)
            damaged[place] ^= 1 << bit
            with pytest.raises(CorruptData):
                decode_commit(bytes(damaged), "commit")


def test_every_cut_is_noticed_and_counts_as_torn():
    for length in range(len(DATA)):
        assert is_torn(DATA[:length]), length
        with pytest.raises(CorruptData):
            decode_commit(DATA[:length], "commit")
    assert is_torn(DATA[:200] + bytes(len(DATA) - 200))


def test_a_whole_commit_is_not_torn_even_if_damaged():
    assert not is_torn(DATA)
    assert not is_torn(DATA.replace(b"WRITE", b"WRIXE"))


def test_another_writers_commit_is_read_as_it_is():
    foreign = b'{"add":{"path":"x","size":1,"modificationTime":1,"new":{"a":[1]}}}\n{"txn":{"appId":"a","version":1}}\n'
    entry = decode_commit(foreign, "commit")
    assert [action.add.path for action in entry.actions if action.add] == ["x"]
    assert not is_torn(foreign)
    assert is_torn(foreign[:-10])


def test_invariants_that_nobody_checks_here_keep_writers_out():
    schema = '{"type":"struct","fields":[{"name":"x","type":"long","nullable":true,"metadata":%s}]}'
    Metadata(id="1", schema_string=schema % "{}").check_writable("g/t", removes_rows=True)
    with pytest.raises(StorageError, match="invariants"):
        Metadata(id="1", schema_string=schema % r'{"delta.invariants":"{\"expression\":1}"}').check_writable(
            "g/t", removes_rows=False
        )
