"""The store against a plain model: whatever is done in whatever order, every version holds what the model says."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import tiffin

KEYS = st.integers(-3, 12)
VALUES = st.one_of(st.none(), st.integers(-(2**31), 2**31))
ROWS = st.lists(st.tuples(KEYS, VALUES), max_size=6)
UNIQUE = st.lists(st.tuples(KEYS, VALUES), max_size=6, unique_by=lambda row: row[0])
SCHEMA = {"id": pl.Int64, "x": pl.Int64}


class StoreModel(RuleBasedStateMachine):
    """Rows are kept in a list for each version; the store must agree after every step, from files and from caches."""

    @initialize(every=st.integers(1, 4), fan_in=st.integers(2, 4))
    def begin(self, every, fan_in):
        self.folder = tempfile.TemporaryDirectory()
        self.options = {"checkpoint_every": every, "compact_files": fan_in, "disk_cache_bytes": "1MB"}
        self.store = tiffin.FeatureStore(Path(self.folder.name) / "store", **self.options)
        self.versions: dict[int, list[tuple]] = {}

    @property
    def newest(self) -> list[tuple]:
        return self.versions[max(self.versions)] if self.versions else []

    def committed(self, commit, rows):
        assert commit.warnings == ()
        self.versions[commit.version] = rows
        # A merge of small files is a version with the same rows.
        for version in range(commit.version + 1, self.store.describe("g/t").version + 1):
            self.versions[version] = rows

    @rule(rows=ROWS)
    def overwrite(self, rows):
        self.committed(self.store.save("g/t", pl.DataFrame(rows, SCHEMA, orient="row"), entity="id"), rows)

    @rule(rows=ROWS)
    def append(self, rows):
        commit = self.store.save("g/t", pl.DataFrame(rows, SCHEMA, orient="row"), entity="id", mode="append")
        self.committed(commit, self.newest + rows)

    @rule(rows=UNIQUE)
    def upsert(self, rows):
        commit = self.store.save("g/t", pl.DataFrame(rows, SCHEMA, orient="row"), entity="id", mode="upsert")
        keys = {key for key, _ in rows}
        self.committed(commit, [row for row in self.newest if row[0] not in keys] + rows)

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def restore(self, data):
        version = data.draw(st.sampled_from(sorted(self.versions)))
        self.committed(self.store.restore("g/t", version), self.versions[version])

    @precondition(lambda self: self.versions)
    @rule()
    def compact(self):
        for commit in self.store.compact("g/t"):
            self.committed(commit, self.newest)

    @precondition(lambda self: self.versions)
    @rule(keep=st.integers(1, 4))
    def vacuum(self, keep):
        (report,) = self.store.vacuum("g/t", keep_versions=keep)
        oldest = max(max(self.versions) - keep + 1, min(self.versions))
        assert report.oldest_version == oldest
        self.versions = {version: rows for version, rows in self.versions.items() if version >= oldest}

    @precondition(lambda self: self.versions)
    @rule()
    def drop(self):
        self.store.drop("g/t")
        self.versions = {}

    @rule()
    def reopen(self):
        self.store.close()
        self.store = tiffin.FeatureStore(self.store.path, **self.options)

    @precondition(lambda self: self.versions)
    @rule(key=KEYS, use_cache=st.booleans())
    def look_up(self, key, use_cache):
        got = self.store.read("g/t", entities=[key], columns=["x"], use_cache=use_cache).to_polars()
        assert sorted(map(repr, got["x"].to_list())) == sorted(repr(x) for k, x in self.newest if k == key)

    @invariant()
    def every_version_is_as_it_was(self):
        if not getattr(self, "versions", None):
            return
        assert [commit.version for commit in self.store.history("g/t")] == sorted(self.versions, reverse=True)
        for version in {max(self.versions), min(self.versions)}:
            for use_cache in (False, True):
                got = self.store.read("g/t", version=version, use_cache=use_cache).to_polars()
                assert sorted(map(repr, got.rows())) == sorted(map(repr, self.versions[version])), (version, use_cache)

    def teardown(self):
        if hasattr(self, "folder"):
            self.store.close()
            self.folder.cleanup()


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=30, stateful_step_count=25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_store_in_many_more_cases():
    run_state_machine_as_test(StoreModel, settings=settings(max_examples=1_000, stateful_step_count=40))
